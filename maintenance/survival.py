"""Times of which some still run: the curve of Kaplan and Meier (1958), its median and mean. Pure: no Django."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sensors.columns import Bool, Float64

Z = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Curve:
    """The share that lasts longer than each of k times, ascending, at which something ended; with its 95 % band.

    ``low`` and ``high``: exponential Greenwood (log of minus log, Kalbfleisch and Prentice 2002, 1.4). ``longest``: the
    longest time that was seen, ended or running.
    """

    time: Float64
    share: Float64
    low: Float64
    high: Float64
    ended: int
    running: int
    longest: float

    @property
    def median(self) -> float | None:
        """The first time by which half have ended; None where the curve stays above one half."""
        return _crosses(self.time, self.share)

    @property
    def median_bounds(self) -> tuple[float | None, float | None]:
        """Where the band falls to one half (Brookmeyer and Crowley 1982); None: it does not."""
        return _crosses(self.time, self.low), _crosses(self.time, self.high)

    @property
    def mean(self) -> float | None:
        """The mean as far as anything was seen: the area below the curve up to the longest time. None without any."""
        if not self.ended + self.running:
            return None
        steps = np.concatenate(([0.0], self.time, [self.longest]))
        return float((np.diff(steps) * np.concatenate(([1.0], self.share))).sum())


def curve(duration: Float64, ended: Bool) -> Curve:
    """The curve of n times, each ended or still running.

    >>> made = curve(np.array([3.0, 5.0, 5.0, 8.0]), np.array([True, True, False, True]))
    >>> made.time.tolist(), made.share.tolist(), made.median, made.mean
    ([3.0, 5.0, 8.0], [0.75, 0.5, 0.0], 5.0, 6.0)
    """
    time, deaths = np.unique(duration[ended], return_counts=True)
    at_risk = len(duration) - np.searchsorted(np.sort(duration), time, side="left")
    share = np.cumprod(1 - deaths / at_risk, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.cumsum(deaths / (at_risk * (at_risk - deaths)))
        spread = Z * np.sqrt(variance) / np.log(share)
        low, high = (np.exp(-np.exp(np.log(-np.log(share)) + sign * spread)) for sign in (-1, 1))
    over = share <= 0
    low, high = np.where(over, 0.0, low), np.where(over, 0.0, high)
    longest = float(duration.max()) if len(duration) else 0.0
    return Curve(time, share, low, high, int(ended.sum()), int((~ended).sum()), longest)


def _crosses(time: Float64, share: Float64) -> float | None:
    # A share of exactly one half is reached though rounding puts it a little above.
    found = np.flatnonzero(share <= 0.5 + 1e-12)
    return float(time[found[0]]) if len(found) else None
