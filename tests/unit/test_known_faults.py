"""A model of what is normal that is shown faults, step by step, behind the gate."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops import known_faults
from mlops.known_faults import KnownFaults
from mlops.learning import artifact
from mlops.learning.contract import Feature, Learned, Signature
from mlops.learning.examples import Examples, Track
from mlops.multivariate import Multivariate
from mlops.recipes import machine_anomaly
from mlops.recipes.anomaly import OUTPUTS
from mlops.recipes.machine_anomaly import Stored
from mlops.thresholds import NothingSaid
from sensors.columns import Float64

NOWHERE = Path("nowhere")
ROWS, LASTS = 4_000, 60
FEATURES = tuple(f"f{number}" for number in range(12))
SIGNATURE = Signature(tuple(map(Feature, FEATURES)), OUTPUTS, rows=10, least=10)
EARLIER = (700, 1_100, 1_500, 1_900, 2_300)
LATER = (2_950, 3_100, 3_250, 3_400, 3_550, 3_700)
NEW_MODE = np.array([0.8, -0.8, *np.zeros(10)])
"""Of twelve features two move, by less than each moves by itself: the distance of all twelve hardly tells."""


def values(seed: int) -> Float64:
    return np.random.default_rng(seed).normal(size=(ROWS, len(FEATURES)))


def stored(
    labels: tuple[int, ...], *, faults: tuple[int, ...] = (*EARLIER, *LATER), normal: tuple[int, ...] = ()
) -> Stored:
    """Two pumps; the first has faults of the new mode, of which people labelled some, or others."""
    value, fault, said = values(1), np.zeros(ROWS, np.bool_), np.zeros(ROWS, np.bool_)
    for begin in faults:
        value[begin : begin + LASTS] += NEW_MODE
    for begin in labels:
        fault[begin : begin + LASTS] = said[begin : begin + LASTS] = True
    for begin in normal:
        said[begin : begin + LASTS] = True
    nothing = np.zeros(ROWS, np.bool_)
    tracks = [Track("P-1", np.arange(ROWS), value), Track("P-2", np.arange(ROWS), values(2))]
    return Stored(tracks, [fault, nothing], [said, nothing])


NAMED: dict[str, Any] = {"name": "made", "about": "", "source": "made here", "signature": SIGNATURE}


def anew(data: Stored, before: Multivariate | None = None) -> Multivariate:
    recipe = machine_anomaly.taught_anew(data, before, **NAMED)
    found = recipe.fit(recipe.split(recipe.load(NOWHERE))[0], recipe.defaults, seed=1)
    assert isinstance(found, Multivariate)
    return found


def step(data: Stored, champion: Multivariate) -> KnownFaults:
    return machine_anomaly.step(data, champion, **NAMED).stepped


def figures(learned: Learned, data: Stored) -> dict[str, float]:
    recipe = machine_anomaly.taught_anew(data, None, **NAMED)
    held = recipe.split(recipe.load(NOWHERE))[1]
    return recipe.measure(learned.answer(held), held)


@pytest.fixture(scope="module")
def champion() -> Multivariate:
    """Taught before the new mode was there."""
    return anew(stored((), faults=()))


@pytest.fixture(scope="module")
def stepped(champion: Multivariate) -> KnownFaults:
    return step(stored((*EARLIER, *LATER)), champion)


def test_labels_of_a_new_mode_let_the_next_version_find_it(champion: Multivariate, stepped: KnownFaults) -> None:
    data = stored((*EARLIER, *LATER))
    before, after = figures(champion, data), figures(stepped, data)
    assert after["recall"] > before["recall"] + 0.3
    assert after["false_alarms"] < before["false_alarms"] + 0.02
    assert (stepped.planes, stepped.tails) == (champion.planes, champion.tails)
    assert [(one.first, one.last) for one in stepped.windows] == [(at, at + LASTS - 1) for at in EARLIER]


@pytest.mark.parametrize("seed", [2, 3, 4, 5])
def test_shuffled_labels_teach_nothing_that_is_better_than_the_champion(seed: int, champion: Multivariate) -> None:
    lot = np.random.default_rng(seed)
    some = (int(at) for at in lot.choice(np.arange(180, 2_500, 100), len(EARLIER), replace=False))
    data = stored((*sorted(some), *LATER))
    assert figures(step(data, champion), data)["skill"] < figures(champion, data)["skill"] + 0.02


def test_the_same_labels_again_change_nothing(champion: Multivariate, stepped: KnownFaults) -> None:
    with pytest.raises(NothingSaid):
        step(stored((*EARLIER, *LATER)), stepped)
    with pytest.raises(NothingSaid):
        step(stored(LATER), champion)


def test_the_same_step_makes_the_same_model_to_the_bit(champion: Multivariate, stepped: KnownFaults) -> None:
    again = step(stored((*EARLIER, *LATER)), champion)
    data = artifact.pack(stepped, SIGNATURE, None)
    opened, *_ = artifact.open_(data, sha256=artifact.digest(data))
    asked = machine_anomaly.taught_anew(stored(()), None, **NAMED).load(NOWHERE)
    for other in (opened, again):
        assert isinstance(other, KnownFaults)
        for one, told in zip(stepped.answer(asked).values(), other.answer(asked).values(), strict=True):
            assert np.array_equal(one, told, equal_nan=True)
        assert np.array_equal(stepped.contributions(asked), other.contributions(asked), equal_nan=True)
        assert [one.key for one in other.windows] == [one.key for one in stepped.windows]


def test_what_comes_after_an_instant_changes_no_answer_and_gaps_are_answered(stepped: KnownFaults) -> None:
    value = values(5)
    value[50, 1], value[60] = np.nan, np.nan
    later = value.copy()
    later[100:] = 1e6
    ends = np.arange(1, 101, dtype=np.int64)
    asked, other = (
        Examples((Track("P-1", np.arange(ROWS), one),), np.zeros(100, np.int64), ends, np.zeros(100))
        for one in (value, later)
    )
    told = stepped.answer(asked)["score"]
    assert np.array_equal(told, stepped.answer(other)["score"], equal_nan=True)
    assert np.isnan(told[60]) and np.isfinite(np.delete(told, 60)).all()
    assert len(stepped.answer(asked.take(np.empty(0, np.int64)))["score"]) == 0


def test_a_fault_that_is_known_is_explained_by_the_features_it_moves(stepped: KnownFaults) -> None:
    recipe = machine_anomaly.taught_anew(stored(()), None, **NAMED)
    asked = recipe.load(NOWHERE)
    inside = asked.take((asked.track == 0) & (asked.end > LATER[0] + 20) & (asked.end < LATER[0] + LASTS))
    shares = stepped.contributions(inside).mean(axis=0)
    assert set(np.argsort(-shares)[:2]) == {0, 1} and shares.sum() == pytest.approx(1)


def test_faults_that_were_shown_are_not_forgotten_when_what_is_normal_is_taught_anew(stepped: KnownFaults) -> None:
    """Nor when their readings are gone: what is kept begins after them."""
    whole = stored(LATER)
    first = 2_500
    tracks = [replace(one, at=one.at[first:], value=one.value[first:]) for one in whole.tracks]
    data = Stored(tracks, [one[first:] for one in whole.faults], [one[first:] for one in whole.said])
    found = anew(data, stepped)
    assert isinstance(found, KnownFaults) and [one.first for one in found.windows][: len(EARLIER)] == list(EARLIER)
    assert figures(found, data)["recall"] > figures(anew(data), data)["recall"] + 0.3


def test_a_label_that_was_retracted_is_unlearned(stepped: KnownFaults) -> None:
    fewer = step(stored((*EARLIER[1:], *LATER)), stepped)
    assert [one.first for one in fewer.windows] == list(EARLIER[1:])
    none = step(stored(LATER, normal=(300,)), stepped)
    assert none.head is None


def test_false_alarms_alone_move_the_limit(champion: Multivariate) -> None:
    at = (400, 800)
    found = step(stored((), faults=at, normal=at), champion)
    assert found.head is None and found.shape.budget < champion.shape.budget


def test_no_more_is_remembered_than_was_laid_down(champion: Multivariate) -> None:
    begins = tuple(range(20, 2_700, 30))
    value = np.zeros(ROWS, np.bool_)
    for begin in begins:
        value[begin : begin + 20] = True
    whole = stored(())
    data = Stored(whole.tracks, [value, whole.faults[1]], [value, whole.said[1]])
    found = step(data, champion)
    assert len(found.windows) == known_faults.MOST_WINDOWS
    assert max(len(one.rows) for one in found.windows) <= known_faults.MOST_ROWS
    assert found.windows[-1].last > found.windows[0].last > begins[10]
