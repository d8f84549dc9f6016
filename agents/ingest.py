"""Stage one: the lane's waiting parts, decoded and put in order. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from agents.causes import Cause
from sensors import columns
from sensors.columns import Columns, Int64


@dataclass(frozen=True, slots=True)
class Packed:
    """A waiting part as it was stored, and the request that it came with."""

    id: int
    readings: int
    data: bytes
    cause: Cause | None = None


@dataclass(frozen=True, slots=True)
class Cargo:
    """The readings of a run, sorted by sensor, instant and arrival. ``part``: id of the part of each reading."""

    columns: Columns
    part: Int64


@dataclass(frozen=True, slots=True)
class Refusal:
    """A part that cannot go on, and why."""

    part_id: int
    reason: str


def within_budget(sizes: Sequence[int], *, budget: int) -> int:
    """How many parts, from the first, stay within a budget of readings; at least one, so that a large one moves."""
    return max(1, int(np.searchsorted(np.cumsum(sizes), budget, side="right"))) if sizes else 0


Decoded = Columns | str
"""The readings of a part, or why they cannot be read."""


def decode(part: Packed) -> Decoded:
    try:
        return columns.unpack(part.data)
    except columns.NotColumns as error:
        return f"The stored readings cannot be decoded: {error}"


def within_days(decoded: Sequence[Decoded], *, most: int) -> int:
    """How many parts, from the first, together fall on at most so many days; at least one."""
    days: set[int] = set()
    for count, readings in enumerate(decoded):
        if isinstance(readings, str) or not len(readings):
            continue
        first, last = int(readings.at.min()) // columns.DAY_US, int(readings.at.max()) // columns.DAY_US
        days |= {first} if first == last else set((readings.at // columns.DAY_US).tolist())
        if len(days) > most:
            return max(1, count)
    return len(decoded)


def sensors(decoded: Sequence[Decoded]) -> Int64:
    """Ids of the sensors the parts speak of, ascending."""
    found = [columns.distinct(one.sensor) for one in decoded if not isinstance(one, str)]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def refusals(packed: Sequence[Packed], decoded: Sequence[Decoded], *, known: Int64) -> list[Refusal]:
    """Parts that cannot be read or speak of a sensor that is no more; the rest goes on. ``known``: ids of those that
    are, ascending."""
    missing = np.setdiff1d(sensors(decoded), known, assume_unique=True)
    found = []
    for part, one in zip(packed, decoded, strict=True):
        if isinstance(one, str):
            found.append(Refusal(part.id, one))
        elif len(missing) and len(gone := np.intersect1d(one.sensor, missing)):
            found.append(Refusal(part.id, f"Sensors that are no more: {gone.tolist()}"))
    return found


def order(packed: Sequence[Packed], decoded: Sequence[Decoded], *, without: Collection[int] = ()) -> Cargo:
    """The readings of the parts that could be read, but for those of some parts, in order."""
    taken = [
        (part.id, one)
        for part, one in zip(packed, decoded, strict=True)
        if not isinstance(one, str) and part.id not in without
    ]
    together = columns.concatenate([one for _, one in taken])
    ids = np.repeat(np.array([part for part, _ in taken], np.int64), [len(one) for _, one in taken])
    sorting = _order(together)
    return Cargo(together.take(sorting), ids[sorting])


def _order(readings: Columns) -> Int64:
    """Positions by sensor and instant; of equal ones what arrived first stays first.

    By one number where sensor and instant fit into it: parts come sorted, and a merge sort of one key sees that.
    """
    if not len(readings):
        return np.empty(0, np.int64)
    sensor, at = readings.sensor - readings.sensor.min(), readings.at - readings.at.min()
    span = int(at.max()) + 1
    if (int(sensor.max()) + 1) * span < 2**62:
        return np.argsort(sensor * span + at, kind="stable")
    return np.lexsort((readings.at, readings.sensor))
