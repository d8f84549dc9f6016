"""Which definition holds for what, as pages and REST show it: reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from maintenance import definition_book, definitions
from maintenance.definition_models import AlarmDefinition
from maintenance.definitions import ANOMALY_KINDS, Book, Subject
from maintenance.failure_modes import CATALOGUE
from sensors.models import Equipment, Sensor

MOST_SENSORS = 50
"""Sensors of a definition that are shown."""
LIMITS = ("low_low", "low", "high", "high_high")


@dataclass(frozen=True, slots=True)
class Part:
    """What a sensor's anomalies of some kinds lead to. ``definition``: None where nothing is laid down for them."""

    definition: AlarmDefinition | None
    failure_mode: str
    anomaly_kinds: tuple[str, ...]

    @property
    def kinds(self) -> str:
        every = len(self.anomaly_kinds) == len(ANOMALY_KINDS)
        return "every kind" if every else ", ".join(kind.replace("_", " ").lower() for kind in self.anomaly_kinds)


@dataclass(frozen=True, slots=True)
class Line:
    """A sensor, whose own limits, deadband, N of M and delays are in force, and what holds for its anomalies."""

    sensor: Sensor
    parts: tuple[Part, ...]

    @property
    def limits(self) -> list[tuple[str, float, str]]:
        """The alarm limits that are set: name, value, and what it has beside the sensor's unit."""
        per = f"/min over {self.sensor.rate_span_seconds} s"
        named = {name: (getattr(self.sensor, name), "") for name in LIMITS}
        named |= {"rise": (self.sensor.rise_per_minute, per), "fall": (self.sensor.fall_per_minute, per)}
        return [(name.replace("_", " "), value, of) for name, (value, of) in named.items() if value is not None]


def of_machine(machine: Equipment) -> list[Line]:
    """What holds for each sensor of a machine. Two queries."""
    rows = {row.pk: row for row in definition_book.rows_of([machine])}
    book = definitions.book(map(definition_book.value_of, rows.values()))
    sensors = Sensor.objects.filter(machine=machine).select_related("equipment", "machine").order_by("external_id")
    return [Line(sensor, _parts(sensor, book, rows)) for sensor in sensors]


def of_definition(definition: AlarmDefinition) -> tuple[list[Line], int]:
    """The first sensors that a definition holds for, with that for which it does; and how many there are."""
    sensors = definition_book.sensors_of(definition)
    rows = {row.pk: row for row in definition_book.rows_of({sensor.machine for sensor in sensors})}
    book = definitions.book(map(definition_book.value_of, rows.values()))
    lines = [Line(sensor, _parts(sensor, book, rows, only=definition.pk)) for sensor in sensors]
    held = [line for line in lines if line.parts]
    return held[:MOST_SENSORS], len(held)


def _parts(
    sensor: Sensor, book: Book, rows: Mapping[int, AlarmDefinition], *, only: int | None = None
) -> tuple[Part, ...]:
    """By definition and failure mode, in the order of the kinds of anomaly; ``only``: those of one definition."""
    found: dict[tuple[int | None, str], list[str]] = {}
    for kind, subject in _subjects(sensor):
        holds = definitions.resolve(book, subject)
        if only is None or (holds is not None and holds.id == only):
            found.setdefault((None if holds is None else holds.id, subject.failure_mode), []).append(kind)
    return tuple(Part(rows.get(pk or 0), mode, tuple(kinds)) for (pk, mode), kinds in found.items())


def _subjects(sensor: Sensor) -> Iterable[tuple[str, Subject]]:
    own = sensor.equipment.equipment_class or sensor.machine.equipment_class
    for kind in ANOMALY_KINDS:
        mode = CATALOGUE.mode_of(sensor_kind=sensor.kind, anomaly_kind=kind, equipment_class=own)
        yield kind, Subject(sensor.site_id, sensor.machine_id, own, sensor.kind, kind, mode)
