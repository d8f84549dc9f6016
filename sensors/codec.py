"""A request body to columns, with a result per item. Pure: no database, no clock.

The body is a JSON list of readings, or an object with that list under ``readings``. A reading is
``{"sensor": name or id, "measured_at": "2026-03-01T12:00:00Z", "value": 21.5}``. A series stands for many readings of
one sensor, ``{"sensor": ..., "measured_at": [...], "values": [...]}``: alone, or as an item of the list.

Here a body is read item by item, with a reason for each that is not good; ``sensors.wholesale`` reads one that is all
good, and gives the same.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import orjson

from sensors.columns import Columns, from_instant, to_instant

FIELDS = frozenset({"sensor", "measured_at", "value"})
LISTS = ("measured_at", "values")
SERIES = frozenset({"sensor", *LISTS})
LONGEST_NAME = 200
LARGEST_VALUE = 1e100  # far beyond anything measured, far from where arithmetic on doubles overflows
SMALLEST_ID, LARGEST_ID = 1, 2**63 - 1

SensorKey = str | int


class Malformed(ValueError):
    """The body is not a list of readings."""


class TooManyReadings(ValueError):
    """The body holds more readings than one request may."""


class Refused(Exception):
    """One item cannot be accepted: the field it is about, a named reason, and what was wrong."""

    def __init__(self, field: str, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.field, self.reason, self.detail = field, reason, detail


@dataclass(frozen=True, slots=True)
class Span:
    """Instants that are accepted, in microseconds, both ends included."""

    earliest: int
    latest: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """``accepted``: readings of known sensors; ``held``: of each unknown name (sensor id 0 in the columns).

    ``results`` has an entry for every item that was not simply accepted.
    """

    accepted: Columns
    held: Mapping[str, Columns]
    results: tuple[dict[str, str], ...]
    items: int
    duplicates: int
    rejected: int

    @property
    def held_readings(self) -> int:
        return sum(len(columns) for columns in self.held.values())


@dataclass(frozen=True, slots=True)
class Body:
    """The items of a body, those of a series one by one, and the JSON pointer of the list they stand in.

    ``places``: where there are series, the pointer of what each item stands in, and its position in a series.
    """

    items: Sequence[Any]
    pointer: str
    places: Sequence[tuple[str, int | None]] = ()

    def pointer_to(self, item: int, field: str) -> str:
        """JSON pointer of a field of an item, or of the whole item."""
        inside, position = self.places[item] if self.places else (f"{self.pointer}/{item}", None)
        if position is None:
            return f"{inside}/{field}" if field else inside
        if field == "sensor":
            return f"{inside}/sensor"
        return f"{inside}/values/{position}" if field == "value" else f"{inside}/measured_at/{position}"


def parse(body: bytes, *, most: int) -> Body:
    """Read a body. Raises ``Malformed`` or ``TooManyReadings``."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        parsed = _parse_leniently(body, error)
    items, pointer = ([parsed], "#") if _is_series(parsed) else _listed(parsed)
    series = list(map(_is_series, items))
    count = sum(len(item["values"]) if many else 1 for item, many in zip(items, series, strict=True))
    if not count:
        raise Malformed("The list of readings is empty.")
    if count > most:
        raise TooManyReadings(f"{count} readings in one request; at most {most} are taken. Send them in parts.")
    if not any(series):
        return Body(items, pointer)
    pointers = ["#"] if items[0] is parsed else [f"{pointer}/{position}" for position in range(len(items))]
    return _expanded(items, pointers, series)


def _listed(parsed: Any) -> tuple[list[Any], str]:
    items, pointer = (parsed.get("readings"), "#/readings") if isinstance(parsed, dict) else (parsed, "#")
    if not isinstance(items, list):
        raise Malformed('Send a JSON list of readings, or {"readings": [...]}.')
    return items, pointer


def _is_series(item: Any) -> bool:
    return isinstance(item, dict) and item.keys() == SERIES and all(isinstance(item[n], list) for n in LISTS)


def _expanded(items: list[Any], pointers: list[str], series: list[bool]) -> Body:
    """Each reading of a series as an item of its own. Raises ``Malformed`` where a series is uneven."""
    single: list[Any] = []
    places: list[tuple[str, int | None]] = []
    for item, pointer, many in zip(items, pointers, series, strict=True):
        if not many:
            single.append(item)
            places.append((pointer, None))
            continue
        instants, values = item["measured_at"], item["values"]
        if len(instants) != len(values):
            raise Malformed(f"At {pointer} there are {len(instants)} instants for {len(values)} values.")
        single += [
            {"sensor": item["sensor"], "measured_at": at, "value": v} for at, v in zip(instants, values, strict=True)
        ]
        places += [(pointer, position) for position in range(len(values))]
    return Body(single, "#", places)


def _parse_leniently(body: bytes, error: orjson.JSONDecodeError) -> Any:
    """NaN and infinities are no JSON, yet many clients write them: they shall cost an item, not the whole body."""
    if not any(word in body for word in (b"NaN", b"Infinity", b"e", b"E")):
        raise Malformed(f"Not valid JSON: {error}.") from error
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as other:
        raise Malformed(f"Not valid JSON: {error}.") from other


def keys(items: Sequence[Any]) -> tuple[set[str], set[int]]:
    """Names and ids of the sensors that the items speak of, as far as they could be ones."""
    names: set[str] = set()
    ids: set[int] = set()
    for item in items:
        key = item.get("sensor") if isinstance(item, dict) else None
        if isinstance(key, str) and len(key) <= LONGEST_NAME and key.isprintable():
            names.add(key)
        elif isinstance(key, int) and not isinstance(key, bool) and SMALLEST_ID <= key <= LARGEST_ID:
            ids.add(key)
    return names, ids


def decode(body: Body, *, sensors: Mapping[SensorKey, int], span: Span, only: Collection[int] | None = None) -> Decoded:
    """Items to columns. ``sensors`` maps the names and ids that are known in the caller's site to sensor ids; ``only``:
    the ids of those the caller may send for, where not for all."""
    accepted: list[tuple[int, int, float, int]] = []
    held: dict[str, list[tuple[int, int, float, int]]] = {}
    results: list[dict[str, str]] = []
    seen: dict[tuple[SensorKey, int], float] = {}
    duplicates = rejected = 0
    for position, item in enumerate(body.items):
        try:
            key, at, value = _reading(item, span)
            sensor = sensors.get(key)
            if only is not None and sensor not in only:
                raise Refused("sensor", "not-of-this-key", f"This key does not send for a sensor {key!r}.")
            if sensor is None and isinstance(key, int):
                raise Refused("sensor", "unknown-sensor", f"There is no sensor with id {key} in this site.")
        except Refused as refusal:
            rejected += 1
            pointer = body.pointer_to(position, refusal.field)
            results.append(_result(pointer, "rejected", refusal.reason, refusal.detail))
            continue
        identity: tuple[SensorKey, int] = (key if sensor is None else sensor, at)
        if identity in seen:
            duplicates += 1
            results.append(_duplicate(body, position, first=seen[identity], value=value))
            continue
        seen[identity] = value
        if sensor is None:
            held.setdefault(str(key), []).append((0, at, value, position))
            pointer = body.pointer_to(position, "sensor")
            results.append(_result(pointer, "held", "unknown-sensor", f"Kept until a sensor {key!r} is adopted."))
        else:
            accepted.append((sensor, at, value, position))
    return Decoded(
        accepted=_columns(accepted),
        held={name: _columns(rows) for name, rows in held.items()},
        results=tuple(results),
        items=len(body.items),
        duplicates=duplicates,
        rejected=rejected,
    )


def _reading(item: Any, span: Span) -> tuple[SensorKey, int, float]:
    """Sensor key, instant and value of one item. Raises ``Refused``."""
    if not isinstance(item, dict):
        raise Refused("", "not-an-object", 'A reading is an object with "sensor", "measured_at" and "value".')
    if unknown := sorted(set(item) - FIELDS):
        raise Refused("", "unknown-field", f"Unknown fields: {', '.join(map(repr, unknown[:5]))}.")
    return _key(item.get("sensor")), _instant(item.get("measured_at"), span), _value(item.get("value"))


def _key(key: Any) -> SensorKey:
    if isinstance(key, str):
        if key and len(key) <= LONGEST_NAME and key.isprintable():
            return key
        raise Refused("sensor", "bad-sensor", f"A sensor's name is 1 to {LONGEST_NAME} printable characters.")
    if isinstance(key, int) and not isinstance(key, bool) and SMALLEST_ID <= key <= LARGEST_ID:
        return key
    raise Refused("sensor", "bad-sensor", "Give the sensor's name (text) or its id (whole number).")


def _instant(text: Any, span: Span) -> int:
    if text is None or text == "":
        raise Refused("measured_at", "no-timestamp", "measured_at is missing.")
    if not isinstance(text, str):
        raise Refused("measured_at", "bad-timestamp", "measured_at is text in ISO 8601, such as 2026-03-01T12:00:00Z.")
    try:
        instant = datetime.fromisoformat(text)
        aware = instant.utcoffset() is not None
        at = from_instant(instant) if aware else 0
    except (ValueError, OverflowError) as error:
        raise Refused("measured_at", "bad-timestamp", f"{text[:40]!r} is not an instant in ISO 8601.") from error
    if not aware:
        raise Refused("measured_at", "no-time-zone", f"{text[:40]!r} has no offset: write Z or +01:00 behind it.")
    if at > span.latest:
        raise Refused(
            "measured_at", "in-the-future", f"After {to_instant(span.latest):%Y-%m-%dT%H:%M:%SZ}: check the clock."
        )
    if at < span.earliest:
        raise Refused("measured_at", "too-old", f"Before {to_instant(span.earliest):%Y-%m-%d}: older than is kept.")
    return at


def _value(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Refused("value", "not-a-number", f"The value is {_kind(value)}, not a number.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise Refused("value", "not-finite", "The value is NaN or infinite.")
    if abs(number) > LARGEST_VALUE:
        raise Refused("value", "out-of-range", f"No sensor measures beyond {LARGEST_VALUE:g}.")
    return number


def _kind(value: Any) -> str:
    names = {str: "text", bool: "true or false", list: "a list", dict: "an object"}
    return "null" if value is None else names.get(type(value), "something else")


def _columns(rows: list[tuple[int, int, float, int]]) -> Columns:
    sensor, at, value, item = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Columns(
        np.array(sensor, np.int64), np.array(at, np.int64), np.array(value, np.float64), np.array(item, np.int32)
    )


def _result(pointer: str, status: str, reason: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "status": status, "reason": reason, "detail": detail}


def _duplicate(body: Body, item: int, *, first: float, value: float) -> dict[str, str]:
    if first == value:
        detail = "The same reading came earlier in this body."
        return _result(body.pointer_to(item, ""), "duplicate", "same-reading", detail)
    detail = f"This instant came earlier in this body with the value {first!r}, which is kept; {value!r} is not."
    return _result(body.pointer_to(item, "value"), "duplicate", "other-value", detail)
