"""What the stages need to know of sensors, remembered by the process until something of the fleet changes.

The number of the fleet (``sensors.directory``) is asked for each time; what was read under another one is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors import directory, labels, operating, regimes, zones
from sensors.columns import SECOND_US, Int64, SensorTable, from_instant
from sensors.models import Sensor

LIMITS = (
    "physical_low", "physical_high", "low_low", "low", "high", "high_high", "deadband", "resolution", "max_rate",
)  # fmt: skip
SPANS = ("period_seconds", "lateness_seconds")
SAID = ("calibration_due_on", "regime", "fault_until", "operating")
KINSHIP = ("kind", "unit", "measuring_point")
SUPPORT = tuple(f"{whose}__{what}" for what in ("machine_group", "support_class") for whose in ("equipment", "machine"))
"""Of its own equipment, else of the machine."""


def table(sensor_ids: Int64) -> SensorTable:
    """All sensors of the machines that the given sensors (ascending) belong to.

    Ids that are no sensor (any more) are left out. One query where all are remembered, else two.
    """
    global _number, _known
    number = directory.numbers().fleet
    known = _known if number == _number else NOBODY
    there = np.isin(sensor_ids, known.sensor, assume_unique=True)
    if not there.all():
        known = _with(known, _read(sensor_ids[~there].tolist()))
        if number != directory.OWN:  # what this transaction has changed is seen by nobody else yet
            _number, _known = number, known
    return known.take(np.flatnonzero(np.isin(known.machine, known.machine[np.isin(known.sensor, sensor_ids)])))


def _with(known: SensorTable, more: SensorTable) -> SensorTable:
    """Both, in the order of ids; of a sensor that is in both what was read last."""
    kept = known.take(np.flatnonzero(~np.isin(known.sensor, more.sensor)))
    joined = SensorTable(
        *(np.concatenate([getattr(kept, name), getattr(more, name)]) for name in SensorTable.__slots__)
    )
    return joined.take(np.argsort(joined.sensor, kind="stable"))


def _read(sensor_ids: Iterable[int]) -> SensorTable:
    machines = Sensor.objects.filter(id__in=list(sensor_ids)).values("machine_id")
    return _of(
        list(
            Sensor.objects.filter(machine_id__in=machines)
            .order_by("id")
            .annotate(regime=regimes.newest(), fault_until=labels.fault_until(), operating=operating.rule_of())
            .values_list("id", "machine_id", *LIMITS, *SPANS, *SAID, *KINSHIP, *SUPPORT)
        )
    )


def _of(rows: list[tuple[Any, ...]]) -> SensorTable:
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) if rows else [()] * (len(LIMITS) + 15)
    support = columns[-len(SUPPORT) :]
    *rest, rules, kinds, units, points = columns[: -len(SUPPORT)]
    ids, machine_ids, *limits, periods, lateness, due, since, until = rest
    zone_c, zone_d = _zones(kinds, units, *support)
    off_below, running_above = operating.bounds(ids, machine_ids, kinds, rules)
    return SensorTable(
        sensor=np.array(ids, np.int64),
        machine=np.array(machine_ids, np.int64),
        **{name: _numbers(values) for name, values in zip(LIMITS, limits, strict=True)},
        period=np.array([(seconds or 0) * SECOND_US for seconds in periods], np.int64),
        lateness=np.array([seconds * SECOND_US for seconds in lateness], np.int64),
        calibration_due=np.array([_end_of(day) for day in due], np.int64),
        regime=_instants(since),
        fault_until=_instants(until),
        group=_groups(ids, tuple(zip(machine_ids, kinds, units, points, strict=True))),
        declared=np.array([bool(point) for point in points], np.bool_),
        zone_c=zone_c,
        zone_d=zone_d,
        off_below=off_below,
        running_above=running_above,
    )


def _zones(*rows: tuple[Any, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the zones C and D begin for each sensor, NaN where it is not graded."""
    found = [
        zones.of(kind=kind, unit=unit, group=own if own is not None else group, support=stands or support)
        for kind, unit, own, group, stands, support in zip(*rows, strict=True)
    ]
    graded = [(one.b_c, one.c_d) if isinstance(one, zones.Zones) else (np.nan, np.nan) for one in found]
    both = np.array(graded, np.float64).reshape(-1, 2)
    return both[:, 0].copy(), both[:, 1].copy()


def _groups(ids: tuple[int, ...], kin: tuple[tuple[int, str, str, str], ...]) -> Int64:
    """The smallest id of each one's group: all sensors of a machine are read together. Without a kind or a unit
    nothing says that two measure the same quantity, but for a measuring point that they have in common."""
    first: dict[tuple[int, str, str, str], int] = {}
    for sensor, key in zip(ids, kin, strict=True):
        first.setdefault(key, sensor)
    telling = [point != "" or (kind != Sensor.Kind.OTHER and unit != "") for _, kind, unit, point in kin]
    return np.array([first[key] if tells else 0 for key, tells in zip(kin, telling, strict=True)], np.int64)


def _numbers(values: tuple[Any, ...]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _instants(values: tuple[Any, ...]) -> Int64:
    return np.array([0 if value is None else from_instant(value) for value in values], np.int64)


def _end_of(day: date | None) -> int:
    """The instant at which a day is over, in microseconds; 0 where there is no day."""
    return 0 if day is None else from_instant(datetime.combine(day, time.max, tzinfo=UTC)) + 1


NOBODY = _of([])
_number, _known = 0, NOBODY
"""The fleet's number as of which the sensors were read, none yet, and those that were asked for."""
