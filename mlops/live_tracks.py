"""Tracks of live machines from stored readings of good quality, as models were taught with: one row per instant.

The model has a period: the rows are the multiples of it (UTC), each with the last value of every feature that is not
older than the period, missing where there is none. It has none: the rows are the readings of the feature that is read
least often, with the last value of the others that is not older than its usual time between two; an instant at which
one has none is no row. No value is held longer, and no row is made up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops.learning.contract import Signature
from mlops.learning.examples import Track
from mlops.serving import Fit, Machine
from sensors import series
from sensors.columns import DAY_US, Columns, Float64, Int64

HOUR_US = 3_600_000_000
LOOKS_BACK_US = (HOUR_US, DAY_US, 10 * DAY_US, 100 * DAY_US)
"""For a model without a period: so far, one after the other, until there are rows enough."""

SLACK_ROWS = 10
"""So many of the newest rows of a model with a period may be incomplete; the rows before them are as many as else."""

Feature = tuple[Int64, Float64]
"""Instants, ascending, and values of good quality."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A machine's track up to ``until``, from which questions are asked at ``since`` at the earliest."""

    fit: Fit
    since: int
    until: int


def newest(machines: Sequence[Machine]) -> dict[int, int]:
    """The instant of the newest reading of each tagged sensor that has any."""
    table = series.newest([tagged.id for machine in machines for tagged in machine.sensors.values()])
    return dict(zip(table["sensor_id"].tolist(), table["measured_at"].tolist(), strict=True))


def known_until(fit: Fit, newest: dict[int, int], signature: Signature) -> int | None:
    """The newest instant that can be asked about, None where a feature was never read. ``newest``: instants of the
    newest readings by sensor."""
    if any(sensor not in newest for sensor in fit.sensors):
        return None
    until = min(newest[sensor] for sensor in fit.sensors)
    return until // signature.period_us * signature.period_us if signature.period_us else until


def read(wanted: Sequence[Wanted], signature: Signature) -> dict[int, Track]:
    """Of each machine by its id the track, of ``rows`` rows or fewer before the first question's; its last row is
    complete where the model has a period. Machines whose instants are near each other are read in one query."""
    found: dict[int, Track] = {}
    spans = ((signature.rows + SLACK_ROWS) * signature.period_us,) if signature.period_us else LOOKS_BACK_US
    for span in spans:
        for group in _near(wanted, span):
            found |= _read(group, signature, span)
        wanted = [one for one in wanted if _rows_before(found[one.fit.machine.id], one.since) < signature.rows]
    return found


def known_rows(track: Track) -> int:
    """How many rows of it know anything."""
    return int(np.isfinite(track.value).any(axis=1).sum())


def _near(wanted: Sequence[Wanted], span: int) -> list[list[Wanted]]:
    groups: dict[int, list[Wanted]] = defaultdict(list)
    for one in wanted:
        groups[one.until // max(span, HOUR_US)].append(one)
    return list(groups.values())


def _rows_before(track: Track, since: int) -> int:
    return int(np.searchsorted(track.at, since, side="right"))


def _read(group: Sequence[Wanted], signature: Signature, span: int) -> dict[int, Track]:
    sensors = [sensor for one in group for sensor in one.fit.sensors]
    start, end = min(one.since for one in group) - span, max(one.until for one in group) + 1
    readings = series.raw(sensors, start=start, end=end, only_good=True)
    return {one.fit.machine.id: _track(one, _features(readings, one), signature) for one in group}


def _features(readings: Columns, one: Wanted) -> list[Feature]:
    found = []
    for sensor in one.fit.sensors:
        first, last = np.searchsorted(readings.sensor, [sensor, sensor + 1])
        at = readings.at[first:last]
        last = first + int(np.searchsorted(at, one.until, side="right"))
        found.append((readings.at[first:last], readings.value[first:last]))
    return found


def _track(one: Wanted, features: list[Feature], signature: Signature) -> Track:
    if signature.period_us:
        at, value = _by_period(one, features, signature)
    else:
        at, value = _by_slowest(features)
    surplus = max(0, int(np.searchsorted(at, one.since, side="right")) - signature.rows)
    return Track(one.fit.machine.tag, at[surplus:], value[surplus:])


def _by_period(one: Wanted, features: list[Feature], signature: Signature) -> Feature:
    period = signature.period_us
    last = one.until // period
    at = np.arange(one.since // period - signature.rows - SLACK_ROWS + 1, last + 1, dtype=np.int64) * period
    value = last_values(features, at, period)
    complete = np.flatnonzero(np.isfinite(value).all(axis=1))
    begun = np.flatnonzero(np.isfinite(value).any(axis=1))
    if not len(complete):
        return at[:0], value[:0]
    return at[begun[0] : complete[-1] + 1], value[begun[0] : complete[-1] + 1]


def _by_slowest(features: list[Feature]) -> Feature:
    at = min((at for at, _ in features), key=len)
    usual = int(np.median(np.diff(at))) if len(at) > 1 else 0
    value = last_values(features, at, max(1, usual))
    complete = np.isfinite(value).all(axis=1)
    return at[complete], value[complete]


def last_values(features: list[Feature], instants: Int64, younger_than: int) -> Float64:
    """(instants, features): the last value at or before each instant that is younger than that, NaN where none is."""
    value = np.full((len(instants), len(features)), np.nan)
    for column, (at, values) in enumerate(features):
        place = np.searchsorted(at, instants, side="right") - 1
        there = place >= 0
        there[there] = instants[there] - at[place[there]] < younger_than
        value[there, column] = values[place[there]]
    return value
