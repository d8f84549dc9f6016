"""Readings of one sensor that came together, as one row: what Postgres stores ten times as fast as a row for each.

Pure. A chunk never crosses an hour (UTC), so that what a window needs is found by the key alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sensors import rollups
from sensors.columns import Columns, Int64, UInt8
from sensors.pgcopy import EPOCH_US, HEADER, NULL, TRAILER

MOST = 4_000
"""Readings of a chunk at most."""
FIELDS = ("sensor_id", "start_at", "end_at", "at", "value", "quality", "reason")
TIMESTAMPTZ, FLOAT8, INT2 = 1184, 701, 21  # oids
ARRAY_HEAD = 20
ELEMENTS = {kind: np.dtype([("size", ">i4"), ("item", kind)]) for kind in (">i8", ">f8", ">i2")}


def rows(columns: Columns, *, quality: UInt8, reason: UInt8) -> bytes:
    """n readings in order of sensor and instant as rows of ``FIELDS`` in the binary COPY format.

    ``quality`` and ``reason``: length n; NULL in the rows where all of a chunk are 0.
    """
    starts, ends = _cuts(columns)
    length = ends - starts
    marked = np.maximum.reduceat(quality | reason, starts) > 0 if len(starts) else np.empty(0, np.bool_)
    out = [HEADER]
    for size in np.unique(length):
        for plain in (True, False):
            mine = starts[(length == size) & (marked != plain)]
            if len(mine):
                out.append(_same_length(columns, quality, reason, at=mine[:, None] + np.arange(size), plain=plain))
    return b"".join([*out, TRAILER])


def _cuts(columns: Columns) -> tuple[Int64, Int64]:
    starts = rollups.beginnings(columns)
    length = np.diff(starts, append=len(columns))
    if len(columns) and length.max() > MOST:
        place = np.arange(len(columns)) - np.repeat(starts, length)
        starts = np.flatnonzero(place % MOST == 0)
    return starts, np.append(starts[1:], len(columns))[: len(starts)]


def _same_length(columns: Columns, quality: UInt8, reason: UInt8, *, at: Int64, plain: bool) -> bytes:
    """``at``: positions, one row for each chunk."""
    count = at.shape[1]
    marks: list[tuple[Any, ...]] = []
    for name in ("quality", "reason"):
        marks += [(f"{name}_size", ">i4")] if plain else _array(name, ">i2", count)
    keys = [(name, kind) for key in FIELDS[:3] for name, kind in ((f"{key}_size", ">i4"), (key, ">i8"))]
    row = np.dtype([("fields", ">i2"), *keys, *_array("at", ">i8", count), *_array("value", ">f8", count), *marks])
    out = np.empty(len(at), row)
    out["fields"] = len(FIELDS)
    for name in FIELDS[:3]:
        out[f"{name}_size"] = 8
    instants = columns.at[at] - EPOCH_US
    out["sensor_id"], out["start_at"], out["end_at"] = columns.sensor[at[:, 0]], instants[:, 0], instants[:, -1]
    _fill(out, "at", instants, oid=TIMESTAMPTZ)
    _fill(out, "value", columns.value[at], oid=FLOAT8)
    if plain:
        out["quality_size"] = out["reason_size"] = NULL
    else:
        _fill(out, "quality", quality[at], oid=INT2)
        _fill(out, "reason", reason[at], oid=INT2)
    return out.tobytes()


def _array(name: str, kind: str, count: int) -> list[tuple[Any, ...]]:
    head: list[tuple[Any, ...]] = [
        (f"{name}_{part}", ">i4") for part in ("size", "dimensions", "nulls", "oid", "length", "lower")
    ]
    return [*head, (name, ELEMENTS[kind], (count,))]


def _fill(out: Any, name: str, items: Any, *, oid: int) -> None:
    elements = out[name]
    size = elements.dtype["item"].itemsize
    out[f"{name}_size"] = ARRAY_HEAD + items.shape[1] * elements.dtype.itemsize
    out[f"{name}_dimensions"], out[f"{name}_nulls"], out[f"{name}_oid"] = 1, 0, oid
    out[f"{name}_length"], out[f"{name}_lower"] = items.shape[1], 1
    elements["size"], elements["item"] = size, items
