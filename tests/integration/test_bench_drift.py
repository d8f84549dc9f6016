"""The benchmark of drift in small: that it runs, and what it must reach anywhere."""

from __future__ import annotations

import numpy as np
import pytest

from tests.bench import drifting, drifting_agent, drifting_data, drifting_injected, drifting_models, results
from tests.bench.drifting_data import Stretch


def test_a_drift_is_told_from_the_flow_of_every_day() -> None:
    cases = list(drifting_data.cases(drifting_data.of_water()))
    calm = {one["name"]: one for one in drifting.calm(cases)}
    assert calm["Bellwether: false triggers, all checks"]["ok"] is True
    assert calm["Bellwether: false triggers, all checks"]["baseline"] > 50
    seen = {one["name"]: one["value"] for one in drifting_injected.bench(cases)}
    assert seen["Bellwether: no drift, all"] == 0
    assert seen["Bellwether: shift by 2 deviations, all"] == 100
    assert seen["KS, p < 0.05: no drift, water flow"] == 100


def test_as_the_agent_decides_the_flow_of_every_day_is_no_drift() -> None:
    each = list(drifting_agent.watched(list(drifting_data.cases(drifting_data.of_water()))))
    calm = {one["name"]: one for one in drifting_agent.false_triggers(each)}
    found = calm[f"{drifting_agent.AGENT}: false triggers, all checks"]
    assert found["value"] == 0 and found["ok"] is True and int(found["detail"].split()[0]) > 5
    seen = {one["name"]: one["value"] for one in drifting_agent.delays(each)}
    assert seen[f"{drifting_agent.AGENT}: no drift, chosen on"] == 0


def test_as_the_agent_decides_a_shift_of_what_rested_is_seen_by_its_first_check() -> None:
    value = np.random.default_rng(1).normal(size=(3000, 1))
    stretch = Stretch("made", "noise", ("a",), drifting_data.steps(len(value), 60), value, (24,))
    each = list(drifting_agent.watched(list(drifting_data.cases([stretch]))))
    seen = {one["name"]: one for one in drifting_agent.delays(each)}
    assert seen[f"{drifting_agent.AGENT}: no drift, chosen on"]["value"] == 0
    shifted = seen[f"{drifting_agent.AGENT}: shift by 2 deviations, chosen on"]
    assert (shifted["value"], shifted["detail"]) == (100, "delay (1.0)")


def test_a_check_is_quick() -> None:
    assert next(drifting.speed())["ok"] is True


def test_the_hydraulic_rig_and_the_others_are_read() -> None:
    if not results.DATA.exists():
        pytest.skip(f"the real data sets are not at hand ({results.DATA})")
    found = drifting_data.all_of_them()
    assert {one.source for one in found} == {"nab", "skab", "hydsys", "ims", "water flow", *drifting_data.UNSEEN}
    assert all(one.value.shape == (len(one.at), len(one.features)) for one in found)


def test_what_is_expected_of_a_classifier_comes_closer_than_what_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    if not drifting_models.FOLDER.exists():
        pytest.skip(f"the real data sets are not at hand ({results.DATA})")
    monkeypatch.setattr(drifting_models, "SEEDS", (1, 2))
    found = {one["name"]: one for one in drifting_models.bench()}
    assert found["forest, isotonic: error of the expected accuracy"]["ok"] is True
    assert found["torque: error of the expected quantile loss"]["ok"] is True
