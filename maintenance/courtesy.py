"""When a person may be told: quiet hours and limits. Pure: no Django, and the clock is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Hold:
    """A message waits until then, for a reason that its row shows."""

    until: datetime
    reason: str


def quiet_end(now: datetime, *, zone: ZoneInfo, starts: time | None, ends: time | None) -> datetime | None:
    """The end of the quiet hours that ``now`` lies in, in UTC; None where it lies in none.

    ``starts`` and ``ends`` are wall clock times of the zone; an end that is not after the start is that of the next
    day. Where clocks go back and show an end twice, quiet lasts until the second; where they go forward over a time, it
    is taken as if they had not: 02:30 is then 03:30. So a night has one stretch of quiet, whatever the clocks do.
    """
    if starts is None or ends is None:
        return None
    today = now.astimezone(zone).date()
    for day in (today - DAY, today):
        begin = _instant(day, starts, zone)
        last = day if ends > starts else day + DAY
        end = max(_instant(last, ends, zone), _instant(last, ends, zone, fold=1))
        if begin <= now < end:
            return end
    return None


def _instant(day: date, at: time, zone: ZoneInfo, *, fold: int = 0) -> datetime:
    return datetime.combine(day, at.replace(fold=fold), tzinfo=zone).astimezone(UTC)


def room_at(now: datetime, *, admitted: Sequence[datetime], messages: int, minutes: int) -> datetime | None:
    """When the next message may go, where ``messages`` may in any so many ``minutes``; None: now.

    ``admitted``: when earlier ones went, in any order. ``messages`` 0: any number may.
    """
    window = timedelta(minutes=minutes)
    recent = sorted(at for at in admitted if at > now - window)
    if not messages or len(recent) < messages:
        return None
    return recent[-messages] + window
