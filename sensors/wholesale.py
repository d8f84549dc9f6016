"""A request body in which every reading is plainly good, to columns without a look at each. Pure.

What is not plainly good (and only that) comes back as None: ``sensors.codec`` reads such a body item by item, and gives
the reasons. Both give the same for the same body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensors import instants
from sensors.codec import LARGEST_VALUE, Decoded, SensorKey, Span
from sensors.columns import Columns, Int64

LANE_BITS = 6
"""Of the 64 lanes."""
MIXED = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two sensors share all their products


class Reading(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One item as it comes."""

    sensor: str | int
    measured_at: str
    value: float


class Series(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Many readings of one sensor."""

    sensor: str | int
    measured_at: list[str]
    values: list[float]


class Wrapped(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    readings: list[Reading]


READINGS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[Reading])
MANY_SERIES: msgspec.json.Decoder[Any] = msgspec.json.Decoder(list[Series])
ONE_SERIES: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Series)
WRAPPED: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Wrapped)


@dataclass(frozen=True, slots=True)
class Sheet:
    """The n readings of a body as three lists of length n; ``keys``: what each calls its sensor."""

    keys: list[SensorKey]
    measured_at: list[str]
    values: list[float]

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the readings of a sensor go: its id, the lane of its machine, and whether the machine is critical.

    ``code`` holds all three in one number, so that one look-up serves a whole body.
    """

    sensor: int
    lane: int
    critical: bool

    @property
    def code(self) -> int:
        return (self.sensor << LANE_BITS | self.lane) << 1 | self.critical


def place(code: int) -> Place:
    return Place(code >> (LANE_BITS + 1), code >> 1 & (1 << LANE_BITS) - 1, bool(code & 1))


def read(body: bytes, *, most: int) -> Sheet | None:
    """A body of 1 to ``most`` readings, or None."""
    start = body[:1]
    ways = (READINGS, MANY_SERIES) if start == b"[" else (WRAPPED, ONE_SERIES) if start == b"{" else ()
    for way in ways:
        try:
            sheet = _sheet(way.decode(body))
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            continue
        return sheet if sheet is not None and 0 < len(sheet) <= most else None
    return None


def _sheet(parsed: list[Reading] | list[Series] | Wrapped | Series) -> Sheet | None:
    if isinstance(parsed, Series):
        parsed = [parsed]
    items = parsed.readings if isinstance(parsed, Wrapped) else parsed
    if items and isinstance(items[0], Series):
        return _joined(items)
    return Sheet([r.sensor for r in items], [r.measured_at for r in items], [r.value for r in items])  # type: ignore


def _joined(series: Sequence[Series]) -> Sheet | None:
    keys: list[SensorKey] = []
    measured_at: list[str] = []
    values: list[float] = []
    for one in series:
        if len(one.measured_at) != len(one.values):
            return None
        keys += [one.sensor] * len(one.values)
        measured_at += one.measured_at
        values += one.values
    return Sheet(keys, measured_at, values)


def codes(sheet: Sheet, known: Mapping[SensorKey, int]) -> Int64 | None:
    """The code of each reading's place; None where a sensor is not among the known ones."""
    try:
        return np.fromiter(map(known.get, sheet.keys), np.int64, len(sheet))
    except TypeError:
        return None


def lanes(codes: Int64) -> NDArray[np.int8]:
    return (codes >> 1 & (1 << LANE_BITS) - 1).astype(np.int8)


def any_critical(codes: Int64) -> bool:
    return bool((codes & 1).any())


def within(codes: Int64, sensors: Int64) -> bool:
    """Whether all are places of these sensors."""
    return bool(np.isin(codes >> (LANE_BITS + 1), sensors).all())


def decode(sheet: Sheet, *, codes: Int64, span: Span) -> Decoded | None:
    """A sheet to columns; None where an instant or a value is not plainly good or two readings may be the same.

    ``codes``: of the place of each reading.
    """
    n = len(sheet)
    at, value = instants.read(sheet.measured_at), np.array(sheet.values, np.float64)
    if at is None or at.min() < span.earliest or at.max() > span.latest or not np.abs(value).max() <= LARGEST_VALUE:
        return None
    sensor = codes >> (LANE_BITS + 1)
    if n > 1 and _may_repeat(sensor, at):
        return None
    accepted = Columns(sensor, at, value, np.arange(n, dtype=np.int32))
    return Decoded(accepted=accepted, held={}, results=(), items=n, duplicates=0, rejected=0)


def _may_repeat(sensor: Int64, at: Int64) -> bool:
    """Whether two readings may be of one sensor and instant: sometimes said of two that are not, never the reverse."""
    mixed = np.sort(sensor.view(np.uint64) * MIXED + at.view(np.uint64))
    return bool((mixed[1:] == mixed[:-1]).any())
