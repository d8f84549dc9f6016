"""Which events a webhook wants: by type, by priority, and by where in the plant they happened."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, Q

from maintenance import audience
from maintenance.models import Alarm, Anomaly
from maintenance.order_models import Priority, WorkOrder
from maintenance.webhook_models import Webhook
from sensors import journal
from sensors.models import Event

FAMILIES = (
    "alarm", "anomaly", "case", "downtime", "escalation", "instrument", "machine", "maintenance_window", "meter",
    "model", "part", "permit", "plan", "schedule", "sensor", "stock", "suppression", "tool", "work_order",
)  # fmt: skip
"""What may be sent out: what happens to a plant and to the work on it, and no settings."""
TYPES = tuple(sorted(name for name in journal.TYPES if name.partition(".")[0] in FAMILIES))
CHOICES = (*(f"{family}.*" for family in FAMILIES), *TYPES)
RANKS = {name: rank for rank, name in enumerate(("ADVISORY", *reversed(Priority.values)))}

SUBJECTS: Mapping[str, type[Model]] = {"alarm": Alarm, "anomaly": Anomaly, "work_order": WorkOrder}
"""Kinds of subjects that have a machine, and mostly a priority."""


@dataclass(frozen=True, slots=True)
class About:
    """The machine an event is about, and its priority; None and empty where it has none."""

    machine: int | None = None
    priority: str = ""


def by_type(types: Iterable[str]) -> Q:
    """The events of some types; ``alarm.*`` stands for every type of alarm."""
    chosen = Q(pk__in=[])
    for name in types:
        family, dot, rest = name.rpartition("*")
        chosen |= Q(type__startswith=family) if dot and not rest else Q(type=name)
    return chosen


def is_of(types: Collection[str], kind: str) -> bool:
    return kind in types or f"{kind.partition('.')[0]}.*" in types


def wanted(row: Webhook, events: Sequence[Event]) -> list[Event]:
    """Of the events of its site those that a webhook wants, in their order."""
    of_type = [event for event in events if is_of(row.types, event.type) and is_of(CHOICES, event.type)]
    if row.equipment_id is None and row.lowest_priority == Priority.LOW:
        return of_type
    known = about(of_type)
    around = audience.places({one.machine for one in known.values() if one.machine is not None})
    return [event for event in of_type if _fits(row, known[event.pk], around)]


def _fits(row: Webhook, event: About, around: Mapping[int, Collection[int]]) -> bool:
    if event.priority in RANKS and RANKS[event.priority] < RANKS[row.lowest_priority]:
        return False
    return row.equipment_id is None or row.equipment_id in around.get(event.machine or 0, ())


def about(events: Sequence[Event]) -> dict[int, About]:
    """What each event is about: as it says itself, else as its subject is by now. A query for each kind of subject."""
    found = {event.pk: _said(event) for event in events}
    keys = defaultdict[str, set[int]](set)
    for event in events:
        kind, _, key = event.subject.partition("/")
        if kind in SUBJECTS and key.isdigit() and (found[event.pk].machine is None or not found[event.pk].priority):
            keys[kind].add(int(key))
    rows = {kind: _rows(SUBJECTS[kind], wanted) for kind, wanted in keys.items()}
    for event in events:
        kind, _, key = event.subject.partition("/")
        known = rows.get(kind, {}).get(int(key)) if key.isdigit() else None
        if known is not None:
            said = found[event.pk]
            found[event.pk] = About(said.machine or known.machine, said.priority or known.priority)
    return found


def _said(event: Event) -> About:
    machine, priority = event.data.get("machine"), event.data.get("priority")
    return About(machine if isinstance(machine, int) else None, priority if isinstance(priority, str) else "")


def _rows(model: type[Model], keys: Collection[int]) -> dict[int, About]:
    columns = ["machine_id", *(["priority"] if model is not Anomaly else [])]
    rows: Any = model._default_manager.filter(pk__in=keys).values_list("pk", *columns)
    return {pk: About(*rest) for pk, *rest in rows}
