"""A day of a sensor's readings as one small value: what comes out is bit for bit what went in.

Pure. Instants are the first one and the steps from one to the next, which cost nothing where they are all the same.
Values are whole numbers of some decimal (2150 hundredths for 21.5) where that gives back every bit of every one, else
the floats' own bits. Both, and the runs of equal quality, are cut to the bytes they need, laid out byte plane by byte
plane (the first bytes of all numbers, then the second ones), and compressed by zstd.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from sensors import rollups
from sensors.columns import Float64, Int64, UInt8
from sensors.pgcopy import Table

UInt64 = NDArray[np.uint64]

VERSION = 1
LEVEL = 3
MOST_DECIMALS = 9
EXACT = 2.0**53
"""Whole numbers up to here are floats without loss."""
RAW = 255
"""In the place of a number of decimals: the floats' own bits."""
SEAL = struct.Struct("<BI")  # version, checksum of what follows
HEAD = struct.Struct("<Iqq")  # readings, first instant, least step
NUMBERS = struct.Struct("<BBqI")  # form, width in bytes, least of the numbers, bytes that follow
RUNS = struct.Struct("<I")  # how many runs of equal quality and reason follow
PLAIN, STEPS, XOR = 0, 1, 2


class NotABlock(ValueError):
    """The bytes are no block of this version, or damaged."""


@dataclass(frozen=True, slots=True)
class Readings:
    """n readings of one sensor in order of time. ``at``: microseconds."""

    at: Int64
    value: Float64
    quality: UInt8
    reason: UInt8

    def __len__(self) -> int:
        return len(self.at)

    def take(self, index: Any) -> Readings:
        return Readings(self.at[index], self.value[index], self.quality[index], self.reason[index])

    def same(self, other: Readings) -> bool:
        """Bit for bit: -0.0 is not 0.0."""
        return all(
            getattr(self, name).tobytes() == getattr(other, name).tobytes()
            for name in ("at", "value", "quality", "reason")
        )


def encode(readings: Readings) -> bytes:
    """At least one reading, instants ascending, as bytes."""
    steps = np.diff(readings.at)
    least = int(steps.min()) if len(steps) else 0
    marks = readings.quality.astype(np.int64) << 8 | readings.reason
    runs = np.flatnonzero(np.diff(marks, prepend=0))
    body = b"".join(
        [
            HEAD.pack(len(readings), int(readings.at[0]), least),
            _numbers(steps - least),
            _floats(readings.value),
            RUNS.pack(len(runs)),
            *([_numbers(np.diff(runs, prepend=0)), _numbers(marks[runs])] if len(runs) else []),
        ]
    )
    return SEAL.pack(VERSION, zlib.crc32(body)) + body


def decode(data: bytes) -> Readings:
    """The inverse of ``encode``. Raises ``NotABlock``."""
    if len(data) < SEAL.size + HEAD.size or SEAL.unpack_from(data) != (VERSION, zlib.crc32(data[SEAL.size :])):
        raise NotABlock("wrong version or checksum")
    count, first, least = HEAD.unpack_from(data, SEAL.size)
    steps, place = _read_numbers(data, SEAL.size + HEAD.size, count - 1)
    at = np.full(count, first, np.int64)
    at[1:] += np.cumsum(steps + least)
    value, place = _read_floats(data, place, count)
    (runs,) = RUNS.unpack_from(data, place)
    marks = np.zeros(count, np.int64)
    if runs:
        gaps, place = _read_numbers(data, place + RUNS.size, runs)
        levels, _ = _read_numbers(data, place, runs)
        marks = _repeat(np.cumsum(gaps), levels, count)
    return Readings(at, value, (marks >> 8).astype(np.uint8), (marks & 0xFF).astype(np.uint8))


def _repeat(starts: Int64, levels: Int64, count: int) -> Int64:
    """Each level from its start to the next one's; 0 before the first."""
    lengths = np.diff(starts, append=count)
    return np.concatenate([np.zeros(int(starts[0]), np.int64), np.repeat(levels, lengths)])


def _floats(value: Float64) -> bytes:
    """Floats as bytes: the number of decimals, then numbers."""
    bits = value.view(np.int64)
    for decimals in range(MOST_DECIMALS + 1):
        scaled = np.rint(value * 10.0**decimals)
        if (np.abs(scaled) >= EXACT).any():
            break
        whole = scaled.astype(np.int64)
        if ((whole / 10.0**decimals).view(np.int64) == bits).all():
            return bytes([decimals]) + _numbers(whole)
    return bytes([RAW]) + _numbers(bits)


def _read_floats(data: bytes, place: int, count: int) -> tuple[Float64, int]:
    decimals = data[place]
    numbers, place = _read_numbers(data, place + 1, count)
    return (numbers.view(np.float64) if decimals == RAW else numbers / 10.0**decimals), place


def _numbers(numbers: Int64) -> bytes:
    """Whole numbers as bytes: as they are, as steps, or as what changed in their bits, whichever is shortest."""
    forms = [_form(PLAIN, numbers)]
    if len(numbers) > 1 and numbers.min() != numbers.max():
        forms += [
            _form(STEPS, np.diff(numbers, prepend=0)),
            _form(XOR, np.append(numbers[:1], numbers[1:] ^ numbers[:-1])),
        ]
    return min(forms, key=len)


def _form(form: int, numbers: Int64) -> bytes:
    least = int(numbers.min()) if len(numbers) else 0
    over = (numbers - least).view(np.uint64)  # wraps where the range is wider than 63 bits, and so does the way back
    width = (int(over.max()).bit_length() + 7) // 8 if len(over) else 0
    planes = over.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :width].T.tobytes()
    packed = zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(planes) if planes else b""
    return NUMBERS.pack(form, width, least, len(packed)) + packed


def _read_numbers(data: bytes, place: int, count: int) -> tuple[Int64, int]:
    form, width, least, size = NUMBERS.unpack_from(data, place)
    place += NUMBERS.size
    wide = np.zeros((count, 8), np.uint8)
    if size:
        planes = zstandard.ZstdDecompressor().decompress(data[place : place + size], max_output_size=width * count)
        wide[:, :width] = np.frombuffer(planes, np.uint8).reshape(width, count).T
    numbers = wide.view("<u8")[:, 0].astype(np.uint64).view(np.int64) + least
    if form == STEPS:
        numbers = np.cumsum(numbers)
    elif form == XOR:
        numbers = np.bitwise_xor.accumulate(numbers)
    return numbers, place + size


def encode_hours(hours: Table) -> bytes:
    """The rollups of one sensor as bytes: the table's byte planes, compressed; quick to read rather than smallest."""
    table = np.ascontiguousarray(hours, rollups.HOUR.newbyteorder("<")).copy()
    for name in rollups.POINTS:
        table[f"{name}_at"] -= table["hour_at"]
    planes = table.view(np.uint8).reshape(len(table), -1).T.tobytes()
    return zstandard.ZstdCompressor(level=LEVEL, write_content_size=True).compress(planes)


def decode_hours(packed: Sequence[bytes]) -> Table:
    """The inverse of ``encode_hours``, of many values at once, one after the other."""
    decompress, size = zstandard.ZstdDecompressor().decompress, rollups.HOUR.itemsize
    planes = [np.frombuffer(decompress(data), np.uint8).reshape(size, -1) for data in packed]
    if not planes:
        return np.empty(0, rollups.HOUR)
    rows = np.ascontiguousarray(np.concatenate(planes, axis=1).T)
    table = rows.view(rollups.HOUR.newbyteorder("<"))[:, 0]
    for name in rollups.POINTS:
        table[f"{name}_at"] += table["hour_at"]
    return table.astype(rollups.HOUR, copy=False)
