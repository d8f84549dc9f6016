"""What does not go at once: held for quiet hours, for a digest, over a person's limit, or while alarms come in a flood,
and told later in one message.

Nothing is dropped but what is no longer called for (``maintenance.superseded``): a held message goes by itself where it
stayed alone, else it points to the digest that told it. Whoever decides locks the person first, or the channel where it
is shared, so that a limit holds however many workers deliver.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog
from django.db import transaction
from django.db.models import Max, Min, OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Now
from django.urls import reverse

from maintenance import courtesy, gathered, messages, superseded
from maintenance.courtesy import Hold
from maintenance.flood_models import Flood
from maintenance.models import Channel, Notification, Reader
from sensors.models import Site

log = structlog.get_logger(__name__)

DIGEST, OF_A_FLOOD = "digest", "digest.flood"
SUBJECT_LIMIT = 300
FLOOD = "alarm flood"
"""Why a message is held while its site is in flood."""
SOON, AGAIN = timedelta(seconds=30), timedelta(minutes=10)
"""How long messages of a flood are gathered before the first digest, and between one and the next while it lasts."""
IN_A_FLOOD = ("alarm", "work-order")
"""What a flood holds: what tells of these, by the part of the kind of event before the dot."""


def waiting(rows: QuerySet[Notification]) -> QuerySet[Any]:
    """The messages with what has to be known before they go: ``flood_since`` (by the clock; None: their site is in no
    flood) and ``hidden_by``, see ``superseded``. No query of its own."""
    flood = Flood.objects.filter(site=OuterRef("site_id"), ended_at=None)
    known: QuerySet[Any] = superseded.with_hiding(rows).annotate(flood_since=Subquery(flood.values("found_at")[:1]))
    return known


def concerns(row: Any) -> bool:
    """Whether the message may have to wait: it goes to a person or by digest, or its site is in flood, and it has not
    been let through before. ``row``: one of ``waiting``."""
    channel = row.channel
    may_wait = channel.reader_id is not None or channel.digest_minutes > 0 or _is_in_flood(row)
    return row.admitted_at is None and may_wait


def _is_in_flood(row: Any) -> bool:
    return row.flood_since is not None and row.event_type.partition(".")[0] in IN_A_FLOOD


def admit(row: Any, *, now: datetime) -> Hold | None:
    """Let a message (one of ``waiting``) through, and count it, or say until when it waits and why. In the caller's
    transaction."""
    _lock(row.channel)
    held = _hold(row, now)
    if held is None:
        Notification.objects.filter(pk=row.pk).update(admitted_at=now)
    return held


def hold_together(ids: Sequence[int]) -> list[int]:
    """Hold new messages of sites that are in flood, all of a channel at once: for all of them ``admit`` would say the
    same. The ids of those that are not held. In the caller's transaction."""
    new = Notification.objects.filter(pk__in=ids).select_related("channel__reader__user", "channel__site")
    held = dict[int, list[Any]]()
    for row in waiting(new).annotate(now=Now()).order_by("id"):
        if concerns(row) and _is_in_flood(row) and not _is_urgent(row):
            held.setdefault(row.channel_id, []).append(row)
    for rows in sorted(held.values(), key=lambda rows: _in_order(rows[0].channel)):
        _lock(rows[0].channel)
        if (hold := _hold(rows[0], rows[0].now)) is not None:
            mine = Notification.objects.filter(pk__in=[row.pk for row in rows])
            mine.update(status=Notification.Status.HELD, due_at=hold.until, held_for=hold.reason)
    return list(new.filter(status=Notification.Status.PENDING).order_by("id").values_list("id", flat=True))


def _in_order(channel: Channel) -> tuple[int, int]:
    """Who locks several keeps to this order."""
    return channel.reader_id or 0, channel.pk


def _lock(channel: Channel) -> None:
    if channel.reader_id is not None:
        Reader.objects.select_for_update(no_key=True).get(pk=channel.reader_id)
    else:
        Channel.objects.select_for_update(no_key=True).get(pk=channel.pk)


def _is_urgent(row: Any) -> bool:
    reader = row.channel.reader
    return bool(reader is not None and reader.critical_at_once and row.payload.get("priority") == "CRITICAL")


def _hold(row: Any, now: datetime) -> Hold | None:
    channel, reader = row.channel, row.channel.reader
    if not _is_urgent(row):
        if until := _quiet(channel, now):
            return Hold(until, f"quiet hours of {reader}")
        first = _held(channel).aggregate(first=Min("due_at"))["first"]
        if _is_in_flood(row):
            due = _next_of_flood(channel, now, since=row.flood_since)
            return Hold(due if first is None else min(first, due), FLOOD)
        if channel.digest_minutes:
            return Hold(first or now + timedelta(minutes=channel.digest_minutes), "collected for a digest")
        if first is not None:
            return Hold(first, "others wait before it")
    if until := _no_room(channel, now, waiting=True):
        return Hold(until, f"over the limit of {reader}")
    return None


def _held(channel: Channel) -> QuerySet[Notification]:
    return Notification.objects.filter(channel=channel, status=Notification.Status.HELD)


def _next_of_flood(channel: Channel, now: datetime, *, since: datetime) -> datetime:
    """When the channel is told next of a flood that was found at ``since``."""
    told = Notification.objects.filter(channel=channel, admitted_at__gte=since)
    last = told.filter(Q(event_type=OF_A_FLOOD) | ~Q(held_for="")).aggregate(last=Max("admitted_at"))["last"]
    return now + SOON if last is None else max(now, last + AGAIN)


def let_go(site_id: int, *, now: datetime) -> None:
    """The site's flood is over: what was held for it is due. In the caller's transaction."""
    for channel in sorted(Channel.objects.filter(site=site_id), key=_in_order):
        _lock(channel)
        _held(channel).filter(held_for=FLOOD, due_at__gt=now).update(due_at=now)


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
    _supersede(held)
    if channel.is_enabled and (later := _quiet(channel, now) or _no_room(channel, now)):
        held.update(due_at=later)
        return None
    ids = list(held.order_by("id").values_list("id", flat=True)[:2])
    if len(ids) == 1:
        held.update(status=Notification.Status.PENDING, due_at=Now(), admitted_at=now)
        return ids[0]
    return _digest(channel, held, now) if ids else None


def _supersede(held: QuerySet[Notification]) -> None:
    """Leave out what asks for a response to an alarm that was hidden since."""
    found: dict[str, list[int]] = defaultdict(list)
    for row_id, hidden_by in superseded.with_hiding(held).exclude(hidden_by="").values_list("id", "hidden_by"):
        found[hidden_by].append(row_id)
    for hidden_by, ids in found.items():
        why = superseded.reason(hidden_by)
        Notification.objects.filter(pk__in=ids).update(status=Notification.Status.SUPERSEDED, error=why)


def _digest(channel: Channel, held: QuerySet[Notification], now: datetime) -> int:
    """One message that tells what is held. Its key is made of the newest of them."""
    span = held.aggregate(newest=Max("id"), oldest=Min("created_at"))
    flood = _flood_meanwhile(channel, since=span["oldest"])
    content = gathered.content(channel, held, now)
    of_flood = gathered.of_flood(held, flood) if flood is not None else {}
    content |= of_flood
    made = Notification.objects.create(
        site_id=channel.site_id,
        channel=channel,
        event_type=OF_A_FLOOD if of_flood else DIGEST,
        subject_line=_subject_line(content),
        payload=content,
        key=f"{DIGEST}/channel/{channel.pk}/to/{span['newest']}",
        admitted_at=now,
    )
    path = f"{reverse('admin:maintenance_notification_changelist')}?digest__id__exact={made.pk}"
    Notification.objects.filter(pk=made.pk).update(payload=content | {"path": path})
    held.filter(pk__lte=span["newest"]).update(status=Notification.Status.DIGESTED, digest=made)
    return made.pk


def _flood_meanwhile(channel: Channel, *, since: datetime) -> Flood | None:
    """The first flood of the channel's site that lasted after that instant."""
    lasted = Q(ended_at=None) | Q(ended_at__gte=since)
    return Flood.objects.filter(lasted, site=channel.site_id).order_by("id").first()


def _subject_line(content: dict[str, Any]) -> str:
    flood = content.get("flood")
    what = f"{content['total']} messages"
    if flood is not None:
        alarms, machines = messages.counted(flood["alarms"], "alarm"), messages.counted(flood["machines"], "machine")
        what = f"Alarm flood, {alarms} of {machines}"
    return messages.one_line(f"[{content['priority']}] {what}: {content['site']['name']}", limit=SUBJECT_LIMIT)
