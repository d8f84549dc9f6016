"""Sensors that made themselves known by sending: adopted by a person, with what was held back for them replayed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from django.db import transaction

from sensors import columns, fleet
from sensors.models import BatchPart, DiscoveredSensor, Equipment, Sensor


class AlreadyAdopted(Exception):
    """Somebody adopted it before; the message names the sensor it became."""


class WrongSite(Exception):
    """The equipment belongs to another site than the discovered sensor."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """The new sensor and the lanes in which its held readings now wait: the caller may ring them."""

    sensor: Sensor
    lanes: tuple[int, ...]


@transaction.atomic
def adopt(discovered_id: int, *, equipment: Equipment, kind: str, unit: str, name: str = "") -> Adopted:
    """Make a discovered name a sensor of ``equipment`` and let go of the readings that were held back for it.

    Equipment that has no row yet is saved first, in the same transaction. Where a sensor of that name was made by
    hand meanwhile, the readings become that sensor's. Raises ``AlreadyAdopted``, ``WrongSite`` or ``ValidationError``.
    """
    found = DiscoveredSensor.objects.select_for_update(of=("self",)).select_related("sensor").get(pk=discovered_id)
    if found.sensor is not None:
        raise AlreadyAdopted(f"{found.external_id} was adopted before, as {found.sensor.name}.")
    sensor = Sensor.objects.filter(site_id=found.site_id, external_id=found.external_id).first()
    if sensor is None:
        if equipment.site_id != found.site_id:
            raise WrongSite(f"{equipment} belongs to another site than {found.external_id}.")
        sensor = fleet.save_sensor(
            Sensor(
                site_id=found.site_id,
                equipment=equipment if equipment.pk is not None else fleet.save_equipment(equipment),
                external_id=found.external_id,
                name=name or found.external_id,
                kind=kind,
                unit=unit,
            )
        )
    DiscoveredSensor.objects.filter(pk=found.pk).update(sensor=sensor)
    return Adopted(sensor=sensor, lanes=_let_go(found, sensor))


@transaction.atomic
def let_go_of_stragglers() -> tuple[int, ...]:
    """Let go of parts that were held for a sensor while it was being adopted; the lanes they now wait in.

    An intake that looked the sensor up just before it was adopted stores its readings as held just after.
    """
    lanes: set[int] = set()
    adopted = DiscoveredSensor.objects.filter(sensor__isnull=False, parts__state=BatchPart.State.HELD).distinct()
    for found in adopted.select_related("sensor").order_by("pk"):
        if found.sensor is not None:
            lanes.update(_let_go(found, found.sensor))
    return tuple(sorted(lanes))


def _let_go(found: DiscoveredSensor, sensor: Sensor) -> tuple[int, ...]:
    """Held parts wait in the machine's lane from now on, their readings under the sensor's id."""
    lane = sensor.machine.lane
    if lane is None:
        raise ValueError(f"{sensor.machine} has no lane")
    held = found.parts.filter(state=BatchPart.State.HELD).order_by("pk").select_for_update()
    touched = False
    for part in held.iterator(chunk_size=50):
        part.lane, touched = lane, True
        try:
            readings = columns.unpack(bytes(part.columns))
        except columns.NotColumns as error:
            part.state, part.error = BatchPart.State.SET_ASIDE, f"What was held back cannot be read: {error}"
        else:
            named = dataclasses.replace(readings, sensor=np.full(len(readings), sensor.pk, np.int64))
            part.state, part.columns = BatchPart.State.WAITING, columns.pack(named)
        part.save(update_fields=["lane", "state", "columns", "error"])
    return (lane,) if touched else ()
