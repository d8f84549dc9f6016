"""N of M, however the readings are cut into blocks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mlops.detectors import contract, votes
from mlops.detectors.limits import Limits
from mlops.detectors.zones import Zones
from mlops.state import State, cold, pack, unpack
from sensors import default_models
from sensors.columns import SECOND_US, SensorTable
from tests import oracles
from tests.unit import tables

N_OF_M = st.integers(1, votes.MOST).flatmap(lambda m: st.tuples(st.integers(1, m), st.just(m)))
VALUES = st.lists(st.lists(st.sampled_from([1.0, 2.4, 2.6, 3.0, 4.0]), min_size=1, max_size=90), min_size=1, max_size=4)


def table(wanted: list[tuple[int, int]]) -> SensorTable:
    blank = tables.table(list(range(1, len(wanted) + 1)), high=3.0, high_high=4.0, deadband=0.5, zone_c=3.0)
    return replace(
        blank, alarm_readings=np.array([n for n, _ in wanted]), alarm_readings_of=np.array([m for _, m in wanted])
    )


def judge(detector: contract.Detector, rows: list[list[float]], known: SensorTable, state: State, first: int = 0):
    """The kinds that each sensor's readings are found to be, and the state after them."""
    at = [first + n for row in rows for n in range(len(row))]
    ids = np.repeat(np.arange(1, len(rows) + 1), [len(row) for row in rows])
    columns = tables.columns(np.array(at) * SECOND_US, np.concatenate(rows), ids)
    scores, state = detector.judge(contract.block(columns, state), known, state, np.zeros(len(columns), np.bool_))
    return [scores.verdict[ids == n + 1].tolist() for n in range(len(rows))], unpack(pack(state))


def expected(row: list[float], n: int, m: int) -> list[int]:
    """By the oracles: LIMIT_HIGH_HIGH, LIMIT_HIGH or nothing."""
    high, top = (oracles.n_of_m(oracles.hysteresis(row, limit, 0.5), n, m) for limit in (3.0, 4.0))
    return [4 if a else 3 if b else 0 for a, b in zip(top, high, strict=True)]


@settings(max_examples=60, deadline=None)
@given(VALUES, st.lists(N_OF_M, min_size=4, max_size=4), st.lists(st.integers(1, 89), max_size=6, unique=True))
@example([[3.0, 1.0] * 40], [(32, 32)] * 4, list(range(1, 80)))
def test_the_limits_that_count_are_those_of_the_oracle_wherever_the_readings_are_cut(rows, wanted, cuts) -> None:
    known = table(wanted[: len(rows)])
    state = cold(known.sensor, Limits.fields)
    whole, after = judge(Limits(), rows, known, state)
    assert whole == [expected(row, n, m) for row, (n, m) in zip(rows, wanted, strict=False)]
    parts: list[list[int]] = [[] for _ in rows]
    for a, b in itertools.pairwise([0, *sorted(cuts), 90]):
        here = [row[a:b] for row in rows]
        there = [n for n, row in enumerate(here) if row]
        if not there:
            continue
        part = state.take(np.array(there))
        columns = tables.columns(
            np.concatenate([np.arange(len(here[n])) for n in there]) + a,
            np.concatenate([here[n] for n in there]),
            np.repeat(known.sensor[there], [len(here[n]) for n in there]),
        )
        none = np.zeros(len(columns), np.bool_)
        scores, part = Limits().judge(contract.block(columns, part), known.take(np.array(there)), part, none)
        for name, array in part.arrays.items():
            state.arrays[name][there] = array
        for n in there:
            parts[n] += scores.verdict[columns.sensor == n + 1].tolist()
    assert parts == whole
    assert pack(state) == pack(after)


def test_zones_count_by_the_sensors_own_n_of_m() -> None:
    known = table([(2, 3), (1, 1)])
    row = [4.0, 1.0, 4.0, 4.0, 1.0, 1.0, 4.0]
    found, _ = judge(Zones(), [row, row], known, cold(known.sensor, Zones.fields))
    assert found == [[0, 0, 1, 1, 0, 0, 0], [1, 0, 1, 1, 0, 0, 1]]


def test_what_was_beyond_while_others_looked_back_is_forgotten_with_the_setting() -> None:
    known = table([(2, 2)])
    _, state = judge(Limits(), [[3.0]], known, cold(known.sensor, Limits.fields))
    assert state.arrays["recent"].any()
    plain, state = judge(Limits(), [[1.0]], table([(1, 1)]), state, first=1)
    assert (plain, state.arrays["recent"].any()) == ([[0]], False)


@pytest.mark.parametrize("detector", [Limits(), Zones()])
def test_without_n_of_m_nothing_is_remembered_or_changed(detector: contract.Detector) -> None:
    known = table([(1, 1)])
    state = cold(known.sensor, detector.fields)
    _, after = judge(detector, [[4.0, 4.0, 1.0]], known, state)
    assert not after.arrays["recent"].any()


def test_the_models_bound_is_that_of_the_detector() -> None:
    assert default_models.MOST_ALARM_READINGS == votes.MOST
