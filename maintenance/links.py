"""Links in messages with which their reader acts without logging in: signed, expiring, of one purpose, used once.

A link is a token in an address: which message it stood in, who may use it, on which alarm. The purpose is the salt of
the signature, so that a token for one is nothing for another. What the person may do is looked up when it is used. All
that is wrong with a link is told in the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils import timezone

from maintenance import alarms, digests, hidden, suppressions
from maintenance.models import Alarm, AlarmTransition, LinkUse, Notification
from sensors import access

ACKNOWLEDGE, SHELVE = "acknowledge", "shelve"
PURPOSES = (ACKNOWLEDGE, SHELVE)
OFFERED: Mapping[str, tuple[str, ...]] = {
    AlarmTransition.Action.RETURNED: (ACKNOWLEDGE,),
    AlarmTransition.Action.UNSHELVES_SOON: (),
}
"""By what a message tells of, where not each purpose makes sense: what is about to be shown again would have to be
acknowledged anew a moment later."""
FROM_A_MESSAGE = "from a message"
ALARM = "alarm/"
COMMENT_LIMIT = 500


class Unusable(Exception):
    """The link was never ours, is too old, was used, or its reader may not do this (any more)."""


@dataclass(frozen=True, slots=True)
class Permit:
    """What a link that holds allows, why the alarm is hidden if it is; the language and time zone of its message."""

    key: str
    user: User
    alarm: Alarm
    hidden: str
    notification_id: int
    language: str
    zone: ZoneInfo
    until: datetime | None = None
    """Of a link that shelved: the end."""


def of_message(row: Notification) -> Mapping[str, Mapping[str, str]]:
    """The addresses by which a person acts on each alarm that a message tells of, by what it is about and by purpose;
    none in a message to nobody in person. Of the row its channel and the channel's reader must be loaded."""
    reader = row.channel.reader
    if reader is None:
        return {}
    told = (row.payload, *row.payload.get("items", ()))
    return {
        item["subject"]: {
            purpose: _address(purpose, row.pk, reader.user_id, int(item["subject"].removeprefix(ALARM)))
            for purpose in OFFERED.get(item["action"], PURPOSES)
        }
        for item in told
        if item["subject"].startswith(ALARM)
    }


def _address(purpose: str, notification_id: int, user_id: int, alarm_id: int) -> str:
    token = signing.dumps([notification_id, user_id, alarm_id], salt=_salt(purpose))
    return settings.PUBLIC_URL + reverse("act", args=[purpose, token])


def _salt(purpose: str) -> str:
    return f"bellwether.links.{purpose}"


def check(token: str, *, purpose: str) -> Permit:
    """What the link allows now; nothing is changed. Raises ``Unusable``."""
    notification_id, user_id, alarm_id = _read(token, purpose)
    alarms_there = hidden.with_state(Alarm.objects.select_related("machine", "site"))
    alarm: Any = alarms_there.filter(pk=alarm_id).first()
    row = Notification.objects.select_related("channel__reader__user").filter(pk=notification_id).first()
    reader = row.channel.reader if row is not None else None
    if row is None or alarm is None or reader is None or reader.user_id != user_id:
        raise Unusable
    if not access.may(reader.user, alarm.site_id, to="alarms.act"):
        raise Unusable
    key = f"{purpose}/notification/{notification_id}/alarm/{alarm_id}"
    if LinkUse.objects.filter(key=key).exists():
        raise Unusable
    zone = digests.zone_of(reader, alarm.site)
    return Permit(key, reader.user, alarm, alarm.suppression, notification_id, row.channel.language, zone)


def reader(token: str, *, purpose: str) -> int:
    """Id of whom the link was sent to. Raises ``Unusable`` where it was never ours, or is too old."""
    _, user_id, _ = _read(token, purpose)
    return user_id


def _read(token: str, purpose: str) -> tuple[int, int, int]:
    if purpose not in PURPOSES:
        raise Unusable
    try:
        said = signing.loads(token, salt=_salt(purpose), max_age=settings.NOTICE_LINK_HOURS * 3_600)
    except signing.BadSignature as error:  # too old is one of them
        raise Unusable from error
    notification_id, user_id, alarm_id = said
    return notification_id, user_id, alarm_id


def use(token: str, *, purpose: str, comment: str = "", hours: int = 0, address: str | None = None) -> Permit:
    """Do what the link is for, in the person's name. Of two at once one does it. ``hours``: to shelve the alarm for.

    Raises ``Unusable``, and ``Refused`` where the alarm or policy does not allow it; then the link stays as it was.
    """
    permit = check(token, purpose=purpose)
    try:
        with transaction.atomic():
            LinkUse.objects.create(
                key=permit.key, purpose=purpose, user=permit.user, alarm=permit.alarm,
                notification_id=permit.notification_id, address=address,
            )  # fmt: skip
            return _do(permit, purpose, comment=comment.strip()[:COMMENT_LIMIT], hours=hours)
    except IntegrityError as error:
        raise Unusable from error


def _do(permit: Permit, purpose: str, *, comment: str, hours: int) -> Permit:
    by = f"(by the link in message {permit.notification_id})"
    if purpose == ACKNOWLEDGE:
        alarms.acknowledge(permit.alarm.pk, actor=permit.user, comment=f"{comment} {by}".strip())
        return permit
    if not permit.alarm.is_open:
        raise alarms.NotOpen
    now = timezone.now()
    shelf = suppressions.shelve(
        permit.alarm.pk, actor=permit.user, reason=f"{comment or FROM_A_MESSAGE} {by}", now=now,
        until=now + timedelta(hours=hours),
    )  # fmt: skip
    return replace(permit, until=shelf.until)
