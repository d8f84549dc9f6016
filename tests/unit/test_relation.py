"""Sensors of a machine side by side: each instant judged by those before it, however its readings come."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.detectors import contract, events, instants, lessons, residuals
from mlops.detectors.relation import GROUPS, SENSORS, Relation, arrange
from mlops.state import State, align, cold, pack, unpack
from sensors.columns import Columns
from tests.unit import tables

S = 1_000_000
MIX = np.array([[1.0, 0.2], [0.8, 0.6], [0.1, -0.9], [0.6, 0.5]])
"""Four sensors by what drives them: two hidden ones."""


def machine(seed, n, sensors=4, noise=0.1):
    """(sensors, n) values that go together."""
    dice = np.random.default_rng(seed)
    driven = dice.normal(size=(n, 2))
    for i in range(1, n):
        driven[i] = 0.6 * driven[i - 1] + 0.8 * driven[i]
    return (driven @ MIX[:sensors].T + noise * dice.normal(size=(n, sensors))).T


def readings(value, at=None, sensor=None):
    """All of them as columns by (sensor, at); NaN = none."""
    sensor = np.arange(1, len(value) + 1) if sensor is None else sensor
    at = np.arange(1, value.shape[1] + 1) * S if at is None else at
    k, i = np.nonzero(~np.isnan(value))
    return tables.columns(at[i], value[k, i], np.asarray(sensor)[k])


def judge(columns, table, state=None, frozen=(), detector=None):
    """Scores of the readings in the order of the columns, by sensor and time, and the state."""
    detector = detector or Relation()
    state = state or cold(table.sensor, detector.fields)
    block = contract.block(columns, state)
    still = np.zeros(len(columns), np.bool_)
    still[list(frozen)] = True
    return detector.judge(block, table, state, still)


def stretches(scores, columns, table):
    block = contract.block(columns, cold(table.sensor, events.FIELDS))
    return events.form(block, scores, cold(table.sensor, events.FIELDS))[0]


def broken(seed=3, n=900, at=600):
    """The second sensor goes on as it does, but against the others."""
    value = machine(seed, n)
    value[1, at:] *= -1
    return value


ROWS = 700
FIELDS = ("score", "verdict", "low", "high", "since", "news", "observed")


def nasty(seed):
    """Holes, one that reads each fifth time, one that stands still, one that comes later and a fault."""
    value = np.vstack([machine(seed, ROWS), np.full((1, ROWS), 3.0), machine(seed + 9, ROWS)[:1]])
    dice = np.random.default_rng(seed + 1)
    value[:4][dice.random((4, ROWS)) < 0.03] = np.nan
    value[2, np.arange(ROWS) % 5 > 0] = np.nan
    value[3, 200:300] = np.nan
    value[5, :150] = np.nan
    value[0, 460:] += 9.0
    return value


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(1, 2500), max_size=8), st.booleans(), st.booleans(), st.integers(0, 99))
def test_nothing_depends_on_how_readings_are_cut_nor_on_their_order_within_an_instant(seed, cuts, anew, period, mixed):
    columns = readings(nasty(seed))
    table = replace(
        tables.table([1, 2, 3, 4, 5, 6], period=S if period else 0), regime=np.array([0, 500 * S * anew] * 3)
    )
    frozen = np.flatnonzero((columns.at > 420 * S) & (columns.at < 440 * S) & (columns.sensor == 2))
    whole, after = judge(columns, table, frozen=frozen)
    order = np.lexsort((np.random.default_rng(mixed).random(len(columns)), columns.at))
    state, found = None, {name: np.empty(len(columns)) for name in FIELDS}
    shares = {}
    for a, b in itertools.pairwise(sorted({0, *(min(c, len(order)) for c in cuts), len(order)})):
        mine = np.sort(order[a:b])
        scores, state = judge(columns.take(mine), table, state, np.flatnonzero(np.isin(mine, frozen)))
        state = unpack(pack(state))
        for name in FIELDS:
            found[name][mine] = getattr(scores, name)
        shares |= {int(mine[i]): scores.shares.of(i) for i in scores.shares.reading.tolist()}
    for name in FIELDS:
        assert found[name].tobytes() == np.asarray(getattr(whole, name), np.float64).tobytes(), name
    assert shares == {i: whole.shares.of(i) for i in whole.shares.reading.tolist()}
    assert pack(state) == pack(after)
    assert (whole.verdict != 0).any() and np.isfinite(whole.score[columns.sensor == 3]).any()


def test_a_machine_is_judged_by_what_came_before() -> None:
    columns, table = readings(nasty(3)), tables.table([1, 2, 3, 4, 5, 6])
    whole, _ = judge(columns, table)
    for rows in (390, 462, 600):
        early = columns.at <= rows * S
        part, _ = judge(columns.take(early), table)
        assert part.score.tobytes() == whole.score[early].tobytes()
        assert part.verdict.tolist() == whole.verdict[early].tolist()


def test_machines_do_not_influence_each_other() -> None:
    value = np.vstack([broken(), machine(7, 900)])[[0, 4, 1, 5, 2, 6, 3, 7]]
    table = replace(tables.table(list(range(1, 9))), machine=np.array([3, 4] * 4))
    both, _ = judge(readings(value), table)
    columns = readings(value[::2], sensor=[1, 3, 5, 7])
    alone, _ = judge(columns, table.take(np.arange(0, 8, 2)))
    mine = np.isin(readings(value).sensor, columns.sensor)
    assert both.score[mine].tobytes() == alone.score.tobytes()
    assert both.verdict[mine].tolist() == alone.verdict.tolist()
    assert [both.shares.of(i) for i in np.flatnonzero(mine & (both.verdict != 0))] == [
        alone.shares.of(i) for i in np.flatnonzero(alone.verdict)
    ]


def test_a_relation_that_breaks_is_one_event_at_the_sensor_that_led() -> None:
    value, table = broken(), tables.table([1, 2, 3, 4])
    columns = readings(value)
    scores, _ = judge(columns, table)
    assert not (scores.verdict[columns.at <= 600 * S] != 0).any()
    found = stretches(scores, columns, table)
    assert {one.sensor for one in found} == {2}
    assert found[0].started_at < 640 * S
    assert {Relation.kinds[one.kind - 1] for one in found} <= {"RELATION_LOW", "RELATION_HIGH"}
    for one in found:
        assert sum(share for _, share in one.contributors) == pytest.approx(1.0)
        assert {sensor for sensor, _ in one.contributors} == {1, 2, 3, 4}
        assert not one.low <= one.observed <= one.high
    own = [np.abs(value[1, 600:]).max(), np.abs(value[1, :600]).max()]
    assert own[0] < 1.5 * own[1]  # and by itself it is where it always was


def test_it_teaches_nothing_while_it_lasts() -> None:
    value = machine(4, 3000)
    value[0, 500:] += 5.0
    scores, state = judge(readings(value), tables.table([1, 2, 3, 4]))
    late = scores.verdict.reshape(4, -1)[:, 600:] != 0
    assert late.any(axis=0).mean() > 0.95
    assert (state.arrays["lessons"] < 520).all()


@pytest.mark.parametrize("factor", [1e-6, 1e3, 1e90])
def test_units_do_not_matter(factor: float) -> None:
    value, table = broken(), tables.table([1, 2, 3, 4])
    one, _ = judge(readings(value), table)
    other, _ = judge(readings(value * factor + 77 * factor), table)
    assert one.verdict.tolist() == other.verdict.tolist()
    np.testing.assert_allclose(one.score, other.score, rtol=1e-3, atol=1e-9)


def test_one_sensor_alone_is_not_judged_and_nothing_is_kept_of_it() -> None:
    columns, table = readings(machine(1, 600, sensors=1)), tables.table([1])
    scores, state = judge(columns, table)
    assert np.isnan(scores.score).all() and not scores.verdict.any()
    assert pack(state) == pack(cold(table.sensor, Relation.fields))


def test_one_sensor_that_is_heard_of_many_is_not_judged() -> None:
    columns, table = readings(machine(1, 900, sensors=1)), tables.table([1, 2, 3])
    scores, state = judge(columns, table)
    assert np.isnan(scores.score).all()
    rows = cold(table.sensor, Relation.fields).take(np.array([1, 2]))
    assert pack(state.take(np.array([1, 2]))) == pack(rows)


def test_sensors_are_grouped_by_sixteen_in_their_order() -> None:
    groups = arrange(np.array([5] * 20 + [9] + [5] * 13 + [9]))
    assert np.diff(groups.first).tolist() == [16, 16, 1, 2]
    assert groups.of_row[[0, 15, 16, 20, 33, 34]].tolist() == [0, 0, 1, 3, 2, 3]
    assert groups.rank[[20, 33, 34]].tolist() == [0, 32, 1]


def test_a_fault_in_one_group_is_told_of_that_group() -> None:
    value = np.vstack([machine(k, 700) for k in range(5)])
    value[17, 500:] += 6.0
    columns, table = readings(value), tables.table(list(range(1, 21)))
    scores, _ = judge(columns, table)
    found = stretches(scores, columns, table)
    assert {one.sensor for one in found} == {18}
    assert {sensor for one in found for sensor, _ in one.contributors} == {17, 18, 19, 20}


def test_a_sensor_that_comes_before_the_others_makes_the_machine_begin_anew() -> None:
    value = machine(5, 800)
    _, state = judge(readings(value, sensor=[2, 3, 4, 5]), tables.table([2, 3, 4, 5]))
    table = tables.table([1, 2, 3, 4, 5])
    more = readings(value[:, :200], np.arange(801, 1001) * S, [2, 3, 4, 5])
    scores, after = judge(more, table, align(state, table.sensor, Relation.fields))
    assert np.isnan(scores.score).all()
    assert after.arrays["instants"].tolist() == [0, 199, 199, 199, 199]
    assert after.arrays["rank"].tolist() == [-1, 1, 2, 3, 4]


def test_a_sensor_that_comes_last_is_judged_when_it_is_known_and_disturbs_nobody() -> None:
    value = machine(5, 1500)
    columns, table = readings(value[:3]), tables.table([1, 2, 3, 4])
    without, _ = judge(columns, table)
    value[3, :600] = np.nan
    joined = readings(value)
    scores, _ = judge(joined, table)
    last = scores.score[joined.sensor == 4]
    assert np.isnan(last[:250]).all() and np.isfinite(last[400:]).all()
    before = joined.at <= 600 * S
    assert scores.score[before & (joined.sensor < 4)].tobytes() == without.score[columns.at <= 600 * S].tobytes()
    assert not scores.verdict.any()


def test_a_sensor_that_falls_silent_is_left_out_and_the_others_are_judged() -> None:
    value = broken(3, 1200, 900)
    value[3, 500:] = np.nan
    columns, table = readings(value), tables.table([1, 2, 3, 4])
    scores, _ = judge(columns, table)
    found = stretches(scores, columns, table)
    assert {one.sensor for one in found} == {2} and found[0].started_at > 900 * S
    assert all(sensor != 4 for one in found for sensor, _ in one.contributors)


def test_a_regime_makes_a_sensor_begin_anew_and_ends_what_stood() -> None:
    value = machine(6, 1600)
    value[1, 500:] += 6.0
    columns = readings(value)
    scores, _ = judge(columns, replace(tables.table([1, 2, 3, 4]), regime=np.array([0, 700 * S, 0, 0])))
    verdict, score = scores.verdict.reshape(4, -1), scores.score.reshape(4, -1)
    assert verdict[1, 550:699].all() and not verdict[:, 720:].any()
    assert np.isnan(score[1, 699:960]).all() and np.isfinite(score[1, 1100:]).all()
    every, _ = judge(columns, tables.table([1, 2, 3, 4], regime=700 * S))
    assert not every.verdict.reshape(4, -1)[:, 699:].any()
    assert np.isfinite(every.score.reshape(4, -1)[:, 1100:]).all()


def test_frozen_readings_of_one_sensor_freeze_its_machine_and_no_other() -> None:
    value = np.vstack([machine(8, 500), machine(8, 500)])
    table = replace(tables.table(list(range(1, 9))), machine=np.repeat([1, 2], 4))
    columns = readings(value)
    _, state = judge(columns, table, frozen=np.flatnonzero((columns.sensor == 1) & (columns.at > 200 * S)))
    assert state.arrays["lessons"].tolist() == [200 - 16 - 32] * 4 + [499 - 16 - 32] * 4


def test_sensors_that_read_at_their_own_times_are_one_instant_where_a_period_is_declared() -> None:
    value, dice = broken(), np.random.default_rng(1)
    n = value.shape[1]
    at = np.arange(1, n + 1) * 10 * S + np.sort(dice.integers(0, 4 * S, (4, n)), axis=0)
    columns = tables.columns(at.ravel(), value.ravel(), np.repeat([1, 2, 3, 4], n))
    scores, state = judge(columns, tables.table([1, 2, 3, 4], period=10 * S))
    assert state.arrays["instants"].tolist() == [n - 1] * 4
    together, _ = judge(readings(value, np.arange(1, n + 1) * 10 * S), tables.table([1, 2, 3, 4]))
    assert {k for k in range(4) if scores.verdict.reshape(4, n)[k].any()} == {1}
    same = (scores.verdict.reshape(4, n) == together.verdict.reshape(4, n)).all(axis=0)
    assert same.mean() > 0.95


def test_a_reading_from_before_the_instant_only_becomes_the_last_value() -> None:
    table, detector = tables.table([1, 2]), Relation()
    one = tables.columns(np.array([5 * S]), [1.0], 1)
    _, state = judge(one, table)
    _, state = judge(tables.columns(np.array([3 * S]), [9.0], 2), table, state)
    assert state.arrays["opened"].tolist() == [5 * S, 5 * S] and state.arrays["instants"].tolist() == [0, 0]
    assert state.arrays["value"].tolist() == [1.0, 9.0]
    assert sum(array.nbytes for array in state.arrays.values()) / 2 <= 1536
    assert set(detector.fields) == set(state.arrays)


@pytest.mark.parametrize("nasty", ["constant", "zero-one", "huge", "spikes", "gaps", "repeated"])
def test_it_survives_nasty_input(nasty: str) -> None:
    value = machine(9, 1200)
    at = np.arange(1, 1201) * S
    if nasty == "constant":
        value[:] = 5.0
    elif nasty == "zero-one":
        value = (value > 0).astype(float)
    elif nasty == "huge":
        value[:, ::7] *= 1e99
    elif nasty == "spikes":
        value[np.random.default_rng(1).random(value.shape) < 0.002] *= 100
    elif nasty == "gaps":
        at = at + np.arange(1200) // 100 * 86_400 * S
    else:
        value[1] = value[0]
    with np.errstate(all="raise"):
        scores, state = judge(readings(value, at), tables.table([1, 2, 3, 4]))
    there = scores.score[~np.isnan(scores.score)]
    assert ((there >= 0) & (there <= 1)).all()
    assert (scores.verdict != 0).mean() < 0.05
    for name in ("covariance", "inverse", "level", "error", "usual", "deviation"):
        assert np.isfinite(state.arrays[name]).all(), name


@pytest.mark.parametrize(("asked", "least", "most"), [(1.0, 0, 8), (10.0, 12, 60)])
def test_what_is_asked_for_is_what_comes_on_noise(asked: float, least: int, most: int) -> None:
    machines, n = 40, 2000
    value = np.random.default_rng(3).normal(size=(machines * 3, n))
    columns = readings(value, np.arange(1, n + 1) * 60 * S)
    table = replace(tables.table(list(range(1, machines * 3 + 1))), machine=np.repeat(np.arange(machines), 3))
    scores, _ = judge(columns, table, detector=Relation(false_alarms_per_week=asked))
    weeks = machines * (n - residuals.WARM_UP) * 60 / 604_800  # 6.4
    assert least <= len(stretches(scores, columns, table)) <= most
    assert weeks == pytest.approx(6.4, abs=0.1)


# Beside slow and obvious versions


def correlated(seed: int, p: int):
    factor = np.random.default_rng(seed).normal(size=(p, 2 * p))
    covariance = factor @ factor.T
    scale = np.sqrt(np.diag(covariance))
    return covariance, covariance / scale / scale[:, None]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 999), st.integers(2, 16), st.data())
def test_the_inverse_and_what_is_left_out_of_it_are_numpys(seed, p, data):
    covariance, correlation = correlated(seed, p)
    missing = data.draw(st.sets(st.integers(0, p - 1), max_size=p - 1))
    every = np.recarray(p, SENSORS)
    every["covariance"][:, :p] = covariance
    desk = instants.desk()
    desk.here[:] = True
    lessons._invert(every, np.arange(p), desk)
    shrunk = 0.9 * correlation + 0.1 * np.eye(p)
    np.testing.assert_allclose(every["inverse"][:, :p], np.linalg.inv(shrunk), atol=1e-5)
    z = np.random.default_rng(seed + 1).normal(size=p)
    there = np.array([k for k in range(p) if k not in missing])
    desk.here[list(missing)] = False
    desk.alive[:p] = desk.here[:p]
    desk.signed[1, :p] = np.where(desk.here[:p], z, 0.0)
    residuals.relate(every, np.arange(p), desk)
    inverse = np.linalg.inv(shrunk[np.ix_(there, there)])
    wanted = inverse @ z[there] / np.sqrt(np.diag(inverse))
    np.testing.assert_allclose(desk.signed[0, there], wanted, atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=32), st.sampled_from([0.5, 0.9]))
def test_a_quantile_is_numpys(values, share):
    got = lessons._quantile(np.array(values), share)
    assert got == pytest.approx(np.quantile(values, share), rel=1e-9, abs=1e-6)


def test_what_is_remembered_of_a_group_is_kept_with_each_sensor() -> None:
    assert set(Relation.fields) == {*SENSORS.names, *GROUPS.names}
    _, state = judge(readings(machine(1, 450)), tables.table([1, 2, 3, 4]))
    for name in GROUPS.names:
        assert len(np.unique(state.arrays[name])) == 1, name
    assert isinstance(state, State) and isinstance(readings(machine(1, 3)), Columns)
