"""When maintenance windows are, beside an oracle that walks along the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maintenance import occurrences
from maintenance.occurrences import DAY, Occurrence, Rule

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
STEP = 5
"""Minutes from one look at the clock to the next: every beginning is on one, and so is every change of a clock."""
CHANGES = {
    "Europe/Rome": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "America/Sao_Paulo": (date(2018, 11, 4), date(2018, 2, 18)),  # at midnight
    "Australia/Lord_Howe": (date(2026, 10, 4), date(2026, 4, 5)),  # by half an hour
    "Africa/Casablanca": (date(2026, 2, 15), date(2026, 3, 22)),
    "Pacific/Apia": (date(2011, 12, 30), date(2011, 4, 2)),  # a day that never was
    "Asia/Kolkata": (date(2026, 5, 1),),
    "UTC": (date(2026, 5, 1),),
}


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    zone = draw(st.sampled_from(sorted(CHANGES)))
    first = draw(st.sampled_from(CHANGES[zone])) + draw(st.integers(-9, 3)) * DAY
    hour = draw(st.one_of(st.integers(0, 23), st.sampled_from([0, 1, 2, 3, 23])))
    starts = time(hour, STEP * draw(st.integers(0, 11)))
    days = draw(st.frozensets(st.integers(1, 7)))
    return Rule(
        ZoneInfo(zone), first, starts, draw(st.integers(1, 3_000)) * MINUTE, days,
        first + draw(st.integers(0, 15)) * DAY if days else None,
    )  # fmt: skip


@cache
def clock(zone: str, around: date) -> tuple[tuple[datetime, datetime], ...]:
    """Some days around one step by step, in UTC and as a clock in the zone shows it."""
    start = datetime.combine(around, time(), UTC) - 2 * DAY
    looks = [start + n * STEP * MINUTE for n in range(4 * 24 * 60 // STEP)]
    return tuple((at, at.astimezone(ZoneInfo(zone)).replace(tzinfo=None)) for at in looks)


def begins(rule: Rule, day: date) -> datetime:
    """The first instant at which the clock shows the beginning; where it never does, as much later as if the clock had
    not been changed after the last it showed before."""
    wanted = datetime.combine(day, rule.starts)
    shown = clock(rule.zone.key, day)
    for at, wall in shown:
        if wall == wanted:
            return at
    at, wall = max((pair for pair in shown if pair[1] < wanted), key=lambda pair: pair[1])
    return at + (wanted - wall)


def oracle(rule: Rule) -> list[Occurrence]:
    last = rule.last_on if rule.weekdays else rule.first_on
    days = [rule.first_on + n * DAY for n in range(20)]
    wanted = [d for d in days if d <= last and (not rule.weekdays or d.isoweekday() in rule.weekdays)]
    return [Occurrence(at, at + rule.length) for at in sorted({begins(rule, day) for day in wanted})]


def around(rule: Rule) -> st.SearchStrategy[datetime]:
    middle = datetime.combine(rule.first_on, time(), UTC)
    return st.integers(-5 * 24 * 60, 25 * 24 * 60).map(lambda minutes: middle + minutes * MINUTE)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_the_occurrences_are_those_that_a_walk_along_the_clock_finds(data: st.DataObject) -> None:
    rule = data.draw(rules())
    every = oracle(rule)
    first = data.draw(around(rule))
    last = first + data.draw(st.integers(0, 20 * 24 * 60)) * MINUTE
    assert occurrences.touching(rule, first, last) == [o for o in every if o.end > first and o.begin <= last]
    running = [o for o in every if o.begin <= first < o.end]
    assert occurrences.current(rule, first) == (running[-1] if running else None)
    assert occurrences.following(rule, first) == next((o for o in every if o.begin > first), None)


def once(zone: str, day: date, starts: time, hours: int = 4) -> Occurrence:
    rule = Rule(ZoneInfo(zone), day, starts, hours * HOUR)
    found = occurrences.following(rule, datetime.combine(day, time(), UTC) - 3 * DAY)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("zone", "day", "starts", "begin"),
    [
        ("Europe/Rome", date(2026, 3, 28), time(2, 30), "2026-03-28 01:30"),
        ("Europe/Rome", date(2026, 3, 29), time(2, 30), "2026-03-29 01:30"),  # there is no 02:30: it is 03:30
        ("Europe/Rome", date(2026, 10, 25), time(2, 30), "2026-10-25 00:30"),  # the first of two
        ("Australia/Lord_Howe", date(2026, 10, 4), time(2, 15), "2026-10-03 15:45"),
        ("Pacific/Apia", date(2011, 12, 30), time(10), "2011-12-30 20:00"),
        ("Pacific/Apia", date(2011, 12, 31), time(10), "2011-12-30 20:00"),
    ],
)
def test_where_clocks_change_it_begins_at(zone: str, day: date, starts: time, begin: str) -> None:
    assert f"{once(zone, day, starts).begin:%Y-%m-%d %H:%M}" == begin


@pytest.mark.parametrize("day", [date(2026, 3, 28), date(2026, 10, 24)])
def test_it_lasts_as_long_in_the_night_in_which_clocks_change(day: date) -> None:
    one = once("Europe/Rome", day, time(22), hours=8)
    assert one.end - one.begin == 8 * HOUR
    assert one.end.astimezone(ZoneInfo("Europe/Rome")).hour != 6


def test_a_day_that_a_zone_leaves_out_gives_no_second_occurrence() -> None:
    daily = Rule(ZoneInfo("Pacific/Apia"), date(2011, 12, 29), time(10), HOUR, frozenset(range(1, 8)), date(2012, 1, 1))
    start = datetime(2011, 12, 1, tzinfo=UTC)
    assert [o.begin.day for o in occurrences.touching(daily, start, start + 60 * DAY)] == [29, 30, 31]


def test_the_gap_between_occurrences_goes_over_the_end_of_the_week() -> None:
    assert occurrences.shortest_gap(frozenset({3})) == 7 * DAY
    assert occurrences.shortest_gap(frozenset({1, 3, 7})) == DAY
    assert occurrences.shortest_gap(frozenset({2, 4, 6})) == 2 * DAY


def test_no_zone_is_known_by_a_name_that_is_none() -> None:
    for name in ("", "Mars/Olympus", "../etc/passwd", "Europe"):
        assert occurrences.zone_of(name) is None
    assert occurrences.zone_of("Europe/Rome") == ZoneInfo("Europe/Rome")
