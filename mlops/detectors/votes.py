"""N of M: a reading is beyond a limit only if it makes N of a sensor's last M readings that are.

What was beyond is remembered as bits, the newest the lowest, so many as the sensor looks back. A sensor that does not
(N = M = 1) costs a comparison.
"""

from __future__ import annotations

import numpy as np

from mlops.detectors.contract import Block
from sensors.columns import Bool, Int32, SensorTable

MOST = 32
"""The most readings that are looked at."""


def counted(beyond: Bool, block: Block, table: SensorTable, recent: Int32) -> tuple[Bool, Int32]:
    """Which readings count as beyond, and what to remember after them.

    ``beyond``: n x k, of each reading and limit whether it is. ``recent``: S x k, what was remembered.
    """
    if not ((table.alarm_readings_of > 1).any() or recent.any()):
        return beyond, recent
    rows, counts, ends = block.rows, block.counts, block.starts + block.counts
    of, needed = np.maximum(table.alarm_readings_of[rows], 1), table.alarm_readings[rows]
    among, kept = np.repeat(np.arange(len(rows)), counts), recent[rows].astype(np.int64)
    fresh = kept << np.minimum(counts, MOST)[:, None]
    result, after = beyond.copy(), recent.copy()
    for k in np.flatnonzero(beyond.any(axis=0)):
        place = np.flatnonzero(beyond[:, k])
        whose = among[place]
        inside = np.minimum(of[whose], place - block.starts[whose] + 1)
        here = np.arange(1, len(place) + 1) - np.searchsorted(place, place - inside + 1)
        before = kept[whose, k] & ((np.int64(1) << (of[whose] - inside)) - 1)
        result[place, k] = here + np.bitwise_count(before) >= needed[whose]
        back = ends[whose] - 1 - place
        last = back < of[whose] - 1
        bits = np.bincount(whose[last], weights=2.0 ** back[last], minlength=len(rows))
        fresh[:, k] += bits.astype(np.int64)
    after[rows] = fresh & ((np.int64(1) << (of - 1)) - 1)[:, None]
    return result, after
