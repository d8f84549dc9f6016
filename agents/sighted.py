"""What validate and detect found, in the words of what is kept of it. Pure."""

from __future__ import annotations

from dataclasses import fields

from agents.findings import AnomalyFinding, SensorFault
from maintenance import sightings
from maintenance.sightings import Sighting


def anomaly(found: AnomalyFinding) -> Sighting:
    return Sighting(**{f.name: getattr(found, f.name) for f in fields(found)})


def fault(found: SensorFault) -> Sighting:
    return sightings.fault(**{f.name: getattr(found, f.name) for f in fields(found)})
