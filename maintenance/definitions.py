"""What people have laid down about alarms, and which of it holds for a condition. Pure.

A definition is for a place (one machine, a class of equipment, or all of a site), for a kind of sensor or all, and for
a failure mode, a kind of anomaly, both or neither. The most specific one that fits holds, and it holds as a whole:
nothing of the others is mixed in. A place outranks a kind of sensor, that a kind of anomaly, that a failure mode.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ANOMALY_KINDS = (
    "LIMIT_LOW_LOW", "LIMIT_LOW", "LIMIT_HIGH", "LIMIT_HIGH_HIGH", "RATE_LOW", "RATE_HIGH", "ZONE_C", "ZONE_D",
    "DEVIATION_LOW", "DEVIATION_HIGH", "NOVEL_LOW", "NOVEL_HIGH", "SHIFT_LOW", "SHIFT_HIGH", "ABSENCE",
    "SPREAD_LOW", "SPREAD_HIGH", "RELATION_LOW", "RELATION_HIGH",
)  # fmt: skip
"""What the detectors find, as they call it; a test holds the two equal."""

Scope = tuple[int, int | None, str, str, str, str]
"""Site, machine or None, class of equipment, kind of sensor, kind of anomaly, failure mode; empty: any."""


@dataclass(frozen=True, slots=True)
class Definition:
    """``priority``: empty where it follows from criticality and severity. ``re_alarm_seconds``: None = never."""

    id: int
    scope: Scope
    priority: str = ""
    latching: bool = False
    re_alarm_seconds: int | None = None
    re_alarm_count: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """A condition, as far as it matters for which definition holds."""

    site_id: int
    machine_id: int
    equipment_class: str
    sensor_kind: str
    anomaly_kind: str
    failure_mode: str


Book = Mapping[Scope, Definition]


def book(definitions: Iterable[Definition]) -> Book:
    return {definition.scope: definition for definition in definitions}


def resolve(known: Book, subject: Subject) -> Definition | None:
    """The most specific definition that fits, None where none does: at most 24 look-ups, however many there are."""
    if not known:
        return None
    return next((known[scope] for scope in scopes(subject) if scope in known), None)


def scopes(subject: Subject) -> Iterable[Scope]:
    """Every scope that a condition is in, the most specific first."""
    own = subject.equipment_class.strip().upper()
    places = [(subject.machine_id, ""), *([(None, own)] if own else []), (None, "")]
    return (
        (subject.site_id, machine_id, equipment_class, sensor_kind, anomaly_kind, failure_mode)
        for machine_id, equipment_class in places
        for sensor_kind in (subject.sensor_kind, "")
        for anomaly_kind in (subject.anomaly_kind, "")
        for failure_mode in (subject.failure_mode, "")
    )
