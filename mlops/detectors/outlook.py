"""What is expected of the next chunk of readings: six forecasters beside each other, and which of them is believed.

A part of the adaptive detector, which see for the method.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from mlops.state import Array
from sensors.columns import SECOND_US, Bool, Float64, Int64, SensorTable

CHUNK = 8
HOUR_US = 3600 * SECOND_US
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
MEMORIES = np.array([24.0, 192.0, 1536.0])
HANDICAP = np.array([1.10, 1.05, 1.0, 1.32, 1.26, 1.2])
"""A forecaster is chosen by error x handicap: slow before fast, plain before seasonal."""


@dataclass(frozen=True, slots=True)
class View:
    """A chunk of R sensors, and what was known of them when it began.

    ``value``, ``at``, ``bins`` (hour of the day), ``forecast``: R x 8; ``levels``: what each of the six forecasters
    expects, R x 8 x 6, ``scales``: their errors, R x 6; ``known``: whether the profile knows all its hours, R;
    ``best``: the one that is used, R, ``scale``: its error, R x 1; ``distance`` from the forecast, in scales: R x 8.
    """

    rows: Int64
    value: Float64
    at: Int64
    bins: Int64
    levels: Float64
    known: Bool
    scales: Float64
    best: Int64
    forecast: Float64
    scale: Float64
    distance: Float64

    def take(self, which: Bool) -> View:
        return View(*(getattr(self, field.name)[which] for field in fields(self)))


def look(rows: Int64, arrays: dict[str, Array], table: SensorTable) -> View:
    value, at = np.asarray(arrays["values"])[rows], np.asarray(arrays["instants"])[rows]
    bins = at // HOUR_US % 24
    best = choose(rows, arrays)
    levels, known = forecasts(rows, bins, arrays)
    each = scales(rows, arrays, table)
    some = np.arange(len(rows))
    forecast = np.asarray(levels[some[:, None], np.arange(CHUNK), best[:, None]])
    scale = np.asarray(each[some, best][:, None])
    distance = np.asarray(np.abs(value - forecast) / scale)
    all_known = np.asarray(known.all(axis=1))
    return View(rows, value, at, bins, levels, all_known, each, best, forecast, scale, distance)


def choose(rows: Int64, arrays: dict[str, Array]) -> Int64:
    """The forecaster of each sensor: smallest error with its handicap; a season needs three days and one of test."""
    cost = np.asarray(arrays["error"])[rows] * HANDICAP
    tested = arrays["judged"][rows, 3] * arrays["period"][rows] >= DAY_US
    cost[~tested, 3:] = np.inf
    return np.asarray(np.argmin(cost, axis=1), np.int64)


def forecasts(rows: Int64, bins: Int64, arrays: dict[str, Array]) -> tuple[Float64, Bool]:
    """What each of the six expects (R x 8 x 6), and where the profile knows the hour (R x 8)."""
    season = np.take_along_axis(np.asarray(arrays["profile"])[rows], bins, axis=1)
    known = np.asarray(np.take_along_axis(np.asarray(arrays["days"])[rows], bins, axis=1) >= 2)
    level = np.repeat(np.asarray(arrays["level"])[rows][:, None, :], CHUNK, axis=1)
    level[:, :, 3:] = np.where(known[:, :, None], level[:, :, 3:] + season[:, :, None], level[:, :, :3])
    return level, known


def scales(rows: Int64, arrays: dict[str, Array], table: SensorTable) -> Float64:
    """Scale of each of the six (R x 6)."""
    floor = np.maximum(np.nan_to_num(table.resolution[rows]), 1e-4 * np.abs(arrays["level"][rows, 0]))
    return np.asarray(np.maximum(arrays["error"][rows], np.maximum(floor, 1e-9)[:, None]))
