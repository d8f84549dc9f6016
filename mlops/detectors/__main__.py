"""``python -m mlops.detectors``: compile what is compiled on first use, so that no worker has to while a run waits."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops import state
from mlops.detectors import DETECTORS, contract
from sensors.columns import Columns, SensorTable

one = np.ones(1)
kinds = SensorTable.__annotations__
values: Any = {name: one.astype(np.int64) if kind == "Int64" else one for name, kind in kinds.items()}
table = SensorTable(**values)
readings = Columns(table.sensor, table.sensor, one, table.sensor.astype(np.int32))
for detector in DETECTORS.values():
    learned = state.cold(table.sensor, detector.fields)
    detector.judge(contract.block(readings, learned), table, learned, np.zeros(1, np.bool_))
