"""Stored readings as they lie: the chunks of the newest days, the blocks of the older ones, in one statement.

One statement sees one state of the database, so that a day that is compacted meanwhile is read once, here or there.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from django.db import connection

from sensors import blocks, pgcopy
from sensors.blocks import Readings

BUFFER = 4_000_000
ROW = np.dtype([("sensor_id", "i8"), ("at", "i8"), ("value", "f8"), ("quality", "i2"), ("reason", "i2")])
LOOSE = (
    "reading.at, reading.value, coalesce(reading.quality, 0::smallint), coalesce(reading.reason, 0::smallint),"
    " NULL::bytea"
)
"""What is selected of chunks, after the sensor."""
UNNESTED = (
    "CROSS JOIN LATERAL unnest(chunk.at, chunk.value, chunk.quality, chunk.reason)"
    " AS reading (at, value, quality, reason)"
)
PACKED = "NULL, NULL, NULL, NULL, block.data"
"""What is selected of blocks, after the sensor."""

Each = Callable[[np.ndarray[Any, np.dtype[np.int64]], Readings], None]


def read(query: str, params: Sequence[object] | Mapping[str, object], *, each: Each) -> None:
    """Run a statement of rows of sensor, ``LOOSE`` and sensor, ``PACKED``; ``each`` is called with piece after piece.

    A piece: n sensor ids, and their readings. A block comes wholly, whatever the statement asks for. The order of the
    pieces is any, and within one of chunks the order of the readings too.
    """

    def loose(table: pgcopy.Table) -> None:
        marks = (table[name].astype(np.uint8) for name in ("quality", "reason"))
        each(table["sensor_id"], Readings(table["at"], table["value"], *marks))

    def packed(sensor_id: int, data: bytes) -> None:
        readings = blocks.decode(data)
        each(np.full(len(readings), sensor_id, np.int64), readings)

    copy(query, params, pgcopy.Reader(ROW, instants=("at",), loose=loose, packed=packed))


def copy(query: str, params: Sequence[object] | Mapping[str, object], reader: pgcopy.Reader) -> None:
    """Run a statement and have the reader take its rows in the binary format."""
    with connection.wrap_database_errors, connection.cursor() as cursor:
        text = cursor.cursor.mogrify(query, params).decode()
        with io.BufferedWriter(reader, BUFFER) as pipe:
            cursor.copy_expert(f"COPY ({text}) TO STDOUT WITH (FORMAT binary)", pipe)
