"""``python -m agents``: compile what ``validate`` compiles on first use, so that no worker has to while a run waits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents import judge_file, validate
from mlops.state import State
from sensors.columns import SECOND_US, Columns

ids = np.array([1, 2])
table = replace(
    judge_file.unconfigured(len(ids)), group=np.ones(2, np.int64), declared=np.ones(2, np.bool_), period=ids * SECOND_US
)
readings = Columns(ids, ids * SECOND_US, ids * 1.0, np.zeros(2, np.int32))
validate.validate(columns=readings, table=table, memory=State(np.empty(0, np.int64), {}))
