"""What ``validate`` and ``detect`` compile on first use, used once: so that no run waits for it.

Workers do it before they fork, so that their children have it loaded; ``python -m agents`` so that it is on disk.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents import detect, judge_file, validate
from mlops.state import State
from sensors.columns import SECOND_US, Columns

QUEUES = frozenset({"validate", "detect", "quarantine", "backtest"})
"""Whose workers judge."""


def up() -> None:
    """Two readings of two sensors of a machine, once through both."""
    ids, none = np.array([1, 2]), State(np.empty(0, np.int64), {})
    table = replace(
        judge_file.unconfigured(len(ids)), group=np.ones(2, np.int64), declared=np.ones(2, np.bool_),
        period=ids * SECOND_US, rise_per_minute=np.ones(2), rate_span=ids * SECOND_US,
    )  # fmt: skip
    readings = Columns(ids, ids * SECOND_US, ids * 1.0, np.zeros(2, np.int32))
    validate.validate(columns=readings, table=table, memory=none)
    good, in_time = np.zeros(2, np.uint8), np.zeros(2, np.bool_)
    detect.detect(columns=readings, table=table, quality=good, reason=good, late=in_time, state=none)
