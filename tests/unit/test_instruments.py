"""What a sensor's own readings, its clock and its neighbours say against it; and that a machine's faults do not."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import agreement, clocks, detect, instruments, units, validate, warm
from agents.findings import FaultKind, Quality, Reason
from mlops.detectors import instants, verdicts
from mlops.state import State, pack, unpack
from sensors.columns import Columns
from tests.unit import tables

COLD = State(np.empty(0, np.int64), {})
S = 1_000_000
N = 600


def judge(value, *, at=None, received=None, memory=COLD, clashes=None, **set_up):
    """One sensor, a reading a second."""
    at = np.arange(len(value)) * S if at is None else at
    return validate.validate(
        columns=tables.columns(at, value), table=tables.table([1], **set_up), memory=memory, received=received,
        clashes=clashes,
    )  # fmt: skip


def faults(validated, kind):
    return [f for f in validated.faults if f.kind == kind]


def wave(n=N, *, seed=0, level=20.0, size=5.0, noise=0.3):
    dice = np.random.default_rng(seed)
    return level + size * np.sin(np.arange(n) / 12) + dice.normal(0, noise, n)


# Saturation


def test_crests_that_are_cut_off_where_the_sensor_ends_are_saturated():
    value = wave()
    clipped = np.append(value, np.minimum(1.5 * (wave(seed=1) - 20) + 20, value.max() + 0.5))
    got = judge(clipped)
    (fault,) = faults(got, FaultKind.SATURATION)
    top = clipped == clipped.max()
    assert got.reason[top].tolist().count(Reason.SATURATED) >= 0.8 * top.sum()
    assert not got.quality[~top].any()
    assert fault.started_at == np.flatnonzero(top)[0] * S


def test_a_plateau_at_the_end_is_saturated_and_not_stuck_too():
    got = judge(np.append(wave(), np.full(100, 40.0)))
    assert [f.kind for f in got.faults] == [FaultKind.SATURATION]
    assert got.reason[-1] == Reason.SATURATED


@pytest.mark.parametrize(
    "value",
    [
        wave(3 * N),
        np.round(wave(3 * N)),  # coarse steps: identical crests are usual
        np.maximum(wave(3 * N, level=0.0), 0.0),  # rests at zero
        np.clip(wave(3 * N), 17.0, 22.0),  # always did so
        np.cumsum(np.random.default_rng(2).normal(size=3 * N)),
    ],
    ids=["wave", "coarse", "at rest", "always", "walk"],
)
def test_what_is_at_its_end_as_it_always_was_is_not_saturated(value):
    assert not faults(judge(value), FaultKind.SATURATION)


def test_a_sensor_that_reads_zero_is_not_called_saturated():
    assert not faults(judge(np.append(wave(), np.zeros(60))), FaultKind.SATURATION)


# Change of unit


def changed(place, seed):
    """A steady level with noise, and 200 readings of it in another unit."""
    a, b = units.MAPS[place]
    level = 400.0 if b < -100 else 50.0
    other = a * wave(200, seed=seed + 1, level=level, size=0.0, noise=0.5) + b
    return judge(np.append(wave(seed=seed, level=level, size=0.0, noise=0.5), other))


@pytest.mark.parametrize("place", range(len(units.MAPS)), ids=units.NAMES)
def test_every_map_is_told_by_level_and_spread(place):
    told = [changed(place, seed) for seed in range(0, 20, 2)]
    right = [got for got in told if [f.kind for f in got.faults] == [FaultKind.UNIT_CHANGE]]
    assert len(right) >= 7  # of a map with a small factor, noise alone hides the change of spread now and then
    for got in right:
        assert got.faults[0].started_at == N * S
        assert units.NAMES[place] in got.faults[0].detail
        assert (got.reason[N:] == Reason.UNIT_CHANGE).all()
        assert not got.quality[:N].any()


def test_back_in_its_own_unit_a_sensor_is_believed_again():
    value = wave(3 * N, size=0.0)
    value[N : 2 * N] *= 10
    got = judge(value)
    assert (got.quality[N : 2 * N + units.AGREE - 1] == Quality.BAD).all()
    assert not got.quality[2 * N + units.AGREE - 1 :].any()


@pytest.mark.parametrize(
    "after",
    [
        wave(200, seed=1, size=0.0, level=200.0),  # ten times the level, and the noise it always had
        20 + 10 * (wave(200, seed=1, size=0.0) - 20),  # ten times the noise about the same level
        wave(200, seed=1, size=0.0, level=47.0, noise=0.7),  # between two maps
        np.linspace(20, 200, 200) + wave(200, seed=1, size=0.0) - 20,  # a ramp
    ],
    ids=["level", "spread", "neither", "ramp"],
)
def test_a_shift_of_the_machine_is_no_change_of_unit(after):
    got = judge(np.append(wave(size=0.0), after))
    assert not faults(got, FaultKind.UNIT_CHANGE)
    assert (got.reason == Reason.UNIT_CHANGE).sum() < units.CONFIRM
    assert not got.quality[N + units.CONFIRM :].any()


def test_where_the_steps_are_what_they_were_a_shift_is_judged_early():
    got = judge(np.append(wave(size=0.0), wave(200, seed=1, size=0.0, level=200.0)))
    assert got.quality[N : N + units.EARLY - 1].all()
    assert not got.quality[N + units.EARLY - 1 :].any()


@pytest.mark.parametrize("seed", range(8))
def test_back_from_an_excursion_a_sensor_is_in_its_own_unit(seed):
    value = wave(2 * N, seed=seed, level=50.0, size=0.0, noise=1.0)
    value[N : N + 10] += 100
    value[N + 10] = value.min() - 0.1  # the smallest there ever was
    got = judge(value)
    assert not faults(got, FaultKind.UNIT_CHANGE)
    assert not got.quality[N + units.CONFIRM :].any()


def test_what_passes_a_limit_is_judged_before_it_is_known_what_it_was():
    value = np.append(wave(size=0.0), 10 * wave(100, seed=1, size=0.0))
    got = judge(value, high=100.0)
    assert not got.quality[N : N + units.CONFIRM - 1].any()
    assert got.quality[N + units.CONFIRM - 1 :].all()
    assert [f.started_at for f in faults(got, FaultKind.UNIT_CHANGE)] == [N * S]


def test_a_new_normal_makes_the_new_unit_the_known_one():
    value = np.append(wave(size=0.0), 25.4 * wave(400, seed=1, size=0.0))
    got = judge(value, regime=(N + 100) * S)
    assert got.quality[N : N + 100].all()
    assert not got.quality[N + 100 :].any()


# Clocks


def stamps(*intervals):
    return np.cumsum(np.concatenate(intervals)).astype(np.int64) * S // 1000


STEADY = np.full(200, 1000)


@pytest.mark.parametrize(("pace", "word"), [(500, "closer"), (2000, "further")])
def test_a_clock_at_another_rate_is_told_and_its_readings_are_uncertain(pace, word):
    at = stamps(STEADY, np.full(200, pace), STEADY)
    got = judge(wave(len(at)), at=at, period=S)
    (fault,) = faults(got, FaultKind.CLOCK)
    assert word in fault.detail
    assert set(got.reason[280:400]) == {Reason.CLOCK_RATE}
    assert set(got.quality[280:400]) == {Quality.UNCERTAIN}
    assert not got.quality[-100:].any()


def test_a_period_that_never_was_right_is_a_setting_and_no_fault():
    assert not judge(wave(400), at=stamps(np.full(400, 3000)), period=S).faults


def test_what_was_measured_after_it_was_received_is_bad():
    at = np.arange(100) * S
    received = at + S
    at[50:60] += 5 * 60 * S
    order = np.argsort(at)
    got = judge(wave(100)[order], at=at[order], received=received[order])
    assert (got.reason == Reason.CLOCK_AHEAD).sum() == 10
    assert "ahead: 10 readings" in faults(got, FaultKind.CLOCK)[0].detail


def behind(pace):
    """An hour behind from some reading on, and received at so many times the pace of measuring, one Run each."""
    memory, found = COLD, []
    for i in range(60):
        at = i * S - (3600 * S if i >= 30 else 0) + 7200 * S
        received = 7200 * S + i * S if i < 30 else 7230 * S + int((i - 30) * S / pace)
        got = judge([float(i % 7)], at=np.array([at]), received=np.array([received]), memory=memory)
        memory = got.memory
        found += faults(got, FaultKind.CLOCK)
    return found


def test_a_clock_that_was_set_back_is_told_by_the_pace_at_which_its_readings_come():
    found = behind(1.0)
    assert len(found) == 30 - clocks.SET_BACK + 1
    assert {f.started_at for f in found} == {3630 * S}


def test_a_backlog_that_is_sent_at_once_is_no_clock_that_was_set_back():
    assert not behind(20.0)


def test_a_clock_that_stands_still_is_told_by_readings_of_one_instant():
    at = np.append(np.arange(50), np.full(6, 50)) * S
    first = judge(wave(56), at=at)
    (fault,) = faults(first, FaultKind.CLOCK)
    assert (fault.started_at, fault.readings) == (50 * S, 5)
    more = Columns(*(np.array(c) for c in ([1], [50 * S], [99.0], [0])))
    second = judge([], memory=first.memory, clashes=more)
    assert faults(second, FaultKind.CLOCK)[0].readings == 6
    assert faults(second, FaultKind.CLOCK)[0].started_at == fault.started_at


def test_the_same_reading_sent_again_is_no_clock_that_stands():
    assert not judge(np.full(20, 5.0), at=np.append(np.arange(10), np.full(10, 9)) * S).faults


# Neighbours

READINGS = 32 * 120


def beside(offsets, *, declared=True, seed=0, noise=0.2):
    """Sensors 1, 2, ... that measure the same wave, each with noise of its own and what is added to it."""
    dice = np.random.default_rng(seed)
    shared = 20 + 5 * np.sin(np.arange(READINGS) / 300)
    value = np.array([shared + i + dice.normal(0, noise, READINGS) + o for i, o in enumerate(offsets)])
    ids = np.arange(1, len(offsets) + 1)
    table = replace(
        tables.table(ids.tolist(), period=S), group=np.ones(len(ids), np.int64), declared=np.full(len(ids), declared)
    )
    columns = tables.columns(np.tile(np.arange(READINGS) * S, len(ids)), value.ravel(), np.repeat(ids, READINGS))
    return validate.validate(columns=columns, table=table, memory=COLD), columns, table


NONE = np.zeros(READINGS)
CREEP = np.maximum(np.arange(READINGS) - READINGS // 2, 0) * 3.0 / (READINGS // 2)
"""From the middle on, three units up to the end."""


def reasons(validated, sensors):
    return [set(mine.tolist()) - {0} for mine in np.split(validated.reason, sensors)]


def test_of_three_that_measure_the_same_the_one_that_leaves_is_bad():
    got = beside([CREEP, NONE, NONE])[0]
    assert reasons(got, 3) == [{Reason.DRIFT}, set(), set()]
    (fault,) = faults(got, FaultKind.DRIFT)
    assert fault.started_at >= READINGS // 2 * S - 200 * S
    assert got.quality[READINGS - 1] == Quality.BAD


def test_of_two_it_cannot_be_said_which_so_both_are_uncertain():
    got = beside([CREEP, NONE])[0]
    assert reasons(got, 2) == [{Reason.DISAGREEMENT}] * 2
    assert "which one is wrong cannot be said" in faults(got, FaultKind.DRIFT)[0].detail


def test_neighbours_that_nobody_declared_are_uncertain_only():
    assert reasons(beside([CREEP, NONE, NONE], declared=False)[0], 3) == [{Reason.DISAGREEMENT}, set(), set()]


def test_neighbours_that_do_not_go_together_are_not_compared():
    assert not beside([CREEP, NONE, NONE], declared=False, noise=20.0)[0].faults


def test_what_all_of_them_show_is_the_machines():
    assert not beside([CREEP, CREEP, CREEP])[0].quality.any()


def test_a_sensor_that_comes_back_is_believed_again():
    up = np.where((np.arange(READINGS) > 1500) & (np.arange(READINGS) < 2500), 3.0, 0.0)
    got = beside([up, NONE, NONE])[0]
    assert (got.reason[2000:2400] == Reason.DRIFT).all()
    assert not got.quality[3200:READINGS].any()


@pytest.mark.parametrize("offsets", [[CREEP, NONE, NONE], [CREEP, NONE], [NONE, NONE, CREEP, -CREEP]])
@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, READINGS), max_size=6))
def test_neighbours_are_judged_the_same_however_the_stream_is_cut(offsets, cuts):
    whole, columns, table = beside(offsets)
    assert_the_same(whole, columns, table, np.asarray(sorted(cuts)) * S)


def assert_the_same(whole, columns, table, instants):
    """Cut at these instants, with the memory packed and unpacked between: bit for bit the same."""
    memory, found = COLD, {}
    reason, quality = np.zeros(len(columns), np.uint8), np.zeros(len(columns), np.uint8)
    for a, b in itertools.pairwise([columns.at.min() - 1, *instants, columns.at.max()]):
        mine = (columns.at > a) & (columns.at <= b)
        part = validate.validate(columns=columns.take(mine), table=table, memory=memory)
        memory = unpack(pack(part.memory))
        reason[mine], quality[mine] = part.reason, part.quality
        found |= {(f.sensor_id, f.kind, f.started_at): f for f in part.faults}
    assert reason.tolist() == whole.reason.tolist()
    assert quality.tolist() == whole.quality.tolist()
    assert found == {(f.sensor_id, f.kind, f.started_at): f for f in whole.faults}
    for name, array in whole.memory.arrays.items():
        assert memory.arrays[name].tobytes() == array.tobytes(), name


STRETCH = st.tuples(
    st.integers(1, 60), st.sampled_from(["same", "clip", "flat", "x10", "F", "zero", "shift"]), st.sampled_from([1, 2])
)


@settings(max_examples=60, deadline=None)
@given(st.lists(STRETCH, min_size=1, max_size=8), st.lists(st.integers(0, 800), max_size=6), st.integers(0, 5))
def test_one_sensor_is_judged_the_same_however_the_stream_is_cut(stretches, cuts, seed):
    parts, intervals = [wave(150, seed=seed, size=1.0)], [np.full(150, 1)]
    for length, what, pace in stretches:
        value = wave(length, seed=seed + 1, size=1.0)
        parts.append({"same": value, "clip": np.minimum(value, 20.5), "flat": np.full(length, 23.0), "x10": 10 * value,
                      "F": 1.8 * value + 32, "zero": 0 * value, "shift": value + 40}[what])  # fmt: skip
        intervals.append(np.full(length, pace))
    at, value = np.cumsum(np.concatenate(intervals)) * S, np.concatenate(parts)
    columns, table = tables.columns(at, value), tables.table([1], period=S)
    whole = validate.validate(columns=columns, table=table, memory=COLD)
    assert_the_same(whole, columns, table, np.array(sorted(cuts)) * S)


def test_what_validate_and_detect_call_is_compiled_ahead():
    """Each loop once, for the types of arguments it is always given."""
    warm.up()
    _, columns, table = beside([CREEP, NONE])
    judge(wave())
    good, in_time = np.zeros(len(columns), np.uint8), np.zeros(len(columns), np.bool_)
    detect.detect(columns=columns, table=table, quality=good, reason=good, late=in_time, state=COLD)
    for loop in (instruments.walk, agreement.fill, agreement.decide, verdicts.walk, instants.walk):
        assert len(loop.signatures) == 1
