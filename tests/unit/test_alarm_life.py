"""The transition table of an alarm."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import alarm_life
from maintenance.alarm_life import Action, AlarmState, Condition, State, Suppression


def fresh(priority: str = "LOW") -> AlarmState:
    return alarm_life.opened(at=10, priority=priority, sensor_id=1, peak_score=0.6)


def test_an_opened_alarm_is_active_and_not_acknowledged() -> None:
    assert fresh().state is State.UNACK


def test_an_acknowledged_alarm_that_returns_is_closed() -> None:
    alarm = alarm_life.step(fresh(), Action.ACKNOWLEDGED, at=11)
    assert alarm.state is State.ACKED
    assert alarm_life.step(alarm, Action.RETURNED, at=20).state is State.NORMAL


def test_a_returned_alarm_waits_for_acknowledgement_and_is_closed_by_it() -> None:
    alarm = alarm_life.step(fresh(), Action.RETURNED, at=20)
    assert (alarm.state, alarm.returned_at, alarm.changed_at) == (State.RTNUN, 20, 20)
    assert alarm_life.step(alarm, Action.ACKNOWLEDGED, at=30).state is State.NORMAL


def test_an_alarm_that_is_active_again_counts_the_occurrence() -> None:
    alarm = alarm_life.step(fresh(), Action.RETURNED, at=20)
    alarm = alarm_life.step(alarm, Action.REOPENED, at=30, priority="HIGH")
    assert (alarm.state, alarm.occurrences, alarm.raised_at, alarm.returned_at) == (State.UNACK, 2, 30, None)
    assert alarm.priority == "HIGH"


def test_raising_an_acknowledged_alarm_asks_for_a_new_acknowledgement() -> None:
    alarm = alarm_life.step(fresh(), Action.ACKNOWLEDGED, at=11)
    alarm = alarm_life.step(alarm, Action.RAISED, at=12, priority="CRITICAL")
    assert (alarm.state, alarm.priority) == (State.UNACK, "CRITICAL")


def test_a_priority_never_sinks_while_the_alarm_is_open() -> None:
    alarm = alarm_life.step(fresh("HIGH"), Action.RETURNED, at=20)
    assert alarm_life.step(alarm, Action.REOPENED, at=30, priority="LOW").priority == "HIGH"


def every_state() -> dict[State, AlarmState]:
    unack = fresh()
    acked = alarm_life.step(unack, Action.ACKNOWLEDGED, at=11)
    return {
        State.UNACK: unack,
        State.ACKED: acked,
        State.RTNUN: alarm_life.step(unack, Action.RETURNED, at=12),
        State.NORMAL: alarm_life.step(acked, Action.RETURNED, at=12),
    }


@pytest.mark.parametrize(("state", "action"), list(itertools.product([State.NORMAL, *alarm_life.OPEN], Action)))
def test_an_action_is_in_the_table_or_is_refused(state: State, action: Action) -> None:
    alarm = every_state()[state]
    if action is not Action.OPENED and (state, action) in alarm_life.TABLE:
        assert alarm_life.step(alarm, action, at=50, priority="HIGH").state is alarm_life.TABLE[state, action]
    else:
        with pytest.raises(alarm_life.IllegalTransition, match=f"{action} in state {state}"):
            alarm_life.step(alarm, action, at=50)


@given(st.lists(st.sampled_from([a for a in Action if a is not Action.OPENED])))
def test_whatever_happens_in_whatever_order_the_books_of_an_alarm_are_kept(actions: list[Action]) -> None:
    alarm, reopened = fresh(), 0
    for at, action in enumerate(actions, start=20):
        try:
            alarm = alarm_life.step(alarm, action, at=at, priority="HIGH")
        except alarm_life.IllegalTransition:
            continue
        reopened += action is Action.REOPENED
    assert alarm.occurrences == 1 + reopened
    assert alarm.active == (alarm.returned_at is None)


@pytest.mark.parametrize(
    ("active", "acknowledged", "suppression", "state"),
    [
        (True, False, "", "UNACK"), (True, True, "", "ACKED"), (False, False, "", "RTNUN"), (False, True, "", "NORM"),
        (True, False, "SHELVED", "SHLVD"), (True, True, "SHELVED", "SHLVD"), (False, False, "SHELVED", "SHLVD"),
        (True, False, "BY_DESIGN", "DSUPR"), (True, True, "OUT_OF_SERVICE", "OOSRV"),
        (False, True, "SHELVED", "NORM"), (False, True, "OUT_OF_SERVICE", "NORM"),
    ],
)  # fmt: skip
def test_three_facts_make_the_seven_states(active: bool, acknowledged: bool, suppression: str, state: str) -> None:
    made = alarm_life.state_of(active=active, acknowledged=acknowledged, suppression=Suppression(suppression))
    assert made == state


@pytest.mark.parametrize("action", list(alarm_life.SHOWS.values()))
def test_what_is_shown_again_has_to_be_seen_anew_while_it_is_active(action: Action) -> None:
    acked = alarm_life.step(fresh(), Action.ACKNOWLEDGED, at=11)
    assert alarm_life.step(acked, action, at=12).state is State.UNACK
    returned = alarm_life.step(fresh(), Action.RETURNED, at=12)
    assert alarm_life.step(returned, action, at=13).state is State.RTNUN


def condition(**fields: int | None) -> Condition:
    base = {"anomaly_id": 1, "sensor_id": 1, "started_at": 100, "last_at": 100, "ended_at": None, "peak_at": 100}
    return Condition(**{**base, **fields}, peak_score=0.6, kind="LIMIT_LOW")  # type: ignore[arg-type]


def test_a_single_reading_counts_at_once_where_there_is_no_on_delay() -> None:
    assert condition().counts
    assert condition().on == 100


def test_a_single_reading_does_not_count_where_there_is_an_on_delay() -> None:
    assert not condition(on_delay=5).counts
    assert condition(on_delay=5, last_at=105).counts


def test_a_condition_is_off_when_its_off_delay_has_passed_after_its_end() -> None:
    assert condition().off is None
    assert condition(ended_at=130, off_delay=20).off == 150
    assert condition(ended_at=101, last_at=101, on_delay=5).off == 105
