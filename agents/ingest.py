"""Stage one: the lane's waiting parts, decoded and put in order. Pure."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

import numpy as np

from sensors import columns
from sensors.columns import Columns, Int64


@dataclass(frozen=True, slots=True)
class Packed:
    """A waiting part as it was stored."""

    id: int
    readings: int
    data: bytes


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


def within_days(packed: Sequence[Packed], *, most: int) -> int:
    """How many parts, from the first, together fall on at most so many days; at least one."""
    days: set[int] = set()
    for count, part in enumerate(packed):
        try:
            days.update((columns.unpack(part.data).at // columns.DAY_US).tolist())
        except columns.NotColumns:
            continue
        if len(days) > most:
            return max(1, count)
    return len(packed)


def ingest(packed: Sequence[Packed], *, known: Container[int] | None = None) -> tuple[Cargo, tuple[Refusal, ...]]:
    """Decode and order. A part that is damaged, or (where ``known`` is given) speaks of a sensor that is no more, is
    refused as a whole; the rest goes on."""
    taken: list[Columns] = []
    ids: list[Int64] = []
    refusals: list[Refusal] = []
    for part in packed:
        try:
            readings = columns.unpack(part.data)
        except columns.NotColumns as error:
            refusals.append(Refusal(part.id, f"The stored readings cannot be decoded: {error}"))
            continue
        gone = [] if known is None else [int(s) for s in np.unique(readings.sensor) if int(s) not in known]
        if gone:
            refusals.append(Refusal(part.id, f"Sensors that are no more: {gone}"))
            continue
        taken.append(readings)
        ids.append(np.full(len(readings), part.id, np.int64))
    together = columns.concatenate(taken)
    part_ids = np.concatenate(ids) if ids else np.empty(0, np.int64)
    order = np.lexsort((together.at, together.sensor))  # stable: what arrived first stays first
    return Cargo(together.take(order), part_ids[order]), tuple(refusals)
