"""Sensors beside what is usual in the regime a machine is run in: altitude, speed, load. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.cluster import KMeans

from sensors.columns import Float64, Int64

WIDEST = 6.0
"""Standard deviations: what is further out is as far."""
CONSTANT = 1e-6
"""A sensor that moves less, as a share of its level, is constant in that regime and says nothing there."""
FEWEST = 10
"""Readings of a sensor in a regime: with fewer it says nothing there."""
RESTARTS = 4


@dataclass(frozen=True, slots=True)
class Regimes:
    """``settings``: how many of the first columns say how it is run, the others are sensors. ``scale``: (settings,);
    ``centres``: (regimes, settings), scaled; ``middle`` and ``sharpness``: (regimes, sensors), mean and one over the
    standard deviation, 0 = it says nothing there."""

    settings: int
    scale: Float64
    centres: Float64
    middle: Float64
    sharpness: Float64

    def of(self, value: Float64) -> Int64:
        """(t,): the nearest one; -1 where a setting is not known."""
        settings = value[:, : self.settings]
        known = np.isfinite(settings).all(axis=1)
        away = ((settings[known] * self.scale)[:, None, :] - self.centres[None]) ** 2
        found = np.full(len(value), -1, np.int64)
        found[known] = away.sum(axis=2).argmin(axis=1)
        return found

    def normal(self, value: Float64) -> Float64:
        """(t, sensors) in standard deviations from the regime's mean, NaN = not known. ``value``: (t, features)."""
        regime, sensors = self.of(value), value[:, self.settings :]
        away = np.clip((sensors - self.middle[regime]) * self.sharpness[regime], -WIDEST, WIDEST)
        known = np.isfinite(sensors) & (regime >= 0)[:, None] & (self.sharpness[regime] > 0)
        return np.where(known, away, np.nan)


def learn(value: Float64, *, settings: int, regimes: int, seed: int) -> Regimes:
    """``value``: (n, features) of many machines; ``regimes``: how many at most."""
    known = value[np.isfinite(value[:, :settings]).all(axis=1)]
    if not len(known):
        raise ValueError("no row says how the machine was run")
    spread = known[:, :settings].std(axis=0)
    scale = np.divide(1.0, spread, out=np.zeros(settings), where=spread > 0)
    scaled = known[:, :settings] * scale
    count = min(regimes, len(np.unique(scaled, axis=0)))
    centres = KMeans(count, n_init=RESTARTS, random_state=seed).fit(scaled).cluster_centers_
    nothing = np.zeros((count, value.shape[1] - settings))
    found = Regimes(settings, scale, np.asarray(centres, np.float64), nothing, nothing)
    at, middle, sharpness = found.of(known), nothing.copy(), nothing.copy()
    for number in range(count):
        middle[number], sharpness[number] = _usual(known[at == number, settings:])
    return Regimes(settings, scale, found.centres, middle, sharpness)


def _usual(sensors: Float64) -> tuple[Float64, Float64]:
    finite = np.isfinite(sensors)
    count = finite.sum(axis=0)
    middle = np.where(finite, sensors, 0.0).sum(axis=0) / np.maximum(count, 1)
    spread = np.sqrt(np.where(finite, (sensors - middle) ** 2, 0.0).sum(axis=0) / np.maximum(count, 1))
    moves = (count >= FEWEST) & (spread > CONSTANT * np.maximum(np.abs(middle), CONSTANT))
    return middle, np.divide(1.0, spread, out=np.zeros(len(spread)), where=moves)
