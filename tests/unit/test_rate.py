"""Limits of the rate of change: beside an obvious version, and however the readings are cut into blocks."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import detect
from agents.findings import Detected
from mlops.detectors import contract, rate
from mlops.detectors.rate import Rate
from mlops.state import State, cold, pack, unpack
from sensors.columns import SECOND_US
from tests import oracles
from tests.unit import tables

SPAN = 60
SETTINGS = {"rise_per_minute": 6.0, "fall_per_minute": 12.0, "rate_span": SPAN * SECOND_US}


def judge(at, value, *, state: State | None = None, **other):
    """Kinds, scores, and the state after them. ``at``: seconds."""
    state = state or cold(np.array([1]), Rate.fields)
    columns = tables.columns((np.asarray(at) + 10 * SPAN) * SECOND_US, value)
    known = tables.table([1], **(SETTINGS | other))
    scores, state = Rate().judge(contract.block(columns, state), known, state, np.zeros(len(columns), np.bool_))
    kinds = [Rate.kinds[v - 1] if v else "" for v in scores.verdict.tolist()]
    return kinds, scores, unpack(pack(state))


READINGS = st.lists(st.tuples(st.sampled_from([1, 7, 20, 90, 400]), st.integers(-40, 40)), min_size=1, max_size=120)


@settings(max_examples=60, deadline=None)
@given(READINGS, st.lists(st.integers(1, 119), max_size=6, unique=True))
def test_the_bounds_are_those_of_the_oracle_wherever_the_readings_are_cut(steps, cuts) -> None:
    at, value = np.cumsum([gap for gap, _ in steps]), np.array([v / 4 for _, v in steps])
    kinds, scores, after = judge(at, value)
    for i, found in enumerate(oracles.a_span_ago(at.tolist(), value.tolist(), span=SPAN, parts=rate.PARTS)):
        if found is None:
            assert np.isnan([scores.low[i], scores.high[i], scores.score[i]]).all()
            continue
        then, level = found
        minutes = (at[i] - then) / 60
        assert [scores.low[i], scores.high[i]] == pytest.approx([level - 12 * minutes, level + 6 * minutes], abs=1e-4)
    state, parts = None, []
    for a, b in itertools.pairwise([0, *sorted(c for c in cuts if c < len(at)), len(at)]):
        part, _, state = judge(at[a:b], value[a:b], state=state)
        parts += part
    assert parts == kinds
    assert state is not None and pack(state) == pack(after)


def test_what_rises_or_falls_too_fast_is_told_by_side_and_by_its_own_limit() -> None:
    at = np.arange(0, 600, 5)
    for per_minute, kind in ((7, "RATE_HIGH"), (5, ""), (-11, ""), (-13, "RATE_LOW")):
        kinds, _, _ = judge(at, at / 60 * per_minute)
        assert set(kinds[20:]) == {kind}


def test_the_first_span_is_not_judged() -> None:
    kinds, scores, _ = judge(np.arange(0, 61, 5), np.arange(13.0) * 100)
    assert np.isnan(scores.score[:12]).all() and not any(kinds[:12])
    assert kinds[12] == "RATE_HIGH"


def test_one_reading_that_is_off_makes_one_anomalous_reading_and_none_by_two_of_three() -> None:
    at, value = np.arange(0, 600, 1), np.zeros(600)
    value[300] = 20.0
    assert judge(at, value)[0].count("RATE_HIGH") == 1
    assert not any(judge(at, value, alarm_readings=2, alarm_readings_of=3)[0])
    assert "RATE_LOW" not in judge(at, value)[0]


def test_noise_that_a_short_span_takes_for_a_rate_is_none_over_a_longer_one() -> None:
    at = np.arange(0, 3_600, 5)
    value = np.random.default_rng(2).normal(0, 1, len(at))
    assert any(judge(at, value, rate_span=10 * SECOND_US)[0])
    assert not any(judge(at, value, rate_span=600 * SECOND_US)[0])


def test_a_gap_is_no_rate() -> None:
    kinds, _, _ = judge([0, 5, 36_000], [0.0, 0.0, 500.0])
    assert not any(kinds)


@pytest.mark.parametrize("taken_away", ["rise_per_minute", "fall_per_minute"])
def test_a_side_without_a_limit_is_never_told(taken_away: str) -> None:
    at = np.arange(0, 1_200, 5)
    value = np.where(at < 600, at, 1_200 - at) * 1.0
    kinds = set(judge(at, value, **{taken_away: np.nan})[0])
    assert kinds == {"", "RATE_LOW" if taken_away == "rise_per_minute" else "RATE_HIGH"}


def test_without_limits_nothing_is_judged_or_remembered() -> None:
    state = cold(np.array([1]), Rate.fields)
    kinds, scores, after = judge(
        np.arange(0, 600, 5), np.arange(120.0) * 99, rise_per_minute=np.nan, fall_per_minute=np.nan
    )
    assert not any(kinds)
    assert not scores.score.any()
    assert pack(after) == pack(state)


def found_by(detected: Detected) -> list[tuple[int, str, bool]]:
    return [(a.sensor_id, a.kind, a.ended_at is not None) for a in detected.anomalies]


def through_detect(ids: list[int], at, value, *, state: State, **limits: float) -> Detected:
    """Readings of these sensors at the same seconds; sensor 1 has the limits, sensor 2 none."""
    n = len(at)
    columns = tables.columns(np.tile(at, len(ids)) * SECOND_US, np.tile(value, len(ids)), np.repeat(ids, n))
    known = tables.table([1, 2], rate_span=SPAN * SECOND_US)
    rates = {name: np.array([limit, np.nan]) for name, limit in limits.items()}
    good, in_time = np.zeros(len(columns), np.uint8), np.zeros(len(columns), np.bool_)
    return detect.detect(
        columns=columns, table=replace(known, **rates), quality=good, reason=good, late=in_time, state=state,
        using={"rate": Rate()},
    )  # fmt: skip


NOTHING = State(np.empty(0, np.int64), {})


def test_what_is_open_ends_though_the_limits_were_taken_away() -> None:
    at = np.arange(600, 1_200, 5)
    first = through_detect([1], at, at * 1.0, state=NOTHING, rise_per_minute=6.0)
    assert found_by(first) == [(1, "RATE_HIGH", False)]
    after = through_detect([1], at + 600, at * 0.0, state=first.state)
    assert found_by(after) == [(1, "RATE_HIGH", True)]


def test_what_is_remembered_does_not_hang_on_whether_others_in_the_run_have_limits() -> None:
    at = np.arange(600, 1_200, 5)
    both = through_detect([1, 2], at, at * 1.0, state=NOTHING, rise_per_minute=6.0)
    assert found_by(both) == [(1, "RATE_HIGH", False)]
    alone = through_detect([2], at, at * 1.0, state=NOTHING)
    alone = through_detect([1], at, at * 1.0, state=alone.state, rise_per_minute=6.0)
    assert pack(alone.state) == pack(both.state)


def test_compiled_and_interpreted_are_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    at, value = np.cumsum(rng.integers(1, 60, 300)), rng.normal(0, 9, 300)
    _, compiled, after = judge(at, value)
    monkeypatch.setattr(rate, "follow", rate.follow.py_func)
    _, plain, also = judge(at, value)
    assert compiled.low.tobytes() == plain.low.tobytes()
    assert pack(after) == pack(also)
