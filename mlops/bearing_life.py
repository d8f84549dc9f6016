"""How long a bearing lasts, from its age and its vibration beside its own beginning. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from mlops import coverage
from mlops.beginnings import Look, by_track, filled, logarithms, medians, usual
from mlops.learning.contract import Answers
from mlops.learning.examples import Examples
from sensors.columns import Float64, Int64

LOW, HIGH = 0.1, 0.9
OUTPUTS = ("rul_p10", "rul_p50", "rul_p90")
AGO = 5
"""The trend of the level: over so many times the span of now."""
SHORTEST_S = 1.0
"""A life is not told to end sooner."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What is seen of a bearing when its life is asked for.

    ``age``: the column with its age in seconds. ``groups``: columns that are one thing along several axes, whose mean
    counts, the level first. ``vibration``: False = its age alone.
    """

    look: Look
    age: int
    groups: tuple[tuple[int, ...], ...]
    vibration: bool = True

    def of(self, examples: Examples) -> Float64:
        """(n, signs), NaN = not known: the logarithm of age; of each group now, and beside the beginning; the trend of
        the level."""
        signs = np.full((len(examples), 2 + 2 * len(self.groups) if self.vibration else 1), np.nan)
        for value, asked in by_track(examples, self.look):
            signs[asked, 0] = np.log(np.maximum(value[examples.end[asked] - 1, self.age], SHORTEST_S))
            if self.vibration:
                signs[asked, 1:] = self._vibration(value, [int(end) for end in examples.end[asked]])
        return signs

    def _vibration(self, value: Float64, ends: list[int]) -> Float64:
        columns = np.concatenate([np.array(group) for group in self.groups])
        seen = logarithms(value[: max(ends), columns], np.ones(len(columns), np.bool_))
        begun = self._grouped(medians(self.look.beginning(seen)))
        now = [self._grouped(self.look.now(seen, end)) for end in ends]
        ago = [self._grouped(self.look.now(seen, max(self.look.last, end - AGO * self.look.last))) for end in ends]
        return np.array([[*n, *(n - begun), n[0] - a[0]] for n, a in zip(now, ago, strict=True)])

    def _grouped(self, middle: Float64) -> Float64:
        heads = np.cumsum([0, *(len(group) for group in self.groups)])
        pieces = [middle[a:b] for a, b in pairwise(heads)]
        return np.array([piece[np.isfinite(piece)].mean() if np.isfinite(piece).any() else np.nan for piece in pieces])


@dataclass(frozen=True)
class TimeToFailure:
    """P10, P50 and P90 of the seconds left, and whether it is proven that they cover what they promise.

    ``estimator``: from signs to the logarithm of the seconds left; ``offsets``: (3,), added to that: the first and the
    last so that of bearings left out in turn a tenth lay below and above, the middle is the estimator's own;
    ``instead``: (signs,), taken for one that is not known; ``covered``: what a second leaving out found of the
    intervals.
    """

    signs: Signs
    estimator: Any
    offsets: Float64
    instead: Float64
    covered: coverage.Coverage
    kind = "time-to-failure"

    def answer(self, examples: Examples) -> Answers:
        signs = self.signs.of(examples)
        known = np.isfinite(signs).any(axis=1)
        left = np.full((3, len(examples)), np.nan)
        if known.any():
            left[:, known] = self.estimator.predict(filled(signs[known], self.instead)) + self.offsets[:, None]
        told = dict(zip(OUTPUTS, np.exp(left), strict=True))
        return told | {"coverage_proven": np.where(known, float(self.covered.proven), np.nan)}

    def parts(self) -> dict[str, Any]:
        look = [self.signs.look.skip, self.signs.look.first, self.signs.look.last]
        return {
            "look": look, "age": self.signs.age, "groups": [list(group) for group in self.signs.groups],
            "vibration": self.signs.vibration, "estimator": self.estimator, "offsets": self.offsets,
            "instead": self.instead,
            "observed": self.covered.observed, "least": self.covered.least, "machines": self.covered.machines,
        }  # fmt: skip

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> TimeToFailure:
        groups = tuple(tuple(group) for group in parts["groups"])
        signs = Signs(Look(*parts["look"]), parts["age"], groups, parts["vibration"])
        covered = coverage.Coverage(parts["observed"], parts["least"], parts["machines"])
        return cls(signs, parts["estimator"], parts["offsets"], parts["instead"], covered)


def learn(examples: Examples, signs: Signs, *, width: float, penalty: float) -> TimeToFailure:
    """``truth``: seconds left; ``width`` and ``penalty``: of the support vectors' kernel and of their errors.

    The offsets are of bearings that were left out in turn. Whether intervals made in this way cover what they promise
    is found by leaving out each bearing once more, from all of it. Raises ``ValueError`` for fewer than two bearings.
    """
    seen = signs.of(examples)
    known = np.isfinite(examples.truth) & np.isfinite(seen).any(axis=1)
    examples, instead = examples.take(known), usual(seen[known])
    seen, left = filled(seen[known], instead), np.log(np.maximum(examples.truth, SHORTEST_S))
    bearings = np.unique(examples.track)
    if len(bearings) < 2:
        raise ValueError("a time to failure is learned from two bearings that failed, at least")
    table = _Table(seen, left, examples.track, width, penalty)
    shares = [table.share_within(bearing) for bearing in bearings] if len(bearings) > 2 else []
    covered = coverage.over_machines(np.array(shares))
    return TimeToFailure(signs, table.fitted(bearings), table.offsets(bearings), instead, covered)


@dataclass(frozen=True, slots=True)
class _Table:
    """Signs and logarithms of seconds left of n questions about bearings, and how they are learned from."""

    seen: Float64
    left: Float64
    bearing: Int64
    width: float
    penalty: float

    def fitted(self, bearings: Int64) -> Any:
        mine = np.isin(self.bearing, bearings)
        vectors = SVR(C=self.penalty, gamma=self.width / self.seen.shape[1])
        estimator = make_pipeline(StandardScaler(), vectors)
        return estimator.fit(self.seen[mine], self.left[mine])

    def offsets(self, bearings: Int64) -> Float64:
        """(3,), from how much more was left than told by those who knew all but that bearing."""
        errors = []
        for bearing in bearings:
            mine = self.bearing == bearing
            errors.append(self.left[mine] - self.fitted(bearings[bearings != bearing]).predict(self.seen[mine]))
        weights = np.concatenate([np.full(len(error), 1 / len(error)) for error in errors])
        low, high = weighted_quantiles(np.concatenate(errors), weights, (LOW, HIGH))
        return np.array([min(low, 0.0), 0.0, max(high, 0.0)])

    def share_within(self, bearing: Int64) -> float:
        """The share of its truths within the interval that all the others make."""
        others = np.unique(self.bearing[self.bearing != bearing])
        mine = self.bearing == bearing
        low, _, high = self.fitted(others).predict(self.seen[mine]) + self.offsets(others)[:, None]
        return float(np.mean((self.left[mine] >= low) & (self.left[mine] <= high)))


def weighted_quantiles(values: Float64, weights: Float64, shares: Sequence[float]) -> Float64:
    """(shares,): the least values at or below which lie these shares of the weight."""
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    places = np.searchsorted(below, np.array(shares) - 1e-12)
    return values[order][np.minimum(places, len(values) - 1)]


@dataclass(frozen=True)
class LineOfAge:
    """Seconds left from age alone: ``start`` + ``slope`` * age, each (3,), and never less than none."""

    age: int
    start: Float64
    slope: Float64
    kind = "line-of-age"

    def answer(self, examples: Examples) -> Answers:
        age = examples.now[:, self.age] if len(examples) else np.empty(0)
        left = np.maximum(self.start[:, None] + self.slope[:, None] * age, 0.0)
        unproven = np.where(np.isfinite(age), 0.0, np.nan)
        return dict(zip(OUTPUTS, left, strict=True)) | {"coverage_proven": unproven}

    def parts(self) -> dict[str, Any]:
        return {"age": self.age, "start": self.start, "slope": self.slope}

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> LineOfAge:
        return cls(parts["age"], parts["start"], parts["slope"])


def mean_life(examples: Examples, age: int) -> LineOfAge:
    """As long as others lived, less its age. ``truth``: seconds left."""
    known = examples.take(np.isfinite(examples.truth))
    lives = [float((known.truth + known.now[:, age])[known.track == track][-1]) for track in np.unique(known.track)]
    low, high = np.quantile(lives, (LOW, HIGH))
    return LineOfAge(age, np.array([low, np.mean(lives), high]), -np.ones(3))


def as_long_again(age: int) -> LineOfAge:
    """Nothing is special about now: at an instant drawn from a life, between a ninth of the age and nine times it is
    left with 80 %, and as much as it again with 50 % (Gott, Implications of the Copernican principle, 1993)."""
    return LineOfAge(age, np.zeros(3), np.array([1 / 9, 1.0, 9.0]))
