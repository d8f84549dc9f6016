"""What a backtest counts, and what may be proposed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.backtests import figures, proposal, told
from agents.backtests.figures import Activation, Figures, Found, Period, Window
from mlops import detectors
from sensors.columns import SECOND_US

MINUTE = 60 * SECOND_US


def alarm(raised: int, returned: int | None, *, mode: str = "VIB", machine: int = 1, sensor: int = 7) -> Activation:
    return Activation(machine, mode, sensor, "LIMIT_HIGH", "HIGH", raised, returned)


@given(st.lists(st.integers(0, 600), max_size=30), st.integers(1, 2))
def test_chattering_is_what_a_slow_count_says(seconds: list[int], modes: int) -> None:
    every = [alarm(s * SECOND_US, None, mode=f"M{n % modes}") for n, s in enumerate(seconds)]

    def among(one: Activation) -> bool:
        mine = [o.raised_at for o in every if o.failure_mode == one.failure_mode]
        return any(
            start <= one.raised_at < start + MINUTE and sum(start <= at < start + MINUTE for at in mine) >= 3
            for start in mine
        )

    assert figures.chattering(every) == sum(map(among, every))


@given(st.lists(st.tuples(st.integers(0, 50), st.one_of(st.none(), st.integers(0, 30))), max_size=12))
def test_time_in_alarm_is_what_a_slow_count_says(spans: list[tuple[int, int | None]]) -> None:
    every = [alarm(start, None if long is None else start + long) for start, long in spans]
    slow = sum(any(a.raised_at <= at < (a.returned_at if a.returned_at is not None else 40) for a in every)
               for at in range(10, 40))  # fmt: skip
    assert figures.active(every, Period(10, 40)) == slow


def test_the_end_of_the_period_belongs_to_the_next_one() -> None:
    counted = Figures()
    found = Found(
        tuple((at, "MACHINE", "limits") for at in (9, 10, 19, 20)),
        (alarm(9, 12), alarm(10, 11), alarm(20, 21)),
        ((9, True), (10, True), (19, False), (20, False)),
    )
    counted.add(found, Period(10, 20), ())
    told_of = counted.as_json()
    assert [told_of[n] for n in ("machine_anomalies", "alarms", "orders_opened", "order_occurrences")] == [2, 1, 1, 1]
    assert counted.alarm_us == 2
    assert told_of["outside_labels"] == 1


def test_an_alarm_that_stood_before_the_period_finds_a_fault_in_it() -> None:
    counted = Figures()
    counted.add(Found(activations=(alarm(0, None),)), Period(10, 20), [Window(1, None, "FAULT", 12, 13)])
    assert (counted.faults_found, counted.faults_missed, counted.alarms) == (1, 0, 0)


def test_no_more_alarms_are_listed_than_a_page_bears() -> None:
    counted = Figures()
    for machine in (1, 2):
        many = tuple(alarm(n, n + 1, machine=machine) for n in range(150))
        counted.add(Found(activations=many), Period(0, 1_000), ())
    assert (counted.alarms, len(counted.listed)) == (300, figures.MOST_LISTED)


def test_the_names_of_the_detectors_are_those_that_are_shipped() -> None:
    assert tuple(detectors.DETECTORS) == proposal.DETECTORS


PRESENT = {"physical_low": 0.0, "low_low": None, "low": 5.0, "high": 50.0, "high_high": None, "physical_high": 100.0}
FULL: dict[str, Any] = {
    "low": None, "high": 60.0, "high_high": 90.0, "deadband": 0.0, "on_delay_seconds": 0, "off_delay_seconds": 30,
    "false_alarms_per_week": 0.2, "detectors": ["adaptive"],
}  # fmt: skip


def test_a_proposal_reads_back_what_it_writes() -> None:
    read = proposal.read(FULL, present=PRESENT)
    assert read.as_json() == FULL
    assert proposal.read(read.as_json(), present=PRESENT) == read
    assert read
    assert not proposal.read({}, present=None)
    assert told.proposal(FULL).startswith("low none, high 60, high high 90, deadband 0, on delay seconds 0")
    assert told.proposal({}) == "nothing: as things are"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ({"colour": 1}, "colour"),
        ({"high": "80"}, "high"),
        ({"high": True}, "high"),
        ({"high": float("inf")}, "high"),
        ({"high": 101}, "high"),
        ({"low": 55}, "low"),
        ({"high": 4}, "high"),
        ({"high_high": 60, "high": 70}, "high"),
        ({"low": 55, "high": 60, "high_high": 60}, "high"),
        ({"deadband": -0.1}, "deadband"),
        ({"on_delay_seconds": 0.5}, "on_delay_seconds"),
        ({"off_delay_seconds": 10**9}, "off_delay_seconds"),
        ({"false_alarms_per_week": 0}, "false_alarms_per_week"),
        ({"detectors": []}, "detectors"),
        ({"detectors": "limits"}, "detectors"),
        ({"detectors": [{}]}, "detectors"),
        ({"seek": "peace"}, "seek"),
        ({"seek": "deadband", "high": 60}, "seek"),
    ],
)
def test_what_cannot_be_is_not_proposed(given: dict[str, object], name: str) -> None:
    with pytest.raises(proposal.BadProposal) as error:
        proposal.read(given, present=PRESENT)
    assert error.value.name == name
    assert str(error.value)


def test_a_deadband_is_sought_for_one_sensor_with_all_else_as_it_is() -> None:
    read = proposal.read({"seek": "deadband"}, present=PRESENT)
    assert read
    assert read.as_json() == {"seek": "deadband"}
    assert told.proposal(read.as_json()) == "seek deadband"
    with pytest.raises(proposal.BadProposal, match="one sensor"):
        proposal.read({"seek": "deadband"}, present=None)


def test_limits_that_are_wrong_already_do_not_hinder_another_proposal() -> None:
    crossed = {"low": 9.0, "high": 3.0}
    assert proposal.read({"deadband": 1}, present=crossed).deadband == 1
