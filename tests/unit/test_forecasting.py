"""Values ahead with their intervals, on made tracks, beside slow and obvious versions."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import Ridge

from mlops import forecasting, seasons
from mlops.forecasting import Ahead, Belief
from mlops.learning.examples import Examples, Track, everywhere
from mlops.learning.kinds import KINDS
from mlops.recipes import RECIPES
from mlops.recipes.forecasting import ValueAhead, later
from mlops.seasons import Plan, past_of
from sensors.columns import SECOND_US, from_instant

HOUR = 3600 * SECOND_US
PLAN = Plan(6, HOUR, seasons=(24,), memory=48)
BELIEF = Belief(recent=30, trust=4.0, kept=50.0)
REFERENCES = ("season 0", "last", "mean", "drift", "usual")


def made(rows: int = 400, *, seed: int = 0, unit: str = "made") -> Track:
    """A day's season, a slow level and noise, by the hour."""
    lot = np.random.default_rng(seed)
    hours = np.arange(rows)
    level = np.cumsum(lot.normal(0, 0.05, rows))
    value = 20 + level + 3 * np.sin(2 * np.pi * hours / 24) + lot.normal(0, 0.5, rows)
    return Track(unit, hours * HOUR, value[:, None])


def asked(*tracks: Track, warm_up: int = 100) -> Examples:
    every = everywhere(tracks, [later(track.value[:, 0], PLAN.ahead) for track in tracks])
    return every.take(every.end >= warm_up)


def taught(examples: Examples, *, references: tuple[str, ...] = REFERENCES) -> Ahead:
    return forecasting.teach(examples, PLAN, (Ridge(alpha=10.0),), references=references, belief=BELIEF)


@pytest.fixture(scope="module")
def model() -> Ahead:
    return taught(asked(made()))


def table(answers: dict[str, np.ndarray]) -> np.ndarray:
    return np.stack([answers[name] for name in forecasting.OUTPUTS], axis=1)


def test_quantiles_are_in_order_and_hold_about_as_many_as_they_say(model: Ahead) -> None:
    later_one = asked(made(1200, seed=5), warm_up=400)
    told = later_one.take(np.isfinite(later_one.truth))
    low, middle, high = table(model.answer(told)).T
    assert np.all(low <= middle) and np.all(middle <= high)
    assert np.mean((told.truth >= low) & (told.truth <= high)) == pytest.approx(0.8, abs=0.07)


def test_it_is_better_than_any_reference_alone(model: Ahead) -> None:
    told = asked(made(800, seed=6), warm_up=300)
    told = told.take(np.isfinite(told.truth))
    errors = {
        name: np.abs(
            forecasting.teach(told, PLAN, (), references=(name,), belief=BELIEF).answer(told)["p50"] - told.truth
        )
        for name in REFERENCES
    }
    ours = np.abs(model.answer(told)["p50"] - told.truth).mean()
    assert ours < min(error.mean() for error in errors.values())


def test_rows_behind_the_question_change_nothing(model: Ahead) -> None:
    track = made()
    other = Track("made", track.at, track.value.copy())
    other.value[300:] = np.random.default_rng(1).normal(1e6, 1e6, (100, 1))
    other.value[310:320] = np.nan
    ends = np.array([120, 200, 299, 300])
    first, second = (
        model.answer(Examples((one,), np.zeros(4, np.int64), ends, np.full(4, np.nan))) for one in (track, other)
    )
    assert table(first).tobytes() == table(second).tobytes()


def test_a_question_is_answered_alike_alone_and_among_others_and_from_what_it_looks_back_at_alone(model: Ahead) -> None:
    track = made(900)
    rows = forecasting.looks_back(PLAN, recent=BELIEF.recent)
    among = table(model.answer(asked(track).take(np.arange(0, 800))))[-1]
    end = asked(track).end[799]
    short = Track("made", track.at[end - rows : end], track.value[end - rows : end])
    alone = table(model.answer(Examples((short,), np.zeros(1, np.int64), np.array([rows]), np.array([np.nan]))))[0]
    assert alone == pytest.approx(among)


def test_missing_short_constant_and_no_questions(model: Ahead) -> None:
    gaps = made()
    gaps.value[::3] = np.nan
    assert np.isfinite(table(model.answer(asked(gaps)))).all()
    nothing = Track("nothing", gaps.at, np.full((400, 1), np.nan))
    assert np.isnan(table(model.answer(asked(nothing)))).all()
    first = Track("first", gaps.at[:1], np.array([[7.0]]))
    assert np.isfinite(table(model.answer(asked(first, warm_up=1)))).all()
    still = Track("still", gaps.at, np.full((400, 1), 5.0))
    assert table(model.answer(asked(still))) == pytest.approx(5.0, abs=1e-3)
    assert table(model.answer(asked(gaps).take(np.zeros(0, np.int64)))).shape == (0, 3)


def test_too_little_is_not_learned_from() -> None:
    with pytest.raises(ValueError, match="too few"):
        taught(asked(made(110)))


def test_parts_make_the_same_model_to_the_bit(model: Ahead) -> None:
    data = skops.io.dumps(model.parts())
    again = KINDS[model.kind](skops.io.loads(data))
    examples = asked(made(seed=3))
    assert table(again.answer(examples)).tobytes() == table(model.answer(examples)).tobytes()


def test_learning_twice_gives_the_same_to_the_bit() -> None:
    examples = asked(made(), made(300, seed=2, unit="other"))
    first, second = (table(taught(examples).answer(examples)) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_new_level_widens_the_interval_and_then_is_followed(model: Ahead) -> None:
    track = made(700)
    track.value[400:] += 30
    examples = asked(track)
    width = np.ptp(table(model.answer(examples)), axis=1)
    at = {end: place for place, end in enumerate(examples.end.tolist())}
    assert width[at[430]] > 3 * width[at[399]]
    late = examples.take((examples.end > 600) & np.isfinite(examples.truth))
    assert np.abs(model.answer(late)["p50"] - late.truth).mean() < 1.5


@pytest.mark.parametrize("levels", [(0.1, 0.5, 0.9)])
def test_weighted_quantiles_are_those_of_repeated_values(levels: tuple[float, ...]) -> None:
    lot = np.random.default_rng(0)
    values, weight = lot.normal(size=(50, 9)), lot.integers(0, 5, (50, 9))
    weight[:, 0] = 1
    found = forecasting.weighted_quantiles(values, weight.astype(np.float64), levels)
    for row in range(50):
        repeated = np.repeat(values[row], weight[row])
        slow = np.quantile(repeated, levels, method="inverted_cdf")
        assert found[row] == pytest.approx(slow)


def test_medians_are_numpys() -> None:
    values = np.random.default_rng(0).normal(size=(40, 7))
    values[np.random.default_rng(1).random((40, 7)) < 0.3] = np.nan
    values[0] = np.nan
    values[1, 1:] = np.nan
    slow = [np.nanmedian(row) if np.isfinite(row).any() else np.nan for row in values]
    assert seasons.median(values) == pytest.approx(np.array(slow), nan_ok=True)


def test_the_day_before_is_the_same_hour_where_the_clock_changes() -> None:
    plan = Plan(24, HOUR, seasons=(24,), memory=48, zone="Europe/Rome")
    start = from_instant(datetime(2022, 3, 20, tzinfo=ZoneInfo("UTC")))
    at = start + np.arange(24 * 20) * HOUR
    past = past_of(Track("clock", at, np.arange(480.0)[:, None]), plan)
    zone = ZoneInfo("Europe/Rome")
    for row in range(100, 300):
        there = datetime.fromtimestamp((at[row] + 24 * HOUR) / 1e6, zone)
        for times in (1, 2):
            then = past.season_before(np.array([row]), 24, times)[0]
            before = datetime.fromtimestamp(at[then] / 1e6, zone)
            if there.hour not in (2, 3):  # an hour that one of the days does not have
                assert (before.hour, (there.date() - before.date()).days) == (there.hour, times)


def test_of_a_gap_no_more_is_kept_than_is_looked_back_at() -> None:
    track = made(200)
    late = Track("late", np.where(np.arange(200) < 100, track.at, track.at + 10**7 * HOUR), track.value)
    past = past_of(late, PLAN)
    assert len(past.value) < 200 + 2 * PLAN.reach
    assert past.value[past.row].tolist() == track.value[:, 0].tolist()
    assert past.at[past.row].tolist() == late.at.tolist()


@pytest.mark.parametrize("name", [name for name, one in RECIPES.items() if one.experiment == "forecasting"])
def test_recipes_say_what_they_measure(name: str) -> None:
    recipe = RECIPES[name]
    assert isinstance(recipe, ValueAhead) and recipe.name == name
    assert recipe.signature.rows >= recipe.warm_up > recipe.plan.ahead
    examples = asked(made(500))
    told = examples.take(np.isfinite(examples.truth))
    perfect = dict.fromkeys(forecasting.OUTPUTS, told.truth)
    figures = recipe.measure(perfect, told)
    assert figures["pinball"] == figures["mase"] == 0 and figures["coverage"] == 1
    assert {recipe.target.name, *(guard.name for guard in recipe.guards)} <= set(figures)
