"""What a site consists of: the only place where equipment and sensors find their machine and their lane."""

from __future__ import annotations

from django.db import transaction

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
