"""Readings of a sensor over a window, in as many points as a picture needs, peaks kept.

A window with more readings than points is cut into buckets of equal length in time; of each bucket the first, the
lowest, the highest and the last reading are kept (M4: Jugel et al., "M4: A Visualization-Oriented Time Series Data
Aggregation", VLDB 2014), so that a line drawn through them looks as one drawn through all.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection

from sensors.columns import Float64, Int64, UInt8, from_instant

PER_BUCKET = 4


@dataclass(frozen=True, slots=True)
class Series:
    """n readings in order of time. ``at``: microseconds; ``total``: how many there are in the window."""

    at: Int64
    value: Float64
    quality: UInt8
    total: int

    def __len__(self) -> int:
        return len(self.at)


class WindowTooLarge(Exception):
    """The window holds more readings than are read for one picture; ask for a shorter one."""


def read(sensor_id: int, *, start: datetime, end: datetime, points: int, most: int | None = None) -> Series:
    """The readings of [start, end), downsampled to at most ``points`` (at least 4).

    Raises ``WindowTooLarge`` where there are more than ``most`` of them.
    """
    thinning = Thinning(start=from_instant(start), end=from_instant(end), points=points)
    with connection.wrap_database_errors, connection.cursor() as cursor:
        query = cursor.cursor.mogrify(
            "COPY (SELECT measured_at, value, quality FROM sensors_reading WHERE sensor_id = %s AND measured_at >= %s"
            " AND measured_at < %s ORDER BY measured_at LIMIT %s) TO STDOUT WITH (FORMAT binary)",
            [sensor_id, start, end, None if most is None else most + 1],
        )
        with io.BufferedWriter(thinning, FOLD_BYTES) as pipe:
            cursor.copy_expert(query, pipe)
    drawn = thinning.drawn()
    if most is not None and drawn.total > most:
        raise WindowTooLarge(f"The window holds more than {most} readings; ask for a shorter one.")
    return drawn


def m4(at: Int64, value: Float64, *, points: int, start: int, end: int) -> Int64:
    """Positions to keep, ascending: all where n <= points, else first, lowest, highest and last of each bucket.

    ``at``: ascending instants of length n in [start, end); ``value``: length n. Of equal values the first counts.
    """
    return np.arange(len(at)) if len(at) <= points else _extremes(at, value, points=points, start=start, end=end)


def _extremes(at: Int64, value: Float64, *, points: int, start: int, end: int) -> Int64:
    buckets = max(1, points // PER_BUCKET)
    bucket = (at - start) // max(1, -((start - end) // buckets))
    firsts = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    ends = np.append(firsts[1:], len(at))
    lowest = _first_that_is(value, np.minimum.reduceat(value, firsts), firsts=firsts, ends=ends)
    highest = _first_that_is(value, np.maximum.reduceat(value, firsts), firsts=firsts, ends=ends)
    return np.unique(np.concatenate([firsts, lowest, highest, ends - 1]))


def _first_that_is(value: Float64, wanted: Float64, *, firsts: Int64, ends: Int64) -> Int64:
    """In each bucket, the first position of the value wanted there."""
    found = np.flatnonzero(value == np.repeat(wanted, ends - firsts))
    return found[np.searchsorted(found, firsts)]


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest reading of a sensor."""

    measured_at: datetime
    value: float
    quality: int


def latest(sensor_ids: Iterable[int]) -> dict[int, Latest]:
    """The newest reading of each sensor that has any, in one query that walks each sensor's key backwards."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT wanted.id, newest.* FROM unnest(%s::bigint[]) AS wanted(id) CROSS JOIN LATERAL ("
            " SELECT measured_at, value, quality FROM sensors_reading WHERE sensor_id = wanted.id"
            " ORDER BY measured_at DESC LIMIT 1) AS newest",
            [list(sensor_ids)],
        )
        return {sensor_id: Latest(*row) for sensor_id, *row in cursor.fetchall()}


ROW = np.dtype(
    [
        ("fields", ">i2"), ("at_size", ">i4"), ("at", ">i8"), ("value_size", ">i4"), ("value", ">f8"),
        ("quality_size", ">i4"), ("quality", ">i2"),
    ]
)  # fmt: skip
POSTGRES_EPOCH_US = 946_684_800_000_000  # 2000-01-01
HEADER_BYTES = 19  # the two bytes of the trailer are less than a row, and stay
FOLD_BYTES = ROW.itemsize * 100_000


class Thinning(io.RawIOBase):
    """Takes a binary COPY as it comes, and thins it on the way: the memory does not grow with the window.

    The extremes of a bucket are those of the extremes of its pieces, so thinning by and by keeps the same points.
    """

    def __init__(self, *, start: int, end: int, points: int) -> None:
        self._start, self._end, self._points = start, end, points
        self._pending, self._skip = bytearray(), HEADER_BYTES
        self._kept: tuple[Int64, Float64, UInt8] = np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint8)
        self._total = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pending += data
        self._fold()
        return len(data)

    def drawn(self) -> Series:
        """What is to be drawn, once all has been written."""
        return Series(*self._kept, self._total)

    def _fold(self) -> None:
        count = max(0, len(self._pending) - self._skip) // ROW.itemsize
        if not count:
            return
        used = self._skip + count * ROW.itemsize
        rows = np.frombuffer(bytes(self._pending[self._skip : used]), ROW)
        del self._pending[:used]
        self._skip = 0
        self._total += count
        at, value, quality = self._kept
        at = np.concatenate([at, rows["at"].astype(np.int64) + POSTGRES_EPOCH_US])
        value = np.concatenate([value, rows["value"].astype(np.float64)])
        quality = np.concatenate([quality, rows["quality"].astype(np.uint8)])
        if self._total > self._points:
            kept = _extremes(at, value, points=self._points, start=self._start, end=self._end)
            at, value, quality = at[kept], value[kept], quality[kept]
        self._kept = at, value, quality
