"""Fewer points that draw the same line: of each bucket of time the first, the lowest, the highest and the last.

Pure. M4: Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014. The extremes of a
bucket are those of the extremes of its pieces, so readings can be thinned by and by, and hours that were rolled up
stand for their readings wherever buckets are made of whole hours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensors.columns import SECOND_US, Float64, Int64, UInt8

PER_BUCKET = 4
HOUR_US = 3_600 * SECOND_US
FOLD = 100_000
"""Readings that are gathered before they are thinned."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Buckets of equal length in time; ``start`` and ``length`` in microseconds."""

    start: int
    length: int

    @property
    def of_hours(self) -> bool:
        """Whether every bucket is made of whole hours."""
        return self.length % HOUR_US == 0 and self.start % HOUR_US == 0


def grid(*, start: int, end: int, points: int) -> Grid:
    """At most a quarter as many buckets over [start, end) as points; of whole hours where they are longer than one."""
    buckets = max(1, points // PER_BUCKET)
    length = max(1, -((start - end) // buckets))
    if length < HOUR_US:
        return Grid(start, length)
    start = start // HOUR_US * HOUR_US
    return Grid(start, -((start - end) // (buckets * HOUR_US)) * HOUR_US)


def extremes(at: Int64, value: Float64, *, over: Grid) -> Int64:
    """Positions of the first, lowest, highest and last of each bucket, ascending.

    ``at``: ascending instants of length n, at least 1; ``value``: length n. Of equal values the first counts.
    """
    bucket = (at - over.start) // over.length
    starts = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    ends = np.append(starts[1:], len(at))
    lowest = first_that_is(value, np.minimum.reduceat(value, starts), starts=starts, ends=ends)
    highest = first_that_is(value, np.maximum.reduceat(value, starts), starts=starts, ends=ends)
    return np.unique(np.concatenate([starts, lowest, highest, ends - 1]))


def first_that_is(value: Float64 | Int64, wanted: Float64 | Int64, *, starts: Int64, ends: Int64) -> Int64:
    """In each group, from a start to its end, the first position of the value wanted there."""
    found = np.flatnonzero(value == np.repeat(wanted, ends - starts))
    return found[np.searchsorted(found, starts)]


@dataclass(frozen=True, slots=True)
class Points:
    """n readings in order of time. ``at``: microseconds."""

    at: Int64
    value: Float64
    quality: UInt8

    def __len__(self) -> int:
        return len(self.at)

    def take(self, index: Int64) -> Points:
        return Points(self.at[index], self.value[index], self.quality[index])


class Thinning:
    """Takes readings in pieces, in any order, each once, and thins them on the way: memory does not grow with them.

    All of them are kept where there are no more than ``points``.
    """

    def __init__(self, over: Grid, *, points: int) -> None:
        self._grid, self._points = over, points
        self._pieces: list[Points] = []
        self._pending = self.total = 0

    def add(self, piece: Points, *, readings: int | None = None) -> None:
        """``readings``: how many the piece stands for, where it was thinned already."""
        self._pieces.append(piece)
        self._pending += len(piece)
        self.total += len(piece) if readings is None else readings
        if self._pending > FOLD:
            self._fold()

    def drawn(self) -> Points:
        """What is to be drawn of all that was added."""
        self._fold()
        return self._pieces[0]

    def _fold(self) -> None:
        none = Points(np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint8))
        names = ("at", "value", "quality")
        all_ = Points(*(np.concatenate([getattr(p, name) for p in (none, *self._pieces)]) for name in names))
        if (np.diff(all_.at) < 0).any():
            all_ = all_.take(np.argsort(all_.at, kind="stable"))
        if self.total > self._points and len(all_):
            all_ = all_.take(extremes(all_.at, all_.value, over=self._grid))
        self._pieces, self._pending = [all_], 0
