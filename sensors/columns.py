"""Many readings as columns, and what is known of the sensors they came from.

Pure: numpy in, numpy out. Instants are int64 microseconds since 1970-01-01 UTC throughout the flow, so that
arithmetic on them is exact; ``to_instant`` and ``from_instant`` are the only doors to ``datetime``.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
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


def instant_text(at: datetime) -> str:
    """An aware datetime as everything that leaves the installation writes it: ISO 8601, in UTC, with a Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


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


EARLIER, CUT = b"BWC1", b"BWC2"
HEADER = struct.Struct("<4sII")  # form, number of readings, checksum of what follows
CUTS = struct.Struct("<" + "qqB" * 4)  # of each column: least, unit, bytes each
SPELLINGS = tuple(np.dtype(spelling) for spelling in ("<i8", "<i8", "<f8", "<i4"))
BYTES_EACH = 28
INSTANTS = (60 * SECOND_US, SECOND_US, 1_000, 1)
AS_IT_IS = 0  # the unit of values that are no whole numbers of a decimal
MOST_DECIMALS = 6
FEW = 16
"""So few are not worth a look at what they have in common."""


class NotColumns(ValueError):
    """The bytes are not columns packed by this version or an earlier one."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A column as unsigned numbers of ``width`` bytes each (0: all are 0), which stand for ``least + unit * number``;
    of values for that divided by the unit, where it is not ``AS_IT_IS``."""

    least: int
    unit: int
    width: int
    numbers: NDArray[Any]


def pack(columns: Columns) -> bytes:
    """Columns as bytes with a checksum; ``unpack`` returns them bit for bit."""
    return pack_slices(columns, [0, len(columns)])[0]


def pack_slices(columns: Columns, bounds: Sequence[int]) -> list[bytes]:
    """The same for each slice between two neighbouring bounds; what they have in common is looked for once."""
    few = len(columns) <= FEW
    whole = [
        _cut(columns.sensor, few=few),
        _cut(columns.at, units=INSTANTS, few=few),
        _cut_values(columns.value, few=few),
        _cut(columns.item, few=few),
    ]
    shape = CUTS.pack(*(figure for cut in whole for figure in (cut.least, cut.unit, cut.width)))
    packed = []
    for start, end in pairwise(bounds):
        body = b"".join([shape, *(cut.numbers[start:end].tobytes() for cut in whole if cut.width)])
        packed.append(HEADER.pack(CUT, end - start, zlib.crc32(body)) + body)
    return packed


def _cut(column: Int64 | Int32, *, units: Sequence[int] = (1,), few: bool = False) -> Cut:
    if few:
        return Cut(0, 1, 8, column.astype("<i8"))
    least, most = int(column.min()), int(column.max())
    if least == most:
        return Cut(least, 1, 0, column)
    above = column.astype("<i8").view("<u8") - np.uint64(least % 2**64)  # no distance is too large for it
    unit = next(unit for unit in units if unit == 1 or not (above % np.uint64(unit)).any())
    width = next(width for width in (1, 2, 4, 8) if (most - least) // unit < 1 << 8 * width)
    return Cut(least, unit, width, (above if unit == 1 else above // np.uint64(unit)).astype(f"<u{width}"))


def _cut_values(value: Float64, *, few: bool) -> Cut:
    """As whole numbers of the last decimal, where dividing these gives the same bits again."""
    if not few and np.abs(value).max() < 1e9 and not ((value == 0) & np.signbit(value)).any():
        for unit in (10**decimals for decimals in range(MOST_DECIMALS + 1)):
            whole = np.rint(value[:FEW] * unit)
            if (whole / unit == value[:FEW]).all():
                whole = np.rint(value * unit)
                if (whole / unit == value).all():
                    return replace(_cut(whole.astype(np.int64)), unit=unit)
    return Cut(0, AS_IT_IS, 8, value.astype("<f8"))


def unpack(data: bytes) -> Columns:
    """The inverse of ``pack``. Raises ``NotColumns`` for anything damaged or foreign."""
    try:
        form, n, checksum = HEADER.unpack_from(data)
        body = bytes(data[HEADER.size :]) if form == CUT else zlib.decompress(bytes(data[HEADER.size :]))
    except (struct.error, zlib.error) as error:
        raise NotColumns(f"cannot be read: {error}") from error
    if form not in (EARLIER, CUT) or zlib.crc32(body) != checksum:
        raise NotColumns("wrong form or checksum")
    return _uncut(body, n) if form == CUT else _earlier(body, n)


def _earlier(body: bytes, n: int) -> Columns:
    if len(body) != n * BYTES_EACH:
        raise NotColumns("wrong length")
    starts = (0, n * 8, n * 16, n * 24)
    return Columns(*(np.frombuffer(body, kind, n, start) for kind, start in zip(SPELLINGS, starts, strict=True)))


def _uncut(body: bytes, n: int) -> Columns:
    try:
        figures = CUTS.unpack_from(body)
    except struct.error as error:
        raise NotColumns(f"cannot be read: {error}") from error
    if len(body) != CUTS.size + n * sum(figures[2::3]):
        raise NotColumns("wrong length")
    columns: list[NDArray[Any]] = []
    start = CUTS.size
    for place, kind in enumerate(SPELLINGS):
        least, unit, width = figures[3 * place : 3 * place + 3]
        columns.append(_column(body[start : start + n * width], n, least, unit, width, kind))
        start += n * width
    return Columns(*columns)


def _column(data: bytes, n: int, least: int, unit: int, width: int, kind: np.dtype[Any]) -> NDArray[Any]:
    if kind.kind == "f" and unit == AS_IT_IS:
        return np.frombuffer(data, kind, n)
    numbers = np.frombuffer(data, f"<u{width}", n).astype("<i8") if width else np.zeros(n, "<i8")
    if kind.kind == "f":
        return np.asarray((numbers + least) / unit)
    return np.asarray(numbers * unit + least).astype(kind, copy=False)


@dataclass(frozen=True, slots=True)
class SensorTable:
    """What the stages need to know of S sensors, as arrays of length S sorted by ``sensor``.

    A limit that is not set is NaN. Spans are in microseconds, 0 where not set; values in the sensor's unit,
    ``max_rate`` in units per second. ``alarm_readings`` of the last ``alarm_readings_of`` readings must be beyond an
    alarm limit before it counts; ``rise_per_minute`` and ``fall_per_minute`` are limits of the change over
    ``rate_span``. ``calibration_due`` is an instant, 0 where the sensor needs none; ``regime``: from when on the newest
    regime is in force; ``fault_until``: the end of the latest window that people called a fault.
    ``group``: the same number for sensors of one machine, kind and unit that can be held against each other, 0 where
    nothing says so; ``declared``: whether they have a measuring point in common. ``zone_c``,
    ``zone_d``: where these zones of vibration begin, NaN where the sensor is not graded. ``off_below``: its machine is
    off where it reads less, ``running_above``: runs from there on; NaN where it does not show that.
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
    alarm_readings: Int64
    alarm_readings_of: Int64
    rise_per_minute: Float64
    fall_per_minute: Float64
    rate_span: Int64
    resolution: Float64
    max_rate: Float64
    period: Int64
    lateness: Int64
    calibration_due: Int64
    regime: Int64
    fault_until: Int64
    group: Int64
    declared: Bool
    zone_c: Float64
    zone_d: Float64
    off_below: Float64
    running_above: Float64

    def __len__(self) -> int:
        return len(self.sensor)

    def take(self, rows: Int64) -> SensorTable:
        return SensorTable(*(getattr(self, f.name)[rows] for f in fields(self)))

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
