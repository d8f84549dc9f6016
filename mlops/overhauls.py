"""Machines that wear, are suddenly much less worn, and wear again: a new life begins there. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from sklearn.linear_model import Ridge

from mlops import trends
from mlops.learning.examples import Examples
from mlops.regimes import Regimes
from sensors.columns import Float64, Int64

ROWS = 10
"""Over so many the wear is averaged: what is gone again sooner is no overhaul."""
SHARE = 0.5
"""Of what a machine wears from its first row to its last: it has to be taken back at once, and within its life a third
of that at most is taken back by chance."""
STIFF = 1.0


@dataclass(frozen=True, slots=True)
class Wear:
    """``weights``: (sensors,) from sensors beside their regime to wear, as lives that are used up; ``fall``: of wear,
    beside the most there was before, that only an overhaul makes, infinite = none is ever seen."""

    weights: Float64
    fall: float

    def of(self, normal: Float64, ends: Int64) -> Float64:
        """(n,): the mean over the last rows before each of the ends. ``normal``: (t, sensors)."""
        return np.nan_to_num(trends.means(normal, ends, rows=ROWS)) @ self.weights

    def begun(self, normal: Float64) -> Int64:
        """(t,): in which row the life began that the machine is in, as far as is known by each row."""
        begun, begin = np.zeros(len(normal), np.int64), 0
        while np.isfinite(self.fall):
            wear = self.of(normal[begin:], np.arange(1, len(normal) - begin + 1))
            most = np.maximum.accumulate(wear[ROWS - 1 : -ROWS])
            fallen = np.flatnonzero(most - wear[2 * ROWS - 1 :] >= self.fall)
            if not len(fallen):
                break
            seen = begin + 2 * ROWS - 1 + int(fallen[0])
            begin = seen + 1 - 2 * ROWS + self._where_it_falls(normal[seen + 1 - 2 * ROWS : seen + 1])
            begun[seen:] = begin
        return begun

    def _where_it_falls(self, rows: Float64) -> int:
        """Before which of the rows the mean of wear falls most clearly (least squares)."""
        wear = np.nan_to_num(rows) @ self.weights
        before = np.arange(1, len(wear))
        sums = np.cumsum(wear)[:-1]
        apart = sums / before - (wear.sum() - sums) / before[::-1]
        return int(before[np.argmax(np.sign(apart) * apart**2 * before * before[::-1])])


def never(sensors: int) -> Wear:
    return Wear(np.zeros(sensors), np.inf)


def learn(examples: Examples, usual: Regimes, *, furthest: float) -> Wear:
    """From machines that were watched until they failed. ``truth``: rows left; more than ``furthest`` are as many."""
    bare = never(usual.middle.shape[1])
    rows, worn = np.zeros((len(examples), len(bare.weights))), np.minimum(examples.truth, furthest)
    for number in np.unique(examples.track):
        mine = np.flatnonzero(examples.track == number)
        ends = examples.end[mine]
        normal = usual.normal(examples.tracks[number].value[: ends.max()])
        rows[mine] = np.nan_to_num(trends.means(normal, ends, rows=ROWS))
    known = np.isfinite(worn)
    if not known.any():
        return bare
    weights = -np.asarray(Ridge(STIFF).fit(rows[known], worn[known]).coef_, np.float64)
    span = _span(rows @ weights, examples)
    return replace(bare, weights=weights, fall=SHARE * span) if span > 0 else bare


def _span(wear: Float64, examples: Examples) -> float:
    """By how much a machine is more worn at its last question than at its first: the median."""
    order = np.lexsort((examples.end, examples.track))
    heads = np.flatnonzero(np.diff(examples.track[order], prepend=-1))
    lasts = np.append(heads[1:], len(order)) - 1
    return float(np.median(wear[order[lasts]] - wear[order[heads]]))


def until_the_next(examples: Examples, wear: Wear, usual: Regimes) -> Examples:
    """The same questions with the rows left until the machine fails or is overhauled, whichever comes first."""
    truth = examples.truth.copy()
    for number in np.unique(examples.track):
        begins = np.unique(wear.begun(usual.normal(examples.tracks[number].value)))
        mine = np.flatnonzero(examples.track == number)
        following = np.searchsorted(begins, examples.end[mine])
        cut = following < len(begins)
        truth[mine[cut]] = begins[following[cut]] - examples.end[mine[cut]]
    return replace(examples, truth=truth)


def lives(examples: Examples) -> Float64:
    """(n,): how many rows the life has in all that a question is asked in. ``truth``: rows left of it."""
    last = examples.end + examples.truth
    found = last.copy()
    for number in np.unique(examples.track):
        mine = examples.track == number
        ends = np.unique(last[mine])
        begins = np.concatenate([[0.0], ends[:-1]])
        found[mine] -= begins[np.searchsorted(ends, last[mine])]
    return found
