"""The limit from which a multivariate model calls rows anomalous, moved by what people said of windows. Pure.

It is the one part of the model that is learned step by step: what is normal, and how rare a distance is, stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mlops.learning.examples import Examples
from mlops.learning.ranges import stretches
from mlops.multivariate import Multivariate
from sensors.columns import Float64

STEP, TRIED = 0.5, 21
"""Decades by which the limit moves at most each time, and how many places on the way are tried."""
LOOSEST, TIGHTEST = 1.0, 4.0
"""A limit is between one normal row in ten and one in 10,000."""
WORTH = 0.01
"""Shares of rows less than so much apart are the same."""


class NothingSaid(ValueError):
    """Nobody said anything of the rows by which the limit would move."""


def moved(learned: Multivariate, examples: Examples) -> Multivariate:
    """The same model with the limit that does best by what was said: truth 1 = a fault, 0 = normal, NaN = not said.

    Every window counts the same, however long, by the share of its rows that are missed, or called anomalous; all rows
    of which nothing was said count as one more normal window. Of limits that do as well, or nearly so (``WORTH``), the
    nearest is taken. Raises ``NothingSaid``.
    """
    faults, normal = _windows(learned, examples)
    if not faults and len(normal) <= 1:
        raise NothingSaid("no window of what is learned from is labelled")
    now = -np.log10(learned.shape.budget)
    limits = np.clip(now + np.linspace(-STEP, STEP, TRIED), min(now, LOOSEST), max(now, TIGHTEST))
    costs = [_mean([(one <= limit).mean() for one in faults]) + _mean([(one > limit).mean() for one in normal])
             for limit in limits]  # fmt: skip
    good = [limit for limit, cost in zip(limits, costs, strict=True) if cost <= min(costs) + WORTH]
    best = min(good, key=lambda limit: abs(limit - now))
    return Multivariate(replace(learned.shape, budget=float(10.0**-best)), learned.planes, learned.tails)


def _mean(shares: list[float]) -> float:
    return float(np.mean(shares)) if shares else 0.0


def _windows(learned: Multivariate, examples: Examples) -> tuple[list[Float64], list[Float64]]:
    """How rare the rows of each window are, of faults and of what is normal; what is not answered is not rare."""
    score = np.nan_to_num(learned.answer(examples)["score"])
    rarity = score / np.maximum(1.0 - score, 1e-12)
    faults: list[Float64] = []
    normal = [rarity[np.isnan(examples.truth)]]
    for number in np.unique(examples.track):
        rows = np.flatnonzero(examples.track == number)
        for said, windows in ((1.0, faults), (0.0, normal)):
            windows += [rarity[rows[a : b + 1]] for a, b in stretches(examples.truth[rows] == said)]
    return faults, [one for one in normal if len(one)]
