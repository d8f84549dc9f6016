"""Saturation: a part of ``validate``, pure.

An amplifier or converter at its end shows the same number whatever the machine does (its rail: the 0 or 4,095 of 12
bits, 20.5 mA of a current loop by NAMUR NE 43), and no reading is ever beyond it. So a sensor is saturated where its
readings are identical with the largest or smallest there ever was, and so often as never before: clipped crests with
other readings between them, or one plateau. Readings at the sensor's physical limit are among these, since what is
beyond it does not count.

A reading at the extreme fills a bucket by 1, any other drains it by ``LEAK``; from max(``PLENTY``, ``FACTOR`` x the
fullest before) on they are bad. A continuous quantity meets its extreme once; one that rests at its end has filled the
bucket before, and one with coarse steps another that counts readings like the one before wherever they are: so they
set their own threshold, as with ``stuck``. What rests at an end when it is first met is not judged there. The smallest
value is no rail where it is 0: there a machine that is off is as good an explanation.
"""

from __future__ import annotations

import numpy as np

from mlops.detectors.compiled import Kept, compiled
from mlops.state import Fields

PLENTY = 8.0
FACTOR = 3.0
LEAK = 0.125
CHANGES = 120
"""Changes a sensor must have shown before its extremes can be held against it."""
FULL = 2.0
"""The bucket holds so many times its threshold: what is over is over soon."""
LOW, HIGH = 0, 1

FIELDS: Fields = {
    "rail": (np.float64, (2,), -np.inf),  # the smallest value so far, with its sign changed, and the largest
    "rail_hits": (np.float64, (2,), 0),  # how full the bucket is
    "rail_peak": (np.float64, (2,), 0),  # and was, since it was empty
    "rail_most": (np.float64, (2,), 0),  # the fullest of those that ended
    "rail_since": (np.int64, (2,), 0),  # the first reading of those at the extreme
    "rail_count": (np.int64, (2,), 0),
    "same": (np.float64, (), 0),  # the bucket of readings like the one before, between the extremes, and the fullest
    "same_most": (np.float64, (), 0),
    "varied": (np.int64, (), 0),  # changes, up to CHANGES
    "before": (np.float64, (), np.nan),
}


@compiled
def follow(kept: Kept, at: int, value: float) -> int:
    """1 + the side at which the sensor is saturated, 0 where it is not."""
    if value == kept.before:
        if -kept.rail[LOW] < value < kept.rail[HIGH]:
            kept.same += 1.0
            kept.same_most = max(kept.same_most, kept.same)
    else:
        kept.same = max(kept.same - LEAK, 0.0)
        kept.varied = min(kept.varied + (kept.before == kept.before), CHANGES)
        kept.before = value
    low, high = _touch(kept, LOW, at, -value), _touch(kept, HIGH, at, value)
    if kept.varied < CHANGES:
        return 0
    if high:
        return 1 + HIGH
    return 1 + LOW if low and value != 0.0 else 0


@compiled
def _touch(kept: Kept, side: int, at: int, value: float) -> bool:
    """Whether this reading is one of those at the extreme of a side, and they are too many."""
    if value < kept.rail[side]:
        if kept.rail_hits[side] > 0.0:
            kept.rail_hits[side] -= LEAK
            if kept.rail_hits[side] <= 0.0:
                _settle(kept, side, False)
        return False
    if value > kept.rail[side]:
        kept.rail[side] = value
        _settle(kept, side, True)
    if kept.rail_hits[side] == 0.0:
        kept.rail_since[side], kept.rail_count[side] = at, 0
    if kept.varied < CHANGES and kept.rail_hits[side] >= PLENTY:
        kept.rail_most[side] = np.inf
    threshold = max(PLENTY, FACTOR * max(kept.rail_most[side], kept.same_most))
    kept.rail_hits[side] = min(kept.rail_hits[side] + 1.0, FULL * threshold)
    kept.rail_peak[side] = max(kept.rail_peak[side], kept.rail_hits[side])
    kept.rail_count[side] += 1
    return bool(kept.rail_hits[side] >= threshold)


@compiled
def _settle(kept: Kept, side: int, farther: bool) -> None:
    """What was at the extreme is over, and is known from now on."""
    most = 0.0 if farther and kept.rail_most[side] == np.inf else kept.rail_most[side]
    kept.rail_most[side] = max(most, kept.rail_peak[side])
    kept.rail_hits[side], kept.rail_peak[side] = 0.0, 0.0
