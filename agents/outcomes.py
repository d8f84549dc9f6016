"""What became of each reading of a part: stored, there already, or in conflict with what was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agents.ingest import Cargo
from sensors import columns
from sensors.columns import Bool, Float64
from sensors.models import BatchPart, ReadingConflict


@dataclass(frozen=True, slots=True)
class PartOutcome:
    """Of one part: how many of its readings were stored, and the positions in the request of those that were not."""

    part_id: int
    stored: int
    already_stored: tuple[int, ...]
    conflicts: tuple[tuple[int, int, int, float], ...]
    """Position, sensor, instant and value of each."""


def settle(cargo: Cargo, *, stored: Float64, keep: Bool) -> list[PartOutcome]:
    """The outcome of each part. ``stored``: value found at the same key, NaN where none was; ``keep``: is stored now.

    A reading that is neither kept nor found in the store was met by an equal key earlier in the same run.
    """
    first = _value_that_came_first(cargo, stored)
    same = ~keep & (cargo.columns.value == first)
    other = ~keep & ~same
    results = []
    for part_id in np.unique(cargo.part):
        of_part = cargo.part == part_id
        clash = cargo.columns.take(of_part & other)
        results.append(
            PartOutcome(
                int(part_id),
                int((of_part & keep).sum()),
                tuple(cargo.columns.item[of_part & same].tolist()),
                tuple(
                    zip(
                        clash.item.tolist(), clash.sensor.tolist(), clash.at.tolist(), clash.value.tolist(), strict=True
                    )
                ),
            )
        )
    return results


def _value_that_came_first(cargo: Cargo, stored: Float64) -> Float64:
    """For each reading the value its key has in the store, else the first value of the same key in the run."""
    sensor, at = cargo.columns.sensor, cargo.columns.at
    starts = np.ones(len(sensor), np.bool_)
    starts[1:] = (sensor[1:] != sensor[:-1]) | (at[1:] != at[:-1])
    first = cargo.columns.value[np.flatnonzero(starts)[np.cumsum(starts) - 1]] if len(sensor) else cargo.columns.value
    return np.where(np.isnan(stored), first, stored)


def write(results: Sequence[PartOutcome]) -> None:
    """Record the outcomes, with a row for each conflict, in the caller's transaction."""
    parts = []
    conflicts = []
    for result in results:
        positions = {"already_stored": list(result.already_stored), "conflicts": [c[0] for c in result.conflicts]}
        parts.append(
            BatchPart(
                id=result.part_id,
                state=BatchPart.State.STORED,
                stored=result.stored,
                already_stored=len(result.already_stored),
                conflicts=len(result.conflicts),
                outcome={name: items for name, items in positions.items() if items},
            )
        )
        conflicts += [
            ReadingConflict(sensor_id=sensor, measured_at=columns.to_instant(at), value=value, part_id=result.part_id)
            for _, sensor, at, value in result.conflicts
        ]
    BatchPart.objects.bulk_update(parts, ["state", "stored", "already_stored", "conflicts", "outcome"])
    ReadingConflict.objects.bulk_create(conflicts, ignore_conflicts=True)
