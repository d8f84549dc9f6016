"""Forecasts on real data: what is read is what is there, and what is taught is better than what is trivial."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from mlops.learning.contract import NotAtHand
from mlops.recipes import RECIPES, series
from sensors.columns import SECOND_US, from_instant
from tests.bench.results import DATA
from tests.unit.test_time_to_limit import KNOWN, ask, ramps, wandering

HOUR = 3600 * SECOND_US
NAMES = [name for name, one in RECIPES.items() if one.experiment in ("forecasting", "time-to-limit")]
NO_BETTER = {"water-flow-day"}
"""A week after its main was shut, the flow held out is told worse than by its mean: the model may not speak."""
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is not there: no real data sets at hand")


def test_the_flow_of_water_is_at_hand_with_its_clock_changed(tmp_path: Path) -> None:
    (track,) = series.water_flow(tmp_path)
    assert np.unique(np.diff(track.at)).tolist() == [HOUR]
    assert np.isfinite(track.value).sum() == 1268
    change = from_instant(datetime.fromisoformat("2022-03-27T03:00:00+02:00"))
    assert track.value[track.at == change, 0].tolist() == [101.53]


def test_a_users_own_flow_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "water_flow").mkdir()
    rows = ["Time,Water flow [l/s]", "2024-01-01T00:00:00+01:00,1.5", "2024-01-01T03:00:00+01:00,2.5"]
    (tmp_path / "water_flow" / "water-flow.csv").write_text("\n".join(rows))
    (track,) = series.water_flow(tmp_path)
    assert track.value[:, 0] == pytest.approx([1.5, np.nan, np.nan, 2.5], nan_ok=True)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "water-flow-day"])
def test_data_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotAtHand, match=r"nab|hydsys|nasa_battery"):
        RECIPES[name].load(tmp_path)


@needs_data
def test_the_capacity_of_a_cell_is_the_charge_it_gave() -> None:
    cells = {track.unit: track.value[:, 0] for track in series.capacities(DATA)}
    assert {name: len(cell) for name, cell in cells.items()} == {"B0005": 168, "B0006": 168, "B0007": 168}
    assert cells["B0005"][0] == pytest.approx(1.8564874, abs=1e-4)
    assert [int(np.argmax(cells[name] <= 1.4)) for name in ("B0005", "B0006")] == [124, 108]
    assert cells["B0007"].min() > 1.4


@needs_data
@pytest.mark.parametrize("name", NAMES)
def test_what_is_taught_answers_every_question_held_out(name: str) -> None:
    recipe = RECIPES[name]
    learn, held = recipe.split(recipe.load(DATA))
    held = held.take(np.arange(0, len(held), max(1, len(held) // 300)))
    answers = recipe.fit(learn, recipe.defaults, seed=1).answer(held)
    assert all(np.isfinite(answers[output.name]).all() for output in recipe.signature.outputs)
    figures = recipe.measure(answers, held)
    assert figures["coverage"] > 0.5
    if name in NO_BETTER:
        return
    (mean,) = (one for trivial, one in recipe.baselines(learn).items() if trivial in ("mean", "mean life"))
    assert figures["pinball"] < recipe.measure(mean.answer(held), held)["pinball"]


@pytest.mark.parametrize("memory", [0.0, 0.7])
def test_of_many_ramps_about_as_many_pass_within_the_interval_as_it_says(memory: float) -> None:
    assert np.mean(ramps(np.random.default_rng(4), 200, memory=memory)) == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize("memory", [0.0, 0.7])
def test_of_many_that_do_not_drift_few_cry_wolf(memory: float) -> None:
    lot = np.random.default_rng(5)
    answers = [ask(wandering(lot, KNOWN, memory=memory), 8.0)[1] for _ in range(200)]
    assert np.mean(np.isfinite(answers)) < 0.1
