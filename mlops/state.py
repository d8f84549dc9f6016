"""What validate and detect remember of sensors: named arrays whose first axis is the sensor.

Pure: numpy in, numpy out. ``sensor`` (int64, sorted) names the rows. A state grows by sensors it has not seen (they
start cold) and never by readings, and it packs to bytes without pickle.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
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


VERSION = 1


def pack(state: State) -> bytes:
    """The state as bytes; ``unpack`` returns it bit for bit."""
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, _version=np.int64(VERSION), _sensor=state.sensor, **state.arrays)
    return buffer.getvalue()


def unpack(data: bytes) -> State:
    """The inverse of ``pack``. Raises ``NotState`` for foreign bytes or another version."""
    try:
        with np.load(io.BytesIO(bytes(data)), allow_pickle=False) as stored:
            if int(stored["_version"]) != VERSION:
                raise NotState(f"version {int(stored['_version'])}, this code reads {VERSION}")
            arrays = {name: stored[name] for name in stored.files if not name.startswith("_")}
            return State(stored["_sensor"], arrays)
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise NotState(f"cannot be read: {error}") from error


Fields = Mapping[str, tuple[type[np.generic], tuple[int, ...], float]]
"""Name of an array -> dtype, shape of one sensor's part, value it starts with."""


def cold(sensor: Int64, fields: Fields) -> State:
    """The state of sensors (sorted, unique ids) of which nothing is known yet."""
    return State(sensor, {n: np.full((len(sensor), *shape), fill, dtype) for n, (dtype, shape, fill) in fields.items()})


def align(state: State, sensor: Int64, fields: Fields) -> State:
    """The state with a row for every given sensor beside those it has; new ones, and new arrays, start cold."""
    ids = np.union1d(state.sensor, sensor)
    grown = cold(ids, fields)
    known = np.searchsorted(ids, state.sensor)
    for name, array in grown.arrays.items():
        if name in state.arrays:
            array[known] = state.arrays[name]
    return grown
