"""Readings of a sensor over a window, in as many points as a picture needs, peaks kept; rollups; the newest readings.

Everything that reads readings reads them here, wherever they lie: the newest days in chunks, the older ones in blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from django.db import connection

from sensors import blocks, columns, m4, pgcopy, pieces, rollups
from sensors.blocks import Readings
from sensors.columns import Columns, Float64, Int64, UInt8, from_instant, to_instant
from sensors.m4 import Grid, Points, Thinning
from sensors.rollups import HOUR_US

EPOCH = "timestamptz '2000-01-01 00:00+00'"
READINGS = (
    f"(SELECT chunk.sensor_id, {pieces.LOOSE} FROM sensors_chunk AS chunk {pieces.UNNESTED}"
    f" WHERE chunk.sensor_id = ANY(%(sensors)s) AND chunk.start_at >= %(hour)s AND chunk.start_at < %(end)s"
    " AND chunk.end_at >= %(start)s AND reading.at >= %(start)s AND reading.at < %(end)s LIMIT %(limit)s)"
    f" UNION ALL SELECT block.sensor_id, {pieces.PACKED} FROM sensors_block AS block"
    " WHERE block.sensor_id = ANY(%(sensors)s) AND block.day BETWEEN %(first_day)s AND %(last_day)s"
    " AND block.first_at < %(end)s AND block.last_at >= %(start)s"
)
ROLLUPS = (
    f"SELECT {', '.join(rollups.HOUR.names or ())}, NULL::bytea FROM sensors_hour"
    " WHERE sensor_id = %(sensor)s AND hour_at >= %(start)s AND hour_at < %(end)s"
    f" UNION ALL SELECT sensor_id, {'NULL, ' * (len(rollups.HOUR.names or ()) - 1)}hours FROM sensors_block"
    " WHERE sensor_id = %(sensor)s AND day BETWEEN %(first_day)s AND %(last_day)s"
)


@dataclass(frozen=True, slots=True)
class Series:
    """n readings in order of time. ``at``: microseconds; ``total``: how many there are in the window."""

    at: Int64
    value: Float64
    quality: UInt8
    total: int

    def __len__(self) -> int:
        return len(self.at)


class WindowTooLarge(Exception):
    """The window holds more readings than are read for one picture; ask for a shorter one."""


def read(sensor_id: int, *, start: datetime, end: datetime, points: int, most: int | None = None) -> Series:
    """The readings of [start, end), downsampled to at most ``points`` (at least 4).

    A window of buckets of an hour and longer is drawn from rollups, which gives the same points. Raises
    ``WindowTooLarge`` where another holds more than ``most``.
    """
    window = from_instant(start), from_instant(end)
    grid = m4.grid(start=window[0], end=window[1], points=points)
    if grid.of_hours:
        drawn = _from_rollups(sensor_id, window, grid, points=points)
        if drawn.total > points:
            return _series(drawn)
    drawn = Thinning(grid, points=points)
    _add_readings(drawn, sensor_id, *window, most=most)
    if most is not None and drawn.total > most:
        raise WindowTooLarge(f"The window holds more than {most} readings; ask for a shorter one.")
    return _series(drawn)


def _series(drawn: Thinning) -> Series:
    found = drawn.drawn()
    return Series(found.at, found.value, found.quality, drawn.total)


def _add_readings(drawn: Thinning, sensor_id: int, start: int, end: int, *, most: int | None = None) -> None:
    def add(_: Int64, readings: Readings) -> None:
        if most is None or drawn.total <= most:
            inside = (readings.at >= start) & (readings.at < end)
            drawn.add(Points(readings.at[inside], readings.value[inside], readings.quality[inside]))

    if start < end:
        limit = None if most is None else most + 1
        pieces.read(READINGS, _window(sensor_id, start, end) | {"limit": limit, "sensors": [sensor_id]}, each=add)


def raw(sensor_ids: Iterable[int], *, start: int, end: int, only_good: bool = False) -> Columns:
    """Every reading of the sensors in [start, end), in microseconds, sorted by sensor and instant; ``item`` is 0.

    ``only_good``: those of good quality.
    """
    found: list[Columns] = []

    def add(sensor: Int64, readings: Readings) -> None:
        inside = (readings.at >= start) & (readings.at < end)
        if only_good:
            inside &= readings.quality == rollups.GOOD
        nothing = np.zeros(int(inside.sum()), np.int32)
        found.append(Columns(sensor[inside], readings.at[inside], readings.value[inside], nothing))

    wanted = {"sensors": list(sensor_ids), "limit": None}
    pieces.read(READINGS, _window(0, start, end) | wanted, each=add)
    together = columns.concatenate(found)
    return together.take(np.lexsort((together.at, together.sensor)))


def stored(sensor_id: int, *, start: int, end: int) -> Readings:
    """Every reading of a sensor in [start, end), in microseconds, in order of time, each with its quality."""
    found: list[Readings] = []

    def add(_: Int64, readings: Readings) -> None:
        found.append(readings.take((readings.at >= start) & (readings.at < end)))

    pieces.read(READINGS, _window(sensor_id, start, end) | {"limit": None, "sensors": [sensor_id]}, each=add)
    if not found:
        return Readings(np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint8), np.empty(0, np.uint8))
    names = ("at", "value", "quality", "reason")
    together = Readings(*(np.concatenate([getattr(one, name) for one in found]) for name in names))
    return together.take(np.argsort(together.at, kind="stable"))


def _from_rollups(sensor_id: int, window: tuple[int, int], grid: Grid, *, points: int) -> Thinning:
    """Whole hours from their rollups, what the window cuts off of an hour at its ends from the readings."""
    start, end = -(-window[0] // HOUR_US) * HOUR_US, window[1] // HOUR_US * HOUR_US
    drawn = Thinning(grid, points=points)
    _add_readings(drawn, sensor_id, window[0], start)
    _add_readings(drawn, sensor_id, end, window[1])
    hours = _hours(sensor_id, start, end)
    drawn.add(Points(*rollups.points(hours)), readings=int(hours["readings"].sum()))
    return drawn


def hours(sensor_id: int, *, start: datetime, end: datetime, length: timedelta = timedelta(hours=1)) -> pgcopy.Table:
    """The rollups of the hours that begin in [start, end), put together into ones of ``length`` (hours, or a day)."""
    found = _hours(sensor_id, from_instant(start), from_instant(end))
    return rollups.merge(found, length=length // timedelta(microseconds=1))


def _hours(sensor_id: int, start: int, end: int) -> pgcopy.Table:
    """In no order; two of an hour of which readings came after its day had been compacted."""
    loose: list[pgcopy.Table] = []
    packed: list[bytes] = []
    reader = pgcopy.Reader(
        rollups.HOUR, instants=rollups.INSTANTS, loose=loose.append, packed=lambda _, data: packed.append(data)
    )
    pieces.copy(ROLLUPS, _window(sensor_id, start, end), reader)
    all_ = np.concatenate([*loose, blocks.decode_hours(packed)])
    return all_[(all_["hour_at"] >= start) & (all_["hour_at"] < end)]


def _window(sensor_id: int, start: int, end: int) -> dict[str, object]:
    first, last = to_instant(start), to_instant(end)
    hour = to_instant(max(from_instant(datetime.min.replace(tzinfo=first.tzinfo)), start // HOUR_US * HOUR_US))
    days = {"first_day": first.date(), "last_day": last.date()}
    return {"sensor": sensor_id, "start": first, "end": last, "hour": hour} | days


NEWEST = np.dtype([("sensor_id", "i8"), ("measured_at", "i8"), ("value", "f8"), ("quality", "i2")])


def newest(sensor_ids: Iterable[int] | None = None) -> pgcopy.Table:
    """The newest reading of each of the sensors that has any (None: of all sensors), as a table of ``NEWEST``."""
    found = [np.empty(0, NEWEST)]
    reader = pgcopy.Reader(NEWEST, instants=["measured_at"], loose=found.append, packed=lambda *_: None)
    wanted = "" if sensor_ids is None else " WHERE sensor_id = ANY(%s::bigint[])"
    params = [] if sensor_ids is None else [list(sensor_ids)]
    pieces.copy(f"SELECT {', '.join(NEWEST.names or ())}, NULL::bytea FROM sensors_latest{wanted}", params, reader)
    return np.concatenate(found)


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest reading of a sensor."""

    measured_at: datetime
    value: float
    quality: int


def latest(sensor_ids: Iterable[int]) -> dict[int, Latest]:
    """The newest reading of each sensor that has any."""
    return {
        sensor_id: Latest(to_instant(measured_at), value, quality)
        for sensor_id, measured_at, value, quality in newest(sensor_ids).tolist()
    }


def oldest_at(sensor_id: int) -> datetime | None:
    """The instant of the oldest reading of a sensor that is stored."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT least((SELECT start_at FROM sensors_chunk WHERE sensor_id = %(sensor)s ORDER BY start_at LIMIT 1),"
            " (SELECT first_at FROM sensors_block WHERE sensor_id = %(sensor)s ORDER BY day LIMIT 1))",
            {"sensor": sensor_id},
        )
        found: datetime | None = cursor.fetchone()[0]
    return found


SPANS = """
SELECT machine.id, (
    SELECT max(latest.measured_at) FROM sensors_sensor AS sensor
    JOIN sensors_latest AS latest ON latest.sensor_id = sensor.id WHERE sensor.machine_id = machine.id
), least(
    (SELECT start_at FROM sensors_chunk WHERE sensor_id = first.id ORDER BY start_at LIMIT 1),
    (SELECT first_at FROM sensors_block WHERE sensor_id = first.id ORDER BY day LIMIT 1)
) FROM unnest(%s::bigint[]) AS machine (id) LEFT JOIN LATERAL (
    SELECT min(id) AS id FROM sensors_sensor WHERE sensors_sensor.machine_id = machine.id
) AS first ON true
"""


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when there are readings: the oldest stored one of a machine's first sensor, the newest of all."""

    oldest: datetime | None
    newest: datetime | None


def spans(machine_ids: Iterable[int]) -> dict[int, Span]:
    """Of each of the machines. One query."""
    with connection.cursor() as cursor:
        cursor.execute(SPANS, [list(machine_ids)])
        return {machine_id: Span(oldest, newest) for machine_id, newest, oldest in cursor.fetchall()}
