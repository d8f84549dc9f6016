"""Who is on call at an instant: shifts by local time, hand-over, overrides. Pure: no Django, the clock is an argument.

A shift begins on some days at a time of the wall clock and ends at another, which is the next day's where it is not
after the first. A wall clock time that is shown twice means the first, one that the clocks skip means the instant at
which they jump. So wall clock times never change their order, and shifts that hand over at the same time of day do so
at the same instant: nobody is missing in between, and nobody stays too long, whatever the clocks do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
AHEAD = 35
"""So many days ahead the next hand-over is looked for."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One person's shifts: ``days`` in a row from ``first_on`` on, again every ``every_days``, never after ``last_on``.

    ``starts`` and ``ends`` are wall clock times; ``ends`` not after ``starts`` is that of the next day.
    """

    reader_id: int
    first_on: date
    days: int
    every_days: int
    starts: time
    ends: time
    last_on: date | None = None

    def begins_on(self, day: date) -> bool:
        gone = (day - self.first_on).days
        in_time = gone >= 0 and (self.last_on is None or day <= self.last_on)
        return in_time and gone % self.every_days < self.days


@dataclass(frozen=True, slots=True)
class Override:
    """Somebody takes over from an instant until another. Of several the newest, with the highest id, holds."""

    id: int
    reader_id: int
    from_at: datetime
    until_at: datetime


Span = tuple[datetime, datetime, int]
"""A shift: from, until, and whose."""


def on_call(turns: Sequence[Turn], overrides: Iterable[Override], at: datetime, *, zone: ZoneInfo) -> tuple[int, ...]:
    """Ids of the persons who are on call at an instant, in the order of the shifts; none where no shift covers it."""
    today = at.astimezone(zone).date()
    return _among(spans(turns, zone, today - 2 * DAY, today + DAY), tuple(overrides), at)


def next_change(
    turns: Sequence[Turn], overrides: Iterable[Override], at: datetime, *, zone: ZoneInfo
) -> datetime | None:
    """When somebody else is on call next, in UTC; None where that is further away than ``AHEAD`` days."""
    today, taken_over = at.astimezone(zone).date(), tuple(overrides)
    shifts = spans(turns, zone, today - 2 * DAY, today + AHEAD * DAY)
    edges = {edge for begin, end, _ in shifts for edge in (begin, end)}
    edges |= {edge for one in taken_over for edge in (one.from_at, one.until_at)}
    now = _among(shifts, taken_over, at)
    later = sorted(edge for edge in edges if at < edge <= at + (AHEAD - 1) * DAY)
    found = next((edge for edge in later if _among(shifts, taken_over, edge) != now), None)
    return None if found is None else found.astimezone(UTC)


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """When the wall clock of a zone has come to this time, in UTC: see the module for the nights that clocks change."""
    wall = datetime.combine(day, at, tzinfo=zone)
    once, again = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if once <= again:
        return once
    early, late = again, once  # the clocks jump in between: after the first, at the second at the latest
    after = late.astimezone(zone).utcoffset()
    while late - early > SECOND:
        middle = early + (late - early) // SECOND // 2 * SECOND
        early, late = (early, middle) if middle.astimezone(zone).utcoffset() == after else (middle, late)
    return late


def spans(turns: Sequence[Turn], zone: ZoneInfo, first: date, last: date) -> list[Span]:
    """The shifts that begin on these days, in the order of the turns."""
    days = [first + n * DAY for n in range((last - first).days + 1)]
    return [
        (instant(day, turn.starts, zone), instant(_last_day(turn, day), turn.ends, zone), turn.reader_id)
        for turn in turns
        for day in days
        if turn.begins_on(day)
    ]


def _last_day(turn: Turn, day: date) -> date:
    return day if turn.ends > turn.starts else day + DAY


def _among(shifts: Sequence[Span], overrides: Sequence[Override], at: datetime) -> tuple[int, ...]:
    taken_over = [one for one in overrides if one.from_at <= at < one.until_at]
    if taken_over:
        return (max(taken_over, key=lambda one: one.id).reader_id,)
    return tuple(dict.fromkeys(reader for begin, end, reader in shifts if begin <= at < end))
