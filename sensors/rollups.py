"""What an hour of a sensor comes to: how many readings, their mean and spread, the extremes, the first and the last.

Pure. A table of rollups is a structured array of ``HOUR``. Extremes, first and last are over all readings, each with
its quality, so that a picture made from them shows what one made from the readings shows. ``mean`` and ``m2`` (the sum
of squared differences from it) are over the ``counted`` ones: of good quality, and not beyond ``LARGEST``, where a
square is no float any more.
"""

from __future__ import annotations

import numpy as np

from sensors import m4
from sensors.columns import SECOND_US, Bool, Columns, Float64, Int64, UInt8
from sensors.pgcopy import Table

HOUR_US = 3_600 * SECOND_US
GOOD = 0
LARGEST = 1e140
SMALLEST_MEAN = 1e-100
"""A mean nearer to zero counts as zero, so that no product of means is too small to be a float: Postgres refuses it."""
HOUR = np.dtype(
    [
        ("sensor_id", "i8"), ("hour_at", "i8"), ("readings", "i4"), ("counted", "i4"), ("mean", "f8"), ("m2", "f8"),
        ("low", "f8"), ("low_at", "i8"), ("high", "f8"), ("high_at", "i8"), ("first", "f8"), ("first_at", "i8"),
        ("last", "f8"), ("last_at", "i8"), ("qualities", "i2"),
    ]
)  # fmt: skip
INSTANTS = ("hour_at", "low_at", "high_at", "first_at", "last_at")
POINTS = ("first", "low", "high", "last")
QUALITY_BITS = 2
"""``qualities``: that of each of ``POINTS``, the first in the lowest bits."""


def of(columns: Columns, *, quality: UInt8) -> Table:
    """The rollups of n readings in order of sensor and instant; ``quality``: length n."""
    starts = beginnings(columns)
    found = np.zeros(len(starts), HOUR)
    if not len(columns):
        return found
    ends = np.append(starts[1:], len(columns))
    found["sensor_id"], found["hour_at"] = columns.sensor[starts], columns.at[starts] // HOUR_US * HOUR_US
    found["readings"] = ends - starts
    _spread(found, columns.value, (quality == GOOD) & (np.abs(columns.value) <= LARGEST), starts=starts)
    low = m4.first_that_is(columns.value, np.minimum.reduceat(columns.value, starts), starts=starts, ends=ends)
    high = m4.first_that_is(columns.value, np.maximum.reduceat(columns.value, starts), starts=starts, ends=ends)
    for shift, (name, at) in enumerate(zip(POINTS, (starts, low, high, ends - 1), strict=True)):
        found[name], found[f"{name}_at"] = columns.value[at], columns.at[at]
        found["qualities"] |= quality[at].astype(np.int16) << np.int16(QUALITY_BITS * shift)
    return found


def beginnings(columns: Columns) -> Int64:
    """The positions at which another sensor or another hour begins, of readings in order of sensor and instant."""
    hour = columns.at // HOUR_US
    new = np.ones(len(columns), np.bool_)
    new[1:] = (columns.sensor[1:] != columns.sensor[:-1]) | (hour[1:] != hour[:-1])
    return np.flatnonzero(new)


def _spread(found: Table, value: Float64, counted: Bool, *, starts: Int64) -> None:
    number = np.add.reduceat(counted.astype(np.int64), starts)
    safe = np.where(counted, value, 0.0)
    mean = np.add.reduceat(safe, starts) / np.maximum(number, 1)
    mean[np.abs(mean) < SMALLEST_MEAN] = 0.0
    off = np.where(counted, safe - np.repeat(mean, found["readings"]), 0.0)
    found["counted"], found["mean"], found["m2"] = number, mean, np.add.reduceat(off * off, starts)


def merge(table: Table, *, length: int) -> Table:
    """Rollups of one sensor put together into ones of ``length`` microseconds (hours into hours, or into days).

    The spread by the formula of Chan, Golub and LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979. ``hour_at`` becomes the start of the longer one.
    """
    table = table[np.argsort(table["first_at"], kind="stable")]
    bucket = table["hour_at"] // length
    table, bucket = table[np.argsort(bucket, kind="stable")], np.sort(bucket)
    starts = np.flatnonzero(np.append(True, bucket[1:] != bucket[:-1])[: len(bucket)])
    found = table[starts]
    if not len(table):
        return found
    ends = np.append(starts[1:], len(table))
    found["hour_at"] = bucket[starts] * length
    number = np.add.reduceat(table["counted"], starts)
    mean = np.add.reduceat(table["counted"] * table["mean"], starts) / np.maximum(number, 1)
    off = table["mean"] - np.repeat(mean, ends - starts)
    found["readings"], found["counted"] = np.add.reduceat(table["readings"], starts), number
    found["mean"], found["m2"] = mean, np.add.reduceat(table["m2"] + table["counted"] * off * off, starts)
    found["qualities"] = 0
    picks = {"first": starts, "last": _last(table["last_at"], starts=starts, ends=ends)}
    for name, extreme in (("low", np.minimum), ("high", np.maximum)):
        wanted = np.repeat(extreme.reduceat(table[name], starts), ends - starts)
        instants = np.where(table[name] == wanted, table[f"{name}_at"], np.iinfo(np.int64).max)
        picks[name] = m4.first_that_is(instants, np.minimum.reduceat(instants, starts), starts=starts, ends=ends)
    for shift, name in enumerate(POINTS):
        at = picks[name]
        found[name], found[f"{name}_at"] = table[name][at], table[f"{name}_at"][at]
        found["qualities"] |= table["qualities"][at] & np.int16(3 << (QUALITY_BITS * shift))
    return found


def _last(at: Int64, *, starts: Int64, ends: Int64) -> Int64:
    return m4.first_that_is(at, np.maximum.reduceat(at, starts), starts=starts, ends=ends)


def points(table: Table) -> tuple[Int64, Float64, UInt8]:
    """Instants, values and qualities of all firsts, lows, highs and lasts, ascending, each reading once."""
    at = np.concatenate([table[f"{name}_at"] for name in POINTS])
    value = np.concatenate([table[name] for name in POINTS])
    quality = np.concatenate([(table["qualities"] >> (QUALITY_BITS * n)) & 3 for n in range(len(POINTS))])
    at, kept = np.unique(at, return_index=True)
    return at, value[kept], quality[kept].astype(np.uint8)
