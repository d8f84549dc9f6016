"""The limit of a multivariate model, moved by what people said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mlops import multivariate, thresholds
from mlops.learning.examples import Track, everywhere
from mlops.multivariate import Multivariate, Shape
from mlops.recipes import machine_anomaly
from sensors.columns import Bool, Float64

NOWHERE = Path("nowhere")
ROWS = 3_000


def track(shift: float = 0.0, *, at: slice = slice(0, 0)) -> Track:
    value = np.random.default_rng(3).normal(size=(ROWS, 3))
    value[at] += shift
    return Track("P-1", np.arange(ROWS), value)


def taught(budget: float = 0.01) -> Multivariate:
    return multivariate.learn(everywhere([track()], [np.zeros(ROWS)]), Shape(budget=budget))


def moved(learned: Multivariate, asked: Track, **windows: slice) -> float:
    """The budget by what is said of windows: faults where the name begins so, else normal."""
    rare = learned.rare("", next(learned.asked(everywhere([asked], [np.zeros(ROWS)]))).rows)
    faults = [rare[rows] for kind, rows in windows.items() if kind.startswith("fault")]
    rest = np.ones(ROWS, np.bool_)
    for rows in windows.values():
        rest[rows] = False
    normal = [rare[rows] for kind, rows in windows.items() if not kind.startswith("fault")]
    return thresholds.moved(learned.shape.budget, faults, [*normal, rare[rest]])


def test_missed_faults_loosen_the_limit_and_no_further_than_a_step() -> None:
    fault = slice(500, 560)
    assert 0.01 < moved(taught(), track(1.4, at=fault), fault=fault) <= 0.01 * 10**thresholds.STEP + 1e-12


def test_false_alarms_tighten_the_limit() -> None:
    alarm = slice(500, 560)
    assert moved(taught(), track(1.4, at=alarm), normal=alarm) < 0.01


def test_a_limit_that_does_well_stays() -> None:
    fault = slice(500, 560)
    assert moved(taught(0.001), track(9.0, at=fault), fault=fault) == pytest.approx(0.001)


@pytest.mark.parametrize("budget", [0.09, 0.00011])
@pytest.mark.parametrize("kind", ["fault", "normal"])
def test_a_limit_stays_between_one_in_ten_and_one_in_10_000(budget: float, kind: str) -> None:
    rows = slice(500, 560)
    for shift in (0.5, 1.4, 3.0):
        assert 0.0001 <= round(moved(taught(budget), track(shift, at=rows), **{kind: rows}), 9) <= 0.1


def test_where_nobody_said_anything_nothing_moves() -> None:
    with pytest.raises(thresholds.NothingSaid):
        moved(taught(), track())


def test_every_window_counts_the_same_however_long() -> None:
    """A long fault that is found anyway does not drown a short one that is missed."""
    long, short = slice(500, 1_500), slice(2_000, 2_020)
    asked = track(9.0, at=long)
    asked.value[short] += 1.4
    assert moved(taught(), asked, fault=long, fault_2=short) > 0.01


# Rows of live machines


def recipe(faults: Bool, *, value: Float64 | None = None) -> machine_anomaly.MachineAnomaly:
    asked = track() if value is None else replace(track(), value=value)
    stored = machine_anomaly.Stored([asked], [faults], [faults])
    return machine_anomaly.taught_anew(stored, None, name="made", about="", source="", signature=None)


def test_no_row_that_is_learned_from_or_judged_as_normal_looks_back_at_a_fault() -> None:
    faults = np.zeros(ROWS, np.bool_)
    faults[[400, 401, 402, 2_800, 2_801]] = True
    made = recipe(faults)
    learn, held = made.split(made.load(NOWHERE))
    reach = machine_anomaly.SHAPE.reach
    for examples in (learn, held.take(held.truth == 0)):
        assert not any(faults[max(0, end - reach) : end].any() for end in examples.end)
    assert (learn.truth.sum(), held.truth.sum()) == (0, 2)
    assert held.end.min() - learn.end.max() > reach
    assert len(learn) == round(0.7 * ROWS) - reach - 3 - (reach - 1)


def test_a_fault_is_one_block() -> None:
    faults = np.zeros(ROWS, np.bool_)
    faults[2_480:2_730] = faults[2_900:2_910] = True
    made = recipe(faults)
    _, held = made.split(made.load(NOWHERE))
    blocks = made.blocks(held)
    for first, end in ((2_480, 2_730), (2_900, 2_910)):
        assert len(np.unique(blocks[(held.end > first) & (held.end <= end)])) == 1
    assert len(np.unique(blocks)) == 19 - 5


def test_rows_that_lack_a_feature_are_no_questions() -> None:
    value = track().value.copy()
    value[::7, 1] = np.nan
    assert np.isfinite(recipe(np.zeros(ROWS, np.bool_), value=value).load(NOWHERE).now).all()
