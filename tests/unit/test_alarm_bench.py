"""The benchmark of alarms on a machine that was made up: what each way makes of a flutter, a fault and a calm."""

from __future__ import annotations

import numpy as np
import pytest

from sensors.columns import SECOND_US
from tests.bench import alarms
from tests.bench.alarms import Found, Trial

N, TRAINING = 4_000, 1_000
FLUTTER, FAULT = slice(1_500, 1_520), slice(3_000, 3_200)


@pytest.fixture(scope="module")
def trial() -> Trial:
    """One reading a second. Twenty of them flutter about the limit, and then the level is up for long."""
    value = np.random.default_rng(1).normal(0.0, 1.0, N).clip(-2.5, 2.5)
    value[:TRAINING] *= 1 / value[:TRAINING].std()
    value[FLUTTER] = np.tile([3.2, 2.9], 10)
    value[FAULT] = 6.0
    at = np.arange(N, dtype=np.int64) * SECOND_US
    return Trial(at, value[None, :], ("FLOW",), TRAINING, ((int(at[FAULT.start]), int(at[FAULT.stop - 1])),))


@pytest.fixture(scope="module")
def found(trial: Trial) -> dict[str, Found]:
    return alarms.compare([trial])


def test_naive_limits_chatter_and_ours_tell_once(found: dict[str, Found]) -> None:
    naive, ours = found[alarms.NAIVE], found[alarms.LIMITS]
    assert (naive.activations, naive.chattering, naive.outside, naive.missed) == (11, 1, 10, 0)
    assert (ours.activations, ours.chattering, ours.outside, ours.missed) == (2, 0, 1, 0)


def test_a_minutes_delay_leaves_the_fault_alone(found: dict[str, Found]) -> None:
    tuned = found[alarms.TUNED]
    assert (tuned.activations, tuned.outside, tuned.missed, tuned.faults) == (1, 0, 0, 1)


def test_every_way_is_in_the_rows_and_in_the_table(found: dict[str, Found]) -> None:
    rows = {row["name"]: row for row in alarms.figures("made up", found)}
    assert rows["made up, naive limits: chattering"]["value"] == 1
    assert rows["made up, ours, same limits: alarms"]["ratio"] == pytest.approx(2 / 11)
    head, *lines = alarms.overview({"made up": found})
    assert [len(line) for line in lines] == [len(head)] * 4


def test_an_alarm_that_is_on_before_a_fault_has_not_found_it(trial: Trial) -> None:
    on = alarms._activations(trial.at[2_900:2_901], trial.at[3_900:3_901], 1, "HIO")
    assert alarms.count([trial], [on]).missed == 1
