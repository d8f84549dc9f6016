"""Which period a scheduled report is of, and when it is made, by days of the site's own time. Pure."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

DAY, WEEK, MONTH = "DAY", "WEEK", "MONTH"


def last_whole(every: str, *, at: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """The day, week (from Monday) or calendar month that was over last at an instant: its beginning and its end."""
    today = at.astimezone(zone).date()
    if every == DAY:
        end, start = today, today - timedelta(days=1)
    elif every == WEEK:
        end = today - timedelta(days=today.weekday())
        start = end - timedelta(days=7)
    else:
        end = today.replace(day=1)
        start = (end - timedelta(days=1)).replace(day=1)
    return midnight(start, zone), midnight(end, zone)


def next_time(every: str, *, day: int, hour: int, after: datetime, zone: tzinfo) -> datetime:
    """The first instant after another at which one is to be made, in UTC."""
    today = after.astimezone(zone).date()
    for ahead in range(62):
        one = today + timedelta(days=ahead)
        if _is_day(every, one, day) and (at := _instant(one, hour, zone)) > after:
            return at
    raise ValueError(f"There is no day {day} in a {every.lower()}.")


def _is_day(every: str, one: date, day: int) -> bool:
    if every == DAY:
        return True
    return one.isoweekday() == day if every == WEEK else one.day == day


def _instant(day: date, hour: int, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(hour), tzinfo=zone).astimezone(UTC)


def midnight(day: date, zone: tzinfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone)


def days(start: datetime, end: datetime) -> list[date]:
    """The days of which something is in [start, end), both in the zone that days are of."""
    last = (end - timedelta(microseconds=1)).date()
    return [start.date() + timedelta(days=n) for n in range((last - start.date()).days + 1)]
