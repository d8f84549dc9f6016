"""How rare a distance is among the largest of a sensor's own: what makes distances of different kinds comparable.

A peak is the largest distance in a block of ``BLOCK`` readings. The ``PEAKS`` largest of this generation of readings
and of the one before are kept. Beyond the smallest of them, d_H, the tail is that of Hill (1975) and Weissman (1978): a
peak of d or more is expected H * exp(-rarity) times in the history they stand for, with

    rarity = log(d / d_H) / xi,    xi = mean of log(d_i / d_H) over the peaks, drawn towards ``PRIOR``.

Scalar loops, compiled by numba; without it the same functions are their own slow oracle.
"""

from __future__ import annotations

import math

import numpy as np

from mlops.detectors.compiled import Kept, compiled, smallest, sort
from mlops.state import Fields

PEAKS = 8
BLOCK = 8
GENERATION = 4000
"""Readings of a generation: a multiple of the block."""
PRIOR, PRIOR_PEAKS = 0.5, 4.0
DUST = 0.01
"""Of the sensor's range: what is less is no distance."""
OUT_OF_ALL_PROPORTION = 10.0
"""The rarity of any distance where fewer than ``PEAKS`` blocks have ever had one."""


def fields(kinds: int) -> Fields:
    """Of each kind of distance."""
    return {
        "now": (np.float32, (kinds, PEAKS), 0),  # the largest peaks of this generation
        "before": (np.float32, (kinds, PEAKS), 0),  # and of the one before
        "peak": (np.float64, (kinds,), 0),  # the largest distance of the block under way
        "blocks": (np.int64, (kinds,), 0),  # how many are over
        "least": (np.float64, (kinds,), -1),  # the smallest of the largest peaks; -1 while there were too few blocks
        "slope": (np.float64, (kinds,), 0),  # of the tail above it
    }


@compiled
def as_kept(distance: float) -> float:
    """To the precision of what is kept: one that was there before is not larger by a rounding."""
    return float(np.float32(distance))


@compiled
def rarity(kept: Kept, kind: int, distance: float) -> float:
    """0 where the distance is nothing special."""
    least, distance = kept.least[kind], as_kept(distance)
    if distance <= max(least, 0.0) or least < 0.0:
        return 0.0
    if least == 0.0:
        return OUT_OF_ALL_PROPORTION
    return math.log(distance / least) / kept.slope[kind]


@compiled
def reach(kept: Kept, kind: int, rare: float) -> float:
    """The distance that is as rare as that; NaN while nothing is known of any."""
    least = kept.least[kind]
    return least * math.exp(kept.slope[kind] * rare) if least > 0.0 else np.nan


@compiled
def learn(kept: Kept, kind: int, distance: float, t: int, width: float) -> None:
    """Take in the distance of the reading number ``t`` of a sensor with a range so wide."""
    kept.peak[kind] = max(kept.peak[kind], as_kept(distance))
    if (t + 1) % BLOCK:
        return
    peak, place = kept.peak[kind], smallest(kept.now[kind])
    kept.peak[kind] = 0.0
    kept.blocks[kind] += 1
    kept.now[kind, place] = max(float(kept.now[kind, place]), peak)
    turns = (t + 1) % GENERATION == 0
    if turns:
        kept.before[kind] = kept.now[kind]
        kept.now[kind] = 0.0
    if turns or peak > kept.least[kind] or kept.least[kind] < DUST * width:
        _shape(kept, kind, DUST * width)


@compiled
def _shape(kept: Kept, kind: int, dust: float) -> None:
    """The largest peaks of both generations, and the slope of their tail."""
    if kept.blocks[kind] < PEAKS:
        return
    both = np.empty(2 * PEAKS)
    both[:PEAKS], both[PEAKS:] = kept.now[kind], kept.before[kind]
    sort(both)
    least, total = max(both[PEAKS], dust), 0.0
    kept.least[kind] = least
    if least > 0.0:
        for i in range(PEAKS + 1, 2 * PEAKS):
            total += math.log(max(both[i], dust) / least)
        mean = total / (PEAKS - 1)
        kept.slope[kind] = (mean * PEAKS + PRIOR * PRIOR_PEAKS) / (PEAKS + PRIOR_PEAKS)


@compiled
def history(t: int) -> int:
    """Readings that the peaks stand for when the reading number ``t`` comes."""
    return t if t < GENERATION else GENERATION + t % GENERATION
