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
class Shares:
    """Which sensors contributed to k of the readings of a block. ``reading``: their positions in it, length k;
    ``sensor``, ``share``: k x the same number, a share of 0 = none."""

    reading: Int64
    sensor: Int64
    share: Float64

    def of(self, reading: int) -> tuple[tuple[int, float], ...]:
        """Sensors with their shares, the largest first; nothing where nothing is known."""
        found: list[tuple[int, float]] = []
        for place in np.flatnonzero(self.reading == reading)[:1]:
            found = list(zip(self.sensor[place].tolist(), self.share[place].tolist(), strict=True))
        return tuple(sorted((one for one in found if one[1] > 0), key=lambda one: (-one[1], one[0])))

    def take(self, index: Int64) -> Shares:
        """Those of the readings at these positions (ascending), which become 0, 1, ..."""
        mine = np.isin(self.reading, index)
        return Shares(np.searchsorted(index, self.reading[mine]), self.sensor[mine], self.share[mine])


@dataclass(frozen=True, slots=True)
class Scores:
    """What a detector says of n readings: arrays of length n in the order of the block.

    ``score``: 0..1, how rare it is for this sensor, NaN = not judged yet. ``verdict``: 0 = normal, k = the detector's
    ``kinds[k - 1]``: whether it is rarer than the budget of false alarms allows. ``low``, ``high``: what was expected,
    in the sensor's unit, NaN = no bound. ``since``: instant from which on the history counts that the verdict rests on.
    ``news``: the score where it says something that was not said a moment ago, else 0: what somebody would be told.
    ``observed``: what was compared, where that is not the reading itself; ``shares``: which sensors contributed to the
    abnormal readings, where it is not the reading's alone.
    """

    score: Float64
    verdict: Int8
    low: Float64
    high: Float64
    since: Int64
    news: Float64
    observed: Float64 | None = None
    shares: Shares | None = None

    def take(self, index: Int64) -> Scores:
        """Of the readings at these positions (ascending)."""
        return Scores(
            self.score[index],
            self.verdict[index],
            self.low[index],
            self.high[index],
            self.since[index],
            self.news[index],
            None if self.observed is None else self.observed[index],
            None if self.shares is None else self.shares.take(index),
        )


class Detector(Protocol):
    """One way to judge readings; hyper-parameters in ``__init__``, what it learns in the state.

    ``by_machine``: it looks at all sensors of a machine side by side. Then it is given the rows of all of them, those
    that were never heard as well, and only readings in order; and it forgets by itself what it learned of a sensor
    whose regime (``SensorTable.regime``) begins.
    ``needs``: columns of the table of which a sensor must have one to be looked at; empty: all are. The others are
    normal, and what is remembered of them stays as it is, to the bit.
    """

    name: str
    version: str
    kinds: tuple[str, ...]
    by_machine: bool
    needs: tuple[str, ...]

    @property
    def fields(self) -> Fields:
        """The arrays it remembers, and how they start."""

    def judge(self, block: Block, table: SensorTable, state: State, frozen: Bool) -> tuple[Scores, State]:
        """Score each reading, then learn from it. ``table`` has one row per row of the state, in its order.

        ``frozen``: of each reading, whether it must teach nothing. It is judged all the same; what was learned stays as
        it is, to the bit (by machine, once the instant before it has taught). What only follows the readings (where a
        switch with hysteresis stands, which readings are not enough yet to learn from) goes on.
        """
