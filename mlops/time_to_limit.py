"""When a quantity that drifts will pass a limit. Pure: numpy in, numpy out.

A robust line through the latest rows (Theil and Sen), and around it many futures: the line anew through rows that are
drawn from its errors, and errors that go on as they did. Errors hang together, so they are taken to be a first-order
autoregression whose shocks are drawn in blocks (Künsch, The jackknife and the bootstrap for general stationary
observations, 1989; Bühlmann, Sieve bootstrap for time series, 1997).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.signal import lfilter

from mlops.learning.contract import Answers
from mlops.learning.examples import Examples, Track
from sensors.columns import SECOND_US, Float64

LEAST = 24
"""Rows that are known, below which nothing is said."""
FUTURES = 300
BLOCK = 5
FARTHEST = 2000
"""Steps into the future at most: of a far horizon they are longer than a row."""
SURE = 0.99
"""The share of lines that must go one way, before it is a trend."""
MOST_MEMORY = 0.97
"""Of errors from one row to the next; above it they could not be told from a trend."""
ASKED = (0.1, 0.5, 0.9)
OUTPUTS = ("p10", "p50", "p90")
LEVELS, EVERY = (0.2, 0.4, 0.6, 0.8), 2
"""Of the values on a track's way, and so many rows apart, where answers are compared with what came."""
UNKNOWN = (np.nan, np.nan, np.nan)


@dataclass(frozen=True, slots=True)
class _Line:
    """Around ``middle`` (rows from the oldest): ``level`` there, ``slope`` per row, and what the rows are off it."""

    level: float
    slope: float
    error: Float64
    place: Float64


def time_to_limit(
    track: Track, limit: float, *, above: bool, horizon_s: float, window: int = 200, feature: int = 0, seed: int = 0
) -> tuple[float, float, float]:
    """Seconds until the quantity first is at the limit or beyond: p10, p50, p90 after the track's last row.

    ``above``: beyond is above it. ``window``: how many of the latest rows tell of the trend. inf: not within the
    horizon; NaN: too few rows, or no trend in either direction that is surely one; 0: it is beyond now.
    """
    at, value = track.at[-window:], track.value[-window:, feature]
    known = np.isfinite(value)
    at, value = at[known], value[known]
    if len(value) < LEAST or not np.isfinite(limit):
        return UNKNOWN
    sign = 1.0 if above else -1.0
    value, limit = sign * value, sign * limit
    if value[-1] >= limit:
        return 0.0, 0.0, 0.0
    step_s = float(np.median(np.diff(at))) / SECOND_US
    place = (at - at[-1]) / SECOND_US / step_s
    line = robust_line(place, value)
    lot = np.random.default_rng(seed)
    steps = max(1, min(FARTHEST, int(horizon_s / step_s)))
    stride = max(1.0, horizon_s / step_s / steps)
    level, slope, ahead = _futures(line, lot, steps, stride)
    if max((slope > 0).mean(), (slope < 0).mean()) < SURE:
        return UNKNOWN
    when = np.arange(1, steps + 1) * stride
    beyond = level[:, None] + slope[:, None] * (when - line.place.mean()) + ahead >= limit
    first = np.where(beyond.any(axis=1), (np.argmax(beyond, axis=1) + 1) * stride * step_s, np.inf)
    ordered = np.sort(first)
    p10, p50, p90 = (float(ordered[int(np.ceil(q * FUTURES)) - 1]) for q in ASKED)
    return p10, p50, p90


def robust_line(place: Float64, value: Float64) -> _Line:
    """Median of the slopes between any two rows, median of what is left (Sen, Estimates of the regression coefficient
    based on Kendall's tau, 1968). ``place``: (n,) in rows."""
    first, last = np.triu_indices(len(place), 1)
    apart = place[last] - place[first]
    slope = float(np.median((value[last] - value[first])[apart > 0] / apart[apart > 0])) if np.any(apart > 0) else 0.0
    off = value - slope * (place - place.mean())
    level = float(np.median(off))
    return _Line(level, slope, off - level, place)


def memory(error: Float64) -> float:
    """Of errors from one row to the next, 0 to ``MOST_MEMORY``. What a fitted line took of it is given back
    (Kendall, Note on bias in the estimation of autocorrelation, 1954, and as much again for the slope)."""
    below = float(np.sum(error[:-1] ** 2))
    found = float(np.sum(error[1:] * error[:-1])) / below if below > 0 else 0.0
    return float(np.clip(found + 2 * (1 + 2 * found) / len(error), 0.0, MOST_MEMORY))


def _futures(line: _Line, lot: np.random.Generator, steps: int, stride: float) -> tuple[Float64, Float64, Float64]:
    """(FUTURES,) levels and slopes of lines through drawn rows, (FUTURES, steps) errors that go on from now."""
    n, kept = len(line.error), memory(line.error)
    shock = line.error[1:] - kept * line.error[:-1]
    shock = shock - shock.mean()
    start = line.error[lot.integers(n, size=FUTURES)]
    drawn = _go_on(_drawn(lot, shock, n), kept, start)
    apart = line.place - line.place.mean()
    slope = line.slope + drawn @ apart / np.sum(apart**2)
    level = line.level + drawn.mean(axis=1)
    over = kept**stride
    wider = np.sqrt((1 - over**2) / (1 - kept**2))
    now = np.full(FUTURES, line.error[-1])
    return level, slope, _go_on(wider * _drawn(lot, shock, steps), over, now)


def _go_on(shock: Float64, kept: float, start: Float64) -> Float64:
    """(m, steps): each error is so much of the one before, and a shock."""
    found, _ = lfilter([1.0], [1.0, -kept], shock, axis=1, zi=kept * start[:, None])
    return np.asarray(found, np.float64)


def _drawn(lot: np.random.Generator, shock: Float64, steps: int) -> Float64:
    """(FUTURES, steps): shocks, some in a row at a time and round the end, each moved a little, as what comes may be
    larger than all that was (Silverman and Young, The bootstrap: to smooth or not to smooth?, 1987)."""
    first = lot.integers(len(shock), size=(FUTURES, -(-steps // BLOCK)))
    place = ((first[:, :, None] + np.arange(BLOCK)) % len(shock)).reshape(FUTURES, -1)[:, :steps]
    width = 0.9 * len(shock) ** -0.2 * float(shock.std())
    return np.asarray(shock[place] + width * lot.standard_normal(place.shape))


@dataclass(frozen=True, slots=True)
class Wear:
    """Rows until a quantity that wears is first beyond its limit: its own trend, and that of others until it has one.

    ``rate``: per row, of those it was taught on; it weighs as ``strength`` rows of its own, of which the latest
    ``window`` count. ``stretch``: (3,) what the answer is multiplied by for p10, p50 and p90.
    """

    limit: float
    above: bool
    window: int
    rate: float
    strength: float
    stretch: Float64

    kind = "wear"

    def parts(self) -> dict[str, Any]:
        return {
            "limit": self.limit, "above": self.above, "window": self.window, "rate": self.rate,
            "strength": self.strength, "stretch": self.stretch,
        }  # fmt: skip

    def answer(self, examples: Examples) -> Answers:
        found = np.full((len(examples), len(ASKED)), np.nan)
        for place, (number, end) in enumerate(zip(examples.track.tolist(), examples.end.tolist(), strict=True)):
            value = examples.tracks[number].value[max(0, end - self.window) : end, 0]
            found[place] = self.rows_left(value, self.limit) * self.stretch
        return {name: found[:, place] for place, name in enumerate(OUTPUTS)}

    def rows_left(self, value: Float64, limit: float) -> float:
        """Of the latest rows alone: NaN where they are too few, inf where the trend leads away from the limit."""
        place = np.flatnonzero(np.isfinite(value)).astype(np.float64)
        known = (value if self.above else -value)[np.isfinite(value)]
        limit = limit if self.above else -limit
        if len(known) < LEAST:
            return np.nan
        if known[-1] >= limit:
            return 0.0
        line = robust_line(place, known)
        rate = (len(known) * line.slope + self.strength * self.rate) / (len(known) + self.strength)
        now = line.level + line.slope * (len(value) - 1 - place.mean())
        return max(1.0, (limit - now) / rate) if rate > 0 else np.inf


def wear_from_parts(parts: Mapping[str, Any]) -> Wear:
    return Wear(**parts)


def teach_wear(examples: Examples, *, limit: float, above: bool, window: int, strength: float) -> Wear:
    """Rates of the tracks that are asked about, and how far wrong each track's own answers are, with the rates of the
    others, at every level on its way. Raises ``ValueError`` where no track says anything."""
    tracks = [
        examples.tracks[number].value[: int(examples.end[examples.track == number].max()), 0]
        for number in np.unique(examples.track)
    ]
    rates = [_rate(value, above=above) for value in tracks]
    wrong: list[float] = []
    for number, value in enumerate(tracks):
        others = [rate for k, rate in enumerate(rates) if k != number or len(rates) == 1]
        model = Wear(limit, above, window, float(np.median(others)), strength, np.ones(len(ASKED)))
        wrong += _wrong(model, value)
    if not wrong:
        raise ValueError("no track wears by a measurable amount: there is nothing to learn from")
    stretch = np.exp(np.quantile(wrong, ASKED))
    return Wear(limit, above, window, float(np.median(rates)), strength, stretch)


def _rate(value: Float64, *, above: bool) -> float:
    known = np.flatnonzero(np.isfinite(value))
    return (1.0 if above else -1.0) * robust_line(known.astype(np.float64), value[known]).slope


def _wrong(model: Wear, value: Float64) -> list[float]:
    """Logarithms of true over answered rows, for levels that the track passed later than it was asked at."""
    found = []
    sign = 1.0 if model.above else -1.0
    for level in np.nanquantile(value, LEVELS):
        beyond = np.flatnonzero(sign * value >= sign * level)
        for end in range(LEAST, int(beyond[0]), EVERY) if len(beyond) else ():
            answered = model.rows_left(value[max(0, end - model.window) : end], float(level))
            if np.isfinite(answered) and answered > 0:
                found.append(float(np.log((beyond[0] + 1 - end) / answered)))
    return found
