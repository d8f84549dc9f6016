"""Anomalies as a run sees them, before they are rows: what they are, and how two sightings of one become one. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maintenance import failure_modes
from sensors.columns import Columns

MACHINE, INSTRUMENT = "MACHINE", "INSTRUMENT"
"""Natures of an anomaly, as ``maintenance.models.Anomaly`` has them."""
VALIDATE = "validate"
VALIDATE_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Sighting:
    """An anomaly as a run sees it. Instants in microseconds since the epoch, values in the sensor's unit.

    Identity: sensor, detector, ``started_at`` and ``retrospective`` for the machine's; a fault of the instrument has
    its kind in place of the detector. ``kind``, ``observed`` and what was expected are those of the peak.
    """

    sensor_id: int
    detector: str
    detector_version: str
    kind: str
    started_at: int
    ended_at: int | None
    last_at: int
    readings: int
    peak_score: float
    peak_at: int
    observed: float | None
    expected_low: float | None
    expected_high: float | None
    window_from: int
    window_to: int
    retrospective: bool = False
    contributors: tuple[tuple[int, float], ...] = ()
    nature: str = MACHINE
    detail: str = ""

    @property
    def identity(self) -> tuple[int, str, int, bool]:
        what = self.kind if self.nature == INSTRUMENT else self.detector
        return self.sensor_id, what, self.started_at, self.retrospective


def fault(
    *,
    sensor_id: int,
    kind: str,
    started_at: int,
    last_at: int,
    readings: int,
    detail: str,
    observed: float | None = None,
    retrospective: bool = False,
) -> Sighting:
    """A stretch that the machine cannot have produced, as validate tells of it."""
    return Sighting(
        sensor_id=sensor_id,
        detector=VALIDATE,
        detector_version=VALIDATE_VERSION,
        kind=kind,
        started_at=started_at,
        ended_at=None,
        last_at=last_at,
        readings=readings,
        peak_score=1.0,
        peak_at=started_at,
        observed=observed,
        expected_low=None,
        expected_high=None,
        window_from=started_at,
        window_to=last_at,
        retrospective=retrospective,
        contributors=((sensor_id, 1.0),),
        nature=INSTRUMENT,
        detail=detail,
    )


def merge(one: Sighting, other: Sighting) -> Sighting:
    """Two sightings of the same anomaly in one run; the same growth as in the database."""
    top = other if other.peak_score > one.peak_score else one
    last_at = max(one.last_at, other.last_at)
    ends = [end for end in (one.ended_at, other.ended_at) if end is not None]
    return replace(
        top,
        last_at=last_at,
        ended_at=max(*ends, last_at) if ends else None,
        readings=max(one.readings, other.readings),
        window_from=min(one.window_from, other.window_from),
        window_to=max(one.window_to, other.window_to),
        detail=(other if other.last_at >= one.last_at else one).detail,
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sensor sits."""

    site_id: int
    machine_id: int
    kind: str
    equipment_class: str

    def mode(self, sighting: Sighting) -> str:
        if sighting.nature == INSTRUMENT:
            return failure_modes.INSTRUMENT
        return failure_modes.CATALOGUE.mode_of(
            sensor_kind=self.kind, anomaly_kind=sighting.kind, equipment_class=self.equipment_class
        )


def first_good(good: Columns, sensor_id: int, *, since: int) -> int | None:
    """The instant of the first of a sensor's good readings that is not before ``since``: a fault ends with it.

    ``good``: sorted by sensor and instant.
    """
    start, end = np.searchsorted(good.sensor, [sensor_id, sensor_id + 1])
    place = start + np.searchsorted(good.at[start:end], since)
    return int(good.at[place]) if place < end else None
