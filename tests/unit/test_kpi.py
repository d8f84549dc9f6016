"""The figures of maintenance, beside slow versions of the same."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance import kpi, kpi_book, kpi_groups, kpi_plots
from maintenance.isa182 import NEVER, Activations
from maintenance.kpi import HOUR_US, Orders, Period, Stretches
from sensors.columns import DAY_US
from tests import kpi_oracles
from tests.kpi_oracles import Job

START, END = 100 * DAY_US, 200 * DAY_US
KINDS = ("CORRECTIVE_IMMEDIATE", "CORRECTIVE_DEFERRED", "PREDICTIVE", "CONDITION_BASED", "PREDETERMINED", "INSPECTION")


def job(number: int = 1, **fields: Any) -> Job:
    usual = {
        "machine": 1, "mode": "VIB", "kind": "CORRECTIVE_IMMEDIATE", "verdict": "", "opened": START, "completed": NEVER,
        "closed": NEVER, "due": NEVER, "minutes": 0, "planned": False, "reopened": False, "work": (),
    }  # fmt: skip
    return Job(number, **usual | fields)


@st.composite
def jobs(draw: st.DrawFn) -> list[Job]:
    found = []
    for number in range(draw(st.integers(0, 14))):
        opened = draw(st.integers(80, 199)) * DAY_US
        completed = draw(st.sampled_from([NEVER, opened, *(opened + days * DAY_US for days in (1, 7, 40))]))
        begun = opened if draw(st.booleans()) else None
        work: tuple[tuple[int, int], ...] = () if begun is None else ((begun, completed),)
        if work and completed not in (NEVER, opened) and completed - opened > 2 * DAY_US and draw(st.booleans()):
            work = ((begun or 0, opened + DAY_US), (opened + 2 * DAY_US, completed))
        found.append(
            job(
                number, machine=draw(st.integers(1, 3)), mode=draw(st.sampled_from(["", "VIB", "ELU"])),
                kind=draw(st.sampled_from(KINDS)), verdict=draw(st.sampled_from(["", "REAL", "FALSE", "SENSOR_FAULT"])),
                opened=opened, completed=completed, closed=draw(st.sampled_from([completed, NEVER])),
                due=draw(st.sampled_from([NEVER, opened + 5 * DAY_US])), minutes=draw(st.sampled_from([0, 90])),
                planned=draw(st.booleans()), reopened=draw(st.booleans()), work=work,
            )
        )  # fmt: skip
    return found


def orders(found: list[Job]) -> Orders:
    def whole(name: str) -> Any:
        return np.array([getattr(one, name) for one in found], np.int64)

    def text(name: str) -> Any:
        return np.array([getattr(one, name) for one in found], "U24")

    return Orders(
        whole("id"), whole("machine"), text("mode"), text("mode"), text("kind"), text("verdict"), whole("opened"),
        whole("completed"), whole("closed"), whole("due"), whole("minutes"), whole("minutes"),
        np.array([one.planned for one in found], bool), np.array([one.reopened for one in found], bool),
    )  # fmt: skip


def worked(found: list[Job]) -> Stretches:
    rows = [(one.id, one.machine, begin, end) for one in found for begin, end in one.work]
    return Stretches(*np.array(rows, np.int64).reshape(-1, 4).T)


def activations(*rows: tuple[int, int, int]) -> Activations:
    """Of (at, acknowledged, machine)."""
    at, seen, machine = np.array(rows, np.int64).reshape(-1, 3).T
    blank = np.zeros(len(at), np.int64)
    return Activations(at, blank + NEVER, seen, machine, np.array(["VIB"] * len(at), "U3"), blank)


PERIOD = Period(START, END, {1: 0, 2: 0, 3: 150 * DAY_US})


@given(jobs())
@settings(max_examples=80, deadline=None)
def test_time_out_of_service_is_that_by_looking_every_day(found: list[Job]) -> None:
    expected = kpi_oracles.out_of_service(found, PERIOD.since, START, END, DAY_US)
    assert kpi.out_of_service(worked(found), PERIOD) == expected


@given(jobs())
@settings(max_examples=150, deadline=None)
def test_each_figure_is_that_which_counts_one_by_one(found: list[Job]) -> None:
    columns = orders(found), worked(found), worked(found), activations()
    made = {one.entry.name: one for one in kpi.figures(*columns, PERIOD)}
    assert tuple(made) == kpi_book.NAMES
    failures = sum(one.is_failure and START <= one.opened < END for one in found)
    down = kpi_oracles.out_of_service(found, PERIOD.since, START, END, DAY_US)
    assert made["mtbf"].events == failures
    if failures and down == 250 * DAY_US:
        assert made["mtbf"].value is None  # it never ran
    elif failures:
        assert made["mtbf"].value == pytest.approx((250 * DAY_US - down) / HOUR_US / failures)
    assert made["availability"].value == pytest.approx(100 * (1 - down / (250 * DAY_US)))
    time, done, running = kpi_oracles.restored(found, START, END)
    assert (made["mttr"].events, made["mttr"].running) == (done, running)
    if done:
        assert made["mttr"].value == pytest.approx(time / HOUR_US / done)
    finished = [one for one in found if START <= one.completed < END]
    _same_share(made["planned_share"], sum(one.planned for one in finished), len(finished))
    _same_share(made["first_time_fix"], *kpi_oracles.first_time_fix(found, START, END))
    due = [one for one in found if START <= one.due < END]
    _same_share(made["schedule_compliance"], sum(one.completed <= one.due for one in due), len(due))
    judged = [one for one in found if START <= one.closed < END and one.verdict]
    _same_share(made["false_alarms"], sum(one.verdict != "REAL" for one in judged), len(judged))
    left = [one for one in found if one.completed >= END]
    assert made["backlog"].value == sum(one.minutes for one in left) / 60
    expected = kpi_oracles.warnings(found, START, END)
    assert (made["warning_time"].events, made["warning_time"].running) == (
        sum(came for _, came in expected), sum(not came for _, came in expected),
    )  # fmt: skip


def _same_share(figure: kpi.Figure, hits: int, of: int) -> None:
    assert figure.events == of
    assert figure.value == (pytest.approx(100 * hits / of) if of else None)


@given(jobs())
@settings(max_examples=60, deadline=None)
def test_the_losses_come_to_all_failures_and_all_they_cost(found: list[Job]) -> None:
    losses = kpi_groups.pareto(orders(found), worked(found), PERIOD)
    failed = [one for one in found if one.is_failure and START <= one.opened < END]
    assert sum(loss.failures for loss in losses) == len(failed)
    assert sum(loss.cost for loss in losses) == sum(one.minutes for one in failed)
    assert [loss.downtime for loss in losses] == sorted((loss.downtime for loss in losses), reverse=True)
    if losses:
        assert losses[-1].so_far == pytest.approx(1.0)


@given(jobs())
@settings(max_examples=60, deadline=None)
def test_times_between_failures_fill_each_machine_from_its_first_one_on(found: list[Job]) -> None:
    hours, ended = kpi_groups.between(kpi.failures(orders(found)), PERIOD)
    failed = [one for one in found if one.is_failure and START <= one.opened < END]
    firsts = {machine: min(one.opened for one in failed if one.machine == machine) for machine in {1, 2, 3} & {
        one.machine for one in failed}}  # fmt: skip
    assert hours.sum() == pytest.approx(sum(END - first for first in firsts.values()) / HOUR_US)
    assert ((~ended).sum(), len(hours)) == (len(firsts), len(failed))
    counts = kpi_groups.over_time(orders(found), PERIOD)[1]
    assert sum(counts) == len(failed)


def test_an_alarm_that_comes_again_unacknowledged_had_waited_until_then() -> None:
    hour = HOUR_US
    rows = [(START, NEVER, 1), (START + 3 * hour, START + 4 * hour, 1), (START, NEVER, 2), (START - hour, NEVER, 3)]
    found = kpi.mtta(activations(*rows), PERIOD)
    assert (found.events, found.running) == (1, 2)
    assert found.value == pytest.approx((3 * 60 + 60 + 100 * 24 * 60) / 1)


def test_without_orders_and_machines_there_are_no_figures() -> None:
    made = kpi.figures(orders([]), worked([]), worked([]), activations(), Period(START, END, {}))
    assert [one.value for one in made] == [None, None, None, None, None, 0.0, None, None, None, None]
    assert kpi_groups.pareto(orders([]), worked([]), PERIOD) == ()
    assert kpi_groups.lives(orders([]), PERIOD) == ()


def test_two_failures_in_100_days_have_a_mean_of_50_days_and_a_wide_interval() -> None:
    found = orders([job(1, opened=START + DAY_US), job(2, opened=START + 9 * DAY_US)])
    one = kpi_groups.lives(found, Period(START, END, {1: 0}))[0]
    assert (one.part, one.failures, one.mtbf, one.running) == ("VIB", 2, 1200.0, 1)
    assert one.median == pytest.approx(8 * 24)
    assert one.high is not None
    assert one.low < 400 < 9_000 < one.high


def test_a_name_in_a_picture_is_text() -> None:
    drawn = kpi_plots.pareto("<b>", "h", ["<script>"], [3.0], [1.0])
    assert "<script>" not in drawn
    assert "&lt;script&gt;" in drawn
    assert "Nothing." in kpi_plots.pareto("empty", "h", [], [], [])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"checked": false, "formula"', '"checked": 3, "formula"'),
        ('"name": "mtbf"', '"name": "other"'),
        ('"unit": "min"', '"unit": "parsec"'),
        ('"value": 30', '"value": 0'),
        ('"provenance"', '"origin"'),
        ("{", "["),
    ],
)
def test_a_book_that_cannot_be_used_says_why(before: str, after: str) -> None:
    text = kpi_book.FILE.read_text("utf-8")
    assert before in text
    with pytest.raises(kpi_book.BadBook):
        kpi_book.read(text.replace(before, after, 1))
