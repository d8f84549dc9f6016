"""Fixed limits with hysteresis: low-low, low, high, high-high (ISA-18.2 process alarms)."""

from __future__ import annotations

import numpy as np

from mlops.detectors import votes
from mlops.detectors.contract import Block, Scores
from mlops.state import Fields, State
from sensors.columns import Bool, Int64, SensorTable


class Limits:
    """Abnormal from the moment a value reaches a limit until it is back inside by the deadband.

    The deadband (ISA-18.2, OPC UA Part 9) is the sensor's own, in its unit; none = 0. Of the readings beyond a limit
    those count that the sensor's N of M lets count (``votes``). Score: 0.75 beyond low or high, 1 beyond low-low or
    high-high, else 0.
    """

    name = "limits"
    version = "1"
    by_machine = False
    needs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("LIMIT_LOW_LOW", "LIMIT_LOW", "LIMIT_HIGH", "LIMIT_HIGH_HIGH")
    columns = ("low_low", "low", "high", "high_high")
    fields: Fields = {"beyond": (np.bool_, (4,), 0.0), "recent": (np.int32, (4,), 0)}

    def judge(self, block: Block, table: SensorTable, state: State, frozen: Bool) -> tuple[Scores, State]:
        value, n = block.columns.value, len(block.columns)
        band = np.nan_to_num(table.deadband)[block.row]
        before = np.asarray(state.arrays["beyond"], np.bool_)
        beyond, last = np.zeros((n, 4), np.bool_), before.copy()
        ends = block.starts + block.counts - 1
        for k, name in enumerate(self.columns):
            limit = np.asarray(getattr(table, name))
            if np.isnan(limit[block.rows]).all():
                last[block.rows, k] = False
                continue
            sign = -1.0 if k < 2 else 1.0
            over = sign * (value - limit[block.row])
            beyond[:, k] = held(over >= 0, ~(over >= -band), block, before[:, k])
            last[block.rows, k] = beyond[ends, k]
        beyond, recent = votes.counted(beyond, block, table, state.arrays["recent"])
        severe = beyond[:, 0] | beyond[:, 3]
        verdict = np.select([beyond[:, 0], beyond[:, 3], beyond[:, 1], beyond[:, 2]], [1, 4, 2, 3], 0).astype(np.int8)
        score = np.where(severe, 1.0, np.where(verdict > 0, 0.75, 0.0))
        low = np.fmax(table.low, table.low_low)[block.row]
        high = np.fmin(table.high, table.high_high)[block.row]
        scores = Scores(score, verdict, low, high, block.columns.at.copy(), score)
        return scores, State(state.sensor, {"beyond": last, "recent": recent})


def held(on: Bool, off: Bool, block: Block, before: Bool) -> Bool:
    """A switch per sensor: set by ``on``, reset by ``off``, else as it was; ``before`` is where it stood, per row."""
    index: Int64 = np.arange(len(on), dtype=np.int64)
    newest = np.maximum.accumulate(np.where(on | off, index, -1))
    start = np.repeat(block.starts, block.counts)
    told = newest >= start
    return np.where(told, on[newest], before[block.row])
