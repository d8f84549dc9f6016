"""Readings in Postgres: daily partitions made ahead, filled by binary COPY, dropped by retention."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
from django.db import connection, transaction

from sensors import journal
from sensors.columns import DAY_US, Columns, Float64, Int64, UInt8, from_instant, to_instant

TABLE = "sensors_reading"
POSTGRES_EPOCH_US = from_instant(datetime(2000, 1, 1, tzinfo=UTC))
DAYS_AT_ONCE = 20
PARTITION_LOCK = 0x62775F7061727473  # advisory lock: one process makes partitions at a time
COPY = f"COPY {TABLE} (sensor_id, measured_at, value, quality, reason) FROM STDIN WITH (FORMAT binary)"
COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
COPY_TRAILER = b"\xff\xff"
ROW = np.dtype(
    [
        ("fields", ">i2"), ("sensor_size", ">i4"), ("sensor", ">i8"), ("at_size", ">i4"), ("at", ">i8"),
        ("value_size", ">i4"), ("value", ">f8"), ("quality_size", ">i4"), ("quality", ">i2"),
        ("reason_size", ">i4"), ("reason", ">i2"),
    ]
)  # fmt: skip


def days_of(columns: Columns) -> set[date]:
    """UTC days that the readings fall on."""
    return {to_instant(int(day) * DAY_US).date() for day in np.unique(columns.at // DAY_US)}


def make_partitions(days: Iterable[date]) -> None:
    """Make the partitions that are missing. Not inside a transaction of the flow: it locks the table for a moment."""
    wanted = {_name(day): day for day in days}
    missing = _missing(wanted)
    for first in range(0, len(missing), DAYS_AT_ONCE):
        _make({name: wanted[name] for name in missing[first : first + DAYS_AT_ONCE]})


def _make(wanted: Mapping[str, date]) -> None:
    """A few in a transaction of their own: what is made stays made if the caller runs out of time."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PARTITION_LOCK])
        for name in _missing(wanted):
            day = wanted[name]
            cursor.execute(
                f"CREATE TABLE {name} (LIKE {TABLE} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)"
            )
            cursor.execute(
                f"ALTER TABLE {TABLE} ATTACH PARTITION {name} FOR VALUES FROM (%s) TO (%s)",
                [datetime(day.year, day.month, day.day, tzinfo=UTC), _next(day)],
            )


def _name(day: date) -> str:
    return f"{TABLE}_p{day:%Y%m%d}"


def _missing(names: Iterable[str]) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relispartition", [list(names)])
        return sorted(set(names) - {name for (name,) in cursor.fetchall()})


def drop_partitions(*, before: date) -> int:
    """Drop the days before a date, each with an entry in the journal; how many there were."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [PARTITION_LOCK])
        expired = [(day, name) for day, name in _partitions() if day < before]
        for _, name in expired:
            cursor.execute(f"DROP TABLE {name}")
        journal.record([journal.readings_expired(day) for day, _ in expired])
    return len(expired)


def _partitions() -> list[tuple[date, str]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class JOIN pg_inherits ON inhrelid = pg_class.oid"
            " WHERE inhparent = %s::regclass ORDER BY relname",
            [TABLE],
        )
        return [
            (datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC).date(), name) for (name,) in cursor.fetchall()
        ]


def _next(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def insert(columns: Columns, *, quality: UInt8, reason: UInt8) -> None:
    """COPY n readings into their partitions, which must be there (``make_partitions``).

    ``quality`` and ``reason``: arrays of length n. Raises ``IntegrityError`` where a reading is there already.
    """
    if not len(columns):
        return
    rows = np.empty(len(columns), ROW)
    rows["fields"] = 5
    rows["sensor_size"] = rows["at_size"] = rows["value_size"] = 8
    rows["quality_size"] = rows["reason_size"] = 2
    rows["sensor"], rows["at"] = columns.sensor, columns.at - POSTGRES_EPOCH_US
    rows["value"], rows["quality"], rows["reason"] = columns.value, quality, reason
    with connection.wrap_database_errors, connection.cursor() as cursor:
        cursor.copy_expert(COPY, io.BytesIO(COPY_HEADER + rows.tobytes() + COPY_TRAILER))


def stored_values(sensor: Int64, at: Int64) -> Float64:
    """What is stored at n keys of sensor and instant: array of length n, NaN where nothing is."""
    values = np.full(len(sensor), np.nan)
    if not len(sensor):
        return values
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT wanted.position, reading.value FROM"
            " unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS wanted(sensor_id, at, position)"
            f" JOIN {TABLE} AS reading ON reading.sensor_id = wanted.sensor_id AND reading.measured_at ="
            " timestamptz 'epoch' + wanted.at * interval '1 microsecond'"
            " WHERE reading.measured_at BETWEEN %s AND %s",
            [sensor.tolist(), at.tolist(), to_instant(int(at.min())), to_instant(int(at.max()))],
        )
        for position, value in cursor.fetchall():
            values[position - 1] = value
    return values


def has_readings(sensor_id: int) -> bool:
    """Whether anything of a sensor is stored: such a sensor is not deleted."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT EXISTS (SELECT FROM {TABLE} WHERE sensor_id = %s)", [sensor_id])
        return bool(cursor.fetchone()[0])
