"""What is normal of rows of many features: a plane through them, and how rare it is to be so far from it.

The plane has a variance along each of its axes, and one for all directions off it. The squared distance of a row is
Hotelling's T2 along the plane plus the squared prediction error Q off it, each in units of its variance: together that
of Mahalanobis, by the covariance of probabilistic PCA (Tipping and Bishop, 1999).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sensors.columns import Bool, Float64

STEPS = 46
BEYOND, RAREST = 20, 2.0
"""A tail is taken for exponential beyond that many rows, or beyond one in a hundred where there are more."""


@dataclass(frozen=True, slots=True)
class Plane:
    """``centre``, ``scale``: (f,) of the features; ``axes``: (k, f * (lags + 1)), orthonormal; ``spread``: (k,) the
    variance along each; ``noise``: the variance in each direction off them."""

    centre: Float64
    scale: Float64
    axes: Float64
    spread: Float64
    noise: float

    def parts(self, rows: Float64) -> tuple[Float64, Float64]:
        """Of lagged rows what lies along the plane and what off it, in units of their spread."""
        rows = self.completed(rows)
        along = rows @ self.axes.T
        return along / np.sqrt(self.spread), (rows - along @ self.axes) / np.sqrt(self.noise)

    def completed(self, rows: Float64) -> Float64:
        """What is missing is what the others make expected, which leaves the distance that of the others alone."""
        gone = np.isnan(rows)
        if not gone.any():
            return rows
        out = np.where(gone, 0.0, rows)
        covariance = (self.axes.T * (self.spread - self.noise)) @ self.axes + self.noise * np.eye(rows.shape[1])
        for pattern in np.unique(gone[gone.any(axis=1) & ~gone.all(axis=1)], axis=0):
            here = (gone == pattern).all(axis=1)
            weights = np.linalg.solve(covariance[np.ix_(~pattern, ~pattern)], covariance[np.ix_(~pattern, pattern)])
            out[np.ix_(here, pattern)] = out[np.ix_(here, ~pattern)] @ weights
        return out

    def distance(self, rows: Float64) -> Float64:
        """log(1 + squared distance): its tail is nearer to an exponential one."""
        along, off = self.parts(rows)
        return np.asarray(np.log1p(np.sum(along**2, axis=1) + np.sum(off**2, axis=1)))


@dataclass(frozen=True, slots=True)
class Tail:
    """How rare a distance is. ``grid``: (STEPS,) distances of normal rows, evenly rarer up to ``rarest``; ``slope``:
    the mean excess over the last of them."""

    grid: Float64
    rarest: float
    slope: float

    def rarity(self, distance: Float64) -> Float64:
        """-log10 of the share of normal rows that are as far: 1 = one in ten, 2 = one in a hundred."""
        beyond = np.maximum(distance - self.grid[-1], 0.0) / (self.slope * np.log(10.0))
        return np.asarray(np.interp(distance, self.grid, np.linspace(0.0, self.rarest, STEPS)) + beyond)


def tail(distance: Float64) -> Tail:
    """Of the distances of normal rows."""
    rarest = float(np.clip(np.log10(len(distance) / BEYOND), 0.3, RAREST))
    grid = np.quantile(distance, 1.0 - 10.0 ** -np.linspace(0.0, rarest, STEPS))
    excess = distance[distance > grid[-1]] - grid[-1]
    slope = float(excess.mean()) if len(excess) else 0.0
    return Tail(grid, rarest, max(slope, 1e-3 * float(grid[-1]), 1e-9))


def plane(centre: Float64, scale: Float64, rows: Float64, explained: float) -> Plane:
    """Of (n, f * (lags + 1)) normal rows, standardised and lagged."""
    rows = np.nan_to_num(rows)
    values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    total = max(float(values.sum()), 1e-9)
    kept = 1 + int(np.searchsorted(np.cumsum(values), explained * total))
    kept = min(kept, max(1, len(values) - 1))
    least = 1e-4 * total / len(values)
    noise = max(float(values[kept:].sum()) / max(1, len(values) - kept), least)
    return Plane(centre, scale, np.ascontiguousarray(vectors[:, :kept].T), np.maximum(values[:kept], least), noise)


def averaged(rows: Float64, span: int) -> Float64:
    """(t, f): the mean of what is known of the last ``span``, of fewer at the beginning."""
    if span <= 1 or not len(rows):
        return rows
    padded = np.concatenate([np.full((span - 1, rows.shape[1]), np.nan), rows])
    windows = sliding_window_view(padded, span, axis=0)
    known = np.sum(~np.isnan(windows), axis=2)
    return np.where(known > 0, np.nansum(windows, axis=2) / np.maximum(known, 1), np.nan)


def lagged(rows: Float64, lags: int, step: int) -> Float64:
    """(t, f * (lags + 1)): beside each row those before it, the newest first; before the first one is the first."""
    count = np.arange(len(rows))
    return np.concatenate([rows[np.maximum(count - step * lag, 0)] for lag in range(lags + 1)], axis=1)


def middle(value: Float64) -> Float64:
    """(f,): the median of what is known, 0 where nothing is."""
    known = np.where(np.isnan(value).all(axis=0), 0.0, value)
    return np.asarray(np.nanmedian(known, axis=0))


def deviation(value: Float64) -> Float64:
    """(f,): the standard deviation of what is known, 0 where nothing is."""
    known = np.where(np.isnan(value).all(axis=0), 0.0, value)
    return np.asarray(np.nanstd(known, axis=0))


def widened(mask: Bool, reach: int) -> Bool:
    """True rows, and those less than ``reach`` rows from one."""
    return np.asarray(np.convolve(mask, np.ones(2 * reach - 1), mode="same") > 0.5)
