"""When preventive work is due, against slow and obvious versions."""

from __future__ import annotations

import calendar
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance import meter_life, plan_life
from maintenance.plan_life import Basis, Calendar, Done, Due, Metered, Outside, Season, Unit

DAY = timedelta(days=1)
days = st.dates(date(2019, 1, 1), date(2032, 12, 31))
of_year = st.dates(date(2001, 1, 1), date(2001, 12, 31)).map(lambda day: (day.month, day.day))
seasons = st.none() | st.builds(Season, of_year, of_year)


@st.composite
def rules(draw: st.DrawFn) -> Calendar:
    return Calendar(
        draw(st.integers(1, 40)), draw(st.sampled_from(Unit)), draw(st.sampled_from(Basis)), draw(days),
        draw(seasons), draw(st.sampled_from(Outside)),
    )  # fmt: skip


def later(day: date, number: int, unit: Unit) -> date:
    """Day by day, or month by month."""
    if unit != Unit.MONTH:
        for _ in range(number * {Unit.DAY: 1, Unit.WEEK: 7}[unit]):
            day += DAY
        return day
    year, month = day.year, day.month
    for _ in range(number):
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return date(year, month, min(day.day, calendar.monthrange(year, month)[1]))


@cache
def of_season(season: Season) -> frozenset[tuple[int, int]]:
    """Walks the days of a leap year from the first of the season to its last."""
    at, found = date(2000, *season.first), set()
    while True:
        found.add((at.month, at.day))
        if (at.month, at.day) == season.last:
            return frozenset(found)
        at += DAY


def inside(season: Season, day: date) -> bool:
    return (day.month, day.day) in of_season(season)


def oracle(rule: Calendar, last: Done | None) -> Due:
    if last is None:
        nominal, after = rule.first_on, rule.first_on - DAY
    elif rule.basis == Basis.COMPLETION:
        nominal, after = later(last.on, rule.every, rule.unit), last.on
    else:
        after = max(last.on, last.due.on) if last.due else last.on
        used = max(after, last.due.nominal) if last.due else after
        steps = 0
        while (nominal := later(rule.first_on, steps * rule.every, rule.unit)) <= used:
            steps += 1
    if rule.season is None or inside(rule.season, nominal):
        return Due(nominal, nominal)
    day = nominal - DAY
    while not inside(rule.season, day):
        day -= DAY
    if rule.outside == Outside.EARLY and day > after:
        return Due(nominal, day)
    day = nominal + DAY
    while not inside(rule.season, day):
        day += DAY
    return Due(nominal, day)


@settings(deadline=None, max_examples=60)
@given(rules(), st.lists(st.integers(-60, 200), max_size=4))
def test_the_next_due_date_is_the_oracles_whatever_the_history(rule: Calendar, delays: list[int]) -> None:
    last: Done | None = None
    for delay in [*delays, 0]:
        due = plan_life.following(rule, last)
        assert due == oracle(rule, last)
        assert last is None or due.on > last.on
        assert rule.season is None or rule.season.holds(due.on)
        done_on = due.on + delay * DAY if last is None else max(last.on, due.on + delay * DAY)
        last = Done(due, done_on)


@settings(deadline=None, max_examples=60)
@given(rules(), days)
def test_after_work_that_only_a_meter_called_for_it_is_the_oracles(rule: Calendar, on: date) -> None:
    assert plan_life.following(rule, Done(None, on)) == oracle(rule, Done(None, on))


@settings(deadline=None, max_examples=60)
@given(rules())
def test_ten_to_come_are_in_order_and_by_due_date_never_drift(rule: Calendar) -> None:
    found = plan_life.upcoming(rule, None, most=10)
    assert [due.on for due in found] == sorted({due.on for due in found})
    if rule.basis == Basis.DUE and rule.season is None:
        assert [due.on for due in found] == [later(rule.first_on, n * rule.every, rule.unit) for n in range(10)]


def test_the_31st_of_each_month_stays_the_last_day() -> None:
    rule = Calendar(1, Unit.MONTH, Basis.DUE, date(2027, 12, 31))
    got = [due.on.isoformat()[5:] for due in plan_life.upcoming(rule, None, most=5)]
    assert got == ["12-31", "01-31", "02-29", "03-31", "04-30"]


@pytest.mark.parametrize(
    ("outside", "want"),
    [
        ("WAIT", ["2026-09-15", "2026-10-15", "2027-04-01", "2027-04-15"]),
        ("EARLY", ["2026-09-15", "2026-10-15", "2026-10-31", "2027-04-01"]),
    ],
)
def test_outside_the_season_it_waits_for_the_next_or_comes_before_the_end(outside: str, want: list[str]) -> None:
    season = Season((4, 1), (10, 31))
    rule = Calendar(1, Unit.MONTH, Basis.DUE, date(2026, 9, 15), season, Outside(outside))
    assert [due.on.isoformat() for due in plan_life.upcoming(rule, None, most=4)] == want


def test_early_work_moves_a_plan_by_completion_and_uses_up_the_date_of_one_by_due_date() -> None:
    due = Due(date(2026, 4, 1), date(2026, 4, 1))
    for basis, want in ((Basis.COMPLETION, date(2026, 4, 20)), (Basis.DUE, date(2026, 5, 1))):
        rule = Calendar(1, Unit.MONTH, basis, date(2026, 4, 1))
        assert plan_life.following(rule, Done(due, date(2026, 3, 20))).on == want


def test_the_hour_is_the_walls_right_through_changes_of_the_clock() -> None:
    zone = ZoneInfo("Europe/Rome")
    hours = [plan_life.instant(date(2026, 3, day), time(8), zone).hour for day in (28, 29, 30)]
    assert hours == [7, 6, 6]
    assert plan_life.instant(date(2026, 3, 29), time(2, 30), zone) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
    assert plan_life.instant(date(2026, 10, 25), time(2, 30), zone) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


# Meters

totals = st.integers(0, 5_000).map(float)


@given(st.integers(1, 700).map(float), totals, st.sampled_from(Basis), st.none() | totals, st.none() | totals)
def test_the_next_total_is_the_oracles(
    every: float, first: float, basis: Basis, target: float | None, done: float | None
) -> None:
    want = first
    if done is not None and basis == Basis.COMPLETION:
        want = done + every
    elif done is not None:
        while want <= done or (target is not None and want <= target):
            want += every
    assert plan_life.next_target(Metered(every, basis, first), target=target, done_at=done) == want


values = st.lists(st.integers(0, 50).map(float), max_size=30)


@given(values, st.none() | totals, st.integers(0, 30))
def test_a_counters_increase_is_the_oracles_and_the_same_in_two_parts(
    given: list[float], before: float | None, cut: int
) -> None:
    total, known = 0.0, before
    for value in given:
        total += 0.0 if known is None else value - known if value >= known else value
        known = value
    assert meter_life.increase(np.array(given), before=before) == total
    one, two = given[:cut], given[cut:]
    middle = one[-1] if one else before
    parts = meter_life.increase(np.array(one), before=before) + meter_life.increase(np.array(two), before=middle)
    assert parts == total


@given(st.lists(st.tuples(st.integers(1, 9_000), st.integers(0, 9)), max_size=30), st.none() | st.integers(0, 9))
def test_hours_above_and_rises_are_the_oracles(steps: list[tuple[int, int]], before: int | None) -> None:
    seconds = list(np.cumsum([step for step, _ in steps], dtype=np.int64))
    given = [float(value) for _, value in steps]
    until = int(seconds[-1] if seconds else 0) + 600
    held = [min(b - a, 3600) for a, b in zip(seconds, [*seconds[1:], until], strict=True)] if seconds else []
    hours = sum(span for span, value in zip(held, given, strict=True) if value > 4) / 3600
    at, value = np.array(seconds, np.int64) * 1_000_000, np.array(given, np.float64)
    assert meter_life.hours_above(at, value, threshold=4.0, until=until * 1_000_000) == pytest.approx(hours)
    up, was = 0, None if before is None else before > 4
    for one in given:
        up += was is False and one > 4
        was = one > 4
    assert meter_life.rises(value, threshold=4.0, before=before) == up
