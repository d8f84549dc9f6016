"""Recipes that classify, on the real data: they learn, beat what is trivial, and are stored and opened again."""

from __future__ import annotations

import numpy as np
import pytest
import skops.io

from mlops.classification import Classifier
from mlops.recipes import hydraulics, milling
from tests.bench import results

AI4I, HYDRAULICS = results.DATA / "ai4i2020", results.DATA / "hydsys"
WHERE = f"the real data sets are not at hand ({results.DATA})"


@pytest.mark.skipif(not HYDRAULICS.exists(), reason=WHERE)
@pytest.mark.parametrize("recipe", hydraulics.RECIPES, ids=lambda recipe: recipe.name)
def test_the_state_of_a_part_of_the_rig_is_told_better_than_by_what_is_trivial(recipe: hydraulics.Hydraulic) -> None:
    learn, held = recipe.split(recipe.load(results.DATA))
    learned = recipe.fit(learn, recipe.defaults, seed=1)
    assert isinstance(learned, Classifier)
    answers = learned.answer(held)
    ours = recipe.measure(answers, held)
    for rival in recipe.baselines(learn).values():
        assert ours["accuracy"] > recipe.measure(rival.answer(held), held)["accuracy"] + 0.05
    again = Classifier.from_parts(skops.io.loads(skops.io.dumps(learned.parts()), trusted=[]))
    assert all(answers[key].tobytes() == again.answer(held)[key].tobytes() for key in answers)


@pytest.mark.skipif(not AI4I.exists(), reason=WHERE)
def test_failures_of_milling_are_told_better_than_by_what_is_trivial() -> None:
    recipe = milling.MillingFailure()
    recipe.trees = 20
    learn, held = recipe.split(recipe.load(results.DATA))
    learned = recipe.fit(learn, recipe.defaults, seed=1)
    answers = learned.answer(held)
    ours = recipe.measure(answers, held)
    for rival in recipe.baselines(learn).values():
        assert ours["f1"] > recipe.measure(rival.answer(held), held)["f1"] + 0.2
    stored = skops.io.loads(skops.io.dumps(learned.parts()), trusted=["sklearn.tree._tree.Tree"])
    again = Classifier.from_parts(stored)
    assert all(answers[key].tobytes() == again.answer(held)[key].tobytes() for key in answers)
    told = learned.answer(recipe.aside(results.DATA))
    assert not np.isnan(told["probability"]).any()
