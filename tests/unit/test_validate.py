import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import rates, validate
from agents.findings import FaultKind, Quality, Reason
from mlops.state import State, pack, unpack
from tests import oracles
from tests.unit import tables

COLD = State(np.empty(0, np.int64), {})
S = 1_000_000


def run(at, value, memory=COLD, sensor=1, **settings_):
    return validate.validate(
        columns=tables.columns(at, value, sensor), table=tables.table([1, 2, 3], **settings_), memory=memory
    )


def kinds(validated):
    return [(f.kind, f.started_at) for f in validated.faults]


VALUES = st.lists(st.sampled_from([0.0, 1.0, 1.0, 1.0, 2.0, 9.0, -50.0, 200.0, 0.3]), min_size=1, max_size=120)


@settings(max_examples=50, deadline=None)
@given(VALUES, st.sampled_from([0.0, 0.5]))
def test_stuck_readings_are_those_of_the_oracle(values, resolution):
    values = [0.0, 1.0] * 15 + values
    got = run(np.arange(len(values)) * S, values, resolution=resolution).reason == Reason.STUCK
    assert got.tolist() == oracles.stuck(values, resolution, 12, 3, 24)


@settings(max_examples=50, deadline=None)
@given(VALUES, st.sampled_from([1.0, 5.0, math.nan]))
def test_impossible_rates_are_those_of_the_oracle(values, limit):
    at = np.arange(len(values)) * S
    got = run(at, values, max_rate=limit).reason == Reason.RATE_OF_CHANGE
    assert got.tolist() == oracles.rate_of_change(at.tolist(), values, limit, rates.AGREE)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 40), st.sampled_from([0.0, 1.0, 1.0, 2.0, 9.0, 200.0])), min_size=2, max_size=90),
    st.lists(st.integers(0, 120), max_size=5),
)
def test_a_stream_is_judged_the_same_however_it_is_split_into_runs(steps, cuts):
    at = np.cumsum([d for d, _ in steps]) * S
    value = np.array([v for _, v in steps])
    at, value = np.append(np.arange(40) * S - 100 * S, at), np.append([0.0, 1.0] * 20, value)
    sensor = np.repeat([1, 3], len(at))
    set_up = {"physical_high": 100, "max_rate": 5, "period": S, "calibration_due": 30 * S}
    whole = run(np.tile(at, 2), np.tile(value, 2), sensor=sensor, **set_up)
    memory, quality, reason, faults = COLD, [], [], {}
    edges = [0, *sorted(min(c, len(at)) for c in cuts), len(at)]
    for a, b in itertools.pairwise(edges):
        part = run(np.tile(at[a:b], 2), np.tile(value[a:b], 2), memory, np.repeat([1, 3], b - a), **set_up)
        memory = unpack(pack(part.memory))
        quality.append(part.quality.reshape(2, -1))
        reason.append(part.reason.reshape(2, -1))
        faults |= {(f.sensor_id, f.kind, f.started_at): f for f in part.faults}
    assert np.concatenate(quality, axis=1).ravel().tolist() == whole.quality.tolist()
    assert np.concatenate(reason, axis=1).ravel().tolist() == whole.reason.tolist()
    assert faults == {(f.sensor_id, f.kind, f.started_at): f for f in whole.faults}
    for name, array in whole.memory.arrays.items():
        assert memory.arrays[name].tobytes() == array.tobytes(), name


def test_late_and_out_of_order_readings_are_good_and_leave_no_trace():
    first = run([0, 7200 * S], [1, 2])
    second = run([1 * S, 7199 * S], [1, 2], first.memory)
    assert second.reason.tolist() == [Reason.LATE, Reason.OUT_OF_ORDER]
    assert second.quality.tolist() == [Quality.GOOD, Quality.GOOD]
    assert second.late.tolist() == [True, False]
    assert pack(second.memory) == pack(first.memory)


def test_of_two_readings_of_one_instant_the_first_is_kept():
    assert run([5, 5, 6], [1, 2, 3]).keep.tolist() == [True, False, True]


def test_a_spike_is_one_fault_and_the_reading_that_came_back_is_good():
    got = run([0, S, 2 * S], [1, 90, 1], max_rate=5)
    assert got.quality.tolist() == [0, Quality.BAD, 0]
    assert kinds(got) == [(FaultKind.SPIKE, S)]


def test_a_jump_without_a_rate_limit_is_the_machines():
    assert not run([0, S, 2 * S], [1, 90, 1]).quality.any()


def test_an_impossible_step_that_stays_becomes_the_new_level():
    got = run(np.arange(10) * S, [1.0] * 3 + [90.0] * 7, max_rate=5)
    assert got.quality.tolist() == [0] * 3 + [2, 2] + [0] * 5
    assert kinds(got) == [(FaultKind.RATE_OF_CHANGE, 3 * S)]


def test_a_gap_is_a_fault_from_the_last_reading_before_it():
    got = run([0, S, 60 * S], [1, 2, 3], period=S)
    assert kinds(got) == [(FaultKind.GAP, S)]
    assert got.reason.tolist() == [0, 0, Reason.AFTER_GAP]


def test_a_sensor_that_always_stood_still_is_not_stuck():
    assert not run(np.arange(500) * S, np.full(500, 3.0)).faults


def test_a_stuck_sensor_keeps_one_fault_across_runs():
    moving = run(np.arange(60) * S, np.arange(60.0))
    one = run(np.arange(60, 80) * S, np.full(20, 3.0), moving.memory)
    two = run(np.arange(80, 90) * S, np.full(10, 3.0), one.memory)
    assert kinds(one) == kinds(two) == [(FaultKind.STUCK, 60 * S)]
    assert two.faults[0].readings == 30


def test_readings_after_the_calibration_was_due_are_uncertain():
    assert run([0, 5, 6], [1, 2, 3], calibration_due=5).quality.tolist() == [0, 0, Quality.UNCERTAIN]


def test_an_unknown_sensor_is_refused():
    with pytest.raises(KeyError):
        run([1], [1], sensor=9)


def test_nothing_to_judge_changes_nothing():
    got = run([], [])
    assert len(got.keep) == 0 and not got.faults
