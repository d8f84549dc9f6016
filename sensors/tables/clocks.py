"""The times of a file's rows to microseconds since the epoch, many together. Pure.

What a text means is said by ``connectors.csv.parse_instant``; where all texts are spelled in the same usual way they
are read as columns of digits, which gives the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo

import numpy as np

from sensors import instants
from sensors.columns import DAY_US, SECOND_US, Bool, Int64, from_instant, to_instant
from sensors.connectors import csv

MILLISECONDS = re.compile(r"^\d{12,13}(\.\d+)?$", re.ASCII)
WITH_OFFSET = re.compile(r"(Z|[+-]\d\d:\d\d)$", re.ASCII)
FARTHEST = 2.0**62
USUAL = (from_instant(datetime(1900, 1, 2, tzinfo=UTC)), from_instant(datetime(2199, 12, 30, tzinfo=UTC)))
MOST_DAYS = 60
"""Of a chunk whose offset is looked for day by day."""


class Clock:
    """Reads instants in the order of a file; times without an offset are local to the zone."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self.newest: datetime | None = None

    def instants(self, texts: Sequence[str]) -> tuple[Int64, Bool]:
        """Microseconds of n texts in ISO 8601 or epoch seconds, 0 where one is neither, and where they are known."""
        at = seconds(texts)
        if at is None:
            at = self._usual(texts)
        if at is None:
            return self._one_by_one(texts)
        self.newest = to_instant(int(at[-1]))
        return at, np.ones(len(at), np.bool_)

    def _usual(self, texts: Sequence[str]) -> Int64 | None:
        """All at once, where all have an offset or none has and the zone's is the same for all; else None."""
        local = not WITH_OFFSET.search(texts[0])
        joined = "\n".join(texts).replace(" ", "T")
        at = instants.read((joined.replace("\n", "Z\n") + "Z" if local else joined).split("\n"))
        if at is None or len(at) != len(texts) or at.min() < USUAL[0] or at.max() > USUAL[1]:
            return None
        offset = steady(self.zone, int(at.min()), int(at.max())) if local else 0
        return None if offset is None else at - offset

    def _one_by_one(self, texts: Sequence[str]) -> tuple[Int64, Bool]:
        at, known = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.bool_)
        for n, text in enumerate(texts):
            instant = csv.parse_instant(text, zone=self.zone, after=self.newest)
            if instant is not None:
                at[n], known[n], self.newest = from_instant(instant), True, instant
        return at, known


def seconds(texts: Sequence[str]) -> Int64 | None:
    """Whole seconds since the epoch as microseconds, where all texts are such; else None."""
    if not texts[0].isdigit() or not all(csv.EPOCH.match(text) for text in texts) or any("." in text for text in texts):
        return None
    return np.array(list(map(int, texts)), np.int64) * SECOND_US


def milliseconds(texts: Sequence[str]) -> tuple[Int64, Bool]:
    """Milliseconds since the epoch as microseconds, 0 where a text is no such, and where they are known."""
    known = np.array([MILLISECONDS.match(text) is not None for text in texts])
    return np.array([milli(text) if fine else 0 for text, fine in zip(texts, known, strict=True)], np.int64), known


def milli(text: str) -> int:
    whole, _, part = text.partition(".")
    return int(whole) * 1000 + int(part[:3].ljust(3, "0"))


def steady(zone: tzinfo, first: int, last: int) -> int | None:
    """The zone's offset in microseconds, where it is the same from a day before to a day after; None where not."""
    if zone is UTC:
        return 0
    if last - first > MOST_DAYS * DAY_US:
        return None
    begins, days = to_instant(first).replace(tzinfo=None), (last - first) // DAY_US + 3
    offsets = {zone.utcoffset(begins + timedelta(days=int(day) - 1)) for day in range(days + 1)}
    offset = offsets.pop()
    return None if offsets or offset is None else offset // timedelta(microseconds=1)
