"""Many readings as columns, and what is known of the sensors they came from.

Pure: numpy in, numpy out. Instants are int64 microseconds since 1970-01-01 UTC throughout the flow, so that
arithmetic on them is exact; ``to_instant`` and ``from_instant`` are the only doors to ``datetime``.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]
Bool = NDArray[np.bool_]
UInt8 = NDArray[np.uint8]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US


def from_instant(instant: datetime) -> int:
    """Microseconds since the epoch of an aware datetime."""
    return (instant - EPOCH) // MICROSECOND


def to_instant(microseconds: int) -> datetime:
    """The aware UTC datetime of microseconds since the epoch."""
    return EPOCH + timedelta(microseconds=int(microseconds))


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings as four parallel arrays of length n.

    ``sensor``: id of the sensor; ``at``: instant in microseconds; ``value``: finite float in the sensor's unit;
    ``item``: position of the reading in the request body it came from.
    """

    sensor: Int64
    at: Int64
    value: Float64
    item: Int32

    def __len__(self) -> int:
        return len(self.sensor)

    def take(self, index: Int64 | Bool) -> Columns:
        return Columns(*(getattr(self, f.name)[index] for f in fields(self)))


def empty() -> Columns:
    return Columns(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.int32))


def concatenate(parts: list[Columns]) -> Columns:
    if not parts:
        return empty()
    return Columns(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Columns)))


def distinct(ascending: Int64) -> Int64:
    """The values of a sorted array, each once: ``np.unique`` without the sorting."""
    return ascending[starts(ascending)]


def starts(ascending: Int64) -> Int64:
    """Where in a sorted array each value stands first."""
    new = np.ones(len(ascending), np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=new[1:])
    return np.flatnonzero(new)


HEADER = struct.Struct("<4sII")
MAGIC = b"BWC1"
SPELLINGS = ("<i8", "<i8", "<f8", "<i4")
BYTES_EACH = 28


class NotColumns(ValueError):
    """The bytes are not columns packed by this version."""


def pack(columns: Columns) -> bytes:
    """Columns as compressed bytes with a checksum; ``unpack`` returns them bit for bit."""
    arrays: tuple[NDArray[Any], ...] = (columns.sensor, columns.at, columns.value, columns.item)
    body = b"".join(array.astype(spelling).tobytes() for array, spelling in zip(arrays, SPELLINGS, strict=True))
    return HEADER.pack(MAGIC, len(columns), zlib.crc32(body)) + zlib.compress(body, 1)


def unpack(data: bytes) -> Columns:
    """The inverse of ``pack``. Raises ``NotColumns`` for anything damaged or foreign."""
    try:
        magic, n, checksum = HEADER.unpack_from(data)
        body = zlib.decompress(bytes(data[HEADER.size :]))
    except (struct.error, zlib.error) as error:
        raise NotColumns(f"cannot be read: {error}") from error
    if magic != MAGIC or zlib.crc32(body) != checksum or len(body) != n * BYTES_EACH:
        raise NotColumns("wrong magic, length or checksum")
    eight, value_at, item_at = n * 8, n * 16, n * 24
    return Columns(
        np.frombuffer(body, np.dtype("<i8"), n),
        np.frombuffer(body, np.dtype("<i8"), n, eight),
        np.frombuffer(body, np.dtype("<f8"), n, value_at),
        np.frombuffer(body, np.dtype("<i4"), n, item_at),
    )


@dataclass(frozen=True, slots=True)
class SensorTable:
    """What the stages need to know of S sensors, as arrays of length S sorted by ``sensor``.

    A limit that is not set is NaN. Spans are in microseconds, 0 where not set; values in the sensor's unit,
    ``max_rate`` in units per second. ``calibration_due`` is an instant, 0 where the sensor needs none.
    """

    sensor: Int64
    machine: Int64
    physical_low: Float64
    physical_high: Float64
    low_low: Float64
    low: Float64
    high: Float64
    high_high: Float64
    deadband: Float64
    resolution: Float64
    max_rate: Float64
    period: Int64
    lateness: Int64
    calibration_due: Int64

    def __len__(self) -> int:
        return len(self.sensor)

    def rows(self, sensor: Int64) -> Int64:
        """Row of each given sensor id. Raises ``KeyError`` where one is not in the table."""
        if not len(sensor):
            return np.empty(0, np.int64)
        if not len(self):
            raise KeyError(int(sensor[0]))
        found = np.searchsorted(self.sensor, sensor).clip(max=len(self) - 1)
        wrong = self.sensor[found] != sensor
        if wrong.any():
            raise KeyError(int(sensor[wrong][0]))
        return found
