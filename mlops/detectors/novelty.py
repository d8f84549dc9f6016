"""Has this sensor ever been here? Where it was is remembered, and what is far from all of it is new.

``nearest`` and ``remember``: ``MEMORY`` places, each a value with the mean of the readings before it. The distance to
one is the larger of the two differences, in the sensor's own unit. What was newest when it came is kept. So a value is
new too where it is usual, but not after such readings.

``absence``: a sensor that lives in two states, the upper and the lower quarter of its range, and stays out of one of
them longer than ever before. What stays away is compared to the longest times of its own, as in ``tails``.

Scalar loops, compiled by numba; without it the same functions are their own slow oracle.
"""

from __future__ import annotations

import math

import numpy as np

from mlops.detectors.compiled import Kept, compiled, smallest
from mlops.detectors.tails import GENERATION, as_kept
from mlops.state import Array, Fields

MEMORY = 64
QUARTER = 0.25
STAYS = 5
"""Times away of each state that are kept, and that there must be before one is judged."""
LONG = 24
"""Readings: shorter times away do not count."""
MARGIN = 1.2
"""So many times the longest so far."""
BETWEEN = 0.1
"""Share of readings in the middle half of the range, above which there are not two states."""

FIELDS: Fields = {
    "places": (np.float64, (2, MEMORY), np.inf),  # values, and the means before them
    "newness": (np.float32, (MEMORY,), -1),  # the distance of each when it came; -1 where free
    # Of this generation of readings, and of the one before:
    "low": (np.float64, (2,), np.inf),
    "high": (np.float64, (2,), -np.inf),
    "between": (np.float64, (), 0),  # share of readings in the middle half of the range
    # Of the lower quarter of the range, and of the upper:
    "stays": (np.float64, (2, STAYS), 0),  # the longest times out of it, in readings
    "returns": (np.int64, (2,), 0),  # how often it came back after a long time
    "left": (np.int64, (2,), 0),  # the last reading in it
    "told": (np.int8, (2,), 0),  # whether this absence was told
}


@compiled
def nearest(kept: Kept, value: float, mean: float) -> tuple[float, float]:
    """The distance to the nearest place, and to the nearest value of any; 0 where none is known."""
    values, means = kept.places[0], kept.places[1]
    if values[0] == np.inf:
        return 0.0, 0.0
    place, alone = np.inf, np.inf
    for i in range(MEMORY):
        distance = abs(values[i] - value)
        alone = min(alone, distance)
        place = min(place, max(distance, abs(means[i] - mean)))
    return place, alone


@compiled
def remember(kept: Kept, value: float, mean: float, distance: float) -> None:
    """Take in a place that is newer than the least new one was, in its stead; the first one for good."""
    first, distance = kept.places[0, 0] == np.inf, as_kept(distance)
    place = smallest(kept.newness)
    if first or distance > max(float(kept.newness[place]), 0.0):
        kept.places[0, place], kept.places[1, place] = value, mean
        kept.newness[place] = np.inf if first else distance


@compiled
def follow_range(kept: Kept, value: float, t: int) -> None:
    """The range of two generations of readings."""
    if t > 0 and t % GENERATION == 0:
        kept.low[1], kept.high[1] = kept.low[0], kept.high[0]
        kept.low[0], kept.high[0] = np.inf, -np.inf
    kept.low[0], kept.high[0] = min(kept.low[0], value), max(kept.high[0], value)


@compiled
def width(kept: Kept) -> float:
    """Of the range; 0 while nothing is known."""
    return max(max(kept.high[0], kept.high[1]) - min(kept.low[0], kept.low[1]), 0.0)


@compiled
def absence(kept: Kept, value: float, t: int, learns: bool) -> float:
    """How rare it is for the sensor to stay out of one of its states for so long, when that is told for the first
    time; else 0. See ``tails`` for the measure."""
    whole = width(kept)
    if whole == 0.0:
        return 0.0
    share = (value - min(kept.low[0], kept.low[1])) / whole
    if learns:
        kept.between += ((QUARTER < share < 1.0 - QUARTER) - kept.between) / (t + 1)
    found = 0.0
    for side in range(2):
        inside = share < QUARTER if side == 0 else share > 1.0 - QUARTER
        away = t - kept.left[side]
        stays = kept.stays[side]
        if inside:
            if learns and away >= LONG:
                kept.returns[side] += 1
                least = smallest(stays)
                stays[least] = max(stays[least], float(away))
            kept.left[side], kept.told[side] = t, 0
        elif (
            kept.returns[side] >= STAYS
            and not kept.told[side]
            and kept.between <= BETWEEN
            and away >= MARGIN * _longest(stays)
        ):
            kept.told[side] = 1
            found = max(found, _rarity_of_stay(stays, float(away)))
    return found


@compiled
def _longest(stays: Array) -> float:
    longest = 0.0
    for stay in stays:
        longest = max(longest, stay)
    return longest


@compiled
def _rarity_of_stay(stays: Array, away: float) -> float:
    least, total = stays[smallest(stays)], 0.0
    for stay in stays:
        total += math.log(stay / least)
    slope = (total / (STAYS - 1) * STAYS + 1.0) / (STAYS + 4)
    return math.log(away / least) / slope
