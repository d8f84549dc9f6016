"""Readings in Postgres: chunks by binary COPY, each sensor's newest reading and its hours, in one transaction."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from datetime import date

import numpy as np
from django.db import IntegrityError, connection, transaction

from sensors import chunks, partitions, pgcopy, pieces, rollups
from sensors.blocks import Readings
from sensors.columns import DAY_US, Columns, Float64, Int64, UInt8, to_instant
from sensors.rollups import HOUR_US

TABLES = ("sensors_chunk", "sensors_hour", "sensors_latest", "sensors_block")
"""All that is stored of readings."""

COPY_CHUNKS = f"COPY sensors_chunk ({', '.join(chunks.FIELDS)}) FROM STDIN WITH (FORMAT binary)"
STAGED = np.dtype(
    [*((name, rollups.HOUR[name]) for name in rollups.HOUR.names or ()), ("since_at", "i8"), ("newest", "i2")]
)
STAGE = "sensors_staged_hour"
MAKE_STAGE = f"""CREATE TEMPORARY TABLE IF NOT EXISTS {STAGE} (
    sensor_id bigint, hour_at timestamptz, readings integer, counted integer, mean double precision,
    m2 double precision, low double precision, low_at timestamptz, high double precision, high_at timestamptz,
    first double precision, first_at timestamptz, last double precision, last_at timestamptz, qualities smallint,
    since_at timestamptz, newest smallint
) ON COMMIT DELETE ROWS"""
COPY_STAGE = f"COPY {STAGE} ({', '.join(STAGED.names or ())}) FROM STDIN WITH (FORMAT binary)"
HOURS = ", ".join(rollups.HOUR.names or ())

# The mean and spread of both by the formula of Chan, Golub and LeVeque; each extreme with the instant it was first seen
# at. The newest readings come first, in order of sensor: who stores the same sensors waits here.
KEEP = f"""
WITH staged AS (DELETE FROM {STAGE} RETURNING *),
newest AS (
    INSERT INTO sensors_latest AS known (sensor_id, measured_at, value, quality)
    SELECT sensor_id, last_at, last, qualities >> 6 & 3 FROM staged WHERE newest = 1 ORDER BY sensor_id
    ON CONFLICT (sensor_id) DO UPDATE SET
        previous_at = known.measured_at,
        measured_at = greatest(known.measured_at, excluded.measured_at),
        value = CASE WHEN excluded.measured_at > known.measured_at THEN excluded.value ELSE known.value END,
        quality = CASE WHEN excluded.measured_at > known.measured_at THEN excluded.quality ELSE known.quality END
    RETURNING sensor_id, previous_at
),
hours AS (
    INSERT INTO sensors_hour AS known ({HOURS}) SELECT {HOURS} FROM staged ORDER BY sensor_id, hour_at
    ON CONFLICT (sensor_id, hour_at) DO UPDATE SET
        readings = known.readings + excluded.readings,
        counted = known.counted + excluded.counted,
        mean = CASE WHEN excluded.counted = 0 THEN known.mean ELSE known.mean + (excluded.mean - known.mean)
            * (excluded.counted::double precision / (known.counted + excluded.counted)) END,
        m2 = known.m2 + excluded.m2 + CASE WHEN known.counted = 0 OR excluded.counted = 0 THEN 0 ELSE
            (excluded.mean - known.mean) * (excluded.mean - known.mean)
            * (known.counted::double precision * excluded.counted / (known.counted + excluded.counted)) END,
        low = CASE WHEN (excluded.low, excluded.low_at) < (known.low, known.low_at)
            THEN excluded.low ELSE known.low END,
        low_at = CASE WHEN (excluded.low, excluded.low_at) < (known.low, known.low_at)
            THEN excluded.low_at ELSE known.low_at END,
        high = CASE WHEN (-excluded.high, excluded.high_at) < (-known.high, known.high_at)
            THEN excluded.high ELSE known.high END,
        high_at = CASE WHEN (-excluded.high, excluded.high_at) < (-known.high, known.high_at)
            THEN excluded.high_at ELSE known.high_at END,
        first = CASE WHEN excluded.first_at < known.first_at THEN excluded.first ELSE known.first END,
        first_at = least(excluded.first_at, known.first_at),
        last = CASE WHEN excluded.last_at > known.last_at THEN excluded.last ELSE known.last END,
        last_at = greatest(excluded.last_at, known.last_at),
        qualities =
            (CASE WHEN excluded.first_at < known.first_at THEN excluded.qualities ELSE known.qualities END & 3)
            | (CASE WHEN (excluded.low, excluded.low_at) < (known.low, known.low_at)
                THEN excluded.qualities ELSE known.qualities END & 12)
            | (CASE WHEN (-excluded.high, excluded.high_at) < (-known.high, known.high_at)
                THEN excluded.qualities ELSE known.qualities END & 48)
            | (CASE WHEN excluded.last_at > known.last_at THEN excluded.qualities ELSE known.qualities END & 192)
)
SELECT newest.sensor_id FROM newest JOIN staged ON staged.sensor_id = newest.sensor_id AND staged.newest = 1
WHERE staged.since_at <= newest.previous_at
"""


def days_of(columns: Columns) -> set[date]:
    """UTC days that the readings fall on."""
    return {to_instant(int(day) * DAY_US).date() for day in np.unique(columns.at // DAY_US)}


def make_partitions(days: Iterable[date]) -> None:
    """Make the partitions that are missing. Not inside a transaction of the flow: it locks the tables for a moment."""
    partitions.make(days)


def insert(columns: Columns, *, quality: UInt8, reason: UInt8) -> None:
    """Store n readings, in the caller's transaction if there is one; their partitions are there (``make_partitions``).

    ``quality`` and ``reason``: arrays of length n. Raises ``IntegrityError`` where a reading is there already; each of
    them is looked up that is not newer than its sensor's newest.
    """
    if not len(columns):
        return
    order = _order(columns)
    if order is not None:
        columns, quality, reason = columns.take(order), quality[order], reason[order]
    # Without a transaction what is staged would be gone before it is kept.
    with transaction.atomic(savepoint=False), connection.wrap_database_errors, connection.cursor() as cursor:
        cursor.execute(MAKE_STAGE)
        cursor.copy_expert(COPY_STAGE, io.BytesIO(_staged(rollups.of(columns, quality=quality))))
        cursor.execute(KEEP)
        not_newer = [sensor_id for (sensor_id,) in cursor.fetchall()]
        if not_newer:
            _refuse_stored(columns, of=not_newer)
        cursor.copy_expert(COPY_CHUNKS, io.BytesIO(chunks.rows(columns, quality=quality, reason=reason)))


def _order(columns: Columns) -> Int64 | None:
    """What sorts them by sensor and instant; None where they are. Raises ``IntegrityError`` for one that is twice."""
    same, later = np.diff(columns.sensor) == 0, np.diff(columns.at)
    if ((np.diff(columns.sensor) > 0) | (same & (later > 0))).all():
        return None
    order = np.lexsort((columns.at, columns.sensor))
    if ((np.diff(columns.sensor[order]) == 0) & (np.diff(columns.at[order]) == 0)).any():
        raise IntegrityError("A reading stands twice among those to be stored.")
    return order


def _staged(hours: pgcopy.Table) -> bytes:
    """The rollups as rows; of each sensor the last one is marked, and has the instant of its first reading here."""
    out = np.empty(len(hours), STAGED)
    for name in rollups.HOUR.names or ():
        out[name] = hours[name]
    starts = np.flatnonzero(np.append(True, np.diff(hours["sensor_id"]) != 0))
    out["since_at"] = np.repeat(hours["first_at"][starts], np.diff(starts, append=len(hours)))
    out["newest"] = np.append(np.diff(hours["sensor_id"]) != 0, True)
    return pgcopy.rows(out, instants=(*rollups.INSTANTS, "since_at"))


def _refuse_stored(columns: Columns, *, of: Sequence[int]) -> None:
    mine = np.flatnonzero(np.isin(columns.sensor, of))
    found = mine[~np.isnan(stored_values(columns.sensor[mine], columns.at[mine]))]
    if len(found):
        sensor_id, at = int(columns.sensor[found[0]]), to_instant(int(columns.at[found[0]]))
        raise IntegrityError(f"A reading of sensor {sensor_id} at {at.isoformat()} is stored already.")


def stored_values(sensor: Int64, at: Int64) -> Float64:
    """What is stored at n keys of sensor and instant: array of length n, NaN where nothing is."""
    values = np.full(len(sensor), np.nan)
    if not len(sensor):
        return values
    order = np.lexsort((at, sensor))
    keys = Columns(sensor[order], at[order], np.empty(len(at)), np.empty(len(at), np.int32))
    starts = rollups.beginnings(keys)
    ends = np.append(starts[1:], len(keys))
    found = _Lookup(keys, order=order, values=values)
    # The hours of the windows are constants too, so that no other partition is opened.
    first, last = int(at.min()) // HOUR_US * HOUR_US, int(at.max())
    pieces.read(
        f"SELECT wanted.sensor_id, {pieces.LOOSE}"
        " FROM unnest(%s::bigint[], %s::timestamptz[], %s::timestamptz[]) AS wanted (sensor_id, low, high)"
        " JOIN sensors_chunk AS chunk ON chunk.sensor_id = wanted.sensor_id"
        " AND chunk.start_at >= date_bin('1 hour', wanted.low, timestamptz '2000-01-01 00:00+00')"
        " AND chunk.start_at <= wanted.high AND chunk.end_at >= wanted.low"
        f" {pieces.UNNESTED}"
        " WHERE chunk.start_at BETWEEN %s AND %s AND reading.at BETWEEN wanted.low AND wanted.high"
        f" UNION ALL SELECT block.sensor_id, {pieces.PACKED}"
        " FROM (SELECT DISTINCT * FROM unnest(%s::bigint[], %s::date[])) AS wanted (sensor_id, day)"
        " JOIN sensors_block AS block ON block.sensor_id = wanted.sensor_id AND block.day = wanted.day",
        [
            keys.sensor[starts].tolist(),
            [to_instant(instant) for instant in keys.at[starts].tolist()],
            [to_instant(instant) for instant in keys.at[ends - 1].tolist()],
            to_instant(first),
            to_instant(last),
            keys.sensor[starts].tolist(),
            [to_instant(instant).date() for instant in keys.at[starts].tolist()],
        ],
        each=found.take,
    )
    return values


class _Lookup:
    """Puts the values of the readings that are asked for at their places."""

    def __init__(self, keys: Columns, *, order: Int64, values: Float64) -> None:
        self._order, self._values = order, values
        self._sensors, self._starts = np.unique(keys.sensor, return_index=True)
        self._ends, self._at = np.append(self._starts[1:], len(keys)), keys.at

    def take(self, sensor: Int64, readings: Readings) -> None:
        for one in np.unique(sensor):
            mine = np.searchsorted(self._sensors, one)
            wanted = self._at[self._starts[mine] : self._ends[mine]]
            its = sensor == one
            ascending = np.argsort(readings.at[its], kind="stable")
            at, value = readings.at[its][ascending], readings.value[its][ascending]
            place = np.searchsorted(at, wanted).clip(max=len(at) - 1)  # a key may be asked for more than once
            hit = at[place] == wanted
            self._values[self._order[self._starts[mine] : self._ends[mine]][hit]] = value[place[hit]]


def count(sensor_ids: Iterable[int]) -> int:
    """How many readings of the sensors are stored."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (SELECT coalesce(sum(cardinality(at)), 0) FROM sensors_chunk WHERE sensor_id = ANY(%(ids)s))"
            " + (SELECT coalesce(sum(readings), 0) FROM sensors_block WHERE sensor_id = ANY(%(ids)s))",
            {"ids": list(sensor_ids)},
        )
        return int(cursor.fetchone()[0])


def has_readings(sensor_id: int) -> bool:
    """Whether anything of a sensor is stored: such a sensor is not deleted."""
    return bool(with_readings([sensor_id]))


def with_readings(sensor_ids: Iterable[int]) -> set[int]:
    """Those of the sensors of which anything is stored: they have a newest reading."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT sensor_id FROM sensors_latest WHERE sensor_id = ANY(%s)", [list(sensor_ids)])
        return {sensor_id for (sensor_id,) in cursor.fetchall()}
