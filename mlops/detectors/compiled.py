"""Scalar loops, compiled on first use and kept on disk beside the code (where that cannot be, in the user's cache).

In a folder for each state of the sources: numba sees when a function's own file has changed, not when one that it calls
has, and would go on with what it compiled before an upgrade.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba import njit

from mlops.state import Array

Function = TypeVar("Function", bound=Callable[..., object])
Kept = Any
"""What is remembered of one sensor: a record, with an attribute for each of a detector's fields."""


HERE = Path(__file__).resolve().parent
SOURCES = (HERE, HERE.parents[1] / "agents")
"""Folders of what is compiled."""


def sources() -> str:
    """A digest of all that is compiled, or is called by it."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in SOURCES for path in folder.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


cast(Any, numba.config).CACHE_DIR = str(HERE / "__pycache__" / f"compiled-{sources()}")


def compiled(function: Function) -> Function:
    """The same function, as machine code. What it is called with decides on the types; ``py_func`` is the original."""
    return cast(Function, njit(cache=True)(function))


# What numpy has too, for arrays of a few numbers: compiled in a fraction of the time.


@compiled
def sort(values: Array) -> None:
    """In place, ascending."""
    for i in range(1, len(values)):
        value, j = values[i], i
        while j > 0 and values[j - 1] > value:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value


@compiled
def median(values: Array) -> float:
    """Of an even number of values, which are sorted by it."""
    sort(values)
    middle = len(values) // 2
    return 0.5 * (values[middle - 1] + values[middle])


@compiled
def smallest(values: Array) -> int:
    """The place of the first of the smallest."""
    place = 0
    for i in range(1, len(values)):
        if values[i] < values[place]:
            place = i
    return place


@compiled
def place_of(ascending: Array, count: int, value: float) -> int:
    """How many of the first ``count`` are below the value."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if ascending[middle] < value:
            low = middle + 1
        else:
            high = middle
    return low
