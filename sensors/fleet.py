"""What a site consists of: the only place where equipment and sensors find their machine and their lane."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from sensors import sensor_defaults
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
def save_equipment(equipment: Equipment, *, constraints: bool = True) -> Equipment:
    """Validate, place and save. Raises ``ValidationError``; ``constraints=False`` leaves those of the table to the
    database (``IntegrityError``), which is faster."""
    place(equipment)
    equipment.full_clean(exclude=["machine"], validate_constraints=constraints)
    equipment.save()
    if equipment.level == Equipment.Level.MACHINE and equipment.machine_id is None:
        equipment.machine = equipment
        equipment.save(update_fields=["machine"])
    sensor_defaults.hold_for(equipment)
    return equipment


@transaction.atomic
def save_sensor(sensor: Sensor, *, own: Collection[str] | None = None, constraints: bool = True) -> Sensor:
    """Validate, attach to the machine of its equipment and save. Raises as ``save_equipment`` does.

    ``own``: which of its alarm settings are the sensor's own, the others are those of its site's defaults; None: those
    that were so before, and those that differ from what the defaults say.
    """
    machine = sensor.equipment.machine if sensor.equipment_id is not None else None
    if machine is not None and sensor.site_id is not None:
        sensor.machine = machine
        sensor_defaults.settle(sensor, own=own)
    sensor.full_clean(exclude=["machine"], validate_constraints=constraints)
    if machine is None:
        raise ValueError(f"{sensor.equipment} has no machine")
    sensor.save()
    return sensor
