"""Days that are over become blocks: one small row for each sensor and day in the place of its chunks and rollups.

Some sensors at a time, each time in one transaction, so that it may be killed at any moment and goes on where it was.
What comes too late for its day lies in chunks again, and is put into the block the next time.
"""

from __future__ import annotations

import io
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import structlog
from django.db import OperationalError, connection, transaction

from sensors import blocks, partitions, pgcopy, pieces, rollups
from sensors.blocks import Readings
from sensors.columns import Columns, Int64

log = structlog.get_logger(__name__)

READINGS_AT_ONCE = 30_000
"""Readings of a transaction: the sensors they are of cannot store others meanwhile."""
FIELDS = (
    "sensor_id", "day", "readings", "first_at", "last_at", "first", "last", "low", "high", "hours", "data",
)  # fmt: skip
COPY = f"COPY sensors_block ({', '.join(FIELDS)}) FROM STDIN WITH (FORMAT binary)"
ROW = struct.Struct(">hiqiiiiiqiqidididid")
SIZE = struct.Struct(">i")
FIRST_DAY = date(2000, 1, 1)
NO_LOCK = "55P03"
SHORT_WAIT = "200ms"
GIVEN_UP_FOR = timedelta(minutes=10)
"""So long partitions are empty before they are dropped: more than passes between their making and the storing."""


class NotTheSame(Exception):
    """What a block gives back is not what went in: nothing was changed, the chunks stay."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """What was done: readings put into blocks, days whose partitions were dropped; and whether readings are left."""

    readings: int
    days: int
    finished: bool


def compact(*, before: date, seconds: float | None = None, given_up_for: timedelta = GIVEN_UP_FOR) -> Compacted:
    """Compact the days before a date, oldest first, for so many seconds, and one more transaction, at most.

    One process at a time does it: see ``agents.jobs``. Raises ``NotTheSame``, ``NotABlock``.
    """
    end = None if seconds is None else time.monotonic() + seconds
    readings = closed = 0
    for day in [day for day in partitions.days() if day < before]:
        partitions.make_month(day)
        for sensor_ids in _groups(day):
            if end is not None and time.monotonic() > end:
                return Compacted(readings, closed, finished=False)
            readings += _compact(day, sensor_ids)
        closed += _close(day, given_up_for=given_up_for)
    return Compacted(readings, closed, finished=True)


def _groups(day: date) -> Iterator[list[int]]:
    """The sensors that have chunks of a day, ascending, so many at a time as a transaction bears, but at least one."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT sensor_id, sum(cardinality(at)) FROM sensors_chunk WHERE start_at >= %s AND start_at < %s"
            " GROUP BY sensor_id ORDER BY sensor_id",
            partitions.bounds(day),
        )
        found = cursor.fetchall()
    group: list[int] = []
    size = 0
    for sensor_id, readings in found:
        if group and size + readings > READINGS_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(sensor_id)
        size += readings
    if group:
        yield group


@transaction.atomic
def _compact(day: date, sensor_ids: list[int]) -> int:
    """Put what there is of some sensors and a day into blocks; how many readings."""
    start, end = partitions.bounds(day)
    with connection.cursor() as cursor:
        # Who stores readings locks these rows first: until the end nobody does, for these sensors.
        cursor.execute(
            "SELECT FROM sensors_latest WHERE sensor_id = ANY(%s) ORDER BY sensor_id FOR UPDATE", [sensor_ids]
        )
        cursor.execute(
            "DELETE FROM sensors_hour WHERE sensor_id = ANY(%s) AND hour_at >= %s AND hour_at < %s",
            [sensor_ids, start, end],
        )
        sensor, readings = _take(day, sensor_ids)
        cursor.execute("DELETE FROM sensors_block WHERE sensor_id = ANY(%s) AND day = %s", [sensor_ids, day])
    write(day, sensor, readings)
    return len(sensor)


def write(day: date, sensor: Int64, readings: Readings) -> None:
    """Store readings of a day, in order of sensor and instant, as blocks that are not there yet. ``sensor``: length n.

    In the caller's transaction. Raises ``NotTheSame``.
    """
    starts = np.flatnonzero(np.diff(sensor, prepend=-1))
    rows = [
        _row(int(sensor[first]), day, readings.take(slice(first, last)))
        for first, last in zip(starts, [*starts[1:], len(sensor)], strict=True)
    ]
    with connection.wrap_database_errors, connection.cursor() as cursor:
        cursor.copy_expert(COPY, io.BytesIO(b"".join([pgcopy.HEADER, *rows, pgcopy.TRAILER])))


def _take(day: date, sensor_ids: list[int]) -> tuple[Int64, Readings]:
    """All readings of the sensors and the day, in order of sensor and instant; their chunks are deleted."""
    sensors: list[Int64] = []
    found: list[Readings] = []

    def keep(sensor: Int64, readings: Readings) -> None:
        sensors.append(sensor)
        found.append(readings)

    pieces.read(
        "WITH chunk AS (DELETE FROM sensors_chunk WHERE sensor_id = ANY(%s) AND start_at >= %s AND start_at < %s"
        f" RETURNING *) SELECT chunk.sensor_id, {pieces.LOOSE} FROM chunk {pieces.UNNESTED}"
        f" UNION ALL SELECT block.sensor_id, {pieces.PACKED} FROM sensors_block AS block"
        " WHERE block.sensor_id = ANY(%s) AND block.day = %s",
        [sensor_ids, *partitions.bounds(day), sensor_ids, day],
        each=keep,
    )
    sensor = np.concatenate(sensors)
    fields = ("at", "value", "quality", "reason")
    readings = Readings(*(np.concatenate([getattr(piece, name) for piece in found]) for name in fields))
    order = np.lexsort((readings.at, sensor))
    return sensor[order], readings.take(order)


def _row(sensor_id: int, day: date, readings: Readings) -> bytes:
    """The block of one sensor and day as a row; what it gives back was compared. Raises ``NotTheSame``."""
    data = blocks.encode(readings)
    if not blocks.decode(data).same(readings):
        raise NotTheSame(f"sensor {sensor_id}, {day.isoformat()}, {len(readings)} readings")
    count = len(readings)
    columns = Columns(np.full(count, sensor_id), readings.at, readings.value, np.zeros(count, np.int32))
    hours = blocks.encode_hours(rollups.of(columns, quality=readings.quality))
    first_at, last_at = (int(readings.at[n]) - pgcopy.EPOCH_US for n in (0, -1))
    values = (readings.value[0], readings.value[-1], readings.value.min(), readings.value.max())
    head = ROW.pack(
        len(FIELDS), 8, sensor_id, 4, (day - FIRST_DAY).days, 4, count, 8, first_at, 8, last_at,
        *(part for value in values for part in (8, float(value))),
    )  # fmt: skip
    return b"".join([head, SIZE.pack(len(hours)), hours, SIZE.pack(len(data)), data])


def _close(day: date, *, given_up_for: timedelta) -> bool:
    """Give up a day that is empty, and drop its partitions a while later; not now if somebody reads or writes there."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            partitions.lock()
            since = partitions.given_up_for(day)
            if since is None and partitions.are_empty(day):
                partitions.give_up(day)
            if since is None or since < given_up_for:
                return False
            cursor.execute(f"SET LOCAL lock_timeout = '{SHORT_WAIT}'")
            cursor.execute(f"LOCK TABLE {', '.join(partitions.TABLES)} IN ACCESS EXCLUSIVE MODE")
            if not partitions.are_empty(day):
                return False
            partitions.drop(day)
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", None) != NO_LOCK:
            raise
        log.info("sensors.compaction.day-in-use", day=day.isoformat())
        return False
    return True
