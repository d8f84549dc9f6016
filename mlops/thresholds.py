"""The limit from which a multivariate model calls rows anomalous, moved by what people said of windows. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sensors.columns import Float64

STEP, TRIED = 0.5, 21
"""Decades by which the limit moves at most each time, and how many places on the way are tried."""
LOOSEST, TIGHTEST = 1.0, 4.0
"""A limit is between one normal row in ten and one in 10,000."""
WORTH = 0.01
"""Shares of rows less than so much apart are the same."""


class NothingSaid(ValueError):
    """Nobody said anything of the rows by which the limit would move."""


def moved(budget: float, faults: Sequence[Float64], normal: Sequence[Float64]) -> float:
    """The budget (the share of normal rows that may be called anomalous) that does best by what was said.

    ``faults`` and ``normal``: of each window how rare its rows are; all rows of which nothing was said are one more
    normal window. Every window counts the same, however long, by the share of its rows that are missed, or called
    anomalous. Of limits that do as well, or nearly so (``WORTH``), the nearest is taken. Raises ``NothingSaid``.
    """
    normal = [one for one in normal if len(one)]
    if not faults and len(normal) <= 1:
        raise NothingSaid("no window of what is learned from is labelled")
    now = -np.log10(budget)
    limits = np.clip(now + np.linspace(-STEP, STEP, TRIED), min(now, LOOSEST), max(now, TIGHTEST))
    costs = [_mean([(one <= limit).mean() for one in faults]) + _mean([(one > limit).mean() for one in normal])
             for limit in limits]  # fmt: skip
    good = [limit for limit, cost in zip(limits, costs, strict=True) if cost <= min(costs) + WORTH]
    best = min(good, key=lambda limit: abs(limit - now))
    return float(10.0**-best)


def _mean(shares: Sequence[float]) -> float:
    return float(np.mean(shares)) if shares else 0.0
