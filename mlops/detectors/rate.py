"""Limits of the rate of change: how far a value may move within a span (rate-of-change alarms, OPC UA Part 9)."""

from __future__ import annotations

import numpy as np

from mlops.detectors import votes
from mlops.detectors.compiled import compiled
from mlops.detectors.contract import Block, Scores
from mlops.state import Fields, State
from sensors.columns import SECOND_US, Bool, Float64, Int64, SensorTable

PARTS = 4
"""Of a span. What a reading is held against is the mean of the part a span ago, so that no single reading makes it."""
MINUTE_US = 60 * SECOND_US


class Rate:
    """Abnormal while a value is further from where it was a span ago than its limits allow for the time between.

    Where it was: the mean of the part that began a span before the part of the reading (parts begin at multiples of
    their length since the epoch); where that has no readings, of the newest one before it that has. So the rate is that
    over the span, and over more where readings are rarer. N of M (``votes``) is the sensor's. Score: 0.75, else 0; NaN
    in the first span. Sensors without such limits cost a comparison.
    """

    name = "rate"
    version = "1"
    by_machine = False
    needs: tuple[str, ...] = ("rise_per_minute", "fall_per_minute")
    kinds: tuple[str, ...] = ("RATE_LOW", "RATE_HIGH")
    fields: Fields = {
        "level": (np.float64, (PARTS + 1,), 0),  # means of the newest parts that have readings, the newest first
        "instant": (np.int64, (PARTS + 1,), 0),  # and of their instants; 0 = there is none
        "readings": (np.int64, (), 0),  # of the newest part
        "spent": (np.int64, (), 0),  # sum of their distances from its beginning
        "recent": (np.int32, (2,), 0),
    }

    def judge(self, block: Block, table: SensorTable, state: State, frozen: Bool) -> tuple[Scores, State]:
        """See ``contract.Detector``."""
        columns, n = block.columns, len(block.columns)
        limited = ~(np.isnan(table.rise_per_minute) & np.isnan(table.fall_per_minute))
        nothing, unknown = np.zeros(n), np.full(n, np.nan)
        if not limited[block.rows].any():
            return Scores(nothing, np.zeros(n, np.int8), unknown, unknown, columns.at.copy(), nothing), state
        low, high, since = unknown, unknown.copy(), columns.at.copy()
        arrays = {name: array.copy() for name, array in state.arrays.items()}
        follow(
            columns.at, columns.value, block.starts, block.counts, block.rows,
            np.where(limited, np.maximum(table.rate_span // PARTS, 1), 0), table.rise_per_minute, table.fall_per_minute,
            arrays["level"], arrays["instant"], arrays["readings"], arrays["spent"], low, high, since,
        )  # fmt: skip
        beyond = np.stack([columns.value < low, columns.value > high], axis=1)
        beyond, recent = votes.counted(beyond, block, table, arrays["recent"])
        arrays["recent"][limited] = recent[limited]
        verdict = np.select([beyond[:, 0], beyond[:, 1]], [1, 2], 0).astype(np.int8)
        news = np.where(verdict > 0, 0.75, 0.0)
        score = np.where(limited[block.row] & (since == columns.at), np.nan, news)
        return Scores(score, verdict, low, high, since, news), State(state.sensor, arrays)


@compiled
def follow(
    at: Int64, value: Float64, starts: Int64, counts: Int64, rows: Int64, width: Int64, rise: Float64, fall: Float64,
    level: Float64, instant: Int64, readings: Int64, spent: Int64, low: Float64, high: Float64, since: Int64,
) -> None:  # fmt: skip
    """Fill in what each reading may be, and since when that is known; the last ones of a sensor are remembered.

    ``width``: of a part, by row, 0 = the sensor is not looked at. ``low``, ``high``, ``since``: as long as ``at``.
    """
    for s in range(len(starts)):
        r = rows[s]
        for i in range(starts[s], starts[s] + counts[s] if width[r] else starts[s]):
            part = at[i] // width[r]
            for k in range(PARTS + 1):
                if instant[r, k] > 0 and instant[r, k] // width[r] <= part - PARTS:
                    minutes = (at[i] - instant[r, k]) / MINUTE_US
                    low[i], high[i] = level[r, k] - fall[r] * minutes, level[r, k] + rise[r] * minutes
                    since[i] = instant[r, k]
                    break
            if instant[r, 0] == 0 or instant[r, 0] // width[r] != part:
                for k in range(PARTS, 0, -1):
                    level[r, k], instant[r, k] = level[r, k - 1], instant[r, k - 1]
                level[r, 0], readings[r], spent[r] = 0.0, 0, 0
            readings[r] += 1
            spent[r] += at[i] - part * width[r]
            level[r, 0] += (value[i] - level[r, 0]) / readings[r]
            instant[r, 0] = part * width[r] + spent[r] // readings[r]
