"""Where an axis has its marks, and how numbers, instants and spans are written for people. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from sensors.columns import SECOND_US, from_instant, to_instant

MINUTE, HOUR, DAY = 60, 3_600, 86_400
STEPS = (1, 5, 15, 30, MINUTE, 5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY,
         2 * DAY, 7 * DAY, 14 * DAY)  # fmt: skip
MONTHS = (1, 2, 3, 6, 12, 24, 60, 120)
MOST_OF_TIME = 9
MOST_OF_VALUES = 6
LARGE, EXACT = 9_999.5, 1e15
"""From where on five digits say no more than the whole number, and up to where that is exact."""


def of_values(low: float, high: float) -> list[float]:
    """At most ``MOST_OF_VALUES`` round values (1, 2 or 5 times a power of ten apart) from low to high."""
    rough = (high - low) / MOST_OF_VALUES
    if not (rough > 0 and math.isfinite(rough)):
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def of_time(start: int, end: int) -> list[tuple[int, str]]:
    """Round instants (microseconds) from start to end in UTC with their labels: a clock, a day or a month."""
    seconds = (end - start) / SECOND_US
    for step in STEPS:
        if seconds / step <= MOST_OF_TIME:
            stride = step * SECOND_US
            # Weeks are counted from a Monday: 1970-01-05.
            origin = 4 * DAY * SECOND_US if step > DAY else 0
            first = origin - (-(start - origin) // stride) * stride
            return [(at, _label(at, step)) for at in range(first, end + 1, stride)]
    return _months(to_instant(start), to_instant(end))


def _months(start: datetime, end: datetime) -> list[tuple[int, str]]:
    total = (end.year - start.year) * 12 + end.month - start.month + 1
    step = next((step for step in MONTHS if total / step <= MOST_OF_TIME), MONTHS[-1])
    found = []
    for month in range((start.year * 12 + start.month - 1) // step * step, end.year * 12 + end.month, step):
        at = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        if start <= at <= end:
            found.append((from_instant(at), f"{at:%Y}" if step >= MONTHS[4] else f"{at:%b %Y}"))
    return found


def _label(at: int, step: int) -> str:
    instant = to_instant(at)
    if step >= DAY or (instant.hour, instant.minute, instant.second) == (0, 0, 0):
        return f"{instant.day} {instant:%b}"
    return f"{instant:%H:%M:%S}" if step < MINUTE else f"{instant:%H:%M}"


def number(value: float) -> str:
    """A measured value with at most five significant digits, a large one whole with its thousands apart by a thin
    space: 24.2, 0.00013, 1 204 000."""
    if LARGE <= abs(value) < EXACT:
        return thousands(round(value))
    return f"{value:.5g}" if value else "0"


def thousands(value: int) -> str:
    return f"{value:,}".replace(",", "\u202f")


def span(seconds: float) -> str:
    """A length of time in its two largest units: 45 s, 3 min 20 s, 5 h 10 min, 2 d 4 h."""
    whole = round(seconds)
    if 0 < seconds < 10 and seconds != whole:
        return f"{seconds:.2g} s"
    for size, name, small, small_name in ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "min"), (MINUTE, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // small
            return f"{whole // size} {name}" + (f" {rest} {small_name}" if rest else "")
    return f"{whole} s"
