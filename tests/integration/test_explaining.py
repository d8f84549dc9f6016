"""Explanations of models from their inside, beside all choices of features; and whether a fault is put first."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops import classification, explain
from mlops.classification import Classifier
from mlops.learning import splits
from mlops.learning.examples import Examples, Track, everywhere
from mlops.learning.explained import Linear, Trees
from sensors.columns import Float64
from tests.bench import explaining

DERIVED = [("product", 0, 1), ("difference", 3, 2)]


def machine(*, seed: int = 1, states: int = 3) -> Examples:
    value = np.random.default_rng(seed).normal(0, 1, (240, 4))
    score = value[:, 0] * value[:, 1] + value[:, 3] - value[:, 2]
    return everywhere([Track("made", np.arange(240), value)], [np.digitize(score, np.linspace(-1, 1, states - 1))])


def taught(estimator: Any, *, states: int = 3, one_sided: bool = False) -> Classifier:
    whole = machine(states=states)
    whole.truth[:] = np.minimum(whole.truth, states - 1)
    inner = splits.in_turn(whole, splits.blocks_of_time(whole, length=8), folds=3, gap=0, seed=0)
    return classification.teach(
        whole, lambda: estimator, inner=inner, outputs=("state", "probability"), derived=DERIVED, one_sided=one_sided
    )


def forest() -> Any:
    return RandomForestClassifier(5, max_depth=4, random_state=1)


def linear() -> Any:
    return make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1))


def all_choices(score: Callable[[frozenset[int]], float], width: int) -> Float64:
    """Slow and obvious: Shapley's own formula."""
    told = np.zeros(width)
    for feature in range(width):
        others = [one for one in range(width) if one != feature]
        for size in range(width):
            weight = factorial(size) * factorial(width - size - 1) / factorial(width)
            for chosen in combinations(others, size):
                told[feature] += weight * (score(frozenset({*chosen, feature})) - score(frozenset(chosen)))
    return told


def of_tree(tree: Any, row: Float64, known: frozenset[int], column: int, node: int = 0) -> float:
    """What a tree says where only some inputs are known: both ways, by how many lessons went each."""
    left, right = tree.children_left[node], tree.children_right[node]
    if left == -1:
        value = tree.value[node, 0]
        return float(value[column] / value.sum())
    if tree.feature[node] in known:
        goes_left = np.float32(row[tree.feature[node]]) <= tree.threshold[node]
        return of_tree(tree, row, known, column, left if goes_left else right)
    size = tree.weighted_n_node_samples
    ways = [of_tree(tree, row, known, column, way) * size[way] for way in (left, right)]
    return float(sum(ways) / size[node])


def test_what_a_forest_is_told_by_is_what_all_choices_give() -> None:
    learned, asked = taught(forest()), machine(seed=2).take(np.arange(0, 240, 60))
    opened = learned.explained(asked)
    assert isinstance(opened, Trees)
    found = explain.explanation(learned, asked)
    for row in range(len(asked)):
        inputs, column = opened.inputs[row], int(opened.column[row])

        def score(known: frozenset[int], inputs: Float64 = inputs, column: int = column) -> float:
            trees = [one.tree_ for one in learned.estimator.estimators_]
            return float(np.mean([of_tree(tree, inputs, known, column) for tree in trees]))

        assert found.contributions[row] == pytest.approx(all_choices(score, 6) @ opened.shares, abs=1e-6)
        assert found.base[row] == pytest.approx(score(frozenset()), abs=1e-6)


def test_what_a_discriminant_is_told_by_is_what_all_choices_give() -> None:
    learned, asked = taught(linear()), machine(seed=2).take(np.arange(0, 240, 60))
    opened = learned.explained(asked)
    assert isinstance(opened, Linear)
    found = explain.explanation(learned, asked)
    place = np.searchsorted(learned.classes, learned.answer(asked)["state"])
    for row in range(len(asked)):
        inputs = opened.inputs[row]

        def score(known: frozenset[int], inputs: Float64 = inputs, row: int = row) -> float:
            seen = np.array([inputs[k] if k in known else learned.mean[k] for k in range(6)])
            logs = learned.estimator.decision_function(seen[None])[0]
            return float(logs[place[row]] - np.mean(np.delete(logs, place[row])))

        assert found.contributions[row] == pytest.approx(all_choices(score, 6) @ opened.shares)
        assert found.base[row] == pytest.approx(score(frozenset()))


def boosted() -> Any:
    return GradientBoostingClassifier(n_estimators=5, random_state=1)


def raw_score(learned: Classifier, inputs: Float64, column: int) -> float:
    estimator = learned.estimator
    if isinstance(estimator, RandomForestClassifier):
        return float(estimator.predict_proba(inputs[None])[0, column])
    logs = np.atleast_1d(estimator.decision_function(inputs[None])[0])
    if len(logs) == 1:
        return float(logs[0] if column == 1 else -logs[0])
    return float(logs[column] - np.mean(np.delete(logs, column)))


@pytest.mark.parametrize(
    ("make", "states", "one_sided"),
    [
        (forest, 2, True),
        (forest, 3, False),
        (linear, 2, False),
        (linear, 3, False),
        (boosted, 2, False),
        (boosted, 2, True),
    ],
)
def test_contributions_sum_to_the_score_less_its_base(make: Callable[[], Any], states: int, *, one_sided: bool) -> None:
    learned, asked = taught(make(), states=states, one_sided=one_sided), machine(seed=2)
    found, opened = explain.explanation(learned, asked), learned.explained(asked)
    told = learned.answer(asked)["state"]
    for row in range(0, 240, 24):
        column = 1 if one_sided else int(np.searchsorted(learned.classes, told[row]))
        expected = raw_score(learned, opened.inputs[row], column)
        assert found.contributions[row].sum() + found.base[row] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(explain.contributions(learned, asked), found.contributions)


@pytest.mark.parametrize("make", [forest, linear])
def test_a_question_that_is_not_answered_is_not_explained(make: Callable[[], Any]) -> None:
    learned, asked = taught(make()), machine(seed=2).take(np.arange(5))
    asked.tracks[0].value[2, 1] = np.nan
    assert np.isnan(explain.contributions(learned, asked)).all(axis=1).tolist() == [False, False, True, False, False]
    asked.tracks[0].value[:, 1] = np.nan
    assert np.isnan(explain.contributions(learned, asked)).all()
    assert explain.contributions(learned, asked.take(np.zeros(0, np.int64))).shape == (0, 4)


def test_the_feature_at_fault_is_put_first_nine_times_in_ten() -> None:
    for row in explaining.rows(trials=60):
        assert row["ok"], row
