"""What is usual at an hour of the week, so that like is compared with like. Pure.

Three seasons are tried for every feature: none, the hour of the day, the hour of the week. The one under which values
that were kept from it are most likely is taken (mean likelihood by Laplace's distribution, which is robust), so that a
season is never made out of noise.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from mlops.drift.windows import Window
from sensors.columns import DAY_US, SECOND_US, Float64, Int64

HOUR_US, WEEK_HOURS = 3600 * SECOND_US, 168
EPOCH_HOUR = 72
"""1970-01-01 was a Thursday: its first hour, counted from Monday."""
PERIODS_US = (DAY_US, 7 * DAY_US)
TIMES = 3
"""A season is tried where the reference lasts this many periods of it."""
FOLDS = 5
LEAST_SPREAD = 0.1
"""Of the spread over all hours: no hour counts as steadier than that."""


@dataclass(frozen=True, slots=True)
class Season:
    """(168, features) each: the median of every hour of the week, from Monday 0:00 on, and the mean distance from it
    (1 where nothing varies)."""

    center: Float64
    spread: Float64

    def residual(self, window: Window) -> Float64:
        """(n, features): how far from what is usual at its hour, in units of what is usual there."""
        hour = hours(window.at)
        return np.asarray((window.value - self.center[hour]) / self.spread[hour])


def hours(at: Int64) -> Int64:
    """Of each instant the hour of the week, 0 to 167."""
    return np.asarray((at // HOUR_US + EPOCH_HOUR) % WEEK_HOURS)


def learn(window: Window, fold: Int64) -> tuple[Season, list[Season]]:
    """The season of all readings, and for each fold that of the others. ``fold``: (n,) 0, 1, ... of each row."""
    lasted = window.at[-1] - window.at[0] if len(window) else 0
    periods = [1, *(period // HOUR_US for period in PERIODS_US if lasted >= TIMES * period)]
    numbers = range(int(fold.max()) + 1)
    each = [[of(window, fold != number, period) for number in numbers] for period in periods]
    likely = np.array([likelihood(window, fold, seasons) for seasons in each])
    best = np.argmax(likely, axis=0)  # the first of equals: the simplest
    whole = [of(window, np.ones(len(window), np.bool_), period) for period in periods]
    return pick(whole, best), [pick([seasons[number] for seasons in each], best) for number in numbers]


def of(window: Window, rows: np.ndarray, period: int) -> Season:
    """The season that repeats after so many hours, from these rows; an hour that is not among them is like all."""
    hour, value = hours(window.at[rows]) % period, window.value[rows]
    center, spread = summary(value)
    centers, spreads = np.tile(center, (period, 1)), np.tile(spread, (period, 1))
    if period > 1:
        order = np.argsort(hour, kind="stable")
        bounds = np.searchsorted(hour[order], np.arange(period + 1))
        for slot in range(period):
            mine = order[bounds[slot] : bounds[slot + 1]]
            if len(mine):
                found, around = summary(value[mine])
                centers[slot] = np.where(np.isnan(found), center, found)
                spreads[slot] = np.where(np.isnan(around), spread, np.maximum(around, LEAST_SPREAD * spread))
    times = WEEK_HOURS // period
    return Season(np.tile(np.nan_to_num(centers), (times, 1)), np.tile(unit(spreads), (times, 1)))


def summary(value: Float64) -> tuple[Float64, Float64]:
    """Of each column the median, and the mean distance from it; NaN where it has no value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of columns without a value
        center = np.nanmedian(value, axis=0)
        return center, np.nanmean(np.abs(value - center), axis=0)


def unit(spread: Float64) -> Float64:
    return np.asarray(np.where(spread > 0, spread, 1.0))


def likelihood(window: Window, fold: Int64, seasons: list[Season]) -> Float64:
    """(features,): mean log likelihood of each row under the season of the other folds, but for a constant."""
    said = np.full(window.value.shape, np.nan)
    for number, season in enumerate(seasons):
        rows = np.flatnonzero(fold == number)
        part = Window(window.at[rows], window.value[rows])
        said[rows] = -np.abs(season.residual(part)) - np.log(season.spread[hours(part.at)])
    counts = np.maximum(np.sum(~np.isnan(said), axis=0), 1)
    return np.asarray(np.nansum(said, axis=0) / counts)


def pick(seasons: list[Season], best: Int64) -> Season:
    """Of each feature that of the seasons which is named."""
    center, spread = (np.stack([getattr(one, name) for one in seasons]) for name in ("center", "spread"))
    features = np.arange(center.shape[2])
    return Season(center[best, :, features].T, spread[best, :, features].T)
