"""The control charts every plant knows, and what is simpler still: what a multivariate model has to beat.

Limits are taken from the normal rows themselves, as is usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.ensemble import IsolationForest

from mlops.learning.contract import Answers
from mlops.learning.examples import Examples
from mlops.multivariate import ANYONE, FAR
from mlops.planes import deviation, middle
from sensors.columns import Float64

EVERYTHING, SIGMAS, T2, T2_AND_Q, FOREST = "everything", "3 sigma", "T2", "T2 and Q", "isolation forest"
METHODS = (EVERYTHING, SIGMAS, T2, T2_AND_Q, FOREST)
SHARE, EXPLAINED, TREES, SEED = 0.99, 0.9, 50, 1


class Chart:
    """Answers ``score`` and ``anomalous``. ``normal``: of each unit its normal rows, (m, f); ``warm_up``: so many first
    rows of a track are instead, 0 = none."""

    kind = "chart"

    def __init__(self, method: str, normal: Mapping[str, Float64], *, warm_up: int = 0, by_unit: bool = False) -> None:
        if method not in METHODS:
            raise ValueError(f"no chart is called {method}: {', '.join(METHODS)}")
        self.method, self.normal, self.warm_up, self.by_unit = method, dict(normal), warm_up, by_unit

    def parts(self) -> dict[str, Any]:
        return {"method": self.method, "normal": self.normal, "warm_up": self.warm_up, "by_unit": self.by_unit}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Chart:
        return cls(parts["method"], parts["normal"], warm_up=parts["warm_up"], by_unit=parts["by_unit"])

    def answer(self, examples: Examples) -> Answers:
        score, anomalous = np.full(len(examples), np.nan), np.full(len(examples), np.nan)
        for number in np.unique(examples.track):
            track, place = examples.tracks[number], np.flatnonzero(examples.track == number)
            place = place[examples.end[place] > self.warm_up]
            unit = track.unit if self.by_unit else ANYONE
            normal = track.value[: self.warm_up] if self.warm_up else self.normal.get(unit)
            if normal is not None and len(place):
                score[place] = distance = strangeness(self.method, normal, track.value[examples.end[place] - 1])
                anomalous[place] = distance > 0.5
        return {"score": score, "anomalous": anomalous}


def charts(examples: Examples, *, warm_up: int, by_unit: bool) -> dict[str, Chart]:
    """All of them, from the questions whose truth is 0."""
    normal: dict[str, Float64] = {}
    if not warm_up:
        calm = examples.take(examples.truth == 0)
        unit = np.array([examples.tracks[number].unit if by_unit else ANYONE for number in calm.track], np.str_)
        rows = calm.now
        normal = {str(one): rows[unit == one] for one in np.unique(unit)}
    return {method: Chart(method, normal, warm_up=warm_up, by_unit=by_unit) for method in METHODS}


def strangeness(method: str, normal: Float64, rows: Float64) -> Float64:
    """(n,), 0 to 1, a half = at the limit. What is missing is taken for usual."""
    spread = deviation(normal)
    spread = np.where(spread > 0.0, spread, 1.0)
    own, asked = [np.nan_to_num(np.clip((part - middle(normal)) / spread, -FAR, FAR)) for part in (normal, rows)]
    ratio = np.full(len(rows), np.inf)
    if method == SIGMAS:
        ratio = np.abs(asked).max(axis=1) / 3.0
    if method in {T2, T2_AND_Q}:
        ratio = _beyond(own, asked, off=method == T2_AND_Q)
    if method == FOREST:
        forest = IsolationForest(n_estimators=TREES, random_state=SEED).fit(own)
        ratio = -forest.score_samples(asked) / max(float(np.quantile(-forest.score_samples(own), SHARE)), 1e-9)
    return np.asarray(np.where(np.isinf(ratio), 1.0, ratio / (1.0 + np.where(np.isinf(ratio), 0.0, ratio))))


def _beyond(own: Float64, asked: Float64, *, off: bool) -> Float64:
    """T2 over its limit, or Q over its own where that is more."""
    values, vectors = np.linalg.eigh(own.T @ own / len(own))
    values, vectors = np.maximum(values[::-1], 1e-9), vectors[:, ::-1]
    kept = 1 + int(np.searchsorted(np.cumsum(values), EXPLAINED * values.sum()))
    axes = vectors[:, :kept]

    def both(rows: Float64) -> Float64:
        along = rows @ axes
        left = rows - along @ axes.T
        return np.stack([np.sum(along**2 / values[:kept], axis=1), np.sum(left**2, axis=1)])

    ratio = both(asked) / np.maximum(np.quantile(both(own), SHARE, axis=1), 1e-9)[:, None]
    return np.asarray(ratio.max(axis=0) if off else ratio[0])
