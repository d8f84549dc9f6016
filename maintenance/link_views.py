"""The page behind a link in a message: it asks, and a press of its button acts. Nobody need be logged in.

Opening the link changes nothing, since mail servers open links to look at them. The form carries Django's own token
against forged posts.
"""

from __future__ import annotations

import structlog
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods
from django_ratelimit.core import is_ratelimited
from redis.exceptions import RedisError

from maintenance import links, wording
from maintenance.links import Permit, Unusable
from maintenance.refusals import Refused
from sensors import origin

log = structlog.get_logger(__name__)

HOURS = (1, 2, 4, 8, 12, 24)
"""On offer to shelve an alarm for; policy's longest is the last."""
HOURS_DIGITS = 4


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, purpose: str, token: str) -> HttpResponse:
    """Ask (GET) or do (POST). 404 in the same words for each link that cannot be used, 429 over the rate."""
    if _too_often(request):
        refusal = render(request, "links/too_often.html", status=429)
        refusal["Retry-After"] = "60"
        return refusal
    try:
        if request.method != "POST":
            return render(request, "links/ask.html", _context(links.check(token, purpose=purpose), purpose))
        permit = links.use(
            token, purpose=purpose, comment=request.POST.get("comment", ""), hours=_hours(request),
            address=origin.address(request),
        )  # fmt: skip
    except Unusable:
        return render(request, "links/unusable.html", status=404)
    except Refused:
        return render(request, "links/done.html", _context(links.check(token, purpose=purpose), purpose), status=409)
    log.info("maintenance.links.used", purpose=purpose, alarm_id=permit.alarm.pk, user_id=permit.user.pk)
    return render(request, "links/done.html", _context(permit, purpose) | {"done": True})


def _hours(request: HttpRequest) -> int:
    """What was chosen; 0, which is refused, where it is no number of hours."""
    said = request.POST.get("hours", "")
    return int(said) if said.isdecimal() and len(said) <= HOURS_DIGITS else 0


def _context(permit: Permit, purpose: str) -> dict[str, object]:
    most = settings.SHELVE_MAX_HOURS
    mode, _ = wording.mode(permit.alarm.failure_mode, language=permit.language)
    return {
        "alarm": permit.alarm,
        "person": permit.user,
        "language": permit.language,
        "mode": mode,
        "hidden": wording.hidden(permit.hidden, language=permit.language),
        "priority": wording.priority(permit.alarm.priority, language=permit.language),
        "purpose": purpose,
        "hours": [*(hours for hours in HOURS if hours < most), most],
        "until": permit.until,
        "zone": permit.zone,
        "comment_limit": links.COMMENT_LIMIT,
    }


def _whose(group: str, request: HttpRequest) -> str:
    return origin.network(request)


def _too_often(request: HttpRequest) -> bool:
    """Counts nothing while Redis is down: the signature holds all the same."""
    try:
        return bool(is_ratelimited(request, group="links", key=_whose, rate=settings.LINK_RATE, increment=True))
    except (RedisError, OSError) as error:
        log.warning("maintenance.links.not-counted", error=str(error))
        return False
