"""What does not go at once: held for quiet hours, for a digest or over a person's limit, and told later in one message.

Nothing is dropped: a held message goes by itself where it stayed alone, else it points to the digest that told it.
Whoever decides locks the person first, or the channel where it is shared, so that a limit holds however many workers
deliver.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from django.db import transaction
from django.db.models import Case, Count, Max, Min, QuerySet, Value, When
from django.db.models.functions import Now
from django.urls import reverse

from maintenance import courtesy, messages
from maintenance.courtesy import Hold
from maintenance.models import Channel, Notification, Reader
from sensors.models import Site

log = structlog.get_logger(__name__)

DIGEST = "digest"
ITEMS = 50
MACHINES = 20
SUBJECT_LIMIT = 300
URGENCY = Case(*[When(payload__priority=name, then=Value(n)) for n, name in enumerate(messages.PRIORITIES)], default=9)


def concerns(row: Notification) -> bool:
    """Whether the message may have to wait: it goes to a person or by digest, and has not been let through before."""
    return row.admitted_at is None and (row.channel.reader_id is not None or row.channel.digest_minutes > 0)


def admit(row: Notification, *, now: datetime) -> Hold | None:
    """Let a message through, and count it, or say until when it waits and why. In the caller's transaction."""
    _lock(row.channel)
    held = _hold(row, now)
    if held is None:
        Notification.objects.filter(pk=row.pk).update(admitted_at=now)
    return held


def _lock(channel: Channel) -> None:
    if channel.reader_id is not None:
        Reader.objects.select_for_update(no_key=True).get(pk=channel.reader_id)
    else:
        Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)


def _hold(row: Notification, now: datetime) -> Hold | None:
    channel, reader = row.channel, row.channel.reader
    urgent = reader is not None and reader.critical_at_once and row.payload.get("priority") == "CRITICAL"
    if not urgent:
        if until := _quiet(channel, now):
            return Hold(until, f"quiet hours of {reader}")
        first = _held(channel).aggregate(first=Min("due_at"))["first"]
        if channel.digest_minutes:
            return Hold(first or now + timedelta(minutes=channel.digest_minutes), "collected for a digest")
        if first is not None:
            return Hold(first, "others wait before it")
    if until := _no_room(channel, now, waiting=True):
        return Hold(until, f"over the limit of {reader}")
    return None


def _held(channel: Channel) -> QuerySet[Notification]:
    return Notification.objects.filter(channel=channel, status=Notification.Status.HELD)


def _quiet(channel: Channel, now: datetime) -> datetime | None:
    reader = channel.reader
    if reader is None:
        return None
    theirs = zone_of(reader, channel.site)
    return courtesy.quiet_end(now, zone=theirs, starts=reader.quiet_from, ends=reader.quiet_until)


def zone_of(reader: Reader | None, site: Site) -> ZoneInfo:
    """The person's time zone, else the site's."""
    return zone((reader.time_zone if reader is not None else "") or site.time_zone)


def zone(name: str) -> ZoneInfo:
    """The zone of that name, else UTC: a message is not held back because somebody mistyped it."""
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError) as error:
        log.warning("maintenance.digests.unknown-time-zone", name=name, error=str(error))
        return ZoneInfo("UTC")


def _no_room(channel: Channel, now: datetime, *, waiting: bool = False) -> datetime | None:
    """When the person may be told again, None for now. ``waiting``: a place is kept for each digest to come."""
    reader = channel.reader
    if reader is None or not reader.limit_messages:
        return None
    theirs = Notification.objects.filter(channel__reader=reader)
    since = now - timedelta(minutes=reader.limit_minutes)
    went = theirs.filter(admitted_at__gt=since).values_list("admitted_at", flat=True)
    admitted = [at for at in went if at is not None]
    if waiting:
        to_come = theirs.filter(status=Notification.Status.HELD).values("channel").distinct().count()
        admitted += [now] * to_come
    return courtesy.room_at(now, admitted=admitted, messages=reader.limit_messages, minutes=reader.limit_minutes)


def release(*, limit: int, now: datetime | None = None) -> list[int]:
    """Let go of what is held and due: of each channel one message. Ids of those that wait to be sent now.

    Copies of the sweep may do this at once: each looks again under the lock.
    """
    due = Notification.objects.filter(status=Notification.Status.HELD, due_at__lte=now or Now())
    channels = list(due.values_list("channel", flat=True).distinct()[:limit])
    return [made for channel_id in channels if (made := _release(channel_id, now)) is not None]


@transaction.atomic
def _release(channel_id: int, at: datetime | None) -> int | None:
    channel = Channel.objects.select_related("reader", "site").annotate(now=Now()).get(pk=channel_id)
    now: datetime = at or channel.now
    _lock(channel)
    held = _held(channel)
    first = held.aggregate(first=Min("due_at"))["first"]
    if first is None or first > now:
        return None  # another copy was here
    if channel.is_enabled and (later := _quiet(channel, now) or _no_room(channel, now)):
        held.update(due_at=later)
        return None
    ids = list(held.order_by("id").values_list("id", flat=True)[:2])
    if len(ids) == 1:
        held.update(status=Notification.Status.PENDING, due_at=now, admitted_at=now)
        return ids[0]
    return _digest(channel, held, now)


def _digest(channel: Channel, held: QuerySet[Notification], now: datetime) -> int:
    """One message that tells what is held. Its key is made of the newest of them."""
    newest = held.aggregate(newest=Max("id"))["newest"]
    content = _content(channel, held, now)
    made = Notification.objects.create(
        site_id=channel.site_id,
        channel=channel,
        event_type=DIGEST,
        subject_line=messages.one_line(
            f"[{content['priority']}] {content['total']} messages: {channel.site.name}", limit=SUBJECT_LIMIT
        ),
        payload=content,
        key=f"{DIGEST}/channel/{channel.pk}/to/{newest}",
        admitted_at=now,
        due_at=now,
    )
    path = f"{reverse('admin:maintenance_notification_changelist')}?digest__id__exact={made.pk}"
    Notification.objects.filter(pk=made.pk).update(payload=content | {"path": path})
    held.filter(pk__lte=newest).update(status=Notification.Status.DIGESTED, digest=made)
    return made.pk


def _content(channel: Channel, held: QuerySet[Notification], now: datetime) -> dict[str, Any]:
    """The most urgent of them each, and how many there are by priority and machine. Plain JSON."""
    rows = list(held.annotate(urgency=URGENCY).order_by("urgency", "id")[:ITEMS])
    by_priority = _counts(held, "payload__priority")
    return {
        "what": "Digest",
        "action": "DIGEST",
        "subject": f"channel/{channel.pk}",
        "title": "",
        "site": {"id": channel.site_id, "name": messages.one_line(channel.site.name, limit=200)},
        "machine": None,
        "priority": next((name for name in messages.PRIORITIES if name in dict(by_priority)), "LOW"),
        "at": now.isoformat().replace("+00:00", "Z"),
        "total": sum(count for _, count in by_priority),
        "by_priority": by_priority,
        "by_machine": _counts(held, "payload__machine__name")[:MACHINES],
        "items": [_item(row) for row in rows],
    }


def _counts(held: QuerySet[Notification], path: str) -> list[tuple[str, int]]:
    counted = held.values_list(path).annotate(count=Count("id")).order_by("-count", path)
    return [(str(name), count) for name, count in counted]


def _item(row: Notification) -> dict[str, Any]:
    left_out = {"evidence", "past", "site"}
    return {
        "notification": row.pk,
        "event_type": row.event_type,
        "subject_line": row.subject_line,
        **{name: value for name, value in row.payload.items() if name not in left_out},
    }
