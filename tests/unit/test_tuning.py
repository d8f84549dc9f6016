from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import tuning
from maintenance.alarm_life import Condition
from sensors.columns import SECOND_US

MINUTE = 60


def anomalies(
    spans: Sequence[tuple[int, int]], *, sensor: int = 1, on: int = 0, off: int = 0, first: int = 1
) -> list[Condition]:
    """From and to, in seconds."""
    return [
        Condition(
            anomaly_id=first + k, sensor_id=sensor, started_at=start * SECOND_US, last_at=last * SECOND_US,
            ended_at=(last + 1) * SECOND_US, peak_score=0.5, peak_at=start * SECOND_US, kind="LIMIT_HIGH",
            on_delay=on * SECOND_US, off_delay=off * SECOND_US,
        )
        for k, (start, last) in enumerate(spans)
    ]  # fmt: skip


CLOCK = 10**6 * SECOND_US
BRIEF = [(k * 20 * MINUTE, k * 20 * MINUTE + 5) for k in range(100)]
LONG = (200 * 20 * MINUTE, 200 * 20 * MINUTE + 3_000)
CROWDED = [(k * 90, k * 90 + 60) for k in range(100)]


def test_brief_anomalies_call_for_an_on_delay_that_keeps_the_fault() -> None:
    fault = (LONG[0] * SECOND_US, LONG[1] * SECOND_US)
    found = tuning.propose(anomalies([*BRIEF, LONG]), sensor_id=1, clock=CLOCK, faults=[fault])
    assert found == tuning.Proposal(sensor_id=1, on=6, off=0, before=101, after=1, faults=1)
    assert found.words == "activations 101 to 1, 1 of 1 labelled faults kept"


def test_anomalies_close_to_each_other_call_for_an_off_delay() -> None:
    found = tuning.propose(anomalies(CROWDED), sensor_id=1, clock=CLOCK)
    assert found == tuning.Proposal(sensor_id=1, on=0, off=30, before=100, after=1, faults=0)


def test_delays_that_would_lose_a_fault_are_not_proposed() -> None:
    faults = [(start * SECOND_US, last * SECOND_US) for start, last in BRIEF]
    assert tuning.propose(anomalies(BRIEF), sensor_id=1, clock=CLOCK, faults=faults) is None


def test_a_fault_that_was_not_told_of_before_does_not_stand_in_the_way() -> None:
    found = tuning.propose(anomalies(BRIEF), sensor_id=1, clock=CLOCK, faults=[(-20 * SECOND_US, -10 * SECOND_US)])
    assert found is not None
    assert found.faults == 0


def test_the_delays_of_other_sensors_stay() -> None:
    both = [*anomalies(BRIEF), *anomalies([LONG], sensor=2, off=7, first=1_000)]
    assert [c.off_delay for c in tuning.delayed(both, sensor_id=1, on=3, off=4) if c.sensor_id == 2] == [7 * SECOND_US]
    assert tuning.propose(both, sensor_id=2, clock=CLOCK) is None
    assert tuning.propose(both, sensor_id=3, clock=CLOCK) is None


def test_what_would_leave_nothing_of_the_alarm_is_not_proposed() -> None:
    assert tuning.propose(anomalies([(0, 5), (9_000, 9_005)]), sensor_id=1, clock=CLOCK) is None


@pytest.mark.parametrize("lasts", [601, 5_000])
def test_a_delay_has_a_cap(lasts: int) -> None:
    spans = [(k * 20_000, k * 20_000 + lasts) for k in range(20)]
    assert tuning.propose(anomalies(spans), sensor_id=1, clock=CLOCK) is None


SPANS = st.lists(st.tuples(st.integers(1, 4_000), st.integers(0, 700)), min_size=1, max_size=25)


@given(SPANS, st.lists(st.tuples(st.integers(0, 40_000), st.integers(0, 3_000)), max_size=4), st.integers(0, 90))
def test_what_is_proposed_comes_true_when_it_is_replayed(
    steps: list[tuple[int, int]], windows: list[tuple[int, int]], off: int
) -> None:
    spans, at = [], 0
    for gap, lasts in steps:
        spans.append((at + gap, at + gap + lasts))
        at = spans[-1][1] + 1
    conditions = anomalies(spans, off=off)
    faults = [(start * SECOND_US, (start + length) * SECOND_US) for start, length in windows]
    found = tuning.propose(conditions, sensor_id=1, clock=CLOCK, faults=faults)
    if found is None:
        return
    before = tuning.activations(conditions, clock=CLOCK)
    after = tuning.activations(tuning.delayed(conditions, sensor_id=1, on=found.on, off=found.off), clock=CLOCK)
    assert (len(before), len(after)) == (found.before, found.after)
    assert len(after) < len(before)
    assert 0 <= found.on <= tuning.LONGEST_ON
    assert off <= found.off <= tuning.LONGEST_OFF
    for first, last in faults:
        if ((before >= first) & (before <= last)).any():
            assert ((after >= first) & (after <= last)).any()
