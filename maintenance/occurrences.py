"""When a maintenance window is: the instants of its occurrences. Pure: no Django, and the clock is an argument.

A window begins at a wall clock time of a time zone and lasts so many minutes that really pass. Where clocks go forward
over its beginning, it begins as if they had not: 02:30 is then 03:30. Where they go back and show its beginning twice,
it begins at the first. Both are the rule of RFC 5545, 3.3.5. Where a zone leaves a whole day out, that day's occurrence
begins with the next one's, and they are one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rule:
    """Once, on ``first_on``, where ``weekdays`` (ISO: Monday is 1) is empty; else on each of them until ``last_on``."""

    zone: ZoneInfo
    first_on: date
    starts: time
    length: timedelta
    weekdays: frozenset[int] = frozenset()
    last_on: date | None = None

    @property
    def final_on(self) -> date:
        """The last day on which one may begin."""
        return self.last_on if self.weekdays and self.last_on is not None else self.first_on

    def is_on(self, day: date) -> bool:
        return self.first_on <= day <= self.final_on and (not self.weekdays or day.isoweekday() in self.weekdays)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """From ``begin`` on, up to ``end``, which is no longer part of it; both in UTC."""

    begin: datetime
    end: datetime


def zone_of(name: str) -> ZoneInfo | None:
    """The time zone of an IANA name; None where there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def touching(rule: Rule, first: datetime, last: datetime) -> list[Occurrence]:
    """Those that are not over at ``first`` and have begun by ``last``, in ascending order, each instant once.

    >>> rule = Rule(ZoneInfo("Europe/Rome"), date(2026, 3, 28), time(2, 30), timedelta(hours=1), frozenset({6, 7}),
    ...             date(2026, 3, 29))
    >>> [f"{one.begin:%d %H:%M}" for one in touching(rule, datetime(2026, 3, 1, tzinfo=UTC),
    ...                                              datetime(2026, 4, 1, tzinfo=UTC))]
    ['28 01:30', '29 01:30']
    """
    found: list[Occurrence] = []
    since = first.astimezone(UTC) - rule.length
    for day in _days(rule, since.date() - DAY, last.astimezone(UTC).date() + DAY):
        one = _on(rule, day)
        if one.end > first and one.begin <= last and (not found or found[-1].begin < one.begin):
            found.append(one)
    return found


def current(rule: Rule, now: datetime) -> Occurrence | None:
    """The one that has begun and is not over; of several the newest."""
    return next(reversed(touching(rule, now, now)), None)


def following(rule: Rule, now: datetime) -> Occurrence | None:
    """The first that begins after an instant; None where none does."""
    days = _days(rule, now.astimezone(UTC).date() - DAY, rule.final_on)
    return next((one for one in (_on(rule, day) for day in days) if one.begin > now), None)


def shortest_gap(weekdays: frozenset[int]) -> timedelta:
    """The shortest time from one day's occurrence to the next one's, where no clock is changed."""
    days = sorted(weekdays)
    return min(later - day for day, later in zip(days, [*days[1:], days[0] + 7], strict=True)) * DAY


def _days(rule: Rule, first: date, last: date) -> Iterator[date]:
    day, final = max(rule.first_on, first), min(rule.final_on, last)
    while day <= final:
        if rule.is_on(day):
            yield day
        day += DAY


def _on(rule: Rule, day: date) -> Occurrence:
    begin = datetime.combine(day, rule.starts.replace(fold=0), tzinfo=rule.zone).astimezone(UTC)
    return Occurrence(begin, begin + rule.length)
