"""A quantity's past on an even grid, and what of it a forecast looks at. Pure: numpy in, numpy out.

Seasons are by the wall clock of a time zone: the day before is the same hour, also where the clock changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from mlops.learning.examples import Track
from sensors.columns import SECOND_US, Float64, Int64, to_instant

HOUR_US = 3600 * SECOND_US
TIMES = 3
"""How many seasons back are looked at."""
BESIDE = (-2, -1, 1, 2)
"""Rows beside that of a season before."""
HARMONICS = 3
FARTHEST = 10.0
"""Units of errors; what is farther from the reference is taken to be as far."""
PRIOR = 8.0
MOST_MEDIANS, LEAST_OF_MEAN = 4.0, 0.1
TINY = 1e-6
"""Of the level: errors are never measured in a smaller unit."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``ahead``, ``seasons`` (shortest first, may be empty), ``memory``: in rows of ``period_us``. ``memory``: what
    level and scale are taken from; ``lags``: how many powers of two rows back are looked at; ``robust``: a
    disturbed stretch does not make the unit of errors large (of a quantity that is at rest but for bursts, it should).
    """

    ahead: int
    period_us: int
    seasons: tuple[int, ...]
    memory: int
    lags: int = 5
    zone: str = "UTC"
    robust: bool = False

    @property
    def reach(self) -> int:
        """How many rows back anything looks."""
        seasons = [(TIMES + -(-self.ahead // season)) * season + max(BESIDE) for season in self.seasons]
        return max([self.memory + self.step, 1 << self.lags, *seasons])

    @property
    def step(self) -> int:
        """Rows between the two values whose difference is the unit of errors."""
        return -(-self.ahead // self.seasons[0]) * self.seasons[0] if self.seasons else self.ahead


@dataclass(frozen=True, slots=True)
class Past:
    """``value``: (g,) on the grid, NaN = missing; ``at``: (g,) its instants; ``row``: (t,) where a track's row is."""

    plan: Plan
    value: Float64
    at: Int64
    row: Int64

    def value_at(self, rows: Int64) -> Float64:
        inside = (rows >= 0) & (rows < len(self.value))
        return np.where(inside, self.value[np.clip(rows, 0, len(self.value) - 1)], np.nan)

    def ahead(self) -> Float64:
        """(g,): what came, so far ahead of each row, as far as it is known."""
        return self.value_at(np.arange(len(self.value)) + self.plan.ahead)

    def back(self, rows: Int64, lags: Int64) -> Float64:
        """(n, lags): values so many rows before; what is not known by then is NaN."""
        wanted = rows[:, None] - lags
        return np.where(wanted <= rows[:, None], self.value_at(wanted), np.nan)

    def season_before(self, rows: Int64, season: int, times: int) -> Int64:
        """(n,): rows at which the wall clock showed what it will show ``ahead`` of now, ``times`` seasons earlier."""
        there = self.at[rows] + self.plan.ahead * self.plan.period_us
        then = there - times * season * self.plan.period_us
        changed = (offset(there, self.plan.zone) - offset(then, self.plan.zone)) // self.plan.period_us
        return rows + self.plan.ahead - times * season + changed

    def seasonal(self, rows: Int64, season: int) -> Float64:
        """(n, TIMES): the values of the last seasons that are known now, the latest first; NaN = missing."""
        first = -(-self.plan.ahead // season)
        wanted = np.stack([self.season_before(rows, season, first + k) for k in range(TIMES)], axis=1)
        return np.where(wanted <= rows[:, None], self.value_at(wanted), np.nan)

    def reference(self, rows: Int64, name: str) -> Float64:
        """(n,): "last", "mean", "drift", "season 0" for the shortest season and so on, "usual" for the median
        of the same hours of the seasons before; the last where unknown."""
        last = first_known(self.back(rows, np.arange(self.plan.step + 1)))
        if name == "last":
            return last
        if name == "mean":
            return mean(self.back(rows, np.arange(self.plan.memory)))
        if name == "drift":
            start = first_known(self.back(rows, np.arange(self.plan.memory, self.plan.memory // 2, -1)))
            moved = (last - start) / self.plan.memory * self.plan.ahead
            return last + np.nan_to_num(moved)
        if name == "usual":
            every = [self.seasonal(rows, season) for season in self.plan.seasons]
            return first_known(np.stack([median(np.concatenate(every, axis=1)), last], axis=1))
        season = self.plan.seasons[int(name.removeprefix("season "))]
        return first_known(np.concatenate([self.seasonal(rows, season), last[:, None]], axis=1))

    def scale(self, rows: Int64) -> Float64:
        """(n,): the mean difference of values a season apart (``ahead`` apart where there is none) within memory, and
        how far values are from their median, which weighs as ``PRIOR`` differences."""
        lags = np.arange(self.plan.memory)
        values = self.back(rows, lags)
        middle = mean(values)
        apart = self._pull_in(np.abs(values - self.back(rows, lags + self.plan.step)))
        spread = mean(self._pull_in(np.abs(values - median(values)[:, None])))
        known = np.isfinite(apart).sum(axis=1)
        found = (np.nan_to_num(mean(apart)) * known + spread * PRIOR) / (known + PRIOR)
        wide: Float64 = np.fmax(found, np.maximum(TINY * np.abs(middle), TINY))
        return wide

    def _pull_in(self, sizes: Float64) -> Float64:
        """(n, m): where the plan is robust, none more than so many times its row's median."""
        if not self.plan.robust:
            return sizes
        most = MOST_MEDIANS * np.fmax(median(sizes), LEAST_OF_MEAN * mean(sizes))
        return np.minimum(sizes, most[:, None])

    def features(self, rows: Int64, base: Float64, scale: Float64) -> Float64:
        """(n, k): what is known of values, from the reference and in the unit of errors, 0 where unknown; phases."""
        plan = self.plan
        lags = np.array([0, *(1 << k for k in range(plan.lags))])
        seen = [self.back(rows, lags)]
        seen += [mean(self.back(rows, np.arange(length)))[:, None] for length in (4, plan.memory // 4, plan.memory)]
        for season in plan.seasons:
            seen.append(self.seasonal(rows, season))
            beside = self.season_before(rows, season, -(-plan.ahead // season))[:, None] + np.array(BESIDE)
            seen.append(np.where(beside <= rows[:, None], self.value_at(beside), np.nan))
        seen = [one - base[:, None] for one in seen] + [self._moved(rows, season) for season in plan.seasons]
        values = np.clip(np.nan_to_num(np.concatenate(seen, axis=1) / scale[:, None]), -FARTHEST, FARTHEST)
        return np.concatenate([values, *self._phases(rows)], axis=1)

    def _moved(self, rows: Int64, season: int) -> Float64:
        """(n, 2): by how much the last hour and the last quarter of a season are above those of the season before."""
        found = []
        for length in (max(1, season // 24), max(1, season // 4)):
            lags = np.arange(length)
            found.append(mean(self.back(rows, lags) - self.back(rows, lags + season)))
        return np.stack(found, axis=1)

    def _phases(self, rows: Int64) -> list[Float64]:
        there = self.at[rows] + self.plan.ahead * self.plan.period_us
        wall = there + offset(there, self.plan.zone)
        found = []
        for season in self.plan.seasons:
            share = wall / (season * self.plan.period_us) % 1.0
            turn = 2 * np.pi * share[:, None] * np.arange(1, HARMONICS + 1)
            found += [np.sin(turn), np.cos(turn)]
        return found


def past_of(track: Track, plan: Plan) -> Past:
    """The track's first quantity on a grid of the plan's period; of a gap no more than the plan looks back.

    The first of several in one place stays: later ones were not known at its instant.
    """
    steps = np.diff((track.at - track.at[:1] + plan.period_us // 2) // plan.period_us)
    row = np.concatenate([[0], np.cumsum(np.minimum(steps, plan.reach + plan.ahead))]).astype(np.int64)
    value, at = np.full(int(row[-1]) + 1, np.nan), np.zeros(int(row[-1]) + 1, np.int64)
    value[row[::-1]], at[row[::-1]] = track.value[::-1, 0], track.at[::-1]
    missing = at == 0
    missing[row] = False
    held = np.maximum.accumulate(np.where(missing, 0, np.arange(len(at))))
    at += np.where(missing, at[held] + (np.arange(len(at)) - held) * plan.period_us, 0)
    value[~np.isfinite(value)] = np.nan
    return Past(plan, value, at, row)


def offset(at: Int64, zone: str) -> Int64:
    """(n,): by how much the wall clock of a time zone is ahead of UTC at these instants, in microseconds."""
    if zone == "UTC":
        return np.zeros(len(at), np.int64)
    hours, place = np.unique(at // HOUR_US, return_inverse=True)
    ahead = [_offset(to_instant(int(hour) * HOUR_US), ZoneInfo(zone)) for hour in hours.tolist()]
    return np.array(ahead, np.int64)[place]


def _offset(instant: datetime, zone: ZoneInfo) -> int:
    return (instant.astimezone(zone).utcoffset() or timedelta()) // timedelta(microseconds=1)


def mean(values: Float64) -> Float64:
    """Along the last axis, of what is known; NaN where nothing is."""
    known = np.isfinite(values)
    count = known.sum(axis=-1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=-1) / np.maximum(count, 1), np.nan)


def median(values: Float64) -> Float64:
    """(n,): of each row, of what is known; NaN where nothing is."""
    ordered = np.sort(values, axis=1)
    count = np.isfinite(values).sum(axis=1)
    both = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, np.maximum(count - 1, 0))], axis=1)
    found: Float64 = np.take_along_axis(ordered, both, axis=1).mean(axis=1)
    return found


def first_known(values: Float64) -> Float64:
    """(n,): the first of each row that is known, NaN where none is."""
    known = np.isfinite(values)
    found: Float64 = values[np.arange(len(values)), np.argmax(known, axis=1)]
    return found
