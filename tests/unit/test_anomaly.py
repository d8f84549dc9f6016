from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skops.io

from mlops import charts, multivariate, planes
from mlops.learning import examples as asking
from mlops.learning import ranges
from mlops.learning.contract import NotAtHand
from mlops.learning.examples import Examples, Track
from mlops.learning.kinds import KINDS
from mlops.multivariate import Multivariate, Shape
from mlops.recipes import anomaly
from sensors.columns import Float64
from tests import oracles

DRIVEN = np.array([[1.0, 0.8, -0.6, 0.3]])
SHAPES = {
    "rows": Shape(),
    "spans": Shape(span=4, lags=2, step=4, rows=12),
    "warm-up": Shape(span=4, warm_up=60, rows=5000),
    "by unit": Shape(span=2, by_unit=True, rows=2),
}


def machine(rows: int, *, seed: int, level: float = 0.0) -> Float64:
    """Four sensors that follow one load, at a level of their own."""
    dice = np.random.default_rng(seed)
    return np.asarray(level + dice.normal(size=(rows, 1)) @ DRIVEN + 0.2 * dice.normal(size=(rows, 4)))


def asked(*values: Float64, truths: list[Float64] | None = None, unit: str = "pump") -> Examples:
    tracks = [Track(f"{unit} {k}", np.arange(len(value)), value) for k, value in enumerate(values)]
    return asking.everywhere(tracks, truths or [np.zeros(len(value)) for value in values])


def taught(shape: Shape) -> Multivariate:
    return multivariate.learn(asked(machine(400, seed=1), machine(400, seed=2, level=0.1)), shape)


def broken(value: Float64, start: int) -> Float64:
    """The second sensor no longer follows the load."""
    out = value.copy()
    out[start:, 1] = -out[start:, 1] + 4.0
    return out


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_broken_sensor_is_rarer_than_what_was_normal_and_named(shape: Shape) -> None:
    learned = taught(shape)
    examples = asked(broken(machine(400, seed=3), 300))
    answers = learned.answer(examples)
    assert np.nanmean(answers["anomalous"][300:]) > 0.9
    assert np.nanmean(answers["anomalous"][:300]) < 0.05
    shares = learned.contributions(examples)
    assert shares[-1].sum() == pytest.approx(1.0)
    assert (shares[320:].mean(axis=0).argmax()) == 1


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_later_rows_change_nothing(shape: Shape) -> None:
    learned, value = taught(shape), machine(300, seed=4)
    whole = asked(value)
    some = whole.take(np.arange(100, 200))
    changed = asked(np.concatenate([value[:200], np.full((100, 4), 1e6)])).take(np.arange(100, 200))
    for name, answer in learned.answer(some).items():
        assert np.array_equal(answer, learned.answer(changed)[name])
        assert answer == pytest.approx(learned.answer(whole)[name][100:200])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_rows_further_back_than_promised_change_nothing(shape: Shape) -> None:
    shape = replace(shape, rows=max(shape.reach, 2 * shape.warm_up))
    learned, value = taught(shape), machine(300, seed=5)
    last = asked(value).take(np.array([299]))
    cut = asked(value[300 - shape.rows :]).take(np.array([shape.rows - 1]))
    assert learned.answer(last)["score"] == pytest.approx(learned.answer(cut)["score"])


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_comes_apart_into_what_can_be_stored_safely(shape: Shape) -> None:
    learned, examples = taught(shape), asked(broken(machine(200, seed=6), 100))
    stored = skops.io.dumps(learned.parts())
    assert skops.io.get_untrusted_types(data=stored) == []
    again = KINDS[learned.kind](skops.io.loads(stored))
    for name, answer in learned.answer(examples).items():
        assert np.array_equal(answer, again.answer(examples)[name], equal_nan=True)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_same_rows_teach_the_same(shape: Shape) -> None:
    assert skops.io.dumps(taught(shape).parts()) is not None
    examples = asked(machine(100, seed=7))
    assert np.array_equal(taught(shape).answer(examples)["score"], taught(shape).answer(examples)["score"], True)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_odd_rows_are_answered_or_left_out_but_never_fail(shape: Shape) -> None:
    value = machine(200, seed=8)
    value[::7, 2] = np.nan
    value[:, 3] = 5.0
    value[150] = np.nan
    learned = multivariate.learn(asked(value, machine(200, seed=9)), shape)
    answers = learned.answer(asked(value, machine(3, seed=9)))
    assert np.isnan(answers["score"][150])
    known = answers["score"][shape.warm_up : 150]
    assert np.isfinite(known).all() and (known >= 0).all() and (known <= 1).all()
    assert np.isnan(answers["score"][200:]).all() == bool(shape.warm_up)
    none = asked(value).take(np.empty(0, np.int64))
    assert len(learned.answer(none)["score"]) == 0 and learned.contributions(none).shape == (0, 4)


def test_too_few_normal_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="normal rows"):
        multivariate.learn(asked(machine(5, seed=1)), Shape())


def test_faulty_rows_teach_nothing() -> None:
    value, faulty = machine(300, seed=1), broken(machine(300, seed=2), 0)
    truths = [np.zeros(300), np.ones(300)]
    alone = multivariate.learn(asked(value), Shape())
    both = multivariate.learn(asked(value, faulty, truths=truths), Shape())
    assert np.array_equal(alone.planes[""].axes, both.planes[""].axes)


def test_a_machine_started_at_another_level_is_compared_with_its_own_beginning() -> None:
    examples = asked(machine(400, seed=3, level=30.0))
    assert np.nanmean(taught(SHAPES["warm-up"]).answer(examples)["anomalous"]) < 0.05
    assert np.nanmean(taught(SHAPES["rows"]).answer(examples)["anomalous"]) == 1.0


def test_a_sensor_that_wanders_by_itself_says_little() -> None:
    dice = np.random.default_rng(1)

    def wandering(seed: int) -> Float64:
        value = machine(400, seed=seed)
        value[:, 3] += np.cumsum(dice.normal(0.0, 0.1, 400))
        return value

    shape = SHAPES["warm-up"]
    learned = multivariate.learn(asked(*[wandering(seed) for seed in range(12)]), shape)
    assert np.nanmean(taught(shape).answer(asked(wandering(20)))["anomalous"]) > 0.8
    assert np.nanmean(learned.answer(asked(wandering(20)))["anomalous"]) < 0.3
    assert np.nanmean(learned.answer(asked(broken(wandering(21), 300)))["anomalous"][310:]) > 0.8


def test_each_unit_has_its_own_normal_rows_and_strangers_are_not_judged() -> None:
    learned = taught(SHAPES["by unit"])
    assert not np.isnan(learned.answer(asked(machine(50, seed=3)))["score"]).any()
    assert np.isnan(learned.answer(asked(machine(50, seed=3), unit="fan"))["score"]).all()


@pytest.mark.parametrize("budget", [0.01, 0.05, 0.1])
def test_false_alarms_stay_near_what_was_asked_for(budget: float) -> None:
    learned = multivariate.learn(asked(machine(3000, seed=1)), Shape(budget=budget))
    said = learned.answer(asked(machine(20_000, seed=2)))["anomalous"].mean()
    assert budget / 2 < said < budget * 2


def test_the_distance_is_that_of_mahalanobis() -> None:
    rows = machine(500, seed=1)
    fit = planes.plane(np.zeros(4), np.ones(4), rows, 0.9)
    covariance = oracles.covariance_of_plane(fit.axes.tolist(), fit.spread.tolist(), fit.noise)
    wanted = [np.log1p(row @ np.linalg.inv(covariance) @ row) for row in rows[:20]]
    assert fit.distance(rows[:20]) == pytest.approx(wanted)
    along, off = fit.parts(rows[:20])
    assert np.log1p(((along @ fit.axes + off) ** 2).sum(axis=1)) == pytest.approx(wanted)


def test_what_is_missing_leaves_the_distance_of_the_others() -> None:
    fit = planes.plane(np.zeros(4), np.ones(4), machine(500, seed=1), 0.9)
    covariance = np.array(oracles.covariance_of_plane(fit.axes.tolist(), fit.spread.tolist(), fit.noise))
    rows = machine(30, seed=2)
    for k, gone in enumerate([[0], [1, 2], [0, 1, 3]] * 10):
        rows[k, gone] = np.nan
    for row, distance in zip(rows, fit.distance(rows), strict=True):
        known = ~np.isnan(row)
        inverse = np.linalg.inv(covariance[np.ix_(known, known)])
        assert distance == pytest.approx(np.log1p(row[known] @ inverse @ row[known]))


def test_rarity_is_the_share_of_normal_rows_that_are_as_far() -> None:
    normal = np.random.default_rng(1).exponential(size=100_000)
    rare = planes.tail(normal).rarity(np.array([0.0, np.log(2), np.log(10), np.log(1000), 50.0]))
    assert rare[:4] == pytest.approx([0.0, np.log10(2), 1.0, 3.0], abs=0.05)
    assert rare[4] > 15 and (np.diff(rare) > 0).all()


def test_spans_and_lags_are_what_the_slow_way_makes() -> None:
    value = machine(40, seed=1)
    value[5:9, 0] = np.nan
    averaged = planes.averaged(value, 3)
    for t in range(40):
        for k in range(4):
            known = [v for v in value[max(0, t - 2) : t + 1, k] if not np.isnan(v)]
            assert averaged[t, k] == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)
    laid = planes.lagged(value, 2, 5)
    for t in range(40):
        rows = [value[max(0, t - 5 * lag)] for lag in range(3)]
        assert np.array_equal(laid[t], np.concatenate(rows), equal_nan=True)


# Charts


@pytest.mark.parametrize("warm_up", [0, 60])
@pytest.mark.parametrize("method", charts.METHODS)
def test_charts_answer_like_models(method: str, warm_up: int) -> None:
    made = charts.charts(asked(machine(200, seed=1)), warm_up=warm_up, by_unit=False)[method]
    examples = asked(broken(machine(200, seed=2), 150), machine(3, seed=3))
    answers = made.answer(examples)
    if method != charts.FOREST:  # which sees each sensor far out by itself
        assert answers["anomalous"][150:200].mean() > 0.1
    assert np.isnan(answers["score"][:warm_up]).all() and np.isfinite(answers["score"][warm_up:200]).all()
    stored = skops.io.dumps(made.parts())
    again = KINDS[made.kind](skops.io.loads(stored)).answer(examples)
    assert np.array_equal(answers["score"], again["score"], equal_nan=True)
    none = examples.take(np.empty(0, np.int64))
    assert len(made.answer(none)["score"]) == 0


def test_an_unknown_chart_is_refused() -> None:
    with pytest.raises(ValueError, match="no chart is called"):
        charts.Chart("tea leaves", {})


# Figures


@pytest.mark.parametrize("seed", range(12))
def test_volume_is_what_the_slow_way_makes(seed: int) -> None:
    dice = np.random.default_rng(seed)
    rows = int(dice.integers(40, 300))
    truth = np.zeros(rows, np.bool_)
    for _ in range(int(dice.integers(1, 4))):
        first = int(dice.integers(0, rows - 5))
        truth[first : first + int(dice.integers(1, 30))] = True
    score = np.round(dice.normal(size=rows) + truth * dice.random(), int(dice.integers(0, 4)))
    wanted = oracles.vus_pr(score.tolist(), truth.tolist(), buffers=[0, 5, 12, 40], thresholds=ranges.THRESHOLDS)
    assert ranges.vus_pr(score, truth, buffers=(0, 5, 12, 40)) == pytest.approx(wanted)


def test_volume_is_one_for_whoever_is_right_and_0_where_nothing_is_wrong() -> None:
    truth = np.zeros(1000, np.bool_)
    truth[400:500] = True
    assert ranges.vus_pr(truth.astype(float), truth, buffers=(0,)) == pytest.approx(1.0)
    assert ranges.vus_pr(np.ones(1000), np.zeros(1000, np.bool_)) == 0.0


def test_an_alarm_that_is_always_on_finds_nothing() -> None:
    truth = np.zeros(100, np.bool_)
    truth[20:30] = truth[60:70] = True
    assert ranges.events(np.ones(100, np.bool_), truth) == (2, 0, 1)
    assert ranges.events(truth, truth) == (2, 2, 0)
    late = np.zeros(100, np.bool_)
    late[25:50] = late[80:81] = True
    assert ranges.events(late, truth) == (2, 1, 1)
    assert ranges.events(np.zeros(0, np.bool_), np.zeros(0, np.bool_)) == (0, 0, 0)


# Recipes on folders of the same shape


def skab(folder: Path) -> None:
    for number in range(3):
        path = folder / "skab" / "pump" / f"{number}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        value = np.tile(broken(machine(700, seed=number, level=number), 600), (1, 2))
        lines = [";".join(["datetime", *anomaly.RIG, "anomaly", "changepoint"])]
        for k, row in enumerate(value):
            at = np.datetime64("2024-01-01T00:00:00") + k
            lines.append(";".join([str(at).replace("T", " "), *map(str, row), str(float(k >= 600)), "0.0"]))
        path.write_text("\n".join(lines))


def tep(folder: Path) -> None:
    (folder / "tep").mkdir()
    for name, start in (("d00", 300), ("d14", 0)):
        value = np.tile(broken(machine(300, seed=start), start), (1, 13))
        value = value + 0.01 * np.random.default_rng(start).normal(size=value.shape)
        with gzip.open(folder / "tep" / f"{name}.dat.gz", "wt") as file:
            np.savetxt(file, value.T if name == "d00" else value)


def smap(folder: Path) -> None:
    (folder / "smap_msl").mkdir()
    later = machine(600, seed=2)
    later[400:450] += 8.0
    np.savez(folder / "smap_msl" / "X-1.npz", train=machine(500, seed=1), test=later)
    head = "chan_id,spacecraft,anomaly_sequences,class,num_values"
    (folder / "smap_msl" / "labeled_anomalies.csv").write_text(f'{head}\nX-1,SMAP,"[[400, 449]]",[point],600\n')


def hydsys(folder: Path) -> None:
    (folder / "hydsys").mkdir()
    dice = np.random.default_rng(1)
    for sensor in anomaly.HYDRAULIC:
        value = 50.0 + dice.normal(size=(300, 24))
        value[200:] += 5.0 * dice.normal(size=24)
        np.savetxt(folder / "hydsys" / f"{sensor}.txt", value)
    profile = np.tile([3, 100, 0, 130, 0], (300, 1))
    profile[200:, 1] = 80
    np.savetxt(folder / "hydsys" / "profile.txt", profile, fmt="%d")


FOLDERS = {"rig-anomaly": skab, "plant-anomaly": tep, "spacecraft-anomaly": smap, "hydraulic-anomaly": hydsys}


@pytest.mark.parametrize("recipe", anomaly.FAMILY, ids=lambda recipe: recipe.name)
def test_a_recipe_learns_from_any_folder_of_the_shape(recipe: anomaly.Anomaly, tmp_path: Path) -> None:
    with pytest.raises(NotAtHand):
        recipe.load(tmp_path)
    FOLDERS[recipe.name](tmp_path)
    examples = recipe.load(tmp_path)
    assert examples.tracks[0].value.shape[1] == len(recipe.signature.features)
    assert recipe.shape.reach <= recipe.signature.rows or recipe.shape.reach == 1
    learn, hold = recipe.split(examples)
    assert (learn.truth == 0).all() and hold.truth.any()
    assert len(learn) + len(hold) == len(examples)
    learned = recipe.fit(learn, recipe.defaults, seed=1)
    found = recipe.measure(learned.answer(hold), hold)
    assert found["skill"] > 0.6
    assert {recipe.target.name, *(guard.name for guard in recipe.guards)} <= set(found)
    baselines = recipe.baselines(learn)
    assert set(baselines) == set(charts.METHODS)
    assert recipe.measure(baselines[charts.EVERYTHING].answer(hold), hold)["skill"] == 0.0
    assert len(recipe.blocks(hold)) == len(hold)
    assert recipe.aside(tmp_path) is None


def test_blocks_drawn_twice_count_twice() -> None:
    recipe = anomaly.RIG_ANOMALY
    truth = np.zeros(100)
    truth[50:60] = 1.0
    examples = asked(machine(100, seed=1), machine(100, seed=2), truths=[truth, np.zeros(100)])
    answers = {"score": truth[examples.end - 1], "anomalous": (examples.end > 54) * 1.0}
    drawn = np.concatenate([np.arange(100), np.arange(100)])
    twice = recipe.measure({name: answer[drawn] for name, answer in answers.items()}, examples.take(drawn))
    once = recipe.measure({name: answer[:100] for name, answer in answers.items()}, examples.take(np.arange(100)))
    assert twice["events"] == 2 * once["events"] == 2.0
    assert twice["f1"] == once["f1"] and twice["events_found"] == once["events_found"] == 1.0


def test_the_trap_of_the_rig_is_seen_through() -> None:
    """Where more than half of the rows are anomalous F1 praises whoever calls all of them so."""
    truth = np.repeat([0.0, 1.0, 0.0], [40, 60, 0])
    examples = asked(machine(100, seed=1), truths=[truth])
    told = anomaly.RIG_ANOMALY.measure({"score": np.ones(100), "anomalous": np.ones(100)}, examples)
    assert told["f1"] == pytest.approx(0.75)
    assert told["skill"] == 0.0 and told["false_alarms"] == 1.0 and told["events_found"] == 0.0
