"""Sensor tables and columns for unit tests: everything unset unless said."""

from __future__ import annotations

import numpy as np

from sensors.columns import Columns, SensorTable

VOTES = ("alarm_readings", "alarm_readings_of", "rate_span")
SPANS = ("machine", "period", "lateness", "calibration_due", "regime", "fault_until", "group", "declared")


def table(sensors: list[int], **settings: float) -> SensorTable:
    n = len(sensors)
    settings = {"lateness": 3_600_000_000, **settings}
    whole = (*SPANS, *VOTES)
    columns = {
        name: np.full(n, settings.get(name, 0 if name in whole else np.nan), np.int64 if name in whole else np.float64)
        for name in SensorTable.__slots__
        if name != "sensor"
    }
    return SensorTable(sensor=np.array(sensors, np.int64), **columns)


def columns(at: object, value: object, sensor: object = 1) -> Columns:
    instants = np.asarray(at, np.int64)
    ids = np.broadcast_to(np.asarray(sensor, np.int64), instants.shape).copy()
    return Columns(ids, instants, np.asarray(value, np.float64), np.arange(len(instants), dtype=np.int32))
