"""The models of unusual rows on the data sets they are made for."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from mlops import charts
from mlops.learning.contract import NotAtHand
from mlops.learning.examples import Examples
from mlops.multivariate import Multivariate
from mlops.recipes import anomaly
from tests.bench import results


@cache
def made(name: str) -> tuple[anomaly.Anomaly, Multivariate, Examples, Examples]:
    recipe = next(one for one in anomaly.FAMILY if one.name == name)
    try:
        examples = recipe.load(results.DATA)
    except NotAtHand as missing:
        pytest.skip(str(missing))
    learn, hold = recipe.split(examples)
    learned = recipe.fit(learn, recipe.defaults, seed=1)
    assert isinstance(learned, Multivariate)
    return recipe, learned, learn, hold


@pytest.mark.parametrize("name", [recipe.name for recipe in anomaly.FAMILY])
def test_it_beats_the_charts_by_more_than_the_margin(name: str) -> None:
    recipe, learned, learn, hold = made(name)
    ours = recipe.measure(learned.answer(hold), hold)
    for method, chart in recipe.baselines(learn).items():
        if method != charts.FOREST:
            theirs = recipe.measure(chart.answer(hold), hold)
            assert ours[recipe.target.name] > theirs[recipe.target.name] + recipe.target.margin, method


def test_the_rig_is_judged_as_published() -> None:
    """The first 400 rows of each file are learned from, the others judged; calling all of them anomalous pays."""
    recipe, learned, learn, hold = made("rig-anomaly")
    assert learn.end.max() == anomaly.TRAINING and hold.end.min() == anomaly.TRAINING + 1
    ours = recipe.measure(learned.answer(hold), hold)
    best = next(figures for name, figures in recipe.published.items() if name.startswith("Conv-AE"))
    assert ours["f1"] > best["f1"] and ours["false_alarms"] < best["false_alarms"] and ours["missed"] < best["missed"]
    everything = np.ones(len(hold))
    assert recipe.measure({"score": everything, "anomalous": everything}, hold)["f1"] == pytest.approx(0.70, abs=0.01)


def test_a_closing_valve_is_seen_by_its_flow() -> None:
    recipe, learned, _, hold = made("rig-anomaly")
    found = hold.take((hold.truth == 1) & (learned.answer(hold)["anomalous"] == 1))
    shares = learned.contributions(found).mean(axis=0)
    assert recipe.signature.features[int(shares.argmax())].kind == "FLOW"


def test_the_plant_shows_the_faults_that_can_be_seen_and_not_the_others() -> None:
    recipe, learned, _, hold = made("plant-anomaly")
    ours = recipe.measure(learned.answer(hold), hold)
    assert min(ours[f"detected d{k:02d}"] for k in (1, 2, 4, 6, 7, 8)) > 0.95
    assert max(ours[f"detected d{k:02d}"] for k in (3, 9)) < 0.1
    assert ours["false_alarms"] < 0.02
