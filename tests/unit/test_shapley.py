"""Contributions by asking alone, beside every order of the features."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from mlops import shapley
from mlops.learning.contract import Answers
from mlops.learning.examples import Examples, Track
from mlops.learning.explained import Linear
from sensors.columns import Float64


class Asked:
    """A score of the row of now, that counts how often it was asked."""

    kind = "made"

    def __init__(self, score: Callable[[Float64], Float64]) -> None:
        self.score = score
        self.times = 0

    def parts(self) -> dict[str, Any]:
        return {}

    def answer(self, examples: Examples) -> Answers:
        self.times += len(examples)
        return {"score": self.score(examples.now), "other": np.zeros(len(examples))}


def crooked(now: Float64) -> Float64:
    return np.asarray(now[:, 0] * now[:, 1] + np.maximum(now[:, 2], now[:, 3]) ** 2 - 3 * now[:, 3])


def machine(width: int, *, rows: int = 9, seed: int = 1) -> Examples:
    value = np.random.default_rng(seed).normal(0, 2, (rows, width))
    return Examples(
        (Track("made", np.arange(rows), value),), np.zeros(2, np.int64), np.array([rows - 3, rows]), np.full(2, np.nan)
    )


def told(learned: Asked, examples: Examples, **also: Any) -> shapley.Explanation:
    given = {"output": "", "usual": None, "rows": 0, "most": 1024, "seed": 0, **also}
    return shapley.of_answers(learned, examples, **given)


def in_every_order(score: Callable[[Float64], Float64], now: Float64, usual: Float64) -> Float64:
    """Slow and obvious: what each feature adds when it comes in, on average over all orders."""
    width = len(now)
    added = np.zeros(width)
    orders = list(permutations(range(width)))
    for order in orders:
        seen = usual.copy()
        for feature in order:
            before = score(seen[None])[0]
            seen[feature] = now[feature]
            added[feature] += score(seen[None])[0] - before
    return added / len(orders)


def test_all_choices_are_what_every_order_gives() -> None:
    asked = machine(5)
    found = told(Asked(crooked), asked)
    for row, end in enumerate(asked.end):
        usual = np.median(asked.tracks[0].value[:end], axis=0)
        assert found.contributions[row] == pytest.approx(in_every_order(crooked, asked.now[row], usual))
        assert found.base[row] == pytest.approx(crooked(usual[None])[0])


@pytest.mark.parametrize(("width", "most"), [(5, 1024), (5, 20), (12, 300), (1, 1)])
def test_contributions_sum_to_the_score_less_its_base(width: int, most: int) -> None:
    def score(now: Float64) -> Float64:
        return np.asarray(np.sin(now.sum(axis=1)) * now[:, 0])

    learned, asked = Asked(score), machine(width)
    found = told(learned, asked, most=most)
    assert learned.times <= 2 * max(most, 2)
    assert found.contributions.sum(axis=1) + found.base == pytest.approx(score(asked.now))


def test_orders_by_lot_come_near_to_all_choices_and_are_the_same_again() -> None:
    asked = machine(6)
    near, again = (told(Asked(crooked), asked, most=60).contributions for _ in range(2))
    assert near.tobytes() == again.tobytes()
    assert near == pytest.approx(told(Asked(crooked), asked).contributions, abs=1.5)
    assert np.all(near[:, 4:] == 0), "what is not looked at contributes nothing"


def test_what_is_usual_and_the_answer_can_be_chosen() -> None:
    asked = machine(4)
    found = told(Asked(crooked), asked, usual=np.zeros(4), rows=1)
    assert found.base == pytest.approx([0.0, 0.0])
    assert np.all(told(Asked(crooked), asked, output="other").contributions == 0)


def test_a_feature_that_was_never_known_does_not_hide_the_others() -> None:
    asked = machine(4)
    asked.tracks[0].value[:, 1] = np.nan

    def deaf(now: Float64) -> Float64:
        return np.asarray(now[:, 0] * 2 + now[:, 2])

    found = told(Asked(deaf), asked)
    assert found.contributions.sum(axis=1) + found.base == pytest.approx(deaf(asked.now))
    assert np.all(found.contributions[:, 1] == 0)


def test_a_linear_score_is_what_every_order_gives() -> None:
    lot = np.random.default_rng(2)
    inputs, weights, mean = lot.normal(size=(3, 4)), lot.normal(size=(3, 4)), lot.normal(size=4)
    found = shapley.of_linear(Linear(inputs, weights, mean, np.ones(3), np.eye(4)))
    for row in range(3):
        score = lambda now, w=weights[row]: 1 + (now - mean) @ w  # noqa: E731
        assert found.contributions[row] == pytest.approx(in_every_order(score, inputs[row], mean))
    halves = np.array([[1, 0], [0, 1], [0.5, 0.5], [0.5, 0.5]])
    shared = shapley.of_linear(Linear(inputs, weights, mean, np.ones(3), halves))
    assert shared.contributions.sum(axis=1) == pytest.approx(found.contributions.sum(axis=1))
