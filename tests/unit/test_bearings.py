"""What is learned of bearings, on made ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from scipy.stats import binom

from mlops import bearing_life, coverage
from mlops.beginnings import LevelLimit, Look, NoveltyOfBeginning, medians
from mlops.learning.contract import Answers, Learned, NotAtHand
from mlops.learning.examples import Examples, Track
from mlops.learning.kinds import KINDS
from mlops.recipes import RECIPES, bearing_data
from mlops.recipes.bearing_health import indicator_figures
from mlops.recipes.bearing_life import challenge_score
from mlops.recipes.bearing_novelty import alarm_figures
from sensors.columns import SECOND_US, Float64, Int64

LOOK = Look(skip=2, first=20, last=4)
OURS = [name for name in RECIPES if name.startswith("bearing-")]


def bearing(name: str, features: int, *, life: int, seed: int, age: bool = False) -> Track:
    """Its vibration doubles over the last third of its life; ``age``: the first column tells it."""
    drawn = np.random.default_rng(seed).lognormal(0.0, 0.05, (life, features))
    value = drawn * 2 ** np.clip(3 * np.arange(life)[:, None] / life - 2, 0, None)
    if age:
        value[:, 0] = np.arange(life) * 10.0
    return Track(name, np.arange(life, dtype=np.int64) * 10 * SECOND_US, value)


def made(name: str, *, bearings: int = 3) -> Examples:
    recipe = RECIPES[name]
    features = len(recipe.signature.features)
    lives = [3 * recipe.signature.least + 20 * number for number in range(bearings)]
    tracks = [
        bearing(f"b{number}", features, life=life, seed=number, age=name == "bearing-life-femto")
        for number, life in enumerate(lives)
    ]
    ends = [np.linspace(recipe.signature.least, life - 1, 6).astype(np.int64) for life in lives]
    of_life = [10.0 * (life - end) if "life" in name else end / life for life, end in zip(lives, ends, strict=True)]
    which = np.repeat(np.arange(bearings, dtype=np.int64), 6)
    return Examples(tuple(tracks), which, np.concatenate(ends), np.concatenate(of_life))


def learned(name: str) -> list[Learned]:
    recipe, examples = RECIPES[name], made(name)
    return [recipe.fit(examples, recipe.defaults, seed=1), *recipe.baselines(examples).values()]


def same(one: Answers, other: Answers) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[key], other[key], equal_nan=True) for key in one)


@pytest.fixture(scope="module")
def models() -> Callable[[str], list[Learned]]:
    kept = {name: learned(name) for name in OURS}
    return lambda name: kept[name]


@pytest.mark.parametrize("name", OURS)
def test_what_is_learned_comes_back_from_its_parts_to_the_bit(name: str, models: Any) -> None:
    examples = made(name)
    for model in models(name):
        parts = skops.io.loads(skops.io.dumps(model.parts()), trusted=[])
        answers = model.answer(examples)
        assert same(KINDS[model.kind](parts).answer(examples), answers)
        assert set(answers) == {feature.name for feature in RECIPES[name].signature.outputs}


@pytest.mark.parametrize("name", OURS)
def test_what_comes_after_an_instant_changes_no_answer(name: str, models: Any) -> None:
    examples = made(name)
    early = examples.take(np.flatnonzero(np.arange(len(examples)) % 6 < 4))
    tracks = list(early.tracks)
    for number, track in enumerate(tracks):
        last = int(early.end[early.track == number].max())
        value = track.value.copy()
        value[last:] = 1e6
        tracks[number] = replace(track, value=value)
    for model in models(name):
        assert same(model.answer(early), model.answer(replace(early, tracks=tuple(tracks))))


@pytest.mark.parametrize("name", OURS)
def test_gaps_and_constants_and_short_tracks_are_answered_or_left_unanswered(name: str, models: Any) -> None:
    recipe, examples = RECIPES[name], made(name)
    features, least = len(recipe.signature.features), recipe.signature.least
    value = examples.tracks[0].value.copy()
    value[::3, 1] = np.nan  # gaps
    value[:, 2] = np.nan  # a column that is missing
    value[:, 3] = 1.0  # a constant one
    nothing = np.full((least + 10, features), np.nan)
    odd = [value, nothing, value[: least - 1], np.zeros((least + 10, features))]
    tracks = tuple(Track(f"t{k}", np.arange(len(v), dtype=np.int64) * SECOND_US, v) for k, v in enumerate(odd))
    asked = Examples(tracks, np.arange(4), np.array([len(v) for v in odd], np.int64), np.full(4, np.nan))
    for number, model in enumerate(models(name)):
        for output, answer in model.answer(asked).items():
            assert math.isfinite(answer[0]), (model.kind, output)
            assert math.isnan(answer[1]), (model.kind, output)
            assert number or math.isnan(answer[2]), (model.kind, output)
            assert not np.isinf(answer).any(), (model.kind, output)
        assert all(len(answer) == 0 for answer in model.answer(examples.take(np.empty(0, np.int64))).values())


@pytest.mark.parametrize("name", OURS)
def test_the_same_examples_teach_the_same_twice_and_ours_is_measured_like_the_others(name: str, models: Any) -> None:
    recipe, examples = RECIPES[name], made(name)
    again = recipe.fit(examples, recipe.defaults, seed=1)
    assert same(again.answer(examples), models(name)[0].answer(examples))
    for model in models(name):
        figures = recipe.measure(model.answer(examples), examples)
        assert {recipe.target.name, *(guard.name for guard in recipe.guards)} <= set(figures)
        assert all(math.isfinite(figure) for figure in figures.values())


def test_nothing_to_learn_from_is_said() -> None:
    for name in OURS:
        examples = made(name)
        with pytest.raises(ValueError, match=r"learned from|learn from"):
            RECIPES[name].fit(examples.take(np.empty(0, np.int64)), RECIPES[name].defaults, seed=1)


def test_health_and_novelty_of_a_bearing_that_stays_as_it_began_do_not_follow_the_clock() -> None:
    for name in ("bearing-health-femto", "bearing-health-ims", "bearing-novelty-femto", "bearing-novelty-ims"):
        recipe = RECIPES[name]
        assert not {"elapsed_s"} & {feature.name for feature in recipe.signature.features}
        value = np.ones((500, len(recipe.signature.features)))
        still = Track("still", np.arange(500, dtype=np.int64) * SECOND_US, value)
        ends = np.array([recipe.signature.least, 400, 500], np.int64)
        answers = recipe.fit(made(name), recipe.defaults, seed=1).answer(
            Examples((still,), np.zeros(3, np.int64), ends, np.full(3, np.nan))
        )
        (told,) = answers.values()
        assert (told == told[0]).all()


def test_novelty_rises_with_what_rises_and_not_with_what_falls() -> None:
    def at_the_end(factor: float, model: Learned) -> float:
        value = np.random.default_rng(0).lognormal(0.0, 0.05, (60, 2))
        value[40:, 0] *= factor
        track = Track("t", np.arange(60, dtype=np.int64), value)
        asked = Examples((track,), np.zeros(1, np.int64), np.array([60]), np.full(1, np.nan))
        return float(model.answer(asked)["novelty"][0])

    ours = NoveltyOfBeginning(LOOK, np.ones(2, np.bool_), limit=3.0)
    usual = LevelLimit(LOOK, np.ones(2, np.bool_), factor=1.0, sigmas=3.0)
    for model in (ours, usual):
        assert at_the_end(2.0, model) > 1 > at_the_end(1.0, model) >= at_the_end(0.3, model)


def test_novelty_is_the_root_mean_square_of_the_rises() -> None:
    value = np.random.default_rng(3).lognormal(0.0, 0.3, (50, 3))
    track = Track("t", np.arange(50, dtype=np.int64), value)
    asked = Examples((track,), np.zeros(31, np.int64), np.arange(20, 51), np.full(31, np.nan))
    told = NoveltyOfBeginning(LOOK, np.array([True, True, False]), limit=2.0).answer(asked)["novelty"]
    for end, answer in zip(asked.end, told, strict=True):
        squares = []
        for column in range(3):
            seen = [math.log(v) if column < 2 else float(v) for v in value[:end, column]]
            begun, now = seen[2:20], float(np.median(seen[-4:]))
            squares.append(max(0.0, (now - float(np.median(begun))) / (float(np.std(begun)) + 0.02)) ** 2)
        assert answer == pytest.approx(math.sqrt(sum(squares) / 3) / 2.0)


def test_a_lower_bound_of_coverage_is_too_high_in_five_cases_of_a_hundred_at_most() -> None:
    for machines in (1, 4, 6, 12):
        bounds = [coverage.least_mean(np.repeat([1.0, 0.0], [hits, machines - hits])) for hits in range(machines + 1)]
        assert bounds == sorted(bounds)
        assert bounds[-1] == pytest.approx(0.05 ** (1 / machines))
        for share in np.linspace(0.01, 0.99, 99):
            wrong = sum(binom.pmf(hits, machines, share) for hits in range(machines + 1) if bounds[hits] > share)
            assert wrong <= 0.05 + 1e-9


def test_six_bearings_prove_no_coverage_and_nine_do_where_all_lie_within() -> None:
    assert not coverage.over_machines(np.ones(6)).proven
    assert not coverage.over_machines(np.ones(8)).proven
    assert coverage.over_machines(np.ones(9)).proven
    assert not coverage.over_machines(np.empty(0)).proven


def test_seconds_left_say_whether_their_coverage_is_proven(models: Any) -> None:
    model, examples = models("bearing-life-femto")[0], made("bearing-life-femto")
    told = model.answer(examples)
    assert model.covered.machines == 3
    assert (told["coverage_proven"] == 0).all()
    assert (told["rul_p10"] <= told["rul_p50"]).all() and (told["rul_p50"] <= told["rul_p90"]).all()
    proven = replace(model, covered=coverage.Coverage(0.95, 0.9, 40)).answer(examples)
    assert (proven["coverage_proven"] == 1).all()


def test_two_bearings_give_intervals_of_which_nothing_is_known() -> None:
    examples = made("bearing-life-femto")
    two = examples.take(examples.track < 2)
    recipe = RECIPES["bearing-life-femto"]
    model: Any = recipe.fit(two, recipe.defaults, seed=1)
    assert math.isnan(model.covered.observed)
    assert (model.answer(two)["coverage_proven"] == 0).all()
    with pytest.raises(ValueError, match="two bearings"):
        recipe.fit(examples.take(examples.track < 1), recipe.defaults, seed=1)


def test_weighted_quantiles_are_the_least_with_enough_below() -> None:
    def slow(values: Float64, weights: Float64, share: float) -> float:
        return min(v for v in values if weights[values <= v].sum() >= share * weights.sum() - 1e-9)

    lot = np.random.default_rng(5)
    for _ in range(50):
        values, weights = lot.integers(0, 9, 12).astype(np.float64), lot.random(12) + 0.01
        fast = bearing_life.weighted_quantiles(values, weights, (0.1, 0.5, 0.9, 1.0))
        assert fast.tolist() == [slow(values, weights, share) for share in (0.1, 0.5, 0.9, 1.0)]


def test_the_challenge_forgives_early_more_than_late() -> None:
    truth = np.full(4, 100.0)
    scores = challenge_score(np.array([100.0, 80.0, 105.0, 200.0]), truth)
    assert scores == pytest.approx([1.0, 0.5, 0.5, 2.0**-20])


def asked_of(lives: list[int], ends: list[list[int]]) -> Examples:
    tracks = tuple(Track(f"b{k}", np.arange(n, dtype=np.int64) * 3_600 * SECOND_US, np.ones((n, 1)))
                   for k, n in enumerate(lives))  # fmt: skip
    which = np.repeat(np.arange(len(lives), dtype=np.int64), [len(end) for end in ends])
    flat = np.array([end for each in ends for end in each], np.int64)
    return Examples(tracks, which, flat, flat / np.array(lives)[which])


def test_alarms_of_the_first_half_are_false_and_the_lead_is_of_what_stood_until_the_end() -> None:
    asked = asked_of([10], [list(range(1, 11))])
    alarm = np.array([0, 0, 1, 0, 0, 1, 0, 1, 1, 1], np.bool_)
    found = alarm_figures(alarm, asked)
    assert found["false_alarms"] == pytest.approx(1 / 5)
    assert found["second_half"] == pytest.approx(4 / 5)
    assert found["informedness"] == pytest.approx(3 / 5)
    assert (found["lead_h"], found["warned"]) == (2.0, 1.0)
    assert alarm_figures(~alarm, asked)["warned"] == 0.0


def test_a_bearing_that_is_drawn_twice_counts_twice() -> None:
    asked = asked_of([10, 10], [[2, 4, 6, 8], [2, 4, 6, 8]])
    alarm = np.array([0, 0, 1, 1, 0, 0, 0, 0], np.bool_)
    twice: Int64 = np.array([0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3])
    assert [len(mine) for mine in bearing_data.positions_of_each_track(asked.take(twice))] == [4, 4, 4]
    assert alarm_figures(alarm[twice], asked.take(twice))["second_half"] == pytest.approx(2 / 3)
    assert alarm_figures(alarm, asked)["second_half"] == pytest.approx(1 / 2)


def test_an_indicator_that_falls_evenly_is_perfect_and_one_of_other_ends_is_not_prognosable() -> None:
    asked = asked_of([10, 20], [list(range(1, 11)), list(range(2, 21, 2))])
    perfect = indicator_figures(1 - asked.truth, asked)
    assert perfect == pytest.approx({
        "rank_correlation": 1.0, "monotonicity": 1.0, "trendability": 1.0, "prognosability": 1.0, "end_spread": 0.0,
    })  # fmt: skip
    clock = indicator_figures(1 - asked.end / 20, asked)
    assert clock["rank_correlation"] == pytest.approx(1.0)
    assert clock["prognosability"] < 0.8
    assert indicator_figures(np.ones(20), asked)["rank_correlation"] == 0.0


def test_medians_of_columns_without_a_number_are_not_known() -> None:
    found = medians(np.array([[1.0, np.nan], [3.0, np.nan], [np.nan, np.nan]]))
    assert found[0] == 2.0 and math.isnan(found[1])
    assert np.isnan(medians(np.empty((0, 2)))).all()


def test_files_of_the_same_shape_are_read_and_others_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotAtHand, match="Learning_set__"):
        RECIPES["bearing-life-femto"].load(tmp_path)
    head = [feature.name for feature in bearing_data.FEMTO] + ["rul_s"]
    rows = [[str(10 * k), *["1.5"] * (len(head) - 2), str(10 * (79 - k))] for k in range(80)]
    folder = tmp_path / "femto"
    folder.mkdir()
    (folder / "Learning_set__Mine.csv").write_text("\n".join(",".join(row) for row in [head, *rows]))
    (folder / "Test_set__Other.csv").write_text(
        "\n".join(",".join(row) for row in [head, *([*row[:-1], ""] for row in rows[:70])])
    )
    (folder / "Test_set__Other__temp.csv").write_text("file,clock_s,temp_mean\n1,2,3\n")
    examples = RECIPES["bearing-life-femto"].load(tmp_path)
    assert [track.unit for track in examples.tracks] == ["Mine"]
    assert (examples.end[0], examples.truth[0], examples.truth[-1]) == (60, 200.0, 10.0)
    aside = RECIPES["bearing-life-femto"].aside(tmp_path)
    assert aside is not None and aside.tracks[0].unit == "Other" and aside.end.tolist() == [70]
    (folder / "Learning_set__Mine.csv").write_text("elapsed_s,rul_s\n0,10\n")
    with pytest.raises(ValueError, match="no column h_absmax"):
        RECIPES["bearing-life-femto"].load(tmp_path)


def test_tests_of_fewer_sensors_have_no_number_in_the_last_columns(tmp_path: Path) -> None:
    folder = tmp_path / "ims"
    folder.mkdir()
    (folder / "first.csv").write_text(",a,b\n2004-02-12 10:32:39,1,2\n2004-02-12 10:42:39,3,\n")
    (track,) = bearing_data.ims_tests(tmp_path)
    assert np.diff(track.at).tolist() == [600 * SECOND_US]
    assert track.value[:, 0].tolist() == [1.0, 3.0]
    assert np.isnan(track.value[:, 2:]).all() and np.isnan(track.value[1, 1])
    (folder / "first.csv").write_text(",a\n2004-02-12 10:42:39,1\n2004-02-12 10:32:39,1\n")
    with pytest.raises(ValueError, match="do not ascend"):
        bearing_data.ims_tests(tmp_path)
