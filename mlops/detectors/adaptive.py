"""What the sensor itself taught, without configuration: what to expect, and where it has been.

A reading's error (``forecast``), how new its value and the mean of the last ones are (``novelty``), how much they swing
(``spread``), and states that stay away are judged by the tails of the sensor's own past (``tails``) and become one
score (``verdicts``).
"""

from __future__ import annotations

import numpy as np

from mlops.detectors import forecast, novelty, spread, tails, verdicts
from mlops.detectors.contract import Block, Scores
from mlops.state import Fields, State
from sensors.columns import Bool, SensorTable


class Adaptive:
    """Forecast, memory, spread and tails of each sensor.

    ``false_alarms_per_week``: the budget per sensor; abnormal is what comes less often by chance. The score does not
    depend on it: 1 - exp(-rarity), so that of the ``tails.PEAKS`` largest peaks in the history that the sensor has, a
    share of 1 - score would be as large by chance.
    """

    name = "adaptive"
    version = "3"
    by_machine = False
    needs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = (
        "DEVIATION_LOW", "DEVIATION_HIGH", "NOVEL_LOW", "NOVEL_HIGH", "SHIFT_LOW", "SHIFT_HIGH", "ABSENCE",
        "SPREAD_LOW", "SPREAD_HIGH",
    )  # fmt: skip
    fields: Fields = {
        **verdicts.COURSE, **forecast.FIELDS, **tails.fields(4), **novelty.FIELDS, **spread.FIELDS,
    }  # fmt: skip

    def __init__(self, *, false_alarms_per_week: float = 0.5) -> None:
        self.false_alarms_per_week = false_alarms_per_week

    def judge(self, block: Block, table: SensorTable, state: State, frozen: Bool) -> tuple[Scores, State]:
        """See ``contract.Detector``."""
        every = np.recarray(len(state.sensor), LAYOUT)
        for name, array in state.arrays.items():
            every[name] = array
        n = len(block.columns)
        unknown = (np.full(n, np.nan) for _ in range(4))
        score, news, expected, reach = unknown
        found = verdicts.Found(
            score, news, np.zeros(n, np.bool_), np.zeros(n, np.int8), expected, reach, np.zeros(n, np.int64)
        )
        given = (block.rows, block.starts, block.counts, block.columns.at, block.columns.value)
        resolution = np.nan_to_num(table.resolution)
        verdicts.walk(
            verdicts.Given(*(np.require(one, requirements=["C", "W"]) for one in (*given, resolution, frozen))),
            every,
            found,
            self.false_alarms_per_week,
        )
        side = 2 * found.cause + 1 + (block.columns.value >= expected)
        kind = np.where(found.cause >= verdicts.ABSENCE, found.cause + 4, side)
        verdict = np.where(found.abnormal, kind, 0).astype(np.int8)
        low, high = expected - reach, expected + reach
        arrays = {name: np.ascontiguousarray(every[name]) for name in self.fields}
        return Scores(score, verdict, low, high, found.since, news), State(state.sensor, arrays)


LAYOUT = np.dtype([(name, kind, shape) for name, (kind, shape, _) in Adaptive.fields.items()], align=True)
