"""The shipped detectors over whole series, as they meet them live: block by block, what was learned carried on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from agents import judge_file
from mlops import state as states
from mlops.detectors import contract, events
from mlops.detectors.contract import Detector
from sensors.columns import Bool, Columns, Float64, Int64, SensorTable

BLOCK = 1000
"""Readings of a sensor that are judged at once; the scores are the same for any other number."""
SHIPPED = judge_file.default()
"""With their defaults. Not the limits: the sensors of a benchmark have none."""
VERSIONS = ", ".join(f"{name} {detector.version}" for name, detector in SHIPPED.items())


@dataclass(frozen=True, slots=True)
class Series:
    """The readings of one sensor of a machine. ``at``: microseconds, ascending; of equal instants the first counts."""

    machine: int
    at: Int64
    value: Float64

    @property
    def counts(self) -> Bool:
        return np.asarray(np.append(True, np.diff(self.at) > 0)[: len(self.at)], np.bool_)


@dataclass(frozen=True, slots=True)
class Judged:
    """Of each row: ``score`` and ``news`` (see ``contract.Scores``), NaN = not judged, and whether it was ``abnormal``;
    and the events, by onset."""

    score: Float64
    news: Float64
    abnormal: Bool
    events: tuple[events.Event, ...]


def table(machines: Sequence[int]) -> SensorTable:
    """Sensors 1, 2, ... of which nothing is configured but the machine they are on."""
    return replace(judge_file.unconfigured(len(machines)), machine=np.array(machines, np.int64))


def judge(
    series: Sequence[Series],
    *,
    using: Mapping[str, Detector] = SHIPPED,
    block: int = BLOCK,
    configured: SensorTable | None = None,
) -> tuple[Judged, ...]:
    """All sensors side by side; the highest score of the detectors counts, and the highest news.

    ``configured``: what is known of the sensors; None = nothing (see ``table``).
    """
    kept = [np.flatnonzero(one.counts) for one in series]
    score, news = ([np.full(len(one.at), np.nan) for one in series] for _ in range(2))
    abnormal = [np.zeros(len(one.at), np.bool_) for one in series]
    found: list[dict[tuple[str, int], events.Event]] = [{} for _ in series]
    whole = table([one.machine for one in series]) if configured is None else configured
    ids = np.arange(1, len(series) + 1)
    for name, detector in using.items():
        learned, opened = states.cold(ids, detector.fields), states.cold(ids, events.FIELDS)
        for first in range(0, max(map(len, kept)), block):
            rows = [mine[first : first + block] for mine in kept]
            readings = gather(series, rows)
            here = contract.block(readings, learned)
            scores, learned = detector.judge(here, whole, learned, np.zeros(len(readings), np.bool_))
            formed, opened = events.form(here, scores, opened)
            for k, (start, count) in enumerate(zip(here.starts, here.counts, strict=True)):
                sensor, part = int(here.rows[k]), slice(start, start + count)
                mine = rows[sensor]
                score[sensor][mine] = np.fmax(score[sensor][mine], scores.score[part])
                news[sensor][mine] = np.fmax(news[sensor][mine], scores.news[part])
                abnormal[sensor][mine] |= scores.verdict[part] != 0
            for event in formed:  # an open event is told of again and again
                found[event.sensor - 1][name, event.started_at] = event
    return tuple(
        Judged(s, w, a, tuple(sorted(e.values(), key=lambda event: event.started_at)))
        for s, w, a, e in zip(score, news, abnormal, found, strict=True)
    )


def gather(series: Sequence[Series], rows: Sequence[Int64]) -> Columns:
    """These rows of each sensor, by (sensor, at)."""
    sensor = np.repeat(np.arange(1, len(series) + 1), [len(mine) for mine in rows])
    at = np.concatenate([one.at[mine] for one, mine in zip(series, rows, strict=True)])
    value = np.concatenate([one.value[mine] for one, mine in zip(series, rows, strict=True)])
    return Columns(sensor, at, value, np.zeros(len(at), np.int32))


# Trivial baselines: of each row a score by the rows before it


def trailing_sigmas(value: Float64, window: int) -> Float64:
    """|x - mean| / standard deviation of the ``window`` rows before it; NaN in the first ``window`` rows."""
    n = len(value)
    out = np.full(n, np.nan)
    if n <= window:
        return out
    before = np.lib.stride_tricks.sliding_window_view(value, window)[: n - window]
    distance = np.abs(value[window:] - before.mean(axis=1))
    spread = before.std(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        out[window:] = np.where(distance > 0, np.minimum(distance / spread, 1e9), 0.0)
    return out


def trailing_steps(value: Float64, window: int) -> Float64:
    """Persistence: the last value is the forecast, and its error is judged against those of ``window`` rows before."""
    return trailing_sigmas(np.diff(value, prepend=value[:1]), window)
