"""What names the state of a machine: causal, calibrated, made anew from its parts, silent where a value is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops import classification
from mlops.classification import Classifier
from mlops.learning import figures, splits
from mlops.learning.examples import Examples, Track, everywhere

OUTPUTS = ("state", "probability")


def forest() -> Any:
    return RandomForestClassifier(8, random_state=1)


def linear() -> Any:
    return make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.01))


def machine(*, states: int = 3, rows: int = 240, seed: int = 3) -> Examples:
    """Three features, of which the first two say the state; the last never changes."""
    lot = np.random.default_rng(seed)
    state = np.repeat(lot.integers(states, size=rows // 8), 8).astype(float)
    value = np.column_stack([state + lot.normal(0, 0.4, rows), lot.normal(0, 1, rows) - state, np.full(rows, 7.0)])
    return everywhere([Track("made", np.arange(rows), value)], [state * 10])


def taught(examples: Examples, make: classification.Make = linear, **also: Any) -> Classifier:
    inner = splits.in_turn(examples, splits.blocks_of_time(examples, length=8), folds=3, gap=0, seed=0)
    return classification.teach(examples, make, inner=inner, outputs=OUTPUTS, **also)


@pytest.mark.parametrize("make", [forest, linear])
def test_what_is_made_anew_from_its_parts_answers_the_same_to_the_bit(make: classification.Make) -> None:
    asked = machine(seed=4)
    learned = taught(machine(), make, derived=[("product", 0, 1), ("difference", 1, 0)])
    again = Classifier.from_parts(learned.parts())
    for name, told in learned.answer(asked).items():
        assert told.tobytes() == again.answer(asked)[name].tobytes()
    assert figures.accuracy(learned.answer(asked)["state"], asked.truth) > 0.7


def test_the_same_lessons_give_the_same_model() -> None:
    first, second = (taught(machine(), forest).answer(machine(seed=4))["probability"] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_rows_behind_the_question_change_nothing() -> None:
    learned, asked = taught(machine()), machine(seed=4)
    early = asked.take(asked.end <= 20)
    track = asked.tracks[0]
    later = np.where(np.arange(len(track.at))[:, None] < 20, track.value, -99.0)
    before, after = learned.answer(early), learned.answer(replace(early, tracks=(replace(track, value=later),)))
    assert all(before[name].tobytes() == after[name].tobytes() for name in OUTPUTS)


def test_a_question_with_a_feature_missing_is_not_answered_and_the_others_are() -> None:
    learned, asked = taught(machine()), machine(seed=4)
    value = asked.tracks[0].value.copy()
    value[3, 1], value[5, 0] = np.nan, np.inf
    told = learned.answer(replace(asked, tracks=(replace(asked.tracks[0], value=value),)))
    for name in OUTPUTS:
        assert np.flatnonzero(np.isnan(told[name])).tolist() == [3, 5]


def test_lessons_with_a_feature_missing_are_left_out() -> None:
    whole = machine()
    value = whole.tracks[0].value.copy()
    value[::7, 0] = np.nan
    learned = taught(replace(whole, tracks=(replace(whole.tracks[0], value=value),)))
    assert figures.accuracy(learned.answer(whole)["state"], whole.truth) > 0.8


def test_no_question_gets_no_answer_and_a_track_of_one_row_gets_one() -> None:
    learned, asked = taught(machine()), machine(seed=4)
    assert [len(told) for told in learned.answer(asked.take(np.zeros(0, np.int64))).values()] == [0, 0]
    nothing = Examples((), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    assert [len(told) for told in learned.answer(nothing).values()] == [0, 0]
    one = everywhere([Track("made", np.zeros(1, np.int64), asked.tracks[0].value[:1])], [asked.truth[:1]])
    assert learned.answer(one)["state"][0] == learned.answer(asked)["state"][0]


def test_one_class_alone_is_refused() -> None:
    whole = machine()
    with pytest.raises(ValueError, match="at least two"):
        taught(replace(whole, truth=np.zeros(len(whole))))
    with pytest.raises(ValueError, match="two are needed"):
        taught(whole, one_sided=True)


def test_one_sided_tells_the_probability_of_the_second_class_and_names_it_from_the_threshold_on() -> None:
    whole = machine(states=2)
    learned = taught(replace(whole, truth=whole.truth / 10), one_sided=True)
    told = learned.answer(machine(states=2, seed=4))
    assert np.array_equal(told["state"], (told["probability"] >= learned.threshold).astype(float))
    both = Classifier.from_parts({**learned.parts(), "threshold": np.nan}).answer(machine(states=2, seed=4))
    assert np.all(both["probability"] >= 0.5)


def test_the_best_threshold_is_the_best_of_all(*, times: int = 30) -> None:
    lot = np.random.default_rng(5)
    for _ in range(times):
        score = np.round(lot.random(40), 1)
        truth = lot.random(40) < score * 0.7
        found = figures.confusion(score >= classification.best_f1(score, truth), truth)["f1"]
        assert found == max(figures.confusion(score >= cut, truth)["f1"] for cut in [*np.unique(score), 2.0])


def test_calibration_finds_by_how_much_an_estimator_is_too_sure() -> None:
    lot = np.random.default_rng(6)
    logit = lot.normal(0, 1, (4000, 3))
    honest = np.exp(logit) / np.exp(logit).sum(axis=1, keepdims=True)
    right = (honest.cumsum(axis=1) < lot.random((4000, 1))).sum(axis=1)
    bragging = honest**2 / (honest**2).sum(axis=1, keepdims=True)
    slope = classification.calibrated(bragging, right)
    assert slope == pytest.approx(0.5, abs=0.05)
    assert classification.scaled(bragging, slope=0.5) == pytest.approx(honest, abs=0.05)
    told = classification.scaled(bragging, slope=slope)
    assert np.array_equal(told.argmax(axis=1), bragging.argmax(axis=1))
    hit, surest = told.argmax(axis=1) == right, np.arange(len(right))
    error = figures.calibration_error(told[surest, told.argmax(axis=1)], hit)
    assert error < 0.03 < figures.calibration_error(bragging[surest, bragging.argmax(axis=1)], hit)


def test_brier_and_calibration_error_beside_the_obvious() -> None:
    lot = np.random.default_rng(7)
    said, truth = np.append(lot.random(200), [0.0, 1.0]), np.append(lot.random(200) < 0.4, [False, True])
    assert figures.brier(said, truth) == pytest.approx(
        sum((p - t) ** 2 for p, t in zip(said, truth, strict=True)) / 202
    )
    total = 0.0
    for k in range(10):
        mine = [i for i, p in enumerate(said) if k / 10 <= p < (k + 1) / 10 or (k == 9 and p == 1)]
        total += abs(sum(said[i] - truth[i] for i in mine))
    assert figures.calibration_error(said, truth) == pytest.approx(total / 202)


def test_in_turn_holds_everything_out_once_and_keeps_its_distance() -> None:
    whole = machine()
    blocks = splits.blocks_of_time(whole, length=8)
    ways = splits.in_turn(whole, blocks, folds=4, gap=3, seed=0)
    assert sorted(np.concatenate([held.end for _, held in ways]).tolist()) == list(range(1, 241))
    for learn, held in ways:
        away = np.abs(learn.at[:, None] - held.at[None, :]).min(axis=1)
        assert away.min() == 4
        lost = np.setdiff1d(whole.at, np.concatenate([learn.at, held.at]))
        assert np.abs(lost[:, None] - held.at[None, :]).min(axis=1).max() <= 3
    assert set(ways[0][1].truth) == set(whole.truth)
