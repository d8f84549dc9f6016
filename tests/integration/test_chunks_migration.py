"""A table of readings as it was before chunks becomes what the store would have made of them."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import connection

from sensors import columns, store
from sensors.columns import Columns

pytestmark = pytest.mark.django_db

before = importlib.import_module("sensors.migrations.0002_reading")
migration = importlib.import_module("sensors.migrations.0004_chunks")

START = datetime(2026, 2, 27, 22, 30, tzinfo=UTC)
TABLES = ("sensors_chunk", "sensors_hour", "sensors_latest", "sensors_reading")


def contents() -> dict[str, list[tuple[object, ...]]]:
    found = {}
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
            found[table] = cursor.fetchall()
    return found


def nearly(row: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(pytest.approx(item, rel=1e-9) if isinstance(item, float) else item for item in row)


def test_readings_are_moved_into_chunks_with_their_rollups_and_newest_values() -> None:
    rng, n = np.random.default_rng(3), 240
    at = columns.from_instant(START) + np.arange(n, dtype=np.int64) % 80 * 150_000_000
    sensor = np.repeat(np.array([7, 8, 9], np.int64), 80)
    value = rng.choice([1.5, 2.25, -0.0, 0.0, 1e300, -5.0, 1e-200], n)
    quality = np.where(sensor == 9, 0, rng.integers(0, 3, n)).astype(np.uint8)
    taken = Columns(sensor, at, value, np.arange(n, dtype=np.int32))
    store.make_partitions(store.days_of(taken))
    store.insert(taken, quality=quality, reason=quality)
    wanted = contents()
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA before; SET LOCAL search_path = before; {before.CREATE}")
        for day in store.days_of(taken):
            cursor.execute(
                f"CREATE TABLE sensors_reading_p{day:%Y%m%d} PARTITION OF sensors_reading FOR VALUES FROM (%s) TO (%s)",
                [datetime(day.year, day.month, day.day, tzinfo=UTC), day + timedelta(days=1)],
            )
        cursor.executemany(
            "INSERT INTO sensors_reading VALUES (%s, %s, %s, %s, %s)",
            [
                (s, columns.to_instant(a), v, q, q)
                for s, a, v, q in zip(*(c.tolist() for c in (sensor, at, value, quality)), strict=True)
            ],
        )
        cursor.execute(migration.CHUNKS + migration.MOVE + migration.VIEW)
    found = contents()
    for table in TABLES:
        assert found[table] == [nearly(row) for row in wanted[table]], table
    assert len(found["sensors_reading"]) == n
