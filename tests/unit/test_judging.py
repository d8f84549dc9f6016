"""What the benchmarks of detection share: whole series through the shipped detectors, and what is counted."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from sensors.columns import SECOND_US, Bool
from tests.bench import judging, nab, nab_scoring, skab
from tests.bench.judging import Series

MINUTE = 60 * SECOND_US


def series(rows: int, seed: int) -> Series:
    value = np.random.default_rng(seed).normal(size=rows)
    value[rows // 2 : rows // 2 + 20] += 50.0
    return Series(1, np.arange(rows) * MINUTE, value)


def test_scores_are_the_same_in_blocks_of_any_size() -> None:
    sensors = [series(700, 1), series(333, 2)]
    for block in (1, 7, 64):
        for whole, parts in zip(judging.judge(sensors), judging.judge(sensors, block=block), strict=True):
            np.testing.assert_array_equal(whole.score, parts.score)
            assert whole.events == parts.events
        if block == 1:
            sensors = [series(90, 1), series(33, 2)]
    assert any(one.events for one in judging.judge([series(700, 1)]))


def test_a_row_is_judged_by_earlier_rows_only() -> None:
    whole = series(500, 3)
    for n in (100, 260, 499):
        (part,) = judging.judge([Series(1, whole.at[:n], whole.value[:n])])
        np.testing.assert_array_equal(part.score, judging.judge([whole])[0].score[:n])


def test_a_repeated_instant_is_not_judged() -> None:
    at = np.append(np.arange(200), [199, 200]) * MINUTE
    (found,) = judging.judge([Series(1, at, np.random.default_rng(4).normal(size=202))])
    assert math.isnan(found.score[200])
    assert not math.isnan(found.score[201])


@pytest.mark.parametrize("window", [2, 5])
def test_trailing_sigmas_equal_their_definition(window: int) -> None:
    value = np.append(np.random.default_rng(5).normal(size=30), np.full(10, 3.0))
    wanted = []
    for i, one in enumerate(value.tolist()):
        before = value[i - window : i].tolist() if i >= window else []
        spread = statistics.pstdev(before) if before else math.nan
        distance = abs(one - statistics.fmean(before)) if before else math.nan
        wanted.append(distance / spread if spread else 0.0)
    np.testing.assert_allclose(judging.trailing_sigmas(value, window), wanted, atol=1e-9)
    assert np.isnan(judging.trailing_sigmas(value[:window], window)).all()


def test_a_step_away_from_a_constant_is_far_away() -> None:
    assert judging.trailing_sigmas(np.append(np.zeros(5), 1.0), 5)[-1] == 1e9


# SKAB


def rig(*events: tuple[int, int], rows: int = 600) -> skab.Rig:
    truth = np.zeros(rows, np.bool_)
    for first, end in events:
        truth[first:end] = True
    return skab.Rig("made", ("a",), np.arange(rows) * SECOND_US, np.zeros((1, rows)), truth)


def said(*spans: tuple[int, int], rows: int = 600) -> list[Bool]:
    return [rig(*spans, rows=rows).truth]


def test_rows_and_alarms_are_counted_after_the_training() -> None:
    found = skab.compare([rig((450, 500))], said((100, 200), (430, 440), (460, 480), (490, 510)))
    assert (found.hit, found.false, found.missed, found.quiet) == (30, 20, 20, 130)
    assert (found.events, found.events_hit, found.events_false, found.late) == (1, 1, 1, (10.0,))
    assert found.f1 == pytest.approx(30 / 50)
    assert (found.false_rate, found.missed_rate) == pytest.approx((100 * 20 / 150, 100 * 20 / 50))


def test_an_alarm_that_is_always_on_hits_nothing() -> None:
    found = skab.compare([rig((450, 600))], said((0, 600)))
    assert found.f1 > 0.85
    assert (found.false_rate, found.events_hit, found.events_false) == (100.0, 0, 1)


def test_hindsight_finds_the_best_threshold_that_few_false_alarms_pass() -> None:
    made = rig((450, 500))
    score = np.where(made.truth, 0.7, 0.2)
    score[590] = 0.9
    assert np.array_equal(skab.hindsight([made], [score])[0], score >= 0.7)
    assert not skab.hindsight([made], [np.ones(600)])[0].any()


# NAB


def corpus() -> dict[str, nab_scoring.Series]:
    at = np.datetime64("2026-01-01") + np.arange(100).astype("timedelta64[m]")
    windows = {"a/one": ((40, 59),), "a/two": ((70, 79),), "b/one": ((50, 69),), "c/one": ()}
    return {name: nab_scoring.Series(name, at, np.zeros(100), spans) for name, spans in windows.items()}


def test_a_group_that_is_left_out_has_no_say_in_its_threshold() -> None:
    scores = {name: np.zeros(100) for name in corpus()}
    scores["a/one"][40] = scores["a/two"][70] = 0.9
    scores["b/one"][50] = 0.8
    parts = nab.left_out("made", corpus(), scores)
    assert (parts["a"]["standard"].threshold, parts["a"]["standard"].hits) == (0.8, 2)
    assert (parts["b"]["standard"].threshold, parts["b"]["standard"].hits) == (0.9, 0)
    assert nab.together(parts)["standard"] == pytest.approx(100 * 2 / 3)
    assert nab_scoring.score(corpus(), scores)["standard"].score == pytest.approx(100.0)
