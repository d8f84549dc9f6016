"""Every reading of every sensor in turn: four questions, one answer in false alarms a week.

    error     how far is the value from its forecast;
    newness   how far is it, with the mean of the readings before it, from anywhere the sensor has been (``novelty``);
    spread    do the values swing by more, or by less, than they are used to (``spread``);
    absence   has it stayed out of one of its states longer than ever.

Each distance is as rare as its sensor's own largest ones say (``tails``). What is expected H * exp(-rarity) times in a
history of so many weeks comes so often a week by chance; the rarest answer counts. Scalar loops, compiled by numba;
without it the same functions are their own slow oracle.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mlops.detectors import forecast, novelty, spread, tails
from mlops.detectors.compiled import Kept, compiled
from mlops.state import Array, Fields

SPAN = 24
"""Readings of the mean."""
WARM_UP = 100
"""Readings before the first verdict."""
REST = 72
"""Readings for which only what is rarer than the last news is news."""
LASTING = 12
"""Readings that an abnormal one may be away from the last and still belong to it."""
WEEK_US = 7 * 24 * 3600 * 1e6
OVERSTATED = 0.1
"""What the tails expect, times this, is what is seen: a memory grows, and distances shrink. Measured on data without
anomalies (``make bench-detectors``)."""
ERROR, NEWNESS, SHIFT, ABSENCE, CALM, RESTLESS = range(6)
"""What a verdict rests on; a shift is new by the mean more than by the value."""
ERROR_SHARE, VALUE_SHARE, SPREAD_SHARE = 0.1, 0.5, 0.1
"""Of the asked number of false alarms: for errors (a forecast fails more often than its past says), for values that are
new by themselves, and for the spread. What is new together with the mean, or absent, may have all of it."""
NEVER = -(1 << 62)


COURSE: Fields = {
    "seen": (np.int64, (), 0),  # readings
    "learned": (np.int64, (), 0),  # of these, those that taught
    "step": (np.float64, (), 0),  # usual microseconds between two
    "last": (np.int64, (), 0),  # instant of the newest
    "ring": (np.float64, (SPAN,), 0),  # the last values
    "news_at": (np.int64, (), NEVER),  # number of the reading that was news last
    "strength": (np.float64, (), 0),  # its score
    "abnormal_at": (np.int64, (), NEVER),  # number of the last abnormal one
}


class Given(NamedTuple):
    """A block (``contract.Block``): of each of K sensors its row, first reading and number of readings; of each of n
    readings the instant, the value, and whether nothing is learned of it; of each row the sensor's resolution."""

    rows: Array
    starts: Array
    counts: Array
    at: Array
    value: Array
    resolution: Array
    frozen: Array


class Found(NamedTuple):
    """Arrays of n readings to be filled: see ``contract.Scores``. ``forecast`` (NaN = none), and how far from it an
    error is abnormal (``reach``); ``cause``: which question."""

    score: Array
    news: Array
    abnormal: Array
    cause: Array
    forecast: Array
    reach: Array
    since: Array


@compiled
def walk(given: Given, every: Array, found: Found, budget: float) -> None:
    for k in range(len(given.rows)):
        row = given.rows[k]
        kept = every[row]
        for i in range(given.starts[k], given.starts[k] + given.counts[k]):
            at, value, learns = given.at[i], given.value[i], not given.frozen[i]
            expected = forecast.follow(kept, at, value, given.resolution[row], learns)
            mean = _course(kept, at, value)
            often = often_by_chance(kept.learned, kept.step)
            rare, cause = _ask(kept, value, expected, mean, learns)
            _tell(kept, i, found, rare, cause, often * math.exp(-rare), budget)
            found.forecast[i] = expected
            found.reach[i] = tails.reach(kept, ERROR, max(math.log(often / (ERROR_SHARE * budget)), 0.0))
            found.since[i] = at - np.int64(tails.history(kept.learned) * kept.step)
            kept.seen += 1
            kept.learned += learns


@compiled
def _course(kept: Kept, at: int, value: float) -> float:
    """The mean of the last readings before this one, which joins them; before the first, its own value."""
    seen = kept.seen
    count, total = min(seen, SPAN), 0.0
    for j in range(count):
        total += kept.ring[j]
    kept.ring[seen % SPAN] = value
    if seen > 0:
        passed = float(at - kept.last)
        passed = passed if seen == 1 else min(passed, 2.0 * kept.step)  # a gap is no step
        kept.step += (passed - kept.step) / min(seen, 1000)
    kept.last = at
    return total / count if count else value


@compiled
def often_by_chance(t: int, step: float) -> float:
    """How often a week a distance as large as the smallest of the largest peaks comes, at the reading number ``t``."""
    return OVERSTATED * tails.PEAKS * WEEK_US / max(tails.history(t) * step, 1.0)


@compiled
def _ask(kept: Kept, value: float, expected: float, mean: float, learns: bool) -> tuple[float, int]:
    """How rare this is, and what says so; what was asked is learned from."""
    t, rarest, cause = kept.learned, 0.0, ERROR
    error = abs(value - expected)
    newness, alone = novelty.nearest(kept, value, mean)
    step = abs(value - kept.ring[(kept.seen - 1) % SPAN]) if kept.seen > 0 else 0.0
    swing = spread.follow(kept, step, learns)
    if t >= WARM_UP:
        if not math.isnan(error):
            rarest = max(tails.rarity(kept, 0, error) + math.log(ERROR_SHARE), 0.0)
        rare = tails.rarity(kept, 1, newness)
        if rare > rarest:
            rarest, cause = rare, SHIFT
        rare = tails.rarity(kept, 2, alone) + math.log(VALUE_SHARE)
        if rare > rarest:
            rarest, cause = rare, NEWNESS
        rare = 0.0 if math.isnan(swing) else tails.rarity(kept, 3, abs(swing)) + math.log(SPREAD_SHARE)
        if rare > rarest:
            rarest, cause = rare, CALM if swing < 0.0 else RESTLESS
    if learns:
        novelty.follow_range(kept, value, t)
        width = novelty.width(kept)
        if not math.isnan(error):
            tails.learn(kept, 0, error, t, width)
        tails.learn(kept, 1, newness, t, width)
        tails.learn(kept, 2, alone, t, width)
        if not math.isnan(swing):
            tails.learn(kept, 3, abs(swing), t, 1.0)
        novelty.remember(kept, value, mean, newness)
    rare = novelty.absence(kept, value, t, learns)
    return (rare, ABSENCE) if rare > rarest else (rarest, cause)


@compiled
def _tell(kept: Kept, i: int, found: Found, rare: float, cause: int, by_chance: float, budget: float) -> None:
    """Score, news and verdict of a reading that comes so often a week by chance."""
    seen = kept.seen
    if seen < WARM_UP:
        return
    score = -math.expm1(-rare)
    fresh = rare > 0.0 and (seen - kept.news_at >= REST or score > kept.strength)
    if fresh:
        kept.news_at, kept.strength = seen, score
    abnormal = rare > 0.0 and by_chance <= budget and (fresh or seen - kept.abnormal_at <= LASTING)
    if abnormal:
        kept.abnormal_at = seen
    found.score[i], found.news[i], found.abnormal[i], found.cause[i] = score, score if fresh else 0.0, abnormal, cause
