"""Detectors that a user would take from a library, each with its defaults and the same three numbers of a reading.

river's HalfSpaceTrees judges before it learns, reading by reading. scikit-learn's IsolationForest is fitted once, on
the readings of the probation. Both are given what is commonly given: the value, its difference to the one before, and
the mean of the last ``SPAN`` values.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
from river import anomaly, compose, preprocessing
from sklearn.ensemble import IsolationForest

from sensors.columns import Float64

SPAN = 24
SEED = 1
NAMES = ("value", "difference", "mean")

Judge = Callable[[Float64, int], Float64]
"""The scores (0..1, NaN = not judged) of a series of n values whose first so many are known to be its past."""


def features(value: Float64) -> Float64:
    """Of n values (n x 3), each from itself and those before."""
    sums = np.concatenate([[0.0], np.cumsum(value)])
    ends = np.arange(1, len(value) + 1)
    begins = np.maximum(ends - SPAN, 0)
    return np.column_stack([value, np.diff(value, prepend=value[:1]), (sums[ends] - sums[begins]) / (ends - begins)])


def half_space_trees(value: Float64, past: int) -> Float64:
    """Streaming; ``past`` is judged too, as the others of its kind do in their probation."""
    model = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=SEED))
    scores = np.empty(len(value))
    for n, numbers in enumerate(features(value).tolist()):
        reading = dict(zip(NAMES, numbers, strict=True))
        scores[n] = model.score_one(reading)
        model.learn_one(reading)
    return scores


def isolation_forest(value: Float64, past: int) -> Float64:
    """Fitted on the past, which is not judged."""
    numbers = features(value)
    model = IsolationForest(random_state=SEED).fit(numbers[:past])
    scores = np.full(len(value), np.nan)
    if past < len(value):
        scores[past:] = -model.score_samples(numbers[past:])
    return scores


RIVALS: Mapping[str, Judge] = {
    "HalfSpaceTrees (river)": half_space_trees,
    "IsolationForest (scikit-learn)": isolation_forest,
}


def rate(judge: Judge, value: Float64, past: int) -> float:
    """Readings a second, of one series after the other: ``value`` is sensors x n."""
    began = time.perf_counter()
    for one in value:
        judge(one, past)
    return value.size / (time.perf_counter() - began)
