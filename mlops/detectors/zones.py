"""Zones of vibration by ISO 20816-3: C is fit for a short time only, D is likely to do damage."""

from __future__ import annotations

import numpy as np

from mlops.detectors import votes
from mlops.detectors.contract import Block, Scores
from mlops.detectors.limits import held
from mlops.state import Fields, State
from sensors.columns import Bool, SensorTable

DEADBAND = 0.05
"""Share of a boundary by which a value must be below it to be out of the zone again, where the sensor has no deadband
of its own: the largest that EEMUA 191 starts from for other quantities; it says nothing of vibration."""


class Zones:
    """Abnormal from the moment a value reaches zone C (or D) until it is below the boundary by the deadband.

    Sensors that are not graded (``sensors.zones``) are always normal. N of M (``votes``) is the sensor's. Score: 0.75
    in zone C, 1 in zone D, else 0.
    """

    name = "zones"
    version = "1"
    by_machine = False
    needs: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("ZONE_C", "ZONE_D")
    columns = ("zone_c", "zone_d")
    fields: Fields = {"beyond": (np.bool_, (2,), 0.0), "recent": (np.int32, (2,), 0)}

    def judge(self, block: Block, table: SensorTable, state: State, frozen: Bool) -> tuple[Scores, State]:
        """See ``contract.Detector``."""
        value, n = block.columns.value, len(block.columns)
        before = np.asarray(state.arrays["beyond"], np.bool_)
        beyond, last = np.zeros((n, 2), np.bool_), before.copy()
        ends = block.starts + block.counts - 1
        own = np.nan_to_num(table.deadband)
        for k, name in enumerate(self.columns):
            boundary = np.asarray(getattr(table, name))
            band = np.where(own > 0, own, DEADBAND * boundary)
            over = value - boundary[block.row]
            beyond[:, k] = held(over >= 0, ~(over >= -band[block.row]), block, before[:, k])
            last[block.rows, k] = beyond[ends, k]
        beyond, recent = votes.counted(beyond, block, table, state.arrays["recent"])
        verdict = np.where(beyond[:, 1], 2, beyond[:, 0]).astype(np.int8)
        score = np.select([verdict == 2, verdict == 1], [1.0, 0.75], 0.0)
        unknown = np.full(n, np.nan)
        high = table.zone_c[block.row]
        scores = Scores(score, verdict, unknown, high, block.columns.at.copy(), score)
        return scores, State(state.sensor, {"beyond": last, "recent": recent})
