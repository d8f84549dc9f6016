"""Other ways to say that a window drifted, for ``tests.bench.drifting``: of each window a p of each feature."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import special, stats

from mlops.drift import discovery, windows
from mlops.drift.windows import Window
from sensors.columns import Bool, Float64

LEVEL = 0.05
BINS, STABLE = 10, 0.2
DRAWS, SEED, GRID = 199, 1, 32

Judge = Callable[[Sequence[Window], Sequence[Window]], Bool]
"""From the windows of a reference and later ones: which of the later ones drifted, in any feature."""


def any_small(p: Float64) -> Bool:
    """What is commonly done: each feature by itself."""
    return np.asarray((p < LEVEL).any(axis=1))


def any_discovery(p: Float64) -> Bool:
    return np.array([bool(np.any(discovery.q_values(one) <= LEVEL)) for one in p])


def smirnov(given: Sequence[Window], later: Sequence[Window]) -> Float64:
    """Kolmogorov and Smirnov's test of all readings, as if each were independent."""
    pool = windows.together(given).value
    return np.array([stats.ks_2samp(pool, one.value, axis=0, method="asymp").pvalue for one in later])


def smirnov_effective(given: Sequence[Window], later: Sequence[Window]) -> Float64:
    """The same, with as many readings as they are worth by their autocorrelation in the reference."""
    pool = windows.together(given).value
    dear = np.array([inefficiency(column) for column in pool.T])
    out = []
    for one in later:
        d = stats.ks_2samp(pool, one.value, axis=0, method="asymp").statistic
        root = np.sqrt(len(pool) * len(one) / (len(pool) + len(one)) / dear)
        out.append(special.kolmogorov(d * (root + 0.12 + 0.11 / root)))
    return np.array(out)


def inefficiency(column: Float64) -> float:
    """How many readings are worth one: 1 + 2 x the sum of the autocorrelations of the ranks, as far as the sums of
    two neighbours stay positive (Geyer 1992)."""
    off = stats.rankdata(column) - (len(column) + 1) / 2
    power = np.abs(np.fft.rfft(off, 2 * len(off))) ** 2
    covariance = np.fft.irfft(power)[: len(off) // 2 * 2]
    if covariance[0] <= 0:
        return 1.0
    pairs = (covariance / covariance[0]).reshape(-1, 2).sum(axis=1)
    end = int(np.argmax(pairs <= 0)) if (pairs <= 0).any() else len(pairs)
    return max(1.0, float(2 * pairs[:end].sum() - 1))


def smirnov_blocks(given: Sequence[Window], later: Sequence[Window]) -> Float64:
    """Kolmogorov and Smirnov's distance beside that of windows drawn as blocks of the reference (Kuensch 1989), each
    2 x sqrt(rows) long."""
    pool, dice = windows.together(given).value, np.random.default_rng(SEED)
    edges = np.quantile(pool, (np.arange(GRID) + 0.5) / GRID, axis=0)
    rows = len(later[0])
    long = max(2, round(2 * rows**0.5))
    below = np.cumsum(pool[:, None] <= edges, axis=0, dtype=np.float64)
    whole = below[-1] / len(pool)
    blocks = (below[long:] - below[:-long]) / long

    def drawn(length: int) -> Float64:
        return np.asarray(blocks[dice.integers(0, len(blocks), -(-length // long))].mean(axis=0))

    null = np.array([np.abs(drawn(rows) - drawn(len(pool))).max(axis=0) for _ in range(DRAWS)])
    d = np.array([np.abs((one.value[:, None] <= edges).mean(axis=0) - whole).max(axis=0) for one in later])
    return np.asarray((1 + (null[None] >= d[:, None]).sum(axis=1)) / (1 + DRAWS))


def unstable(given: Sequence[Window], later: Sequence[Window]) -> Bool:
    """Population stability index of ten bins above 0.2, in any feature."""
    pool = windows.together(given).value
    edges = np.quantile(pool, np.arange(1, BINS) / BINS, axis=0)
    before = shares(pool, edges)
    indices = [
        ((shares(one.value, edges) - before) * np.log(shares(one.value, edges) / before)).sum(0) for one in later
    ]
    return np.asarray((np.array(indices) > STABLE).any(axis=1))


def shares(value: Float64, edges: Float64) -> Float64:
    """(bins, features), none below 1 in 10,000."""
    found = [np.bincount(np.searchsorted(edges[:, k], column), minlength=BINS) for k, column in enumerate(value.T)]
    return np.maximum(np.array(found).T / len(value), 1e-4)


JUDGES: dict[str, Judge] = {
    "KS, p < 0.05": lambda given, later: any_small(smirnov(given, later)),
    "PSI > 0.2": unstable,
    "KS, BH": lambda given, later: any_discovery(smirnov(given, later)),
    "KS by moving blocks, BH": lambda given, later: any_discovery(smirnov_blocks(given, later)),
    "KS of effective size, BH": lambda given, later: any_discovery(smirnov_effective(given, later)),
}
