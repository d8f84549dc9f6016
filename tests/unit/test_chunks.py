"""The encoders against ones that write value by value."""

from __future__ import annotations

import struct

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensors import chunks, pgcopy
from sensors.columns import Columns
from sensors.pgcopy import EPOCH_US, HEADER, TRAILER
from tests import oracles


def array(oid: int, code: str, items: list[float]) -> bytes:
    size = struct.calcsize(f">{code}")
    body = struct.pack(">iiiii", 1, 0, oid, len(items), 1)
    body += b"".join(struct.pack(f">i{code}", size, item) for item in items)
    return struct.pack(">i", len(body)) + body


def row(sensor: int, at: list[int], values: list[float], marks: list[tuple[int, int]] | None) -> bytes:
    instants = [instant - EPOCH_US for instant in at]
    out = struct.pack(">hiqiqiq", 7, 8, sensor, 8, instants[0], 8, instants[-1])
    out += array(1184, "q", list(instants)) + array(701, "d", values)
    if marks is None:
        return out + struct.pack(">ii", -1, -1)
    return out + b"".join(array(21, "h", [mark[n] for mark in marks]) for n in (0, 1))


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 200), st.sampled_from([0.0, -0.0, 2.5, 1e300]),
                  st.sampled_from([(0, 0), (0, 0), (2, 9), (0, 4)])),
        max_size=60, unique_by=lambda r: r[:2],
    ),
    st.integers(0, 60),
)  # fmt: skip
def test_chunks_are_those_of_the_oracle(readings: list[tuple[int, int, float, tuple[int, int]]], dense: int) -> None:
    minute = 60_000_000
    rows = sorted((sensor, n * minute, value, mark) for sensor, n, value, mark in readings)
    rows += [(4, n, 1.0, (0, 0)) for n in range(dense and chunks.MOST + dense)]
    sensor, at, value, marks = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    columns = Columns(
        np.array(sensor, np.int64),
        np.array(at, np.int64),
        np.array(value, np.float64),
        np.arange(len(at), dtype=np.int32),
    )
    quality, reason = (np.array([mark[n] for mark in marks], np.uint8) for n in (0, 1))
    wanted = oracles.chunks(sensor, at, value, marks, chunks.MOST)
    wanted.sort(key=lambda chunk: (len(chunk[1]), chunk[3] is not None))
    body = b"".join(row(*chunk) for chunk in wanted)
    assert chunks.rows(columns, quality=quality, reason=reason) == HEADER + body + TRAILER


TABLE = np.dtype([("sensor_id", "i8"), ("at", "i8"), ("value", "f8"), ("quality", "i2")])


@given(st.lists(st.one_of(st.integers(0, 5), st.binary(max_size=20)), max_size=12), st.lists(st.integers(1, 60)))
def test_rows_of_both_kinds_are_read_whatever_pieces_they_come_in(rows: list[int | bytes], cuts: list[int]) -> None:
    """A number stands for so many rows of columns, bytes for a row of them."""
    body, wanted = HEADER, []
    for n, item in enumerate(rows):
        if isinstance(item, bytes):
            body += struct.pack(">hiqiiii", 5, 8, n, -1, -1, -1, len(item)) + item
            wanted.append((n, item))
            continue
        for k in range(item):
            body += struct.pack(">hiqiqidihi", 5, 8, n, 8, k - EPOCH_US, 8, k / 3, 2, k, -1)
            wanted.append((n, k, k / 3, k))
    body += TRAILER
    found: list[tuple[object, ...]] = []
    reader = pgcopy.Reader(
        TABLE,
        instants=["at"],
        loose=lambda table: found.extend(table.tolist()),
        packed=lambda sensor, data: found.append((sensor, data)),
    )
    for cut in cuts:
        reader.write(body[:cut])
        body = body[cut:]
    reader.write(body)
    assert found == wanted


def test_a_table_is_written_as_the_format_wants_it() -> None:
    table = np.array([(7, 5, 2.5, 1)], TABLE)
    wanted = struct.pack(">hiqiqidih", 4, 8, 7, 8, 5 - EPOCH_US, 8, 2.5, 2, 1)
    assert pgcopy.rows(table, instants=["at"]) == HEADER + wanted + TRAILER
