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


def read(sensor_id: int, *, start: datetime, end: datetime, points: int) -> Series:
    """The readings of [start, end), downsampled to at most ``points`` (at least 4)."""
    at, value, quality = _copy_out(sensor_id, start, end)
    kept = m4(at, value, points=points, start=from_instant(start), end=from_instant(end))
    return Series(at[kept], value[kept], quality[kept], len(at))


def m4(at: Int64, value: Float64, *, points: int, start: int, end: int) -> Int64:
    """Positions to keep, ascending: all where n <= points, else first, lowest, highest and last of each bucket.

    ``at``: ascending instants of length n in [start, end); ``value``: length n.
    """
    n = len(at)
    if n <= points:
        return np.arange(n)
    buckets = max(1, points // PER_BUCKET)
    bucket = (
        (at - start) * buckets // max(1, end - start) if end - start < 2**62 // buckets else np.arange(n) * buckets // n
    )
    starts = np.flatnonzero(np.diff(bucket, prepend=bucket[0] - 1))
    ends = np.append(starts[1:], n) - 1
    by_value = np.lexsort((np.arange(n), value, bucket))
    lowest, highest = by_value[starts], by_value[ends]
    return np.unique(np.concatenate([starts, lowest, highest, ends]))


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
HEADER_BYTES, TRAILER_BYTES = 19, 2


def _copy_out(sensor_id: int, start: datetime, end: datetime) -> tuple[Int64, Float64, UInt8]:
    """Binary COPY into arrays: a million readings cost no Python object each."""
    buffer = io.BytesIO()
    with connection.wrap_database_errors, connection.cursor() as cursor:
        query = cursor.cursor.mogrify(
            "COPY (SELECT measured_at, value, quality FROM sensors_reading WHERE sensor_id = %s AND measured_at >= %s"
            " AND measured_at < %s ORDER BY measured_at) TO STDOUT WITH (FORMAT binary)",
            [sensor_id, start, end],
        )
        cursor.copy_expert(query, buffer)
    rows = np.frombuffer(buffer.getvalue()[HEADER_BYTES:-TRAILER_BYTES], ROW)
    at = rows["at"].astype(np.int64) + POSTGRES_EPOCH_US
    return at, rows["value"].astype(np.float64), rows["quality"].astype(np.uint8)
