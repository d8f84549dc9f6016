"""What a digest says of the messages it tells: plain JSON, made of their rows and of how their alarms stand now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.db.models import Case, Count, Max, QuerySet, Value, When

from maintenance import first_out, hidden, messages
from maintenance.flood_models import Flood
from maintenance.isa182 import TEN_MINUTES
from maintenance.models import Alarm, Channel, Notification

ITEMS = 50
MACHINES = 20
EACH = 5
"""Alarms of one machine that are named in a flood, in the order in which they came."""
URGENCY = Case(*[When(payload__priority=name, then=Value(n)) for n, name in enumerate(messages.PRIORITIES)], default=9)
ALARM = "alarm/"


def content(channel: Channel, held: QuerySet[Notification], now: datetime) -> dict[str, Any]:
    """The most urgent of them each, and how many there are by priority and machine."""
    rows = list(held.annotate(rank=URGENCY).order_by("rank", "id")[:ITEMS])
    by_priority = _counts(held, "payload__priority")
    states = _states(row.payload["subject"] for row in rows)
    return {
        "what": "Digest",
        "action": "DIGEST",
        "subject": f"channel/{channel.pk}",
        "title": "",
        "site": {"id": channel.site_id, "name": messages.one_line(channel.site.name, limit=200)},
        "machine": None,
        "priority": next((name for name in messages.PRIORITIES if name in dict(by_priority)), "LOW"),
        "at": _iso(now),
        "total": sum(count for _, count in by_priority),
        "by_priority": by_priority,
        "by_machine": _counts(held, "payload__machine__name")[:MACHINES],
        "items": [_item(row) | {"state": states.get(row.payload["subject"], "")} for row in rows],
    }


def of_flood(held: QuerySet[Notification], flood: Flood) -> dict[str, Any]:
    """What takes the place of the same in ``content`` in a flood: its alarms by machine, those that came first before
    the others, with how long after the very first each came. Empty where none of what is held tells of such an alarm.
    """
    newest = dict(held.order_by().values_list("payload__subject").annotate(newest=Max("id")))
    ids = [int(subject.removeprefix(ALARM)) for subject in newest if subject.startswith(ALARM)]
    since = flood.began_at - TEN_MINUTES
    alarms = list(first_out.within(Alarm.objects.filter(pk__in=ids), since=since, until=flood.ended_at))
    if not alarms:
        return {}
    named, by_machine = list[Any](), dict[int, int]()
    for alarm in alarms:
        by_machine[alarm.machine_id] = by_machine.get(alarm.machine_id, 0) + 1
        if by_machine[alarm.machine_id] <= EACH and len(named) < ITEMS:
            named.append(alarm)
    told = Notification.objects.in_bulk([newest[f"{ALARM}{alarm.pk}"] for alarm in named])
    return {
        "what": "Flood",
        "flood": {
            "began_at": _iso(flood.began_at),
            "first_at": _iso(alarms[0].first_at),
            "alarms": len(alarms),
            "machines": len(by_machine),
            "named": len(named),
        },
        "items": [
            _item(told[newest[f"{ALARM}{alarm.pk}"]])
            | {
                "state": alarm.state,
                "first_at": _iso(alarm.first_at),
                "after_seconds": round((alarm.first_at - alarms[0].first_at).total_seconds(), 3),
                "activations": alarm.activations,
                "of_machine": by_machine[alarm.machine_id],
            }
            for alarm in named
        ],
    }


def _states(subjects: Iterable[str]) -> Mapping[str, str]:
    """How the alarms among these stand, by its name in ISA-18.2."""
    ids = {int(subject.removeprefix(ALARM)) for subject in subjects if subject.startswith(ALARM)}
    known: QuerySet[Any] = hidden.with_state(Alarm.objects.filter(pk__in=ids))
    return {f"{ALARM}{pk}": state for pk, state in known.values_list("pk", "state")}


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


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
