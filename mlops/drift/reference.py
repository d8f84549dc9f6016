"""What was usual in a regime, frozen: enough to hold later windows against. Pure.

Readings in a row resemble each other, so a test that counts each of them calls every wander a drift. Here the windows
are counted, not the readings: each is summed up by its level and its spread, and what differs between the windows of
the reference is what may differ in a later one. Where neighbouring windows resemble each other too, they count for
fewer (see ``effective``).

Values are taken as normal scores of the reference: by rank within what was seen, so that spikes do not decide, and
linear beyond it, so that what is far off is far off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from scipy import special

from mlops.drift import relations, seasons, windows
from mlops.drift.seasons import Season
from mlops.drift.windows import Window
from sensors.columns import Bool, Float64, Int64

LEVELS = 64
LEAST_WINDOWS = 8
LEAST_EFFECTIVE = 3.0
LEAST_VALUES = 8
QUIET = 0.05
"""Added to the spread of a window's scores, so that one in which nothing moves has a logarithm."""
PROBABILITY = (np.arange(LEVELS) + 0.5) / LEVELS


class TooLittle(ValueError):
    """The windows are too few to say what is usual."""


@dataclass(frozen=True, slots=True)
class Reference:
    """Of F features, and R of them that the others know (``related``: their positions): C = F + R channels.

    ``windows``: how many it was made of, of ``rows`` readings each (the median). ``center`` and ``spread``: (168, F),
    see ``Season``. ``weight``: (F, F), see ``relations.learn``. ``edges``: (LEVELS, C) quantiles of the residuals,
    ``unit``: (C,) their deviation, 1 where nothing varies. Of level and spread of the windows, (2, C) each: their mean
    ``usual``, their variance ``scatter``, and how many independent ones they are worth ``effective``.
    """

    regime: str
    features: tuple[str, ...]
    windows: int
    rows: int
    center: Float64
    spread: Float64
    weight: Float64
    related: Int64
    edges: Float64
    unit: Float64
    usual: Float64
    scatter: Float64
    effective: Float64

    @property
    def is_seasonal(self) -> bool:
        """Whether what is usual depends on the hour."""
        return bool((self.center != self.center[0]).any() or (self.spread != self.spread[0]).any())

    def channels(self, window: Window) -> Float64:
        """(n, C): residuals from the season, then what the others leave unsaid of the related ones."""
        residual = Season(self.center, self.spread).residual(window)
        return np.hstack([residual, relations.unsaid(residual, self.weight)[:, self.related]])

    def pack(self) -> dict[str, Any]:
        """Plain values and numpy arrays, of which ``unpack`` makes the same to the bit."""
        kept = {field.name: getattr(self, field.name) for field in fields(self)}
        return {**kept, "features": list(self.features)}


def unpack(parts: Mapping[str, Any]) -> Reference:
    return Reference(**{**parts, "features": tuple(parts["features"])})


def freeze(given: Sequence[Window], *, features: Sequence[str], regime: str = "") -> Reference:
    """The reference of windows in the order of time, as alike in length as those that will be held against it.

    Each window is seen as later ones will be: its season and relations come from windows other than itself. Raises
    ``TooLittle`` where there are fewer than ``LEAST_WINDOWS`` of them.
    """
    if len(given) < LEAST_WINDOWS:
        raise TooLittle(f"{len(given)} windows are too few for a reference: it takes {LEAST_WINDOWS}")
    pool = windows.together(given)
    if pool.value.shape[1] != len(features):
        raise ValueError(f"{pool.value.shape[1]} columns for {len(features)} features")
    lengths = np.array([len(one) for one in given])
    folds = np.repeat(np.arange(len(given)) * seasons.FOLDS // len(given), lengths)
    season, partial = seasons.learn(pool, folds)
    residual = np.full(pool.value.shape, np.nan)
    for number, mine in enumerate(partial):
        rows = folds == number
        residual[rows] = mine.residual(Window(pool.at[rows], pool.value[rows]))
    unsaid = np.full(residual.shape, np.nan)
    for number in range(len(partial)):
        rows = folds == number
        unsaid[rows] = relations.unsaid(residual[rows], relations.learn(residual[~rows]))
    related = known_by_others(residual, unsaid)
    channels = np.hstack([residual, unsaid[:, related]])
    edges, unit = quantiles(channels)
    summed = np.stack([sums(part, edges, unit) for part in np.split(channels, np.cumsum(lengths)[:-1])])
    usual, scatter, effective = between(summed, rows=float(np.median(lengths)))
    return Reference(
        regime, tuple(features), len(given), int(np.median(lengths)), season.center, season.spread,
        relations.learn(residual), related, edges, unit, usual, scatter, effective,
    )  # fmt: skip


def known_by_others(residual: Float64, unsaid: Float64) -> Int64:
    """The positions of the features of which the others leave little unsaid, of windows they were not learned from."""
    own, left = (np.nanvar(relations.calm(one), axis=0) for one in (residual, unsaid))
    return np.flatnonzero((left <= relations.SAID * own) & (own > 0)).astype(np.int64)


def quantiles(channels: Float64) -> tuple[Float64, Float64]:
    """(LEVELS, C) and (C,): quantiles of what is there (0 where nothing is), and their deviation (1 where it is 0)."""
    edges = np.zeros((LEVELS, channels.shape[1]))
    for k, column in enumerate(channels.T):
        there = column[~np.isnan(column)]
        if len(there):
            edges[:, k] = np.quantile(there, PROBABILITY)
    deviation = edges.std(axis=0)
    return edges, np.where(deviation > 0, deviation, 1.0)


def scores(value: Float64, edges: Float64, unit: float) -> Float64:
    """(n,) normal scores of values without NaN: by rank among the edges, and further out by distance in units."""
    rank = (np.searchsorted(edges, value, "left") + np.searchsorted(edges, value, "right")) / 2
    inside = special.ndtri(np.clip(rank, 0.25, LEVELS - 0.25) / LEVELS)
    return np.asarray(inside + np.maximum(0, value - edges[-1]) / unit - np.maximum(0, edges[0] - value) / unit)


def sums(channels: Float64, edges: Float64, unit: Float64) -> Float64:
    """(2, C): the level of a window's scores, and the logarithm of their spread; NaN where there are too few."""
    out = np.full((2, channels.shape[1]), np.nan)
    for k, column in enumerate(channels.T):
        there = column[~np.isnan(column)]
        if len(there) >= LEAST_VALUES:
            score = scores(there, edges[:, k], float(unit[k]))
            out[:, k] = score.mean(), np.log(score.std() + QUIET)
    return out


def between(summed: Float64, *, rows: float) -> tuple[Float64, Float64, Float64]:
    """(2, C) each: mean, variance and effective number of the sums of windows, (M, 2, C); NaN = a window without.

    No variance is below what one reading of a window makes. Where fewer than ``LEAST_WINDOWS`` have a sum, all three
    are NaN: there is nothing to hold a window against.
    """
    there = ~np.isnan(summed)
    count = there.sum(axis=0)
    mean = np.where(there, summed, 0.0).sum(axis=0) / np.maximum(count, 1)
    off = np.where(there, summed - mean, 0.0)
    worth = effective(off, there)
    variance = (off**2).sum(axis=0) / np.maximum(count, 1) * worth / (worth - 1)
    enough = count >= LEAST_WINDOWS
    return tuple(np.where(enough, one, np.nan) for one in (mean, np.maximum(variance, rows**-2.0), worth))  # type: ignore[return-value]


def effective(off: Float64, there: Bool) -> Float64:
    """How many independent windows these are worth, by the correlation r of each with the next: M (1 - r) / (1 + r).

    As for a first-order autoregression (Bayley and Hammersley 1946); r is raised by (1 + 3 r) / M, by which it is
    found too small in short series (Kendall 1954), and not below 0. ``off``: (M, ...) differences from the mean, 0
    where there is none.
    """
    count = there.sum(axis=0)
    power = (off**2).sum(axis=0)
    r = (off[1:] * off[:-1]).sum(axis=0) / np.where(power > 0, power, 1.0)
    r = np.clip(r + (1 + 3 * r) / np.maximum(count, 1), 0.0, 0.99)
    return np.asarray(np.maximum(count * (1 - r) / (1 + r), LEAST_EFFECTIVE))
