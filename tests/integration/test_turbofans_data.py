"""The recipes of turbofans on the real data, where it is at hand."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.recipes import RECIPES, turbofan
from mlops.recipes.turbofan import TurbofanLife
from tests.bench import results

pytestmark = pytest.mark.skipif(
    not (results.DATA / "cmapss").exists(), reason=f"the real data sets are not at hand ({results.DATA})"
)


def test_engines_that_were_stopped_are_told_nearer_than_by_a_line_and_what_is_shown_is_proven() -> None:
    recipe = RECIPES["turbofan-rul-fd001"]
    assert isinstance(recipe, TurbofanLife)
    learn, held = recipe.split(recipe.load(results.DATA))
    assert not set(learn.track) & set(held.track)
    asked, line = recipe.official(results.DATA), recipe.baselines(learn)["line of the last readings"]
    told = recipe.fit(learn, recipe.defaults, seed=1).answer(asked)
    alike = np.ones(len(asked))
    ours = turbofan.figures_of(told, asked.truth, alike)
    assert ours["rmse"] < turbofan.figures_of(line.answer(asked), asked.truth, alike)["rmse"] - 4
    assert 0.7 <= ours["coverage"] <= 0.92
    assert 0.3 < ours["shown"] < 0.9
    assert told["rul_p50"][told["coverage_proven"] == 1].max() < 125


@pytest.mark.parametrize("name", [name for name in RECIPES if name.startswith("turbofan-rul-")])
def test_there_is_a_question_about_each_engine_that_was_stopped(name: str) -> None:
    asked = RECIPES[name].aside(results.DATA)
    assert asked is not None
    assert len(asked) == len({track.unit for track in asked.tracks}) > 90
    assert (asked.end >= RECIPES[name].signature.least).all()
