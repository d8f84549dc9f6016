"""Stage decide: what anomalies mean for an alarm and an order."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agents import decide
from maintenance import alarm_life, order_priority
from maintenance.alarm_life import AlarmState, Condition, OrderState, Situation, State
from maintenance.verdicts import Verdict


def condition(anomaly_id: int = 1, *, started_at: int = 100, **fields: Any) -> Condition:
    base: dict[str, Any] = {
        "sensor_id": 7, "last_at": started_at, "ended_at": None, "peak_score": 0.6, "peak_at": started_at,
        "kind": "LIMIT_LOW",
    }  # fmt: skip
    return Condition(anomaly_id=anomaly_id, started_at=started_at, **{**base, **fields})


def situation(*conditions: Condition, clock: int | None = 100, **fields: Any) -> Situation:
    base: dict[str, Any] = {"failure_mode": "LOO", "criticality": "MEDIUM"}
    return Situation(machine_id=1, site_id=1, machine="P-1", clock=clock, conditions=conditions, **{**base, **fields})


def alarm(**fields: Any) -> AlarmState:
    opened = replace(alarm_life.opened(at=100, priority="LOW", sensor_id=7, peak_score=0.6), id=5)
    return replace(opened, **fields)


def one(given_situation: Situation) -> Verdict:
    (verdict,) = decide.decide([given_situation])
    return verdict


def said(verdict: Verdict) -> list[tuple[str, str, int]]:
    return [(str(step.action), step.reason, step.at) for step in verdict.steps]


def test_a_single_abnormal_reading_opens_an_alarm_where_there_is_no_on_delay() -> None:
    verdict = one(situation(condition()))
    assert said(verdict) == [("OPENED", "condition-stands", 100), ("NONE", "priority-needs-no-order", 100)]
    assert verdict.settled == ()


def test_nothing_happens_during_the_on_delay_and_the_reason_is_said_once() -> None:
    waiting = condition(on_delay=50, last_at=120)
    assert said(one(situation(waiting, clock=120))) == [("NONE", "in-on-delay", 120)]
    told = replace(waiting, last_at=140, decided=frozenset({"NONE:in-on-delay"}))
    assert said(one(situation(told, clock=140))) == []


def test_the_alarm_opens_at_the_end_of_the_on_delay() -> None:
    assert said(one(situation(condition(on_delay=50, last_at=170), clock=170)))[0] == (
        "OPENED",
        "condition-stands",
        150,
    )


def test_what_is_over_before_its_on_delay_opens_nothing() -> None:
    verdict = one(situation(condition(on_delay=50, last_at=120, ended_at=160), clock=170))
    assert said(verdict) == [("NONE", "shorter-than-on-delay", 120)]
    assert verdict.settled == (1,)


def test_a_late_anomaly_neither_pages_nor_clears() -> None:
    late = condition(2, started_at=50, last_at=60, ended_at=60, retrospective=True)
    verdict = one(situation(late, clock=None))
    assert said(verdict) == [("NONE", "late", 60)]
    assert verdict.settled == (2,)
    standing = condition(decided=frozenset({"OPENED:condition-stands"}))
    assert said(one(situation(late, standing, clock=100, alarm=alarm()))) == [("NONE", "late", 60)]


def test_the_alarm_returns_when_the_clock_reaches_the_end_of_the_off_delay() -> None:
    over = condition(ended_at=130, off_delay=20, decided=frozenset({"OPENED:condition-stands"}))
    assert said(one(situation(over, clock=149, alarm=alarm()))) == [("NONE", "in-off-delay", 100)]
    verdict = one(situation(over, clock=150, alarm=alarm()))
    assert said(verdict) == [("RETURNED", "back-to-normal", 150)]
    assert verdict.settled == (1,)


def test_a_run_of_late_readings_alone_has_no_clock_and_returns_nothing() -> None:
    over = condition(ended_at=130, decided=frozenset({"OPENED:condition-stands"}))
    assert said(one(situation(over, clock=None, alarm=alarm()))) == []


def test_the_alarm_stays_while_another_condition_of_the_same_mode_stands() -> None:
    over = condition(ended_at=130, decided=frozenset({"OPENED:condition-stands"}))
    verdict = one(situation(over, condition(2, started_at=120), clock=200, alarm=alarm()))
    assert said(verdict) == [("NONE", "already-open", 120)]


def test_a_returned_alarm_nobody_has_seen_is_reopened() -> None:
    verdict = one(situation(condition(2, started_at=200), clock=200, alarm=alarm(active=False, returned_at=150)))
    assert said(verdict)[0] == ("REOPENED", "active-again", 200)
    assert verdict.alarm is not None
    assert (verdict.alarm.id, verdict.alarm.occurrences) == (5, 2)


def test_after_a_closed_alarm_a_new_one_is_opened() -> None:
    verdict = one(situation(condition(2, started_at=200), clock=200, judged_until=150))
    assert said(verdict)[0] == ("OPENED", "condition-stands", 200)


def test_an_acknowledged_alarm_closes_when_it_returns_and_what_follows_opens_a_new_one() -> None:
    over = condition(ended_at=130, decided=frozenset({"OPENED:condition-stands"}))
    verdict = one(situation(over, condition(2, started_at=140), clock=140, alarm=alarm(acknowledged=True)))
    assert [s[0] for s in said(verdict)] == ["RETURNED", "OPENED", "NONE"]
    assert verdict.steps[0].alarm is not None
    assert verdict.steps[0].alarm.state is State.NORMAL
    assert verdict.alarm is not None
    assert verdict.alarm.id is None


def test_what_the_last_alarm_had_already_told_of_opens_nothing() -> None:
    verdict = one(situation(condition(2, started_at=110, last_at=120, ended_at=130), clock=300, judged_until=150))
    assert said(verdict) == [("NONE", "already-over", 110)]
    assert verdict.settled == (2,)


def test_a_growing_severity_raises_the_alarm_and_asks_again_for_acknowledgement() -> None:
    worse = condition(last_at=180, peak_score=1.0, peak_at=170, decided=frozenset({"OPENED:condition-stands"}))
    verdict = one(situation(worse, clock=180, alarm=alarm(acknowledged=True)))
    assert said(verdict) == [
        ("RAISED", "higher-priority", 170),
        ("ORDER_OPENED", "priority-calls-for-work", 170),
    ]
    assert verdict.alarm is not None
    assert (verdict.alarm.priority, verdict.alarm.acknowledged, verdict.alarm.peak_score) == ("HIGH", False, 1.0)


@pytest.mark.parametrize("criticality", list(order_priority.BY_CRITICALITY))
def test_the_priority_follows_from_criticality_and_severity(criticality: str) -> None:
    mild, severe = (one(situation(condition(peak_score=score), criticality=criticality)).alarm for score in (0.6, 0.99))
    assert mild is not None
    assert severe is not None
    assert (mild.priority, severe.priority) == order_priority.BY_CRITICALITY[criticality]
    beyond = one(situation(condition(kind="LIMIT_HIGH_HIGH"), criticality=criticality)).alarm
    assert beyond is not None
    assert beyond.priority == severe.priority


def test_a_critical_alarm_calls_for_immediate_work_and_a_high_one_for_deferred() -> None:
    critical, high = (one(situation(condition(peak_score=1.0), criticality=c)) for c in ("CRITICAL", "MEDIUM"))
    assert critical.steps[1].order == OrderState(None, "CRITICAL", "CORRECTIVE_IMMEDIATE", 1)
    assert high.steps[1].order == OrderState(None, "HIGH", "CORRECTIVE_DEFERRED", 1)


def test_an_order_that_is_open_counts_the_occurrence() -> None:
    known = OrderState(9, "HIGH", "CORRECTIVE_DEFERRED", 3)
    verdict = one(situation(condition(peak_score=1.0), order=known))
    assert said(verdict)[1] == ("ORDER_OCCURRED", "order-already-open", 100)
    assert verdict.steps[1].order == replace(known, occurrences=4)


def test_a_raised_alarm_raises_its_order_without_counting_an_occurrence() -> None:
    worse = condition(peak_score=1.0, decided=frozenset({"OPENED:condition-stands"}))
    known = OrderState(9, "HIGH", "CORRECTIVE_DEFERRED", 1)
    verdict = one(situation(worse, criticality="CRITICAL", alarm=alarm(priority="HIGH"), order=known))
    assert said(verdict)[1] == ("ORDER_RAISED", "higher-priority", 100)
    assert verdict.steps[1].order == OrderState(9, "CRITICAL", "CORRECTIVE_IMMEDIATE", 1)


@pytest.mark.parametrize("instrument", [False, True])
def test_an_order_that_was_completed_not_long_ago_is_opened_again(*, instrument: bool) -> None:
    done = OrderState(9, "LOW", "CORRECTIVE_DEFERRED", 3, "CLOSED", 50)
    mode = {"failure_mode": "AIR"} if instrument else {}
    again = [condition(n, started_at=100 + n, instrument=instrument, peak_score=1.0) for n in (1, 2)]
    steps = [step for step in one(situation(*again, order=done, clock=200, **mode)).steps if step.order is not None]
    assert (steps[0].action, steps[0].reason) == ("ORDER_REOPENED", "came-back-soon")
    kind = "INSTRUMENTATION" if instrument else "CORRECTIVE_DEFERRED"
    first = steps[0].order
    assert first is not None
    assert (first.id, first.status, first.completed_at, first.occurrences) == (9, "OPEN", None, 4)
    assert first.maintenance_type == kind
    assert [step.action for step in steps[1:]] == (["ORDER_OCCURRED"] if instrument else [])


def test_a_fault_of_an_instrument_has_an_order_and_never_an_alarm() -> None:
    faults = [condition(n, started_at=100 + n, instrument=True, kind="STUCK") for n in (1, 2)]
    verdict = one(situation(*faults, failure_mode="AIR", criticality="CRITICAL"))
    assert said(verdict) == [
        ("ORDER_OPENED", "instrument-fault", 101),
        ("ORDER_OCCURRED", "order-already-open", 102),
    ]
    assert verdict.steps[-1].order == OrderState(None, "MEDIUM", "INSTRUMENTATION", 2)
    assert (verdict.alarm, verdict.settled) == (None, (1, 2))


def test_the_same_situation_gives_the_same_keys() -> None:
    given_situation = situation(condition(), condition(2, ended_at=101, last_at=101), clock=200)
    assert one(given_situation) == one(given_situation)
    keys = [step.key for step in one(given_situation).steps]
    assert len(set(keys)) == len(keys)


def test_an_alarm_with_nothing_left_that_stands_returns() -> None:
    assert said(one(situation(alarm=alarm()))) == [("RETURNED", "back-to-normal", 100)]
