"""Trouble of a device's clock, by its time stamps: a part of ``validate``, pure.

Four ways, each of which only a clock can go, so that a replayed year or a gateway that sends its backlog is none:

- **ahead**: measured more than ``AHEAD`` after it was received. A clock that is kept by NTP is right to a second, and
  a quartz left alone (50 ppm) takes two weeks to be a minute off.
- **rate**: of ``SPAN`` intervals in a row, gaps left out, three quarters are shorter than the sensor's period by a
  fifth, or longer by a quarter, after they were not. A period that never was right is a setting, and no fault.
- **behind**: of readings that are older than the newest, ``SET_BACK`` or more came as fast as they were measured (to
  within a factor of two): a clock that was set back. What a gateway had kept comes faster than that.
- **standing**: ``STANDING`` or more readings of the newest instant with another value than the first had.

Readings from ahead are bad (nobody can have measured them), those at another rate uncertain; what is behind is late or
out of order, and what stands is a conflict, as ever.
"""

from __future__ import annotations

import numpy as np

from agents.findings import FaultKind, SensorFault
from mlops.detectors.compiled import Kept, compiled
from mlops.state import Array, Fields
from sensors.columns import Columns, Int64, starts

AHEAD = 60_000_000
SPAN = 32
MOST = 24
SHORT, LONG = 0.8, 1.25
GAP_PERIODS = 10
SET_BACK = 12
STANDING = 3
FINE, FROM_AHEAD, SHORTER, LONGER = 0, 1, 2, 3

FIELDS: Fields = {
    "clock_at": (np.int64, (), 0),  # instant of the last reading
    "clock_seen": (np.bool_, (), 0),
    "clock_right": (np.bool_, (), 0),  # it has kept its period for a span
    "clock_start": (np.int64, (), 0),  # of the span that is being counted
    "clock_intervals": (np.int64, (), 0),
    "clock_short": (np.int64, (), 0),
    "clock_long": (np.int64, (), 0),
    "clock_wrong": (np.int64, (), 0),  # SHORTER or LONGER since
    "clock_since": (np.int64, (), 0),
    "clock_count": (np.int64, (), 0),
    "ahead_since": (np.int64, (), 0),
    "ahead_count": (np.int64, (), 0),
    "behind_at": (np.int64, (), 0),  # instant and arrival of the first of those behind
    "behind_received": (np.int64, (), 0),
    "behind_count": (np.int64, (), 0),
    "standing_at": (np.int64, (), 0),
    "standing_count": (np.int64, (), 0),
}


@compiled
def follow(kept: Kept, at: int, period: int, received: int) -> int:
    """``FINE``, or what is wrong with the stamp of a reading in order. ``period``, ``received``: 0 = not known."""
    wrong = _rate(kept, at, period)
    if received > 0 and at > received + AHEAD:
        if kept.ahead_count == 0:
            kept.ahead_since = at
        kept.ahead_count += 1
        return FROM_AHEAD
    kept.ahead_count = 0
    return wrong


@compiled
def _rate(kept: Kept, at: int, period: int) -> int:
    before, kept.clock_at = kept.clock_at, at
    if not kept.clock_seen:
        kept.clock_seen, kept.clock_start = True, at
        return FINE
    interval = at - before
    if period > 0 and interval <= GAP_PERIODS * period:
        kept.clock_intervals += 1
        kept.clock_short += interval < SHORT * period
        kept.clock_long += interval > LONG * period
        if kept.clock_intervals == SPAN:
            wrong = SHORTER if kept.clock_short >= MOST else LONGER if kept.clock_long >= MOST else FINE
            if wrong != kept.clock_wrong:
                kept.clock_since, kept.clock_count = kept.clock_start, SPAN - 1
            kept.clock_right |= wrong == FINE
            kept.clock_wrong = wrong
            kept.clock_start, kept.clock_intervals, kept.clock_short, kept.clock_long = at, 0, 0, 0
    kept.clock_count += 1
    return kept.clock_wrong if kept.clock_right else FINE


def behind(late: Columns, received: Int64, row: Int64, arrays: dict[str, Array]) -> list[SensorFault]:
    """Readings that are older than the newest of their sensor: do they come as fast as they were measured?

    ``late``: sorted by sensor and instant; ``received``: when each arrived, ``row``: its sensor's row in the memory.
    """
    heads = starts(late.sensor)
    found = []
    for start, end in zip(heads, np.append(heads[1:], len(late)), strict=True):
        s, last = row[start], end - 1
        if not arrays["behind_count"][s]:
            arrays["behind_at"][s], arrays["behind_received"][s] = late.at[start], received[start]
        arrays["behind_count"][s] += end - start
        count, since = int(arrays["behind_count"][s]), int(arrays["behind_at"][s])
        measured, came = int(late.at[last]) - since, int(received[last] - arrays["behind_received"][s])
        if count >= SET_BACK and 0 < measured <= 2 * came <= 4 * measured:
            detail = f"set back: {count} readings older than the newest, as fast as they were measured"
            found.append(SensorFault(int(late.sensor[last]), FaultKind.CLOCK, since, int(late.at[last]), count, detail))
    return found


def standing(clashes: Columns, newest: Int64, row: Int64, arrays: dict[str, Array]) -> list[SensorFault]:
    """Readings with the instant of another one and another value, sorted by sensor and instant. ``newest``: of each
    one's sensor, before this Run."""
    at = np.flatnonzero(clashes.at >= newest)
    if not len(at):
        return []
    here, rows = clashes.take(at), row[at]
    new = np.ones(len(at), np.bool_)
    new[1:] = (rows[1:] != rows[:-1]) | (here.at[1:] != here.at[:-1])
    first = np.flatnonzero(new)
    found = []
    for start, end in zip(first, np.append(first[1:], len(at)), strict=True):
        s, instant = rows[start], int(here.at[start])
        before = int(arrays["standing_count"][s]) if arrays["standing_at"][s] == instant else 0
        count = before + int(end - start)
        arrays["standing_at"][s], arrays["standing_count"][s] = instant, count
        if count >= STANDING:
            detail = f"stands still: {count} more readings of one instant"
            found.append(SensorFault(int(here.sensor[start]), FaultKind.CLOCK, instant, instant, count, detail))
    return found
