"""What became of each reading of a part: stored, there already, or in conflict with what was there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from django.db import connection

from agents.ingest import Cargo
from sensors import columns
from sensors.columns import Bool, Columns, Float64, Int64
from sensors.models import BatchPart, ReadingConflict

PART = BatchPart._meta.db_table


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
    part_ids, of_part = np.unique(cargo.part, return_inverse=True)
    kept = np.bincount(of_part[keep], minlength=len(part_ids))
    already = _by_part(of_part, np.flatnonzero(same))
    conflicts = _by_part(of_part, np.flatnonzero(other))
    nothing = np.empty(0, np.int64)
    return [
        PartOutcome(
            part_id,
            count,
            tuple(cargo.columns.item[already.get(place, nothing)].tolist()),
            _clashes(cargo.columns.take(conflicts.get(place, nothing))),
        )
        for place, (part_id, count) in enumerate(zip(part_ids.tolist(), kept.tolist(), strict=True))
    ]


def _by_part(of_part: Int64, which: Int64) -> dict[int, Int64]:
    """Positions by the place of their part; only of parts that have any."""
    order = which[np.argsort(of_part[which], kind="stable")]
    places, starts = np.unique(of_part[order], return_index=True)
    return dict(zip(places.tolist(), np.split(order, starts[1:]), strict=False))


def _clashes(clash: Columns) -> tuple[tuple[int, int, int, float], ...]:
    return tuple(zip(clash.item.tolist(), clash.sensor.tolist(), clash.at.tolist(), clash.value.tolist(), strict=True))


def _value_that_came_first(cargo: Cargo, stored: Float64) -> Float64:
    """For each reading the value its key has in the store, else the first value of the same key in the run."""
    sensor, at = cargo.columns.sensor, cargo.columns.at
    starts = np.ones(len(sensor), np.bool_)
    starts[1:] = (sensor[1:] != sensor[:-1]) | (at[1:] != at[:-1])
    first = cargo.columns.value[np.flatnonzero(starts)[np.cumsum(starts) - 1]] if len(sensor) else cargo.columns.value
    return np.where(np.isnan(stored), first, stored)


def write(results: Sequence[PartOutcome]) -> None:
    """Record the outcomes, with a row for each conflict, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {PART} AS part SET state = %s, stored = told.stored, already_stored = told.already,"
            " conflicts = told.conflicts, outcome = told.outcome::jsonb"
            " FROM unnest(%s::bigint[], %s::integer[], %s::integer[], %s::integer[], %s::text[])"
            " AS told(id, stored, already, conflicts, outcome) WHERE part.id = told.id",
            [
                BatchPart.State.STORED,
                [result.part_id for result in results],
                [result.stored for result in results],
                [len(result.already_stored) for result in results],
                [len(result.conflicts) for result in results],
                [orjson.dumps(_positions(result)).decode() for result in results],
            ],
        )
    ReadingConflict.objects.bulk_create(
        [
            ReadingConflict(sensor_id=sensor, measured_at=columns.to_instant(at), value=value, part_id=result.part_id)
            for result in results
            for _, sensor, at, value in result.conflicts
        ],
        ignore_conflicts=True,
    )


def _positions(result: PartOutcome) -> dict[str, list[int]]:
    """What the part keeps of its outcome; nothing where all was stored."""
    found = {"already_stored": list(result.already_stored), "conflicts": [c[0] for c in result.conflicts]}
    return {name: items for name, items in found.items() if items}
