"""What a site consists of: the only place where equipment and sensors find their machine and their lane."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any

import numpy as np
from django.db import transaction
from numpy.typing import NDArray

from sensors.columns import SECOND_US, SensorTable, from_instant
from sensors.models import LANES, Equipment, Sensor


def place(equipment: Equipment) -> None:
    """Give equipment that is about to be saved its machine and, where it is a new machine, the next lane in turn."""
    if equipment.level == Equipment.Level.MACHINE:
        if equipment.lane is None:
            equipment.lane = Equipment.objects.filter(level=Equipment.Level.MACHINE).count() % LANES
        return
    equipment.lane = None
    parent = equipment.parent
    equipment.machine = parent.machine if equipment.level == Equipment.Level.COMPONENT and parent is not None else None


@transaction.atomic
def save_equipment(equipment: Equipment) -> Equipment:
    """Validate, place and save. Raises ``ValidationError``."""
    place(equipment)
    equipment.full_clean(exclude=["machine"])
    equipment.save()
    if equipment.level == Equipment.Level.MACHINE and equipment.machine_id is None:
        equipment.machine = equipment
        equipment.save(update_fields=["machine"])
    return equipment


def save_sensor(sensor: Sensor) -> Sensor:
    """Validate, attach to the machine of its equipment and save. Raises ``ValidationError``."""
    sensor.full_clean(exclude=["machine"])
    machine = sensor.equipment.machine
    if machine is None:
        raise ValueError(f"{sensor.equipment} has no machine")
    sensor.machine = machine
    sensor.save()
    return sensor


LIMITS = (
    "physical_low", "physical_high", "low_low", "low", "high", "high_high", "deadband", "resolution", "max_rate",
)  # fmt: skip


def table(sensor_ids: Iterable[int]) -> SensorTable:
    """What the stages need to know of all sensors of the machines that the given sensors belong to, in one query.

    Ids that are no sensor (any more) are left out.
    """
    machines = Sensor.objects.filter(id__in=list(sensor_ids)).values("machine_id")
    rows = list(
        Sensor.objects.filter(machine_id__in=machines)
        .order_by("id")
        .values_list("id", "machine_id", *LIMITS, "period_seconds", "lateness_seconds", "calibration_due_on")
    )
    columns: list[tuple[Any, ...]] = list(zip(*rows, strict=True)) if rows else [()] * (len(LIMITS) + 5)
    ids, machine_ids, *limits, periods, lateness, due = columns
    return SensorTable(
        sensor=np.array(ids, np.int64),
        machine=np.array(machine_ids, np.int64),
        **{name: _numbers(values) for name, values in zip(LIMITS, limits, strict=True)},
        period=np.array([(seconds or 0) * SECOND_US for seconds in periods], np.int64),
        lateness=np.array([seconds * SECOND_US for seconds in lateness], np.int64),
        calibration_due=np.array([_end_of(day) for day in due], np.int64),
    )


def _numbers(values: tuple[Any, ...]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _end_of(day: date | None) -> int:
    """The instant at which a day is over, in microseconds; 0 where there is no day."""
    return 0 if day is None else from_instant(datetime.combine(day, time.max, tzinfo=UTC)) + 1
