"""When a limit will be passed, on made ramps and on quantities that stay where they are."""

from __future__ import annotations

from itertools import combinations
from statistics import median

import numpy as np
import pytest
import skops.io

from mlops import time_to_limit
from mlops.learning.examples import Examples, Track
from mlops.learning.kinds import KINDS
from mlops.recipes import RECIPES
from mlops.recipes.time_to_limit import RowsToLimit
from sensors.columns import SECOND_US

MINUTE = 60 * SECOND_US
KNOWN = 80
HORIZON = 400


def wandering(lot: np.random.Generator, rows: int, *, memory: float) -> np.ndarray:
    """Noise of variance one, each so much like the one before."""
    shock = lot.normal(0, np.sqrt(1 - memory**2), rows + 100)
    found = np.zeros(rows + 100)
    for row in range(1, rows + 100):
        found[row] = memory * found[row - 1] + shock[row]
    return found[100:]


def minutes(value: np.ndarray, unit: str = "made") -> Track:
    return Track(unit, np.arange(len(value)) * MINUTE, np.asarray(value, np.float64)[:, None])


def ask(value: np.ndarray, limit: float, *, above: bool = True) -> tuple[float, float, float]:
    return time_to_limit.time_to_limit(minutes(value), limit, above=above, horizon_s=60.0 * HORIZON)


def ramps(lot: np.random.Generator, times: int, *, memory: float) -> list[bool]:
    """Of ramps that are not beyond yet: was the first time beyond within the interval?"""
    inside = []
    for _ in range(times):
        value = 0.1 * np.arange(KNOWN + HORIZON) + wandering(lot, KNOWN + HORIZON, memory=memory)
        limit = 0.1 * KNOWN + lot.uniform(6, 20)
        if not np.any(value[:KNOWN] >= limit):
            low, _, high = ask(value[:KNOWN], limit)
            inside.append(low <= 60.0 * (np.argmax(value[KNOWN:] >= limit) + 1) <= high)
    return inside


def test_ramps_pass_within_the_interval_about_as_often_as_it_says() -> None:
    inside = ramps(np.random.default_rng(4), 40, memory=0.5)
    assert np.mean(inside) == pytest.approx(0.8, abs=0.15)


def test_it_seldom_cries_wolf_where_nothing_drifts() -> None:
    lot = np.random.default_rng(5)
    answers = [ask(wandering(lot, KNOWN, memory=0.5), 8.0)[1] for _ in range(40)]
    assert np.mean(np.isfinite(answers)) <= 0.1


def test_a_sure_ramp_is_met_to_the_row() -> None:
    rising = np.arange(50.0)
    assert ask(rising, 100.0) == pytest.approx((51 * 60.0,) * 3, abs=60.0)
    assert ask(-rising, -100.0, above=False) == ask(rising, 100.0)
    sparse = rising.copy()
    sparse[5:20:3] = np.nan
    assert ask(sparse, 100.0) == pytest.approx((51 * 60.0,) * 3, abs=60.0)


def test_what_is_not_known_and_what_is_far_are_told_apart() -> None:
    ramp = np.arange(50.0)
    assert np.isnan(ask(ramp[: time_to_limit.LEAST - 1], 100.0)).all()
    assert np.isnan(ask(np.full(50, 3.0), 100.0)).all()
    assert np.isnan(ask(np.full(50, np.nan), 100.0)).all()
    assert np.isnan(ask(ramp, float("nan"))).all()
    assert ask(ramp, 49.0) == (0.0, 0.0, 0.0)
    assert ask(ramp, 1e6) == (np.inf,) * 3
    assert ask(-ramp, 1.0) == (np.inf,) * 3


def test_a_far_horizon_is_walked_in_longer_steps() -> None:
    far = time_to_limit.time_to_limit(minutes(np.arange(50.0)), 10_000.0, above=True, horizon_s=60.0 * 20_000)
    assert far == pytest.approx((9951 * 60.0,) * 3, rel=0.01)


def test_the_line_is_the_slow_and_obvious_one() -> None:
    lot = np.random.default_rng(0)
    place, value = np.cumsum(lot.integers(1, 4, 30)).astype(np.float64), lot.normal(size=30)
    slow = median((value[b] - value[a]) / (place[b] - place[a]) for a, b in combinations(range(30), 2))
    line = time_to_limit.robust_line(place, value)
    assert line.slope == pytest.approx(slow)
    assert line.level == pytest.approx(median(value - slow * (place - place.mean())))


RECIPE = RECIPES["battery-capacity"]
assert isinstance(RECIPE, RowsToLimit)


def cell(unit: str, rate: float, *, rows: int = 120, seed: int = 0) -> Track:
    """Fades from 1.9 by so much a discharge."""
    value = 1.9 - rate * np.arange(rows) + np.random.default_rng(seed).normal(0, 0.004, rows)
    return Track(unit, np.arange(1, rows + 1), value[:, None])


CELLS = (cell("A", 0.006), cell("B", 0.0065, seed=1), cell("C", 0.0045, seed=2, rows=100))


def questions(*cells: Track) -> Examples:
    return RowsToLimit(**{**BATTERY, "read": lambda folder: cells}).load(None)  # type: ignore[arg-type]


BATTERY = {
    name: getattr(RECIPE, name)
    for name in ("name", "about", "source", "feature", "limit", "above", "read", "unit", "block")
}


def test_truth_is_the_first_time_beyond_and_unknown_where_it_never_is() -> None:
    examples = questions(*CELLS)
    fades = CELLS[0].value[:, 0]
    mine = examples.track == 0
    first = next(row for row in range(len(fades)) if fades[row] <= 1.4)
    assert (examples.end[mine] + examples.truth[mine] == first + 1).all()
    assert np.isnan(examples.truth[examples.track == 2]).all() and np.any(examples.track == 2)
    assert examples.end.min() == time_to_limit.LEAST


def test_cells_held_out_have_a_known_truth_and_are_not_learned_from() -> None:
    learn, held = RECIPE.split(questions(*CELLS))
    assert np.isfinite(held.truth).all() and len(np.unique(held.track)) == 1
    assert set(np.unique(learn.track)) == {0, 1, 2} - set(np.unique(held.track))


def test_wear_is_told_about_right_and_its_parts_make_the_same_to_the_bit() -> None:
    learn, held = RECIPE.split(questions(*CELLS))
    model = RECIPE.fit(learn, RECIPE.defaults, seed=0)
    answers = model.answer(held)
    assert np.abs(answers["p50"] - held.truth).mean() < 15
    assert (answers["p10"] <= answers["p50"]).all() and (answers["p50"] <= answers["p90"]).all()
    again = KINDS[model.kind](skops.io.loads(skops.io.dumps(model.parts()))).answer(held)
    assert all(again[name].tobytes() == answers[name].tobytes() for name in answers)
    assert {RECIPE.target.name, *(guard.name for guard in RECIPE.guards)} <= set(RECIPE.measure(answers, held))


def test_wear_answers_from_what_is_known_alone() -> None:
    model = RECIPE.fit(questions(*CELLS), RECIPE.defaults, seed=0)
    other = Track("A", CELLS[0].at, CELLS[0].value.copy())
    other.value[60:] = np.nan
    ends = np.array([10, 24, 60])
    first, second = (
        model.answer(Examples((one,), np.zeros(3, np.int64), ends, np.full(3, np.nan))) for one in (CELLS[0], other)
    )
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)
    assert np.isnan(first["p50"][0]) and np.isfinite(first["p50"][1:]).all()
    still = Track("still", CELLS[0].at, np.full((120, 1), 1.8))
    own = time_to_limit.Wear(1.4, False, 60, 0.0, 0.0, np.ones(3))
    assert (
        own.answer(Examples((still,), np.zeros(1, np.int64), np.array([100]), np.array([np.nan])))["p50"][0] == np.inf
    )
    assert model.answer(questions(*CELLS).take(np.zeros(0, np.int64)))["p50"].shape == (0,)


def test_what_does_not_wear_teaches_nothing() -> None:
    still = cell("still", 0.0)
    still.value[:] = 1.8
    with pytest.raises(ValueError, match="nothing to learn"):
        RECIPE.fit(
            Examples((still,), np.zeros(1, np.int64), np.array([120]), np.array([np.nan])), RECIPE.defaults, seed=0
        )
