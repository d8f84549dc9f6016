"""Many instants in ISO 8601 to microseconds since the epoch, together. Pure.

The usual spellings, ``2026-03-01T12:00:00`` with up to six decimals and ``Z`` or an offset behind it, are read as
columns of digits; whatever else is left to ``datetime.fromisoformat``, which also says what such a text means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache

import numpy as np

from sensors.columns import SECOND_US, Float64, Int64, UInt8, from_instant

FEW = 60
"""Up to so many, one call of ``fromisoformat`` for each costs less than the columns do (measured)."""
PLAIN = "dddd-1d-3dT2d:5d:5d"
"""How the usual spellings begin: a digit is a place that takes 0 to that digit, d one that takes any."""
LONGEST = 32
FIRST_YEAR, LAST_YEAR = 1900, 2199
MONTHS = [date(year, month, 1) for year in range(FIRST_YEAR, LAST_YEAR + 2) for month in range(1, 13)]
BEGINS = np.array([(month - date(1970, 1, 1)).days for month in MONTHS])
"""Days from the epoch to the first of each month, from January of ``FIRST_YEAR`` on."""
LASTS = np.diff(BEGINS)


@dataclass(frozen=True, slots=True)
class Spelling:
    """For each of L characters the least it may be and by how much it may be above it; and what its digit counts for:
    a matrix of L by (months since the year 0, month, day, hour, microseconds of the day in UTC)."""

    least: UInt8
    room: UInt8
    weights: Float64


@cache
def _spelling(length: int, *, offset: str) -> Spelling | None:
    """Of texts of that length that end in Z (no ``offset``), or in an offset with that sign; None for any other."""
    tail = f"{offset}1d:5d" if offset else "Z"
    decimals = length - len(PLAIN) - len(tail) - 1
    if decimals == 0 or not -1 <= decimals <= 6:
        return None
    pattern = PLAIN + ("." + "d" * decimals if decimals > 0 else "") + tail
    least = ["0" if mark in "d1235" else mark for mark in pattern]
    room = [9 if mark == "d" else int(mark) if mark in "1235" else 0 for mark in pattern]
    weights = np.zeros((length, 5))
    weights[:4, 0] = np.array([1000, 100, 10, 1]) * 12
    for column, place in ((0, 5), (1, 5), (2, 8), (3, 11)):
        weights[place : place + 2, column] = 10, 1
    for place, seconds in ((11, 3_600), (14, 60), (17, 1)):
        weights[place : place + 2, 4] = 10 * seconds * SECOND_US, seconds * SECOND_US
    for place in range(decimals):
        weights[len(PLAIN) + 1 + place, 4] = 10 ** (5 - place)
    if offset:
        minute = 60 * SECOND_US * (-1 if offset == "+" else 1)
        weights[[-5, -4, -2, -1], 4] = np.array([600, 60, 10, 1]) * minute
    return Spelling(np.array([ord(mark) for mark in least], np.uint8), np.array(room, np.uint8), weights)


def read(texts: Sequence[str]) -> Int64 | None:
    """Microseconds since 1970-01-01 UTC of n texts; None where one of them is no instant with an offset."""
    if len(texts) <= FEW:
        return one_by_one(texts)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if (lengths == lengths[0]).all():
        return alike(texts)
    at = np.empty(len(texts), np.int64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        part = alike([texts[row] for row in rows.tolist()])
        if part is None:
            return None
        at[rows] = part
    return at


def one_by_one(texts: Sequence[str]) -> Int64 | None:
    """The same, whatever the spelling."""
    at = []
    for text in texts:
        try:
            instant = datetime.fromisoformat(text)
            if instant.tzinfo is None:
                return None
            at.append(from_instant(instant))
        except (ValueError, OverflowError):
            return None
    return np.array(at, np.int64)


def alike(texts: Sequence[str]) -> Int64 | None:
    """The same for texts of one length, fast where all are spelled in the same usual way."""
    first, joined = texts[0], "".join(texts)
    offset = "" if first.endswith("Z") else first[-6:-5]
    spelling = _spelling(len(first), offset=offset) if offset in ("", "+", "-") and len(first) <= LONGEST else None
    if spelling is None or not joined.isascii():
        return one_by_one(texts)
    digits = np.frombuffer(joined.encode(), np.uint8).reshape(len(texts), len(first)) - spelling.least
    if (digits > spelling.room).any():  # what was less than the least has wrapped around
        return one_by_one(texts)
    months, month, day, hour, micros = (digits.astype(np.float64) @ spelling.weights).astype(np.int64).T
    which = months - (FIRST_YEAR * 12 + 1)
    usual = month.min() >= 1 and month.max() <= 12 and hour.max() <= 23 and day.min() >= 1
    if not usual or which.min() < 0 or which.max() >= len(LASTS) or (day > LASTS[which]).any():
        return one_by_one(texts)
    return np.asarray((BEGINS[which] + day - 1) * (86_400 * SECOND_US) + micros)
