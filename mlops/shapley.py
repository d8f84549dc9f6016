"""Shapley values: what each feature adds to a score, so that all of them sum to the score less its base
(Shapley, A value for n-person games, 1953). Pure.

Of a linear score in closed form. Of any other by asking with features set to what is usual: all choices of features
where these are few, otherwise orders drawn by lot, each beside its reverse (Mitchell et al., Sampling permutations for
Shapley value estimation, 2022).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial

import numpy as np

from mlops.learning.contract import Learned
from mlops.learning.examples import Examples, Track
from mlops.learning.explained import Linear
from sensors.columns import Bool, Float64, Int64

MOST_ROWS = 4096
"""How many rows are put before a model at a time, so that what it needs in memory has a limit."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """``contributions``: (n, features), in the unit of the score; ``base``: (n,), the score where nothing is known;
    ``base + contributions.sum(axis=1)`` is the score. NaN where the question is not answered."""

    contributions: Float64
    base: Float64


def of_linear(found: Linear) -> Explanation:
    """Weight times distance from the mean: exact where features are taken to vary independently."""
    return Explanation(found.weights * (found.inputs - found.mean) @ found.shares, found.base)


def of_answers(
    learned: Learned, examples: Examples, *, output: str, usual: Float64 | None, rows: int, most: int, seed: int
) -> Explanation:
    """By asking alone: each question ``most`` times or less, but in two orders at least."""
    width = examples.tracks[0].value.shape[1]
    told, base = np.full((len(examples), width), np.nan), np.full(len(examples), np.nan)
    for number, (track, end) in enumerate(zip(examples.track.tolist(), examples.end.tolist(), strict=True)):
        game = _Game(learned, examples.tracks[track], end, output=output, usual=usual, rows=rows)
        if 2**width <= max(2, most):
            told[number], base[number] = _all_choices(game, width)
        else:
            told[number], base[number] = _orders(game, width, most=most, lot=np.random.default_rng([seed, number]))
    return Explanation(told, base)


class _Game:
    """What a model says of one question where only some of the features are as they were."""

    def __init__(
        self, learned: Learned, track: Track, end: int, *, output: str, usual: Float64 | None, rows: int
    ) -> None:
        first = max(0, end - rows) if rows else 0
        self.learned = learned
        self.at = track.at[first:end]
        self.value = track.value[first:end]
        self.usual = _median(track.value[:end]) if usual is None else usual
        self.output = output
        self.unit = track.unit

    def scores(self, kept: Bool) -> Float64:
        """(k,) of (k, features)."""
        step = max(1, MOST_ROWS // max(1, len(self.at)))
        return np.concatenate([self._ask(kept[first : first + step]) for first in range(0, len(kept), step)])

    def _ask(self, kept: Bool) -> Float64:
        tracks = tuple(Track(self.unit, self.at, np.where(keep, self.value, self.usual)) for keep in kept)
        count = len(tracks)
        asked = Examples(
            tracks, np.arange(count, dtype=np.int64), np.full(count, len(self.at), np.int64), np.full(count, np.nan)
        )
        answers = self.learned.answer(asked)
        return answers[self.output or next(iter(answers))]


def _median(value: Float64) -> Float64:
    """(features,), NaN where nothing is known."""
    usual = np.full(value.shape[1], np.nan)
    some = np.isfinite(value).any(axis=0)
    usual[some] = np.nanmedian(value[:, some], axis=0)
    return usual


def _all_choices(game: _Game, width: int) -> tuple[Float64, float]:
    """Every choice of features once: a choice is a number whose bits say who is in it."""
    choice = np.arange(2**width)
    kept = (choice[:, None] >> np.arange(width)) & 1 == 1
    score, size = game.scores(kept), kept.sum(axis=1)
    weight = np.array([factorial(k) * factorial(width - k - 1) / factorial(width) for k in range(width)])
    told = np.empty(width)
    for feature in range(width):
        without = choice[~kept[:, feature]]
        told[feature] = np.sum(weight[size[without]] * (score[without | 1 << feature] - score[without]))
    return told, float(score[0])


def _orders(game: _Game, width: int, *, most: int, lot: np.random.Generator) -> tuple[Float64, float]:
    """Features come in one after the other, in orders drawn by lot: what each adds, on average over the orders."""
    pairs = max(1, (most - 2) // (2 * (width - 1)))
    orders = np.concatenate([[order, order[::-1]] for order in (lot.permutation(width) for _ in range(pairs))])
    ends = game.scores(np.array([[False] * width, [True] * width]))
    between = game.scores(np.concatenate([_growing(order) for order in orders])).reshape(len(orders), width - 1)
    path = np.column_stack([np.full(len(orders), ends[0]), between, np.full(len(orders), ends[1])])
    told = np.zeros(width)
    for order, added in zip(orders, np.diff(path, axis=1), strict=True):
        told[order] += added
    return told / len(orders), float(ends[0])


def _growing(order: Int64) -> Bool:
    """(width - 1, width): the first of the order, the first two, ... all but the last."""
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank < np.arange(1, len(order))[:, None]
