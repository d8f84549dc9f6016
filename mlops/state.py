"""What validate and detect remember of sensors: named arrays whose first axis is the sensor.

Pure: numpy in, numpy out. ``sensor`` (int64, sorted) names the rows. A state grows by sensors it has not seen (they
start cold) and never by readings, and it packs to bytes without pickle.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.columns import Int64

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class State:
    """``arrays[name][row]`` is what is remembered under a name of the sensor ``sensor[row]``."""

    sensor: Int64
    arrays: Mapping[str, Array]

    def take(self, rows: Int64) -> State:
        return State(self.sensor[rows], {name: array[rows] for name, array in self.arrays.items()})


class NotState(ValueError):
    """The bytes are not a state packed by this version."""


MAGIC = b"BWS2"
LENGTH = struct.Struct("<I")
SENSOR = "_sensor"


def pack(state: State) -> bytes:
    """The state as bytes; ``unpack`` returns it bit for bit."""
    return pack_apart(state, [np.arange(len(state.sensor), dtype=np.int64)])[0]


def pack_apart(state: State, groups: Sequence[Int64]) -> list[bytes]:
    """One packed state for each group of rows. The rows are records, so that a group is a slice and costs no more."""
    columns = {SENSOR: state.sensor, **state.arrays}
    layout = np.dtype([(name, array.dtype.newbyteorder("<"), array.shape[1:]) for name, array in columns.items()])
    rows = np.empty(len(state.sensor), layout)
    for name, array in columns.items():
        rows[name] = array
    text = json.dumps([[name, array.dtype.str, list(array.shape[1:])] for name, array in columns.items()])
    packed = zlib.compress(text.encode(), 9)
    head = MAGIC + LENGTH.pack(len(packed)) + packed
    return [head + rows[group].tobytes() for group in groups]


def unpack(data: bytes) -> State:
    """The inverse of ``pack``. Raises ``NotState`` for foreign bytes."""
    return unpack_together([data])[0]


def unpack_together(found: Sequence[bytes]) -> list[State]:
    """The states of several packed ones: one for all that have the same arrays. Raises ``NotState``."""
    bodies: dict[bytes, list[memoryview]] = {}
    states = []
    for data in found:
        if data[:4] == ZIP:
            states.append(_unzip(data))
            continue
        if data[:4] != MAGIC or len(data) < 8:
            raise NotState("not a state, or one of a newer version")
        end = 8 + LENGTH.unpack_from(data, 4)[0]
        bodies.setdefault(data[8:end], []).append(memoryview(data)[end:])
    return states + [_unpack_rows(head, b"".join(parts)) for head, parts in bodies.items()]


def _unpack_rows(head: bytes, body: bytes) -> State:
    layout = _layout(head)
    if len(body) % layout.itemsize:
        raise NotState(f"{len(body)} bytes are not rows of {layout.itemsize}")
    rows = np.frombuffer(body, layout)
    arrays = {name: np.ascontiguousarray(rows[name]) for name in layout.names or ()}
    return State(arrays.pop(SENSOR), arrays)


@cache
def _layout(head: bytes) -> np.dtype[np.void]:
    try:
        layout = np.dtype([(name, kind, tuple(shape)) for name, kind, shape in json.loads(zlib.decompress(head))])
    except (zlib.error, ValueError, TypeError) as error:
        raise NotState(f"cannot be read: {error}") from error
    if layout.hasobject or SENSOR not in (layout.names or ()):
        raise NotState("its arrays are not those of a state")
    return layout


ZIP = b"PK\x03\x04"


def _unzip(data: bytes) -> State:
    """As the first version packed it."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            if int(stored["_version"]) != 1:
                raise NotState(f"version {int(stored['_version'])}")
            arrays = {name: stored[name] for name in stored.files if not name.startswith("_")}
            return State(stored["_sensor"], arrays)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise NotState(f"cannot be read: {error}") from error


Fields = Mapping[str, tuple[type[np.generic], tuple[int, ...], float]]
"""Name of an array -> dtype, shape of one sensor's part, value it starts with."""


def cold(sensor: Int64, fields: Fields) -> State:
    """The state of sensors (sorted, unique ids) of which nothing is known yet."""
    return State(sensor, {n: np.full((len(sensor), *shape), fill, dtype) for n, (dtype, shape, fill) in fields.items()})


def completed(state: State, fields: Fields) -> State:
    """The state with those of the arrays that it lacks, as they start."""
    if not fields.keys() - state.arrays.keys():
        return state
    return State(state.sensor, {**cold(state.sensor, fields).arrays, **state.arrays})


def align(state: State, sensor: Int64, fields: Fields) -> State:
    """The state with a row for every given sensor beside those it has; new ones, and new arrays, start cold."""
    ids = np.union1d(state.sensor, sensor)
    grown = cold(ids, fields)
    known = np.searchsorted(ids, state.sensor)
    for name, array in grown.arrays.items():
        if name in state.arrays:
            array[known] = state.arrays[name]
    return grown
