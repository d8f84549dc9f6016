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
    "physical_low", "physical_high", "low_low", "low", "high", "high_high", "deadband", "rise_per_minute",
    "fall_per_minute", "resolution", "max_rate",
)  # fmt: skip
SUPPORT = tuple(f"{whose}__{what}" for what in ("machine_group", "support_class") for whose in ("equipment", "machine"))
"""Of its own equipment, else of the machine."""
READ = (
    "id", "machine_id", *LIMITS, "alarm_readings", "alarm_readings_of", "rate_span_seconds", "period_seconds",
    "lateness_seconds", "calibration_due_on", "regime", "fault_until", "operating", "kind", "unit", "measuring_point",
    *SUPPORT,
)  # fmt: skip


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
            .values_list(*READ)
        )
    )


def _of(rows: list[tuple[Any, ...]]) -> SensorTable:
    given: dict[str, tuple[Any, ...]] = dict(
        zip(READ, zip(*rows, strict=True) if rows else [()] * len(READ), strict=True)
    )
    ids, machines, kinds, units = (given[name] for name in ("id", "machine_id", "kind", "unit"))
    points = given["measuring_point"]
    zone_c, zone_d = _zones(kinds, units, *(given[name] for name in SUPPORT))
    off_below, running_above = operating.bounds(ids, machines, kinds, given["operating"])
    return SensorTable(
        sensor=np.array(ids, np.int64),
        machine=np.array(machines, np.int64),
        **{name: _numbers(given[name]) for name in LIMITS},
        alarm_readings=np.array(given["alarm_readings"], np.int64),
        alarm_readings_of=np.array(given["alarm_readings_of"], np.int64),
        rate_span=_spans(given["rate_span_seconds"]),
        period=_spans(given["period_seconds"]),
        lateness=_spans(given["lateness_seconds"]),
        calibration_due=np.array([_end_of(day) for day in given["calibration_due_on"]], np.int64),
        regime=_instants(given["regime"]),
        fault_until=_instants(given["fault_until"]),
        group=_groups(ids, tuple(zip(machines, kinds, units, points, strict=True))),
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


def _spans(seconds: tuple[int | None, ...]) -> Int64:
    return np.array([(one or 0) * SECOND_US for one in seconds], np.int64)


def _instants(values: tuple[Any, ...]) -> Int64:
    return np.array([0 if value is None else from_instant(value) for value in values], np.int64)


def _end_of(day: date | None) -> int:
    """The instant at which a day is over, in microseconds; 0 where there is no day."""
    return 0 if day is None else from_instant(datetime.combine(day, time.max, tzinfo=UTC)) + 1


NOBODY = _of([])
_number, _known = 0, NOBODY
"""The fleet's number as of which the sensors were read, none yet, and those that were asked for."""
