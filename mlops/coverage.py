"""Do intervals hold what they promise, as far as a few machines can show it? Pure.

Readings of one machine tell much the same, so that it is machines that count: of six that all lay within, no more
than 61 % is shown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from sensors.columns import Float64

PROMISED = 0.8
"""Share between P10 and P90."""
SLACK = 0.1
"""How much less than promised may be shown: an interval cannot show all it promises unless it covers more."""
CONFIDENCE = 0.95
MANY = 30
"""Machines: the mean of so many is near enough to normal for how much they differ to count."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """``observed``: mean share of truths within the interval, over machines that it was not made from; ``least``: what
    it is at least, with ``CONFIDENCE``; ``machines``: of how many. NaN where none could be left out."""

    observed: float
    least: float
    machines: int

    @property
    def proven(self) -> bool:
        return self.least >= PROMISED - SLACK


def over_machines(shares: Float64) -> Coverage:
    """``shares``: of each machine the share of its truths within the interval."""
    if not len(shares):
        return Coverage(math.nan, math.nan, 0)
    least = least_mean(shares)
    if len(shares) >= MANY:
        least = max(least, least_mean_of_many(shares))
    return Coverage(float(shares.mean()), least, len(shares))


def least_mean_of_many(shares: Float64, confidence: float = CONFIDENCE) -> float:
    """The same from how much the shares differ, as their mean is about normal.

    Two machines are added of which all truths lie without: with none or one it would be above a true mean of 70 % too
    often where a machine's truths lie all within or all without.
    """
    more = np.append(shares, np.zeros(2))
    return float(more.mean() - NormalDist().inv_cdf(confidence) * more.std(ddof=1) / math.sqrt(len(more)))


def least_mean(shares: Float64, confidence: float = CONFIDENCE) -> float:
    """Lower bound of the mean that n independent shares in [0, 1] were drawn from, whatever their distribution.

    The p below the observed mean m at which n KL(m || p) = -ln(1 - confidence) (Hoeffding 1963, theorem 1); where all
    are 1 that is (1 - confidence)^(1/n).
    """
    mean, enough = float(shares.mean()), -math.log1p(-confidence) / len(shares)
    low, high = 0.0, mean
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _divergence(mean, middle) > enough else (low, middle)
    return low


def _divergence(mean: float, of: float) -> float:
    """Kullback and Leibler's, of two coins."""
    if of <= 0.0:
        return math.inf if mean > 0.0 else 0.0
    inside = mean * math.log(mean / of) if mean > 0.0 else 0.0
    return inside + ((1 - mean) * math.log((1 - mean) / (1 - of)) if mean < 1.0 else 0.0)
