"""Who is on call: against a slow oracle that walks the wall clock, in the nights that clocks change above all."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from maintenance import rotas
from maintenance.rotas import Override, Turn

LISBON = ZoneInfo("Europe/Lisbon")
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
ANNA, BEN, CARLA = 1, 2, 3
FORWARD, BACK = date(2026, 3, 29), date(2026, 10, 25)  # in Lisbon 01:00 to 02:00 is skipped, and shown twice
MORNING = time(8)

CHANGES = {
    "Europe/Lisbon": (FORWARD, BACK),
    "Australia/Lord_Howe": (date(2026, 4, 5), date(2026, 10, 4)),  # by half an hour
    "America/Sao_Paulo": (date(2018, 11, 4), date(2018, 2, 18)),  # at midnight
    "Pacific/Apia": (date(2011, 12, 30), date(2011, 12, 31)),  # a day that was not
    "Asia/Kathmandu": (date(2026, 1, 1), date(2026, 7, 1)),
    "UTC": (date(2026, 2, 28), date(2026, 12, 31)),
}


def reached(at: datetime, zone: ZoneInfo) -> datetime:
    """The latest that the wall clock has shown by an instant: walked minute by minute through the hours before it.

    What it shows a second time it has shown before. No clock goes back by more than an hour.
    """
    steps = (at - n * MINUTE for n in range(2 * 60))
    return max(step.astimezone(zone).replace(tzinfo=None, fold=0) for step in steps)


def on_call_slowly(turns: list[Turn], overrides: list[Override], at: datetime, zone: ZoneInfo) -> tuple[int, ...]:
    """One day after the other from a turn's first one on, in wall clock times as they are written down."""
    for one in sorted(overrides, key=lambda one: -one.id):
        if one.from_at <= at < one.until_at:
            return (one.reader_id,)
    shown, found = reached(at, zone), []
    for turn in turns:
        day, number = turn.first_on, 0
        while day <= shown.date() and (turn.last_on is None or day <= turn.last_on):
            begin = datetime.combine(day, turn.starts)
            end = datetime.combine(day, turn.ends)
            if end <= begin:
                end += DAY
            if number % turn.every_days < turn.days and begin <= shown < end and turn.reader_id not in found:
                found.append(turn.reader_id)
            day, number = day + DAY, number + 1
    return tuple(found)


whole_minutes = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 59]))
near_midnight = st.builds(time, st.sampled_from([0, 1, 2, 3, 23]), st.sampled_from([0, 30]))
times = whole_minutes | near_midnight


@st.composite
def situations(draw: st.DrawFn) -> tuple[ZoneInfo, datetime, list[Turn], list[Override]]:
    name = draw(st.sampled_from(sorted(CHANGES)))
    zone, around = ZoneInfo(name), draw(st.sampled_from(CHANGES[name]))
    noon = datetime.combine(around, time(12), tzinfo=UTC)
    at = noon + draw(st.integers(-36 * 60, 36 * 60)) * MINUTE
    turns = []
    for _ in range(draw(st.integers(0, 4))):
        every = draw(st.integers(1, 14))
        last = draw(st.none() | st.integers(-2, 3))
        turns.append(
            Turn(
                reader_id=draw(st.integers(1, 3)),
                first_on=around + draw(st.integers(-30, 2)) * DAY,
                days=draw(st.integers(1, every)),
                every_days=every,
                starts=draw(times),
                ends=draw(times),
                last_on=None if last is None else around + last * DAY,
            )
        )
    overrides = [
        Override(n, draw(st.integers(4, 6)), begin := at + draw(st.integers(-90, 90)) * MINUTE, begin + 60 * MINUTE)
        for n in range(draw(st.integers(0, 2)))
    ]
    return zone, at, turns, overrides


@settings(max_examples=120, deadline=None)
@given(situations())
def test_on_call_is_whom_the_wall_clock_says(situation: tuple[ZoneInfo, datetime, list[Turn], list[Override]]) -> None:
    zone, at, turns, overrides = situation
    assert rotas.on_call(turns, overrides, at, zone=zone) == on_call_slowly(turns, overrides, at, zone)


@settings(max_examples=40, deadline=None)
@given(situations())
def test_the_next_change_is_the_first_minute_with_somebody_else(
    situation: tuple[ZoneInfo, datetime, list[Turn], list[Override]],
) -> None:
    zone, at, turns, overrides = situation
    now = rotas.on_call(turns, overrides, at, zone=zone)
    change = rotas.next_change(turns, overrides, at, zone=zone)
    for n in range(1, 13 * 60, 17):
        later = at + n * MINUTE
        if change is not None and later >= change:
            assert rotas.on_call(turns, overrides, change, zone=zone) != now
            break
        assert rotas.on_call(turns, overrides, later, zone=zone) == now


@settings(max_examples=25, deadline=None)
@example("Europe/Lisbon", [time(1, 30)], 0)
@example("Pacific/Apia", [time(0), time(12)], 0)
@given(st.sampled_from(sorted(CHANGES)), st.lists(times, min_size=1, max_size=4, unique=True), st.integers(-40, 40))
def test_shifts_that_hand_over_to_each_other_leave_nobody_out_and_hold_nobody_longer(
    name: str, hand_overs: list[time], hours: int
) -> None:
    zone, (around, _) = ZoneInfo(name), CHANGES[name]
    order = sorted(hand_overs)
    turns = [
        Turn(n, around - 10 * DAY, 1, 1, start, order[(n + 1) % len(order)]) for n, start in enumerate(order)
    ]  # fmt: skip
    at = datetime.combine(around, time(12), tzinfo=UTC) + timedelta(hours=hours)
    for n in range(-30, 30):
        assert len(rotas.on_call(turns, [], at + 11 * n * MINUTE, zone=zone)) == 1


def lisbon(day: date, hour: int, minute: int = 0, *, fold: int = 0) -> datetime:
    return datetime(day.year, day.month, day.day, hour, minute, tzinfo=LISBON, fold=fold).astimezone(UTC)


WEEKS = [Turn(ANNA, date(2026, 3, 2), 7, 14, MORNING, MORNING), Turn(BEN, date(2026, 3, 9), 7, 14, MORNING, MORNING)]


def test_two_people_take_turns_by_the_week() -> None:
    monday = date(2026, 3, 9)
    assert rotas.on_call(WEEKS, [], lisbon(monday, 7, 59), zone=LISBON) == (ANNA,)
    assert rotas.on_call(WEEKS, [], lisbon(monday, 8), zone=LISBON) == (BEN,)
    assert rotas.next_change(WEEKS, [], lisbon(monday, 8), zone=LISBON) == lisbon(date(2026, 3, 16), 8)


def test_the_hand_over_stays_at_eight_when_clocks_change() -> None:
    """29 March is a Sunday: the shift of the 23rd ends on the 30th, at eight in summer time."""
    assert rotas.next_change(WEEKS, [], lisbon(date(2026, 3, 24), 8), zone=LISBON) == datetime(
        2026, 3, 30, 7, tzinfo=UTC
    )


def test_a_night_shift_belongs_to_the_evening_it_begins_in() -> None:
    night = [Turn(CARLA, date(2026, 3, 2), 5, 7, time(22), time(6))]  # Monday to Friday evenings
    assert rotas.on_call(night, [], lisbon(date(2026, 3, 7), 5, 59), zone=LISBON) == (CARLA,)  # Saturday morning
    assert rotas.on_call(night, [], lisbon(date(2026, 3, 7), 23), zone=LISBON) == ()
    assert rotas.next_change(night, [], lisbon(date(2026, 3, 7), 23), zone=LISBON) == lisbon(date(2026, 3, 9), 22)


@pytest.mark.parametrize(
    ("day", "at", "utc"),
    [
        (FORWARD, time(1, 30), datetime(2026, 3, 29, 1, tzinfo=UTC)),  # skipped: when the clocks jump
        (FORWARD, time(2), datetime(2026, 3, 29, 1, tzinfo=UTC)),
        (BACK, time(1, 30), datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),  # shown twice: the first
        (BACK, time(2), datetime(2026, 10, 25, 2, tzinfo=UTC)),
    ],
)
def test_times_that_clocks_skip_or_show_twice(day: date, at: time, utc: datetime) -> None:
    assert rotas.instant(day, at, LISBON) == utc


def test_the_newest_override_holds_and_ends_by_itself() -> None:
    at = lisbon(date(2026, 3, 9), 12)
    overrides = [Override(1, CARLA, at - 2 * DAY, at + 2 * DAY), Override(2, ANNA, at, at + MINUTE)]
    assert rotas.on_call(WEEKS, overrides, at - MINUTE, zone=LISBON) == (CARLA,)
    assert rotas.on_call(WEEKS, overrides, at, zone=LISBON) == (ANNA,)
    assert rotas.on_call(WEEKS, overrides, at + MINUTE, zone=LISBON) == (CARLA,)
    assert rotas.on_call(WEEKS, overrides, at + 2 * DAY, zone=LISBON) == (BEN,)


def test_several_may_be_on_call_and_one_is_so_once() -> None:
    at = lisbon(date(2026, 3, 9), 12)
    both = [*WEEKS, Turn(CARLA, date(2026, 3, 9), 1, 1, time(9), time(17)), *WEEKS]
    assert rotas.on_call(both, [], at, zone=LISBON) == (BEN, CARLA)


def test_without_shifts_nobody_is_on_call_and_that_does_not_change() -> None:
    assert rotas.on_call([], [], lisbon(FORWARD, 12), zone=LISBON) == ()
    assert rotas.next_change([], [], lisbon(FORWARD, 12), zone=LISBON) is None
