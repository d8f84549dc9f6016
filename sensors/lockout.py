"""When trying passwords is over for a while: by account and by address, without shutting out who is not to blame.

Five wrong passwords for an account from an address are the end of tries for that account from there. Beyond that an
account is shut for addresses it has not logged in from lately once all together tried it twenty times, and an address
for accounts that have not logged in from it once it was wrong a hundred times. So nobody who has logged in from where
they are is shut out by a stranger elsewhere, or by a neighbour behind the same address.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_client_username
from axes.models import AccessAttempt, AccessLog
from django.conf import settings
from django.db.models import QuerySet, Sum
from django.http import HttpRequest
from django.utils import timezone

from sensors import origin
from sensors.identity_models import TokenFamily

ACCOUNT_TRIES, ADDRESS_TRIES = 20, 100
KNOWN_FOR = timedelta(days=30)
LONGEST_NAME = 150


def address(request: HttpRequest) -> str | None:
    """For django-axes: what is counted as one address, which of IPv6 is a subscriber's network."""
    found = origin.network(request).partition("/")[0]
    return None if found == "unknown" else found


def username(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """For django-axes: the name that was tried, as long as one can be."""
    given = credentials.get("username") if credentials else request.POST.get("username")
    return str(given or "")[:LONGEST_NAME].replace("\0", "")


class Handler(AxesDatabaseHandler):  # type: ignore[misc]  # the library has no types
    def get_failures(self, request: Any, credentials: dict[str, Any] | None = None) -> int:
        """How many tries count, against the limit of one account from one address."""
        name, where = get_client_username(request, credentials), request.axes_ip_address
        recent = AccessAttempt.objects.filter(attempt_time__gte=get_cool_off_threshold(request))
        own = _tries(recent.filter(username=name, ip_address=where))
        if own >= settings.AXES_FAILURE_LIMIT or _has_been(name, where):
            return own
        by_account, by_address = _tries(recent.filter(username=name)), _tries(recent.filter(ip_address=where))
        shut = by_account >= ACCOUNT_TRIES or by_address >= ADDRESS_TRIES
        return int(settings.AXES_FAILURE_LIMIT) if shut else own


def _tries(attempts: QuerySet[Any]) -> int:
    return int(attempts.aggregate(tries=Sum("failures_since_start"))["tries"] or 0)


def _has_been(name: str, where: str | None) -> bool:
    """Whether an account has logged in from an address lately."""
    since = timezone.now() - KNOWN_FOR
    browsers = AccessLog.objects.filter(username=name, ip_address=where, attempt_time__gte=since)
    programs = TokenFamily.objects.filter(user__username=name, address=where, used_at__gte=since)
    return bool(browsers.exists() or programs.exists())


def forget() -> None:
    """Delete what is too old to count."""
    AccessLog.objects.filter(attempt_time__lt=timezone.now() - KNOWN_FOR).delete()
    AccessAttempt.objects.filter(attempt_time__lt=timezone.now() - settings.AXES_COOLOFF_TIME).delete()
