"""The recipes of bearings on the real data, where it is at hand."""

from __future__ import annotations

import numpy as np
import pytest

from mlops.recipes import RECIPES
from tests.bench import results

pytestmark = pytest.mark.skipif(
    not (results.DATA / "femto").exists(), reason=f"the real data sets are not at hand ({results.DATA})"
)


def test_health_ranks_as_life_used_better_than_the_level_of_bearings_left_out() -> None:
    recipe = RECIPES["bearing-health-femto"]
    examples = recipe.load(results.DATA)
    learn, held = recipe.split(examples)
    ours = recipe.measure(recipe.fit(learn, recipe.defaults, seed=1).answer(held), held)
    (level,) = recipe.baselines(learn).values()
    assert ours["rank_correlation"] > recipe.measure(level.answer(held), held)["rank_correlation"] + 0.1


def test_seconds_left_of_bearings_that_were_stopped_are_told_as_unproven() -> None:
    recipe = RECIPES["bearing-life-femto"]
    learn, held = recipe.split(recipe.load(results.DATA))
    assert not set(learn.track) & set(held.track)
    stopped = recipe.aside(results.DATA)
    assert stopped is not None and len(stopped) == 11
    told = recipe.fit(learn, recipe.defaults, seed=1).answer(stopped)
    assert all(np.isfinite(answer).all() for answer in told.values())
    assert (told["coverage_proven"] == 0).all()


def test_every_bearing_of_a_shaft_is_warned_of_before_it_fails() -> None:
    recipe = RECIPES["bearing-novelty-ims"]
    examples = recipe.load(results.DATA)
    for number in np.unique(examples.track):
        others, mine = examples.take(examples.track != number), examples.take(examples.track == number)
        found = recipe.measure(recipe.fit(others, recipe.defaults, seed=1).answer(mine), mine)
        assert found["warned"] == 1.0
        assert found["false_alarms"] < 0.1
