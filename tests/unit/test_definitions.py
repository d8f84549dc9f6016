"""Which definition of an alarm holds."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import decide, urgency
from maintenance import alarm_life, definitions
from maintenance.alarm_life import Action, State
from maintenance.definitions import Definition, Subject, book, resolve
from mlops.detectors import DETECTORS
from tests.unit.test_decide import condition, situation

SITE, MACHINE = 1, 7
PUMP = Subject(SITE, MACHINE, "PUMP", "FLOW", "LIMIT_LOW", "LOO")
ANY = (SITE, None, "", "", "", "")


@pytest.mark.parametrize(
    ("scopes", "holds"),
    [
        ([], None),
        ([ANY], 0),
        ([(2, None, "", "", "", "")], None),
        ([(SITE, 8, "", "", "", "")], None),
        ([(SITE, None, "MOTOR", "", "", "")], None),
        ([(SITE, None, "", "LEVEL", "", "")], None),
        ([(SITE, None, "", "", "LIMIT_HIGH", "")], None),
        ([(SITE, None, "", "", "", "VIB")], None),
        ([ANY, (SITE, None, "", "", "", "LOO")], 1),
        ([(SITE, None, "", "", "", "LOO"), (SITE, None, "", "", "LIMIT_LOW", "")], 1),
        ([(SITE, None, "", "", "LIMIT_LOW", ""), (SITE, None, "", "", "LIMIT_LOW", "LOO")], 1),
        ([(SITE, None, "", "", "LIMIT_LOW", "LOO"), (SITE, None, "", "FLOW", "", "")], 1),
        ([(SITE, None, "", "FLOW", "LIMIT_LOW", "LOO"), (SITE, None, "PUMP", "", "", "")], 1),
        ([(SITE, None, "PUMP", "FLOW", "LIMIT_LOW", "LOO"), (SITE, MACHINE, "", "", "", "")], 1),
        ([(SITE, MACHINE, "", "", "LIMIT_LOW", "LOO"), (SITE, MACHINE, "", "FLOW", "", "")], 1),
    ],
)
def test_the_most_specific_definition_holds(scopes: list[definitions.Scope], holds: int | None) -> None:
    found = resolve(book(Definition(n, scope) for n, scope in enumerate(scopes)), PUMP)
    assert (None if found is None else found.id) == holds


def test_a_class_is_the_same_in_any_letters_and_equipment_without_one_is_in_none() -> None:
    known = book([Definition(1, (SITE, None, "PUMP", "", "", ""))])
    assert resolve(known, Subject(SITE, MACHINE, " pump ", "FLOW", "LIMIT_LOW", "LOO")) is not None
    assert resolve(known, Subject(SITE, MACHINE, "", "FLOW", "LIMIT_LOW", "LOO")) is None


EVERY = [
    (SITE, machine, own, *rest)
    for (machine, own) in ((MACHINE, ""), (8, ""), (None, "PUMP"), (None, "MOTOR"), (None, ""))
    for rest in itertools.product(("FLOW", "LEVEL", ""), ("LIMIT_LOW", "ZONE_D", ""), ("LOO", "VIB", ""))
]


@given(st.sets(st.sampled_from(EVERY)))
def test_the_fast_way_finds_what_ranking_all_that_fit_finds(scopes: set[definitions.Scope]) -> None:
    wanted = (SITE, MACHINE, "PUMP", "FLOW", "LIMIT_LOW", "LOO")
    fit = [s for s in scopes if all(said in (None, "", asked) for said, asked in zip(s, wanted, strict=True))]
    best = max(fit, key=lambda s: [bool(said) for said in s], default=None)
    found = resolve(book(Definition(1, scope) for scope in scopes), PUMP)
    assert (None if found is None else found.scope) == best


def test_the_kinds_of_anomaly_are_those_of_the_detectors() -> None:
    found = [kind for detector in DETECTORS.values() for kind in detector.kinds]
    assert sorted(found) == sorted(definitions.ANOMALY_KINDS)


# What it means for decide


def laid(priority: str = "", **fields: Any) -> Definition:
    return Definition(3, ANY, priority=priority, **fields)


@pytest.mark.parametrize(
    ("priority", "verdict", "kind", "gives"),
    [
        ("", "CREDIBLE", "LIMIT_LOW", "LOW"), ("", "CREDIBLE", "LIMIT_LOW_LOW", "HIGH"),
        ("CRITICAL", "CREDIBLE", "LIMIT_LOW", "CRITICAL"), ("MEDIUM", "CREDIBLE", "LIMIT_LOW_LOW", "MEDIUM"),
        ("HIGH", "DOUBTFUL", "LIMIT_LOW", "MEDIUM"), ("LOW", "DOUBTFUL", "LIMIT_LOW", "LOW"),
        ("ADVISORY", "CREDIBLE", "LIMIT_LOW_LOW", "ADVISORY"),
    ],
)  # fmt: skip
def test_a_priority_is_what_is_laid_down(priority: str, verdict: str, kind: str, gives: str) -> None:
    seen = condition(kind=kind, verdict=verdict, definition=laid(priority))
    assert urgency.priority_of(seen, criticality="MEDIUM") == gives


def steps(*conditions: Any, **fields: Any) -> tuple[list[tuple[str, str]], alarm_life.AlarmState | None]:
    (verdict,) = decide.decide([situation(*conditions, **fields)])
    return [(str(s.action), s.reason) for s in verdict.steps], verdict.alarm


def test_an_advisory_is_noted_calls_for_no_work_and_is_closed_by_its_return() -> None:
    told, alarm = steps(condition(ended_at=110, definition=laid("ADVISORY")), clock=120)
    assert told == [("NOTED", "condition-stands"), ("NONE", "priority-needs-no-order"), ("RETURNED", "back-to-normal")]
    assert alarm is not None
    assert (alarm.state, alarm.definition) == (State.NORMAL, laid("ADVISORY"))


def test_an_advisory_that_gets_urgent_opens_as_an_alarm_and_calls_for_work() -> None:
    _, noted = steps(condition(definition=laid("ADVISORY")))
    assert noted is not None
    told, alarm = steps(condition(definition=laid("HIGH")), alarm=noted)
    assert told[:2] == [("OPENED", "no-longer-advisory"), ("ORDER_OPENED", "priority-calls-for-work")]
    assert alarm is not None
    assert (alarm.state, alarm.priority) == (State.UNACK, "HIGH")


def test_two_advisories_one_after_the_other_are_two_lives() -> None:
    first = condition(ended_at=110, definition=laid("ADVISORY"))
    second = condition(2, started_at=200, ended_at=210, definition=laid("ADVISORY"))
    (verdict,) = decide.decide([situation(first, second, clock=300)])
    assert [[str(s.action) for s in life.steps] for life in verdict.lives] == [["NOTED", "RETURNED"]] * 2


def test_a_latching_alarm_waits_for_an_acknowledgement_although_it_was_acknowledged_before() -> None:
    _, opened = steps(condition(definition=laid(latching=True)))
    assert opened is not None
    acked = alarm_life.step(opened, Action.ACKNOWLEDGED, at=105)
    _, alarm = steps(condition(ended_at=110, definition=laid(latching=True)), alarm=acked, clock=120)
    assert alarm is not None
    assert alarm.state is State.RTNUN
    assert alarm_life.step(alarm, Action.ACKNOWLEDGED, at=130).state is State.NORMAL


def test_what_holds_for_an_alarm_is_what_holds_for_the_most_urgent_anomaly() -> None:
    low, high = Definition(1, ANY, priority="LOW"), Definition(2, ANY, priority="HIGH")
    _, alarm = steps(condition(definition=low), condition(2, started_at=101, definition=high))
    assert alarm is not None
    assert (alarm.priority, alarm.definition) == ("HIGH", high)
