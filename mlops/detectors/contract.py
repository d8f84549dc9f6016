"""What every detector promises. Pure: numpy in, numpy out.

Score before learn; a verdict apart from the score; NaN = not judged yet. The result is the same to the bit however
a sensor's readings are split into blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mlops.state import Fields, State
from sensors.columns import Bool, Columns, Float64, Int64, SensorTable, starts

Int8 = np.ndarray[tuple[int, ...], np.dtype[np.int8]]


@dataclass(frozen=True, slots=True)
class Block:
    """n > 0 readings, sorted by (sensor, at) and unique, of the sensors of one state.

    ``row``: row of each reading's sensor in the state, length n. ``starts``: position of the first reading of each
    sensor that has any; ``rows`` and ``counts``: its row in the state and how many readings it has.
    """

    columns: Columns
    row: Int64
    starts: Int64
    rows: Int64
    counts: Int64


def block(columns: Columns, state: State) -> Block:
    """The readings with their place in a state that has all their sensors."""
    heads = starts(columns.sensor)
    rows, counts = np.searchsorted(state.sensor, columns.sensor[heads]), np.diff(np.append(heads, len(columns)))
    return Block(columns, np.repeat(rows, counts), heads, rows, counts)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector says of n readings: arrays of length n in the order of the block.

    ``score``: 0..1, how rare it is for this sensor, NaN = not judged yet. ``verdict``: 0 = normal, k = the detector's
    ``kinds[k - 1]``: whether it is rarer than the budget of false alarms allows. ``low``, ``high``: what was expected,
    in the sensor's unit, NaN = no bound. ``since``: instant from which on the history counts that the verdict rests on.
    ``news``: the score where it says something that was not said a moment ago, else 0: what somebody would be told.
    """

    score: Float64
    verdict: Int8
    low: Float64
    high: Float64
    since: Int64
    news: Float64


class Detector(Protocol):
    """One way to judge readings; hyper-parameters in ``__init__``, what it learns in the state."""

    name: str
    version: str
    kinds: tuple[str, ...]

    @property
    def fields(self) -> Fields:
        """The arrays it remembers, and how they start."""

    def judge(self, block: Block, table: SensorTable, state: State, frozen: Bool) -> tuple[Scores, State]:
        """Score each reading, then learn from it. ``table`` has one row per row of the state, in its order.

        ``frozen``: of each row, whether its readings must teach nothing. They are judged all the same; what was
        learned stays as it is, to the bit. What only follows the readings (where a switch with hysteresis stands, which
        readings are not enough yet to learn from) goes on.
        """
