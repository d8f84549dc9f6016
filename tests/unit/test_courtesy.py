"""Quiet hours in a person's own time, and limits: beside slow, obvious oracles."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maintenance import courtesy

LISBON, ROME, SYDNEY = ZoneInfo("Europe/Lisbon"), ZoneInfo("Europe/Rome"), ZoneInfo("Australia/Sydney")
SAO_PAULO, LORD_HOWE = ZoneInfo("America/Sao_Paulo"), ZoneInfo("Australia/Lord_Howe")
ZONES = [LISBON, ROME, SYDNEY, SAO_PAULO, LORD_HOWE, ZoneInfo("Asia/Kolkata"), ZoneInfo("UTC")]
MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def end(now: str, zone: ZoneInfo, starts: str, ends: str) -> datetime | None:
    return courtesy.quiet_end(at(now), zone=zone, starts=time.fromisoformat(starts), ends=time.fromisoformat(ends))


def test_quiet_hours_are_those_of_the_persons_clock() -> None:
    assert end("2026-01-10T22:30", LISBON, "22:00", "07:00") == at("2026-01-11T07:00")
    assert end("2026-01-10T22:30", SAO_PAULO, "22:00", "07:00") is None  # half past seven there
    assert end("2026-07-10T21:30", LISBON, "22:00", "07:00") == at("2026-07-11T06:00")  # summer: an hour ahead


def test_quiet_hours_begin_with_their_first_instant_and_are_over_with_their_last() -> None:
    assert end("2026-01-10T21:59:59", LISBON, "22:00", "07:00") is None
    assert end("2026-01-10T22:00", LISBON, "22:00", "07:00") is not None
    assert end("2026-01-11T06:59:59", LISBON, "22:00", "07:00") == at("2026-01-11T07:00")
    assert end("2026-01-11T07:00", LISBON, "22:00", "07:00") is None


def test_quiet_hours_by_day_end_the_same_day() -> None:
    assert end("2026-01-10T12:30", LISBON, "12:00", "13:00") == at("2026-01-10T13:00")
    assert end("2026-01-10T13:30", LISBON, "12:00", "13:00") is None


def test_equal_ends_mean_the_whole_day() -> None:
    assert end("2026-01-10T06:59", LISBON, "07:00", "07:00") == at("2026-01-10T07:00")
    assert end("2026-01-10T07:00", LISBON, "07:00", "07:00") == at("2026-01-11T07:00")


def test_without_quiet_hours_it_is_never_quiet() -> None:
    assert courtesy.quiet_end(at("2026-01-10T03:00"), zone=ROME, starts=None, ends=None) is None


def test_the_night_clocks_go_forward_is_an_hour_shorter() -> None:
    # Rome, 29 March 2026: 02:00 becomes 03:00 at 01:00 UTC.
    assert end("2026-03-28T21:00", ROME, "22:00", "07:00") == at("2026-03-29T05:00")
    assert end("2026-03-28T23:30", ROME, "22:00", "02:30") == at("2026-03-29T01:30")  # 02:30 is not there: 03:30


def test_the_night_clocks_go_back_has_one_stretch_of_quiet() -> None:
    # Rome, 25 October 2026: 03:00 becomes 02:00 at 01:00 UTC, so 02:30 comes at 00:30 and 01:30 UTC.
    for now in ("2026-10-25T00:15", "2026-10-25T00:45", "2026-10-25T01:15"):
        assert end(now, ROME, "22:00", "02:30") == at("2026-10-25T01:30")
    assert end("2026-10-25T01:30", ROME, "22:00", "02:30") is None


TIMES = st.times().map(lambda t: t.replace(second=0, microsecond=0))
YEARS = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))


@given(now=YEARS, zone=st.sampled_from(ZONES), starts=TIMES, ends=TIMES)
def test_quiet_ends_later_and_the_end_is_quiet_no_more(now: datetime, zone: ZoneInfo, starts: time, ends: time) -> None:
    until = courtesy.quiet_end(now, zone=zone, starts=starts, ends=ends)
    if until is None:
        return
    assert now < until <= now + timedelta(hours=26)
    assert courtesy.quiet_end(until - MINUTE / 60, zone=zone, starts=starts, ends=ends) is not None
    if starts != ends:
        again = courtesy.quiet_end(until, zone=zone, starts=starts, ends=ends)
        assert again is None or _clocks_change(until, zone)


def _clocks_change(near: datetime, zone: ZoneInfo) -> bool:
    day = timedelta(days=1)
    return (near - day).astimezone(zone).utcoffset() != (near + day).astimezone(zone).utcoffset()


@given(now=YEARS, zone=st.sampled_from(ZONES), starts=TIMES, ends=TIMES)
def test_away_from_changes_of_the_clocks_it_is_quiet_when_the_wall_clock_says_so(
    now: datetime, zone: ZoneInfo, starts: time, ends: time
) -> None:
    if _clocks_change(now, zone):
        return
    wall = now.astimezone(zone).time()
    expected = starts <= wall < ends if starts < ends else wall >= starts or wall < ends
    assert (courtesy.quiet_end(now, zone=zone, starts=starts, ends=ends) is not None) == expected


@pytest.mark.parametrize("messages", [0, 3])
def test_below_the_limit_there_is_room(messages: int) -> None:
    now = at("2026-01-10T12:00")
    assert courtesy.room_at(now, admitted=[now, now], messages=messages, minutes=10) is None


@given(gaps=st.lists(st.integers(0, 400), max_size=60), messages=st.integers(1, 5), minutes=st.integers(1, 15))
def test_whoever_waits_for_room_keeps_the_limit_in_every_window(gaps: list[int], messages: int, minutes: int) -> None:
    now, window, went = at("2026-01-10T12:00"), timedelta(minutes=minutes), list[datetime]()
    for gap in gaps:
        now += timedelta(seconds=gap)
        room = courtesy.room_at(now, admitted=went, messages=messages, minutes=minutes)
        assert room is None or room > now
        now = room or now
        assert courtesy.room_at(now, admitted=went, messages=messages, minutes=minutes) is None
        went.append(now)
    assert all(sum(1 for other in went if one <= other < one + window) <= messages for one in went)
