"""What Postgres alone takes: binary COPY of the same readings over one connection, encoded before the clock starts.

Rows: a table with a row per reading, keyed by sensor and instant. Arrays: a row per sensor and a hundred instants,
keyed by sensor and first instant. Both in a database of their own, 10,000 readings a commit, synchronous_commit on.
"""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg2

from tests.chaos.service import Service

DATABASE = "bench_copy"
A_COMMIT = 10_000
SENSORS, INSTANTS = 100, 100
"""Of one commit: what ten gateways send, sorted by sensor and instant."""
PLANT = 1_000
START_US = 820_454_400 * 1_000_000
"""2026-01-01, counted as Postgres does from 2000-01-01."""
HEADER, TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
TIMESTAMPTZ, FLOAT8 = 1184, 701
CREATE_ROWS = """
CREATE TABLE copied (sensor_id bigint NOT NULL, measured_at timestamptz NOT NULL, value float8 NOT NULL,
quality smallint NOT NULL, reason smallint NOT NULL, PRIMARY KEY (sensor_id, measured_at))
"""
CREATE_ARRAYS = """
CREATE TABLE copied (sensor_id bigint NOT NULL, start_at timestamptz NOT NULL, at timestamptz[] NOT NULL,
value float8[] NOT NULL, PRIMARY KEY (sensor_id, start_at));
ALTER TABLE copied ALTER at SET STORAGE EXTERNAL, ALTER value SET STORAGE EXTERNAL
"""
ROW = np.dtype([
    ("fields", ">i2"), ("sensor_size", ">i4"), ("sensor", ">i8"), ("at_size", ">i4"), ("at", ">i8"),
    ("value_size", ">i4"), ("value", ">f8"), ("quality_size", ">i4"), ("quality", ">i2"),
    ("reason_size", ">i4"), ("reason", ">i2"),
])  # fmt: skip
ARRAY = [("size", ">i4"), ("dimensions", ">i4"), ("flags", ">i4"), ("type", ">i4"), ("length", ">i4"), ("lower", ">i4")]
CHUNK = np.dtype([
    ("fields", ">i2"), ("sensor_size", ">i4"), ("sensor", ">i8"), ("start_size", ">i4"), ("start", ">i8"),
    ("at_array", ARRAY), ("at", [("size", ">i4"), ("of", ">i8")], INSTANTS),
    ("value_array", ARRAY), ("value", [("size", ">i4"), ("of", ">f8")], INSTANTS),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Way:
    """One way to store: what makes its table, and the COPY."""

    name: str
    create: str
    copy: str


ROWS = Way("rows", CREATE_ROWS, "COPY copied FROM STDIN WITH (FORMAT binary)")
ARRAYS = Way("arrays", CREATE_ARRAYS, "COPY copied FROM STDIN WITH (FORMAT binary)")


def encoded(way: Way, commits: int) -> list[bytes]:
    """The bytes of each COPY."""
    dice = np.random.default_rng(1)
    made = []
    for number in range(commits):
        turn, step = number % (PLANT // SENSORS), number // (PLANT // SENSORS) * INSTANTS
        sensor = turn * SENSORS + np.arange(SENSORS) + 1
        at = START_US + (step + np.arange(INSTANTS)) * 1_000_000
        value = np.round(dice.normal(50, 1, (SENSORS, INSTANTS)), 2)
        made.append(HEADER + (_rows if way is ROWS else _chunks)(sensor, at, value).tobytes() + TRAILER)
    return made


def _rows(sensor: Any, at: Any, value: Any) -> Any:
    rows = np.zeros(A_COMMIT, ROW)
    rows["fields"] = 5
    for name, size in (("sensor", 8), ("at", 8), ("value", 8), ("quality", 2), ("reason", 2)):
        rows[f"{name}_size"] = size
    rows["sensor"], rows["at"], rows["value"] = np.repeat(sensor, INSTANTS), np.tile(at, SENSORS), value.ravel()
    return rows


def _chunks(sensor: Any, at: Any, value: Any) -> Any:
    rows = np.zeros(SENSORS, CHUNK)
    rows["fields"], rows["sensor_size"], rows["start_size"] = 4, 8, 8
    rows["sensor"], rows["start"] = sensor, at[0]
    for name, kind, of in (("at", TIMESTAMPTZ, at), ("value", FLOAT8, value)):
        header = (20 + 12 * INSTANTS, 1, 0, kind, INSTANTS, 1)
        for field, said in zip((field for field, _ in ARRAY), header, strict=True):
            rows[f"{name}_array"][field] = said
        rows[name]["size"], rows[name]["of"] = 8, of
    return rows


def rates(service: Service, way: Way, *, readings: int, times: int) -> list[float]:
    """Readings a second, each time into a fresh table. Raises ``AssertionError`` where not all are there."""
    bodies = encoded(way, max(1, readings // A_COMMIT))
    found = []
    with database(service) as connection:
        for _ in range(times):
            found.append(len(bodies) * A_COMMIT / _once(connection, way, bodies))
    return found


def _once(connection: Any, way: Way, bodies: list[bytes]) -> float:
    with connection, connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE IF EXISTS copied; {way.create}")
    began = time.monotonic()
    for body in bodies:
        with connection, connection.cursor() as cursor:
            cursor.copy_expert(way.copy, io.BytesIO(body))
    seconds = time.monotonic() - began
    count = "count(*)" if way is ROWS else "sum(cardinality(value))"
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {count} FROM copied")
        assert cursor.fetchone()[0] == len(bodies) * A_COMMIT
    return seconds


@contextmanager
def database(service: Service, name: str = DATABASE) -> Iterator[Any]:
    """A connection to a fresh database beside the service's own; dropped afterwards."""
    server = psycopg2.connect(host=str(service.sockets), user="postgres", dbname="postgres")
    server.autocommit = True
    cursor = server.cursor()
    cursor.execute(f"DROP DATABASE IF EXISTS {name}")
    cursor.execute(f"CREATE DATABASE {name}")
    connection = psycopg2.connect(host=str(service.sockets), user="postgres", dbname=name)
    try:
        yield connection
    finally:
        connection.close()
        cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")
        server.close()


def median(values: list[float]) -> float:
    return statistics.median(values)
