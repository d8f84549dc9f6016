"""When the work of a preventive plan is due, from what was done so far. Pure: no Django, no clock.

By due date (``DUE``) the due dates are a grid that begins on ``first_on``: work that comes early uses its date up, work
that comes late uses up all dates until then. By completion (``COMPLETION``) the next one counts from the day on which
the last was done, so that the plan moves with it. A date of the month that a month does not have is its last day, and
is counted from ``first_on``, so that 31 January leads to 28 February and then to 31 March.

A season is the days of the year on which work may be due. What falls outside waits for the first day of the next one
(``WAIT``), or comes before, on the last day of the one before (``EARLY``), if that is not over by then.
"""

from __future__ import annotations

import calendar
import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


class Unit(StrEnum):
    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"


class Basis(StrEnum):
    DUE = "DUE"
    COMPLETION = "COMPLETION"


class Outside(StrEnum):
    WAIT = "WAIT"
    EARLY = "EARLY"


@dataclass(frozen=True, slots=True)
class Season:
    """From one day of the year to another (month, day), both inside; over the new year where the first is later."""

    first: tuple[int, int]
    last: tuple[int, int]

    def holds(self, day: date) -> bool:
        at = (day.month, day.day)
        if self.first <= self.last:
            return self.first <= at <= self.last
        return at >= self.first or at <= self.last

    def next_first(self, day: date) -> date:
        """The first day of the season that begins next after a day."""
        this_year = date(day.year, *self.first)
        return this_year if this_year > day else date(day.year + 1, *self.first)

    def previous_last(self, day: date) -> date:
        """The last day of the season that ended last before a day."""
        this_year = date(day.year, *self.last)
        return this_year if this_year < day else date(day.year - 1, *self.last)


@dataclass(frozen=True, slots=True)
class Calendar:
    """Every so many days, weeks or months."""

    every: int
    unit: Unit
    basis: Basis
    first_on: date
    season: Season | None = None
    outside: Outside = Outside.WAIT


@dataclass(frozen=True, slots=True)
class Due:
    """``nominal``: by the interval alone; ``on``: when it is due, the season observed."""

    nominal: date
    on: date


@dataclass(frozen=True, slots=True)
class Done:
    """An occurrence that is over: when it was due, None where it was by a meter only, and the day it counts from."""

    due: Due | None
    on: date


@dataclass(frozen=True, slots=True)
class Metered:
    """Every so many hours, cycles or starts of a running total; the first at ``first``."""

    every: float
    basis: Basis
    first: float


def plus(day: date, number: int, unit: Unit) -> date:
    """So many units later; of a month that is too short its last day.

    >>> plus(date(2026, 1, 31), 1, Unit.MONTH), plus(date(2024, 1, 31), 1, Unit.MONTH)
    (datetime.date(2026, 2, 28), datetime.date(2024, 2, 29))
    """
    if unit == Unit.MONTH:
        year, month = divmod(day.year * 12 + day.month - 1 + number, 12)
        return date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))
    return day + number * (7 if unit == Unit.WEEK else 1) * DAY


def following(rule: Calendar, last: Done | None) -> Due:
    """What is due next after what was done last; later than it.

    >>> rule = Calendar(1, Unit.MONTH, Basis.DUE, date(2026, 1, 31))
    >>> due = following(rule, None)
    >>> [(due := following(rule, Done(due, due.on))).on.isoformat() for _ in range(3)]
    ['2026-02-28', '2026-03-31', '2026-04-30']
    """
    if last is None:
        return _in_season(rule, rule.first_on, after=rule.first_on - DAY)
    if rule.basis == Basis.COMPLETION:
        return _in_season(rule, plus(last.on, rule.every, rule.unit), after=last.on)
    over = last.on if last.due is None else max(last.on, last.due.on)
    used = over if last.due is None else max(over, last.due.nominal)
    return _in_season(rule, first_on_grid(rule, after=used), after=over)


def first_on_grid(rule: Calendar, *, after: date) -> date:
    """The first date of ``first_on``, one interval later, two, and so on, that is after a day."""
    first, steps = rule.first_on, 0
    if after >= first:
        if rule.unit == Unit.MONTH:
            steps = ((after.year - first.year) * 12 + after.month - first.month) // rule.every
        else:
            steps = (after - first).days // (rule.every * (7 if rule.unit == Unit.WEEK else 1))
    while (found := plus(first, steps * rule.every, rule.unit)) <= after:
        steps += 1
    return found


def _in_season(rule: Calendar, nominal: date, *, after: date) -> Due:
    season = rule.season
    if season is None or season.holds(nominal):
        return Due(nominal, nominal)
    if rule.outside == Outside.EARLY and (early := season.previous_last(nominal)) > after:
        return Due(nominal, early)
    return Due(nominal, season.next_first(nominal))


def upcoming(rule: Calendar, last: Done | None, *, most: int) -> list[Due]:
    """The next ones, each thought to be done on the day it is due."""
    found: list[Due] = []
    for _ in range(most):
        due = following(rule, last)
        found.append(due)
        last = Done(due, due.on)
    return found


def instant(day: date, at: time, zone: ZoneInfo) -> datetime:
    """A day's wall clock time as an instant in UTC; one that clocks leave out or show twice by RFC 5545, 3.3.5."""
    return datetime.combine(day, at.replace(fold=0), tzinfo=zone).astimezone(UTC)


def next_target(rule: Metered, *, target: float | None, done_at: float | None) -> float:
    """The total at which it is due next; ``target`` and ``done_at``: of what was done last, None where nothing was.

    By due date the first of the grid after both; by completion one interval after the total it was done at.
    """
    if done_at is None:
        return rule.first
    if rule.basis == Basis.COMPLETION:
        return done_at + rule.every
    used = done_at if target is None else max(target, done_at)
    steps = max(0, math.floor((used - rule.first) / rule.every))
    while (found := rule.first + steps * rule.every) <= used:
        steps += 1
    return found
