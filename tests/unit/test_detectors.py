import csv
import itertools
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
import river.datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import validate
from mlops.detectors import DETECTORS, contract, events, limits, verdicts
from mlops.detectors.rate import Rate
from mlops.detectors.relation import Relation
from mlops.state import State, cold, pack, unpack
from sensors.columns import from_instant
from tests import oracles
from tests.unit import tables

S = 1_000_000
LIMITS = {"low_low": -4, "low": -3, "high": 3, "high_high": 4, "deadband": 0.5, "zone_c": 2, "zone_d": 3.5}
RATES = {"rise_per_minute": 0.05, "fall_per_minute": 0.04, "rate_span": 3_600_000_000}
NAMES = pytest.mark.parametrize("name", sorted(DETECTORS))


def stream(seed, n, sensors=3):
    rng = np.random.default_rng(seed)
    at = np.cumsum(rng.integers(1, 4000, n)) * S
    value = rng.normal(size=(sensors, n)).round(2)
    value[0, n // 2 : n // 2 + 9] += 40
    value[1] = 5.0
    return at, value


def judge(detector, at, value, state=None, frozen=()):
    sensors = np.arange(1, len(value) + 1)
    state = state or cold(sensors, detector.fields)
    columns = tables.columns(np.tile(at, len(value)), value.ravel(), np.repeat(sensors, len(at)))
    still = np.isin(columns.sensor, frozen)
    table = tables.table(sensors.tolist(), **LIMITS, **RATES)
    scores, state = detector.judge(contract.block(columns, state), table, state, still)
    return np.stack([np.asarray(getattr(scores, n), np.float64).reshape(len(value), -1) for n in FIELDS]), state


FIELDS = ("score", "verdict", "low", "high", "since", "news")
FOLLOWS = {
    "limits": {"beyond", "recent"},
    "zones": {"beyond", "recent"},
    "rate": {*Rate.fields},
    "adaptive": {"filled", "chunk", "instants", "left", "told", "swing", *verdicts.COURSE} - {"learned"},
    "relation": {*Relation.fields}
    - {
        "taught",
        "level",
        "errors",
        "error",
        "spread",
        "covariance",
        "inverse",
        "draws",
        "peak",
        "mean",
        "deviation",
        "lessons",
        "window",
    },
}
"""What of a detector's arrays is not learned but follows the readings, frozen or not."""


@NAMES
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.lists(st.integers(1, 149), max_size=6, unique=True))
def test_scores_and_state_do_not_depend_on_how_the_stream_is_split(name, seed, cuts):
    at, value = stream(seed, 150)
    whole, after = judge(DETECTORS[name], at, value)
    state, parts = None, []
    edges = [0, *sorted(cuts), 150]
    for a, b in itertools.pairwise(edges):
        part, state = judge(DETECTORS[name], at[a:b], value[:, a:b], state)
        state = unpack(pack(state))
        parts.append(part)
    assert np.concatenate(parts, axis=2).tobytes() == whole.tobytes()
    assert pack(state) == pack(after)


@pytest.mark.parametrize("name", sorted(name for name, one in DETECTORS.items() if not one.by_machine))
def test_sensors_do_not_influence_each_other(name):
    at, value = stream(4, 150)
    together, _ = judge(DETECTORS[name], at, value)
    alone, _ = judge(DETECTORS[name], at, value[:1])
    assert together[:, :1].tobytes() == alone.tobytes()


@NAMES
def test_the_future_does_not_change_a_score(name):
    at, value = stream(5, 150)
    assert (
        judge(DETECTORS[name], at, value)[0][:, :, :70].tobytes()
        == judge(DETECTORS[name], at[:70], value[:, :70])[0].tobytes()
    )


@NAMES
def test_scores_lie_between_zero_and_one_and_state_is_small(name):
    at, value = stream(6, 300)
    got, state = judge(DETECTORS[name], at, value)
    score = got[0][~np.isnan(got[0])]
    assert ((score >= 0) & (score <= 1)).all()
    assert sum(a.nbytes for a in state.arrays.values()) / len(state.sensor) <= 4096


@NAMES
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 99), st.integers(0, 150), st.lists(st.integers(1, 149), max_size=4, unique=True))
def test_frozen_rows_learn_nothing_and_are_judged_by_what_was_known(name, seed, taught, cuts):
    at, value = stream(seed, 300)
    detector = DETECTORS[name]
    before = judge(detector, at[:taught], value[:, :taught])[1] if taught else cold(np.arange(1, 4), detector.fields)
    frozen, parts = (1, 2, 3) if detector.by_machine else (1, 3), []
    if detector.by_machine:  # what came before is over, and teaches, with the first frozen reading
        _, before = judge(detector, at[149:150], value[:, 149:150], before, frozen)
    state = before
    for a, b in itertools.pairwise([0, *sorted(cuts), 150]):
        part, state = judge(detector, at[150 + a : 150 + b], value[:, 150 + a : 150 + b], state, frozen)
        parts.append(part)
    for array in detector.fields.keys() - FOLLOWS[name]:
        assert state.arrays[array][[0, 2]].tobytes() == before.arrays[array][[0, 2]].tobytes(), array
    if detector.by_machine:
        return
    free, after = judge(detector, at[150:], value[:, 150:], before)
    whole = np.concatenate(parts, axis=2)
    assert whole[:, 1].tobytes() == free[:, 1].tobytes()
    assert all(state.arrays[n][1].tobytes() == a[1].tobytes() for n, a in after.arrays.items())


def test_adaptive_is_silent_until_warm():
    at, value = stream(7, verdicts.WARM_UP)
    assert np.isnan(judge(DETECTORS["adaptive"], at, value)[0][0]).all()


def test_a_new_level_is_abnormal_for_a_day_and_while_learning_is_frozen_for_ever():
    rng = np.random.default_rng(0)
    value = rng.normal(size=(1, 1600))
    value[0, 400:] += 60
    at = np.arange(1600) * 3600 * S
    verdict = judge(DETECTORS["adaptive"], at, value)[0][1][0]
    assert verdict[400:424].all() and not verdict[500:].any()
    _, known = judge(DETECTORS["adaptive"], at[:400], value[:, :400])
    frozen = judge(DETECTORS["adaptive"], at[400:], value[:, 400:], known, frozen=(1,))[0][1][0]
    assert frozen.all()


def test_a_sensor_that_goes_calm_is_abnormal_though_it_is_where_it_has_always_been():
    kinds = DETECTORS["adaptive"].kinds
    value = np.random.default_rng(3).normal(size=(3, 1200))
    value[1, 1000:] *= 0.1
    found = judge(DETECTORS["adaptive"], np.arange(1200) * 3600 * S, value)[0][1].astype(int)
    first = found[1, 1000:].nonzero()[0][0]
    assert kinds[found[1, 1000 + first] - 1] == "SPREAD_LOW"
    assert first < 48
    assert not found[[0, 2], 1000:1048].any()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([1.0, 2.4, 2.5, 2.6, 3.0, 3.5]), min_size=1, max_size=60))
def test_a_limit_holds_until_left_by_the_deadband(values):
    got, _ = judge(limits.Limits(), np.arange(len(values)) * S, np.array([values]))
    assert (got[1][0] == 3).tolist() == oracles.hysteresis(values, 3.0, 0.5)


STEPS = st.lists(st.tuples(st.sampled_from([1, 2, 30]), st.booleans()), min_size=1, max_size=120)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.lists(st.integers(0, 120), max_size=5))
def test_events_are_those_of_the_oracle_however_the_stream_is_split(steps, cuts):
    at = np.cumsum([d for d, _ in steps]) * 3600 * S
    odd = np.array([o for _, o in steps])
    state, found = cold(np.array([1]), events.FIELDS), {}
    edges = [0, *sorted(min(c, len(at)) for c in cuts), len(at)]
    for a, b in itertools.pairwise(edges):
        if a == b:
            continue
        formed, state = form(at[a:b], odd[a:b], state)
        found |= {e.started_at: e for e in formed}
    whole, after = form(at, odd, cold(np.array([1]), events.FIELDS))
    assert list(found.values()) == list(whole)
    assert pack(after) == pack(state)
    assert [(e.started_at, e.last_at, e.readings) for e in whole] == oracles.spans(
        at.tolist(), odd.tolist(), events.QUIET, events.GAP
    )


def form(at, odd, state):
    block = contract.block(tables.columns(at, np.zeros(len(at))), state)
    nothing = np.zeros(len(at))
    score = (at // S % 7) / 10.0
    return events.form(block, contract.Scores(score, odd.astype(np.int8), nothing, nothing, at, score), state)


STRETCHES = [
    ("2022-03-24T08:00+01:00", "2022-03-25T01:00+01:00"),
    ("2022-03-29T07:00+02:00", "2022-03-29T20:00+02:00"),
    ("2022-04-03T06:00+02:00", "2022-04-03T06:00+02:00"),
    ("2022-04-27T14:00+02:00", "2022-04-28T05:00+02:00"),
]


def water_flow():
    with Path(river.datasets.WaterFlow().path).open() as file:
        rows = [(from_instant(datetime.fromisoformat(r["Time"])), float(r["Water flow [l/s]"]))
                for r in csv.DictReader(file)]  # fmt: skip
    return np.array([a for a, _ in rows]), np.array([v for _, v in rows])


def test_water_flow_shows_its_four_stretches_and_at_most_two_others():
    at, value = water_flow()
    detector = DETECTORS["adaptive"]
    columns, state = tables.columns(at, value), cold(np.array([1]), detector.fields)
    block = contract.block(columns, state)
    scores, _ = detector.judge(block, tables.table([1]), state, np.zeros(len(at), np.bool_))
    found, _ = events.form(block, scores, cold(np.array([1]), events.FIELDS))
    margin = 3 * 3600 * S
    spans = [tuple(from_instant(datetime.fromisoformat(x)) for x in s) for s in STRETCHES]
    hits = [[e for e in found if e.started_at <= b + margin and e.last_at >= a - margin] for a, b in spans]
    assert all(hits)
    assert len(found) - len({e.started_at for hit in hits for e in hit}) <= 2


def test_a_flow_that_stands_for_hours_is_not_a_stuck_sensor():
    at, value = water_flow()
    got = validate.validate(
        columns=tables.columns(at, value), table=tables.table([1]), memory=State(np.empty(0, np.int64), {})
    )
    assert not got.faults
