"""Whether a sensor's own past bears out what is told of when it will be at a limit. Pure.

A limit is hardly ever passed, so levels on the way stand for it: from an origin, those that the trend so far reaches
within the horizon, whatever came. What came is the truth: the first row at or beyond the level, inf where none is
within the horizon. Origins are a horizon apart, so that no two answers are held against the same rows.
"""

from __future__ import annotations

import numpy as np

from mlops.learning.examples import Track
from mlops.time_to_limit import LEAST, robust_line, time_to_limit
from sensors.columns import SECOND_US, Float64, Int64

REACHED = (0.25, 0.5, 0.75)
"""Of the horizon, when the line is at the levels."""


def shares(track: Track, *, above: bool, window: int, horizon_us: int) -> Float64:
    """Of each origin at which anything was said: of its levels the share whose truth lay within P10 and P90.

    ``track``: of one feature; ``above``: it is the limits above it that are asked about; ``window``: rows that tell of
    the trend.
    """
    known = np.isfinite(track.value[:, 0])
    at, value = track.at[known], track.value[known, 0]
    found = []
    begin = int(at[0]) + horizon_us if len(at) else 0
    last = int(at[-1]) if len(at) else 0
    for origin in range(begin, last - horizon_us + 1, horizon_us):
        end = int(np.searchsorted(at, origin, side="right"))
        later = slice(end, int(np.searchsorted(at, origin + horizon_us, side="right")))
        if end >= LEAST and later.start < later.stop:
            seen = Track(track.unit, at[max(0, end - window) : end], value[max(0, end - window) : end, None])
            inside = _inside(seen, at[later], value[later], above=above, horizon_us=horizon_us)
            if inside:
                found.append(float(np.mean(inside)))
    return np.array(found, np.float64)


def _inside(seen: Track, at: Int64, value: Float64, *, above: bool, horizon_us: int) -> list[bool]:
    sign = 1.0 if above else -1.0
    now = int(seen.at[-1])
    place = (seen.at - now) / SECOND_US
    line = robust_line(place, sign * seen.value[:, 0])
    inside = []
    for share in REACHED:
        level = line.level + line.slope * (share * horizon_us / SECOND_US - float(place.mean()))
        if line.slope <= 0 or level <= sign * seen.value[-1, 0]:
            continue
        low, _, high = time_to_limit(
            seen, sign * level, above=above, horizon_s=horizon_us / SECOND_US, window=len(seen.at)
        )
        if not np.isnan(low):
            beyond = np.flatnonzero(sign * value >= level)
            truth = (at[beyond[0]] - now) / SECOND_US if len(beyond) else np.inf
            inside.append(bool(low <= truth <= high))
    return inside
