"""How a channel's target does: it rests after it failed again and again, and is given up with a word to who looks
after it. The only writer of a channel's health, and of the messages that are about channels themselves."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Case, DateTimeField, ExpressionWrapper, F, QuerySet, Value, When
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from maintenance import messages
from maintenance.models import Channel, Notification
from maintenance.refusals import Refused

log = structlog.get_logger(__name__)

FAILURES = 5
REST_SECONDS = (5, 10, 20, 40, 60)
"""How long a target rests after so many failures in a row, and after each one more."""
TRY_SECONDS = 30
"""While one message finds out whether it is well again, the others wait so long at most."""
REASON_LIMIT = 300
DISABLED = "channel.disabled"
TEST = "test"


class IsOff(Refused):
    """The channel is disabled: enable it first."""


class TestWaits(Refused):
    """A test of this channel is on its way already."""


def rest(channel: Channel, *, now: datetime) -> datetime | None:
    """Until when nothing is sent there; None: send. Of many messages after a rest one is told to, as a try."""
    until = channel.silent_until
    if until is None:
        return None
    if until > now:
        return until
    after = now + timedelta(seconds=TRY_SECONDS)
    mine = Channel.objects.filter(pk=channel.pk, silent_until=until).update(silent_until=after)
    return None if mine else after


def struggled(channel_id: int) -> None:
    """A message did not arrive and may later. From some failures in a row on the target rests, ever longer."""
    count = F("failures") + 1
    steps = [When(failures=FAILURES - 1 + n, then=_after(seconds)) for n, seconds in enumerate(REST_SECONDS[:-1])]
    last = When(failures__gte=FAILURES - 2 + len(REST_SECONDS), then=_after(REST_SECONDS[-1]))
    Channel.objects.filter(pk=channel_id).update(
        failures=count, silent_until=Case(*steps, last, default=None, output_field=DateTimeField())
    )


def _after(seconds: int) -> ExpressionWrapper[Any]:
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())


def answered(channel: Channel) -> None:
    """It took a message, or refused one: it is there."""
    if channel.failures or channel.silent_until is not None:
        Channel.objects.filter(pk=channel.pk).update(failures=0, silent_until=None)


def disable(notification_id: int, *, reason: str) -> list[int]:
    """Send nothing more on the channel of a message, and tell who looks after it; ids of the messages that do."""
    channel = Channel.objects.select_related("site", "owner").filter(notifications=notification_id).get()
    why = messages.one_line(reason, limit=REASON_LIMIT)
    if not Channel.objects.filter(pk=channel.pk, is_enabled=True).update(is_enabled=False, disabled_reason=why):
        return []  # another message found out before
    told = [
        _message(
            to,
            DISABLED,
            channel=channel,
            key=f"{DISABLED}/{channel.pk}/by/{notification_id}/to/{to.pk}",
            words="Messages stopped",
            priority="HIGH",
            extra={"reason": why},
        )
        for to in _who_cares(channel)
    ]
    if not told:
        log.error("maintenance.targets.nobody-to-tell", channel_id=channel.pk, reason=why)
    return [row.pk for row in told]


def _who_cares(channel: Channel) -> QuerySet[Channel]:
    """The owner's own channels in the site; where there are none, the shared ones."""
    others = Channel.objects.filter(site=channel.site_id, is_enabled=True).exclude(pk=channel.pk).order_by("id")
    owners = others.filter(reader__user=channel.owner_id) if channel.owner_id is not None else others.none()
    return owners if owners.exists() else others.filter(reader=None)


def test(channel: Channel, *, actor: User) -> Notification:
    """Send a message that says it is a test, at any hour. Raises ``IsOff`` and ``TestWaits``."""
    with transaction.atomic():
        locked = Channel.objects.select_for_update(no_key=True, of=("self",)).select_related("site").get(pk=channel.pk)
        if not locked.is_enabled:
            raise IsOff
        earlier = Notification.objects.filter(channel=locked, event_type=TEST)
        if earlier.filter(status=Notification.Status.PENDING).exists():
            raise TestWaits
        last = earlier.order_by("-id").values_list("id", flat=True).first() or 0
        return _message(
            locked,
            TEST,
            channel=locked,
            key=f"{TEST}/channel/{locked.pk}/after/{last}",
            words="Test",
            priority="LOW",
            extra={"asked_by": messages.one_line(actor.get_username(), limit=150)},
            admitted_at=timezone.now(),
        )


def _message(
    to: Channel, kind: str, *, channel: Channel, key: str, words: str, priority: str, extra: dict[str, str],
    admitted_at: datetime | None = None,
) -> Notification:  # fmt: skip
    name = messages.one_line(channel.name, limit=100)
    payload = {
        "what": words,
        "action": kind.rpartition(".")[2].upper(),
        "subject": f"channel/{channel.pk}",
        "title": name,
        "site": {"id": channel.site_id, "name": messages.one_line(channel.site.name, limit=200)},
        "machine": None,
        "priority": priority,
        "at": timezone.now().isoformat().replace("+00:00", "Z"),
        "path": reverse("admin:maintenance_channel_change", args=[channel.pk]),
    }
    return Notification.objects.create(
        site_id=to.site_id, channel=to, event_type=kind, subject_line=f"[{priority}] {words}: {name}",
        payload=payload | extra, key=key, admitted_at=admitted_at,
    )  # fmt: skip
