"""How much each feature contributed to what a model says: Shapley values (Shapley, A value for n-person games, 1953).

The contributions of a question sum to its score less the base, and no feature gets any that changes nothing. Linear
models: in closed form. Trees: TreeExplainer (Lundberg et al., From local explanations to global understanding with
explainable AI for trees, 2020). All others are asked again with features set to what is usual: all choices of features
where these are few, otherwise orders drawn by lot, each beside its reverse (Mitchell et al., Sampling permutations for
Shapley value estimation, 2022). Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import Protocol, runtime_checkable

import numpy as np
import shap

from mlops.learning.contract import Learned
from mlops.learning.examples import Examples, Track
from mlops.learning.explained import Linear, Trees
from sensors.columns import Bool, Float64

MOST_ANSWERS = 1024
"""How often a model that tells nothing of itself is asked about one question: all choices of ten features."""
MOST_ROWS = 4096
"""How many rows are put before a model at a time, so that what it needs in memory has a limit."""


@runtime_checkable
class Open(Protocol):
    """A model that tells how its score comes about."""

    def explained(self, examples: Examples) -> Linear | Trees: ...


@dataclass(frozen=True, slots=True)
class Explanation:
    """``contributions``: (n, features), in the unit of the score; ``base``: (n,), the score where nothing is known;
    ``base + contributions.sum(axis=1)`` is the score. NaN where the question is not answered."""

    contributions: Float64
    base: Float64


def contributions(learned: Learned, examples: Examples) -> Float64:
    """(n, features): what each feature of the signature adds to the score of each question."""
    return explanation(learned, examples).contributions


def explanation(
    learned: Learned, examples: Examples, *, output: str = "", usual: Float64 | None = None, rows: int = 0,
    most: int = MOST_ANSWERS, seed: int = 0,
) -> Explanation:  # fmt: skip
    """A model that tells how its score comes about is explained by that; the rest is for the others.

    ``output``: which answer is the score, "" = the first; ``usual``: (features,) what stands for a feature that is
    taken away, by default its median on the track before the question; ``rows``: how far back the model looks, 0 = all
    the way; ``most``: how often it is asked about one question, at most.
    """
    if not len(examples):
        width = examples.tracks[0].value.shape[1] if examples.tracks else 0
        return Explanation(np.zeros((0, width)), np.zeros(0))
    if isinstance(learned, Open):
        match learned.explained(examples):
            case Linear() as linear:
                return of_linear(linear)
            case Trees() as trees:
                return of_trees(trees)
    return of_answers(learned, examples, output=output, usual=usual, rows=rows, most=most, seed=seed)


def of_linear(found: Linear) -> Explanation:
    """Weight times distance from the mean: exact where features are taken to vary independently."""
    return Explanation(found.weights * (found.inputs - found.mean) @ found.shares, found.base)


def of_trees(found: Trees) -> Explanation:
    known = np.isfinite(found.inputs).all(axis=1)
    told, base = np.full(found.inputs.shape, np.nan), np.full(len(found.inputs), np.nan)
    if known.any():
        explainer = shap.TreeExplainer(found.estimator)
        values = np.asarray(explainer.shap_values(found.inputs[known]), np.float64)
        expected = np.atleast_1d(np.asarray(explainer.expected_value, np.float64))
        column = found.column[known]
        told[known] = values if values.ndim == 2 else values[np.arange(len(values)), :, column]
        base[known] = expected[column]
    return Explanation(told @ found.shares, base)


def of_answers(
    learned: Learned, examples: Examples, *, output: str, usual: Float64 | None, rows: int, most: int, seed: int
) -> Explanation:
    """By asking alone. Every question is asked ``most`` times or less."""
    width = examples.tracks[0].value.shape[1]
    told, base = np.full((len(examples), width), np.nan), np.full(len(examples), np.nan)
    for number, (track, end) in enumerate(zip(examples.track.tolist(), examples.end.tolist(), strict=True)):
        game = _Game(learned, examples.tracks[track], end, output=output, usual=usual, rows=rows)
        if 2**width <= most:
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


def _growing(order: np.ndarray) -> Bool:
    """(width - 1, width): the first of the order, the first two, ... all but the last."""
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank < np.arange(1, len(order))[:, None]
