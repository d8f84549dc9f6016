"""What a sensor is expected to read, learned from itself: level, season and scale, robustly and without configuration.

Six forecasters run beside each other: a level with a memory of 24, 192 or 1536 readings, each plain and on top of an
hour-of-day profile. The one with the smallest recent error is believed (a season only where it explains clearly more).

They learn once per chunk of 8 readings. What is far off teaches little (Huber's psi, then a quarter of it); a sensor
that stays far off for a day and 192 readings begins anew: a new level is not strange for ever.

Scalar loops, compiled by numba; without it the same functions are their own slow oracle.
"""

from __future__ import annotations

import numpy as np

from mlops.detectors.compiled import Kept, compiled, median
from mlops.state import Fields
from sensors.columns import SECOND_US, Bool, Float64

CHUNK = 8
HOURS = 24
DAYS, ENOUGH_DAYS = 1 << 15, 4
HOUR_US = 3600 * SECOND_US
DAY_US = HOURS * HOUR_US
MEMORIES = (24.0, 192.0, 1536.0, 24.0, 192.0, 1536.0)
"""Readings that each forecaster looks back; the last three are seasonal."""
PLAIN, ALL = 3, 6
HANDICAP = (1.10, 1.05, 1.0, 1.32, 1.26, 1.2)
"""A forecaster is chosen by error x handicap: slow before fast, plain before seasonal."""
HUBER, WINSOR = 2.0, 5.0
OUTLIER_WEIGHT, OUTLIER_SCALE_WEIGHT = 0.25, 0.05
FAR = 6.0
"""Mean absolute errors from the forecast, beyond which a reading teaches little."""
WARM_UP = 48
"""Readings before any is far off."""
GIVEN_UP = 192
"""Readings in a row, most of them far off, after which (and after a day) all is learned anew."""


FIELDS: Fields = {
    "filled": (np.int64, (), 0),  # readings in the chunk under way
    "chunk": (np.float64, (CHUNK,), 0),  # their values
    "instants": (np.int64, (CHUNK,), 0),
    "taught": (np.int64, (), 0),  # readings learned from
    "newest": (np.int64, (), 0),  # instant of the last of them
    "period": (np.float64, (), 0),  # usual microseconds between two
    "level": (np.float64, (ALL,), 0),
    "error": (np.float64, (ALL,), 0),  # mean absolute error of the forecast
    "judged": (np.float64, (ALL,), 0),  # readings in it
    "profile": (np.float64, (HOURS,), 0),  # by hour of the day, UTC
    "hours": (np.int32, (HOURS,), 0),  # readings in it
    "days": (np.uint8, (HOURS,), 0),  # days in it, as far as it matters
    "day": (np.int16, (HOURS,), -1),  # the last of these, without its highest bits
    "odd": (np.int64, (), 0),  # readings in a row of chunks that are mostly far off
    "odd_since": (np.int64, (), -1),
}


@compiled
def best(kept: Kept) -> int:
    """The forecaster that is believed; a season needs three days and one of test."""
    count = ALL if kept.judged[PLAIN] * kept.period >= DAY_US else PLAIN
    found, least = 0, np.inf
    for k in range(count):
        cost = kept.error[k] * HANDICAP[k]
        if cost < least:
            found, least = k, cost
    return found


@compiled
def expected(kept: Kept, k: int, at: int) -> float:
    """What forecaster k expects at an instant; a seasonal one that does not know the hour, what its plain one does."""
    if k < PLAIN:
        return kept.level[k]
    hour = at // HOUR_US % HOURS
    return kept.level[k] + kept.profile[hour] if kept.days[hour] >= 2 else kept.level[k - PLAIN]


@compiled
def follow(kept: Kept, at: int, value: float, resolution: float, learns: bool) -> float:
    """What was expected of a reading, NaN while nothing is known; with the last of a chunk, learn."""
    forecast = expected(kept, best(kept), at) if kept.taught > 0 else np.nan
    place = kept.filled
    kept.chunk[place], kept.instants[place] = value, at
    kept.filled = (place + 1) % CHUNK
    if place + 1 == CHUNK and learns:
        _learn(kept, resolution)
    return forecast


@compiled
def _learn(kept: Kept, resolution: float) -> None:
    """Take in a full chunk."""
    at = kept.instants
    if kept.taught == 0:
        _begin(kept)
    warm = kept.taught >= WARM_UP
    k = best(kept)
    floor = max(resolution, 1e-4 * abs(kept.level[0]), 1e-9)
    scale = max(kept.error[k], floor)
    forecast, odd, count = np.empty(CHUNK), np.zeros(CHUNK, np.bool_), 0
    for i in range(CHUNK):
        forecast[i] = expected(kept, k, at[i])
        odd[i] = warm and abs(kept.chunk[i] - forecast[i]) > FAR * scale
        count += odd[i]
    _learn_period(kept)
    _learn_levels(kept, odd, warm, floor)
    _learn_profile(kept, odd, forecast, HUBER * scale)
    kept.taught += CHUNK
    _forget(kept, count > CHUNK // 2)


@compiled
def _begin(kept: Kept) -> None:
    middle, wrong = median(kept.chunk.copy()), 0.0
    for i in range(CHUNK):
        wrong += abs(kept.chunk[i] - middle)
    for k in range(ALL):
        kept.error[k] = wrong / CHUNK
        if k < PLAIN:
            kept.level[k] = middle
    kept.newest = kept.instants[0]


@compiled
def _learn_period(kept: Kept) -> None:
    """Median over the chunk, then a slow mean."""
    steps = np.empty(CHUNK)
    before = kept.newest
    for i in range(CHUNK):
        steps[i] = kept.instants[i] - before
        before = kept.instants[i]
    step = max(median(steps), 1.0)
    kept.period += (step - kept.period) / min(kept.taught // CHUNK + 1, 32)
    kept.newest = before


@compiled
def _learn_levels(kept: Kept, odd: Bool, warm: bool, floor: float) -> None:
    """Levels by Huber's psi, errors by winsorised means; a running mean until the memory is filled."""
    memory = min(max(3 * DAY_US / max(kept.period, 1.0), 256.0), 4096.0)
    known = True
    for i in range(CHUNK):
        known = known and kept.days[kept.instants[i] // HOUR_US % HOURS] >= 2
    moved, wrong = np.zeros(ALL), np.zeros(ALL)
    for k in range(ALL if known else PLAIN):
        scale = max(kept.error[k], floor)
        for i in range(CHUNK):
            error = kept.chunk[i] - expected(kept, k, kept.instants[i])
            psi, size = error, abs(error)
            if warm:
                psi, size = min(max(error, -HUBER * scale), HUBER * scale), min(size, WINSOR * scale)
            moved[k] += psi * (OUTLIER_WEIGHT if odd[i] else 1.0)
            wrong[k] += scale + (size - scale) * (OUTLIER_SCALE_WEIGHT if odd[i] else 1.0)
    for k in range(ALL if known else PLAIN):
        age = kept.judged[k] + CHUNK
        kept.level[k] += min(CHUNK / min(MEMORIES[k], age), 1.0) * moved[k] / CHUNK
        kept.error[k] += min(CHUNK / min(memory, age + CHUNK), 1.0) * (wrong[k] / CHUNK - kept.error[k])
        kept.judged[k] = age


@compiled
def _learn_profile(kept: Kept, odd: Bool, forecast: Float64, reach: float) -> None:
    """Mean value by hour of the day with a memory of about a week; what is far off is pulled in."""
    most = max(7.0, 7.0 * HOUR_US / max(kept.period, 1.0))
    for i in range(CHUNK):
        at, value = kept.instants[i], kept.chunk[i]
        hour = at // HOUR_US % HOURS
        if odd[i] and kept.days[hour] >= ENOUGH_DAYS:
            value = min(max(value, forecast[i] - reach), forecast[i] + reach)
        kept.hours[hour] += 1
        kept.profile[hour] += (value - kept.profile[hour]) / min(float(kept.hours[hour]), most)
        day = at // DAY_US % DAYS
        if kept.day[hour] != day:
            kept.days[hour] = min(int(kept.days[hour]) + 1, ENOUGH_DAYS)
            kept.day[hour] = day


@compiled
def _forget(kept: Kept, mostly_odd: bool) -> None:
    """Begin anew where nothing has been as expected for long."""
    if not mostly_odd:
        kept.odd, kept.odd_since = 0, -1
        return
    if kept.odd == 0:
        kept.odd_since = kept.instants[0]
    kept.odd += CHUNK
    if kept.odd >= GIVEN_UP and kept.instants[CHUNK - 1] - kept.odd_since >= DAY_US:
        kept.taught, kept.odd, kept.odd_since, kept.period = 0, 0, -1, 0.0
        kept.level[:], kept.error[:], kept.judged[:], kept.profile[:] = 0.0, 0.0, 0.0, 0.0
        kept.hours[:], kept.days[:], kept.day[:] = 0, 0, -1
