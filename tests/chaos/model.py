"""What must come of the requests that were accepted, worked out from their bodies alone, in the plainest way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from tests.chaos.client import HIGH, Accepted, Request

QUIET = 12
"""So many normal readings end a stretch of abnormal ones."""

Place = tuple[str, str, datetime]
"""Site, sensor and instant."""


@dataclass(frozen=True, slots=True)
class Model:
    """The effects that must be there, no more and no less."""

    batches: Mapping[str, Request]
    readings: Mapping[Place, float]
    excursions: frozenset[Place]
    """Onset of each stretch at or above the limit."""
    poison: Mapping[str, str]
    """Batches that cannot be done while the poison works, with what they do to whom."""
    never_stored: frozenset[Place]
    """Readings of batches that poison the stage before they are stored."""


def of(accepted: Iterable[Accepted]) -> Model:
    promised = list(accepted)
    readings = {
        (one.request.site, one.request.machine, at): value for one in promised for at, value in one.request.readings
    }
    poison = {one.batch: one.request.poison for one in promised if one.request.poison}
    never_stored = frozenset(
        (one.request.site, one.request.machine, at)
        for one in promised
        if one.request.poison.startswith("VALIDATE")
        for at, _ in one.request.readings
    )
    batches = {one.batch: one.request for one in promised}
    return Model(batches, readings, frozenset(onsets(readings)), poison, never_stored)


def onsets(readings: Mapping[Place, float]) -> Iterator[Place]:
    """Where a value reaches the limit after so many normal ones, sensor by sensor."""
    series: dict[tuple[str, str], list[tuple[datetime, float]]] = defaultdict(list)
    for (site, sensor, at), value in readings.items():
        series[site, sensor].append((at, value))
    for (site, sensor), values in series.items():
        normal = QUIET
        for at, value in sorted(values):
            if value < HIGH:
                normal += 1
                continue
            if normal >= QUIET:
                yield site, sensor, at
            normal = 0
