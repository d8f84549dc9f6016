"""Part of the hourly look for drift: how good models are about live machines, without labels and with. Heavy.

The answers of a version about a machine are taken ``WINDOW`` at a time, none of them twice. What can be expected of
them follows from what they say of themselves; whether their scores changed, from those before. As soon as somebody
tells what was true, by a label or an order that is done, or later readings do, it is measured and stands beside. Where
what was told is taken back, so is what was measured.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import structlog

from agents import learn
from agents.training_windows import Claim
from mlops import live_tracks, performances, serving
from mlops.drift import gauges
from mlops.drift.gauges import Gauge, OneSided, Quantiles
from mlops.forecasting import Ahead
from mlops.loader import Speaker
from mlops.models import ModelVersion, Prediction
from mlops.performance_models import LivePerformance
from mlops.serving import Fit, Machine
from sensors import series
from sensors.columns import SECOND_US, Float64, Int64, from_instant, instant_text, to_instant
from sensors.models import Label

log = structlog.get_logger(__name__)

WINDOW = 200
SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
READINGS = "later readings"

Said = Mapping[int, Sequence[Claim]]
"""By machine what people said of it, as far as it counts."""
Changes = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Served:
    """A version that speaks, and how its answers are gauged."""

    speaker: Speaker
    version: ModelVersion
    gauge: Gauge

    @property
    def outputs(self) -> list[str]:
        return [one.name for one in self.speaker.signature.outputs]

    @property
    def of(self) -> Mapping[str, object]:
        return {"name": self.version.name, "version": self.version.version}


def said(machines: Sequence[Machine]) -> Said:
    """What labels and finished orders say of the machines."""
    found = defaultdict[int, list[Claim]](list)
    for one in learn.windows({machine.site for machine in machines}):
        if one.window.is_used:
            found[one.window.said.machine].append(one.window.said)
    return found


def look(speaker: Speaker, machines: Sequence[Machine], newest: Mapping[int, int], told: Said) -> int:
    """How many windows were looked at for the first time. ``newest``: of each sensor when it was last read."""
    version = ModelVersion.objects.get(name=speaker.name, version=speaker.version)
    gauge = gauges.gauge_of(speaker.learned, speaker.signature, version.usual_losses)
    if gauge is None:
        return 0
    served = Served(speaker, version, gauge)
    fits = {fit.machine.id: fit for fit in serving.fits(asdict(speaker.signature), machines) if fit.sensors}
    windows = [row for row in (_window(served, machine) for machine in fits) if row is not None]
    LivePerformance.objects.bulk_create(windows, ignore_conflicts=True)
    _measure(served, fits, newest, told)
    return len(windows)


# Without labels


def _window(served: Served, machine: int) -> LivePerformance | None:
    rows = performances.next_answers(machine, name=served.version.name, version=served.version.version, most=WINDOW)
    if len(rows) < WINDOW:
        return None
    at, answers = performances.columns(rows, served.outputs)
    stream = served.gauge.stream(answers)
    return LivePerformance(
        machine_id=machine, name=served.version.name, version=served.version.version, from_at=rows[0].asked_at,
        to_at=rows[-1].asked_at, answers=int(np.isfinite(stream).sum()),
        figures=performances.plain(served.gauge.figures(answers), served.version.figures),
        changes=_changes(served, machine, rows[0], at, stream),
    )  # fmt: skip


def _changes(served: Served, machine: int, first: Prediction, at: Int64, stream: Float64) -> Changes | None:
    before = performances.answers_before(
        machine, name=served.version.name, version=served.version.version, at=first.asked_at, most=WINDOW
    )
    if len(before) < WINDOW:
        return None
    _, answers = performances.columns(before, served.outputs)
    found = gauges.changes(served.gauge.stream(answers), stream)
    return [
        {"by": name, "at": instant_text(to_instant(int(at[place])))}
        for name, places in found.items()
        for place in places
    ]


# With them


def _measure(served: Served, fits: Mapping[int, Fit], newest: Mapping[int, int], told: Said) -> None:
    for row, fit in _due(served, fits, newest, told):
        claims = _that_count(served, fit, told.get(fit.machine.id, ()), row)
        words = [READINGS] if _horizon(served) else [_words(one) for one in claims]
        if words == row.said and row.measured_at is not None:
            continue
        if not words and not row.said:
            continue
        rows = performances.answers_of(row)
        if not rows:
            continue  # they were forgotten
        at, answers = performances.columns(rows, served.outputs)
        truth = _later_values(served, fit, at) if _horizon(served) else _truth(served, at, claims)
        figures = served.gauge.figures(answers, truth)
        known = max((one.known for one in figures), default=0)
        performances.measured(row, performances.plain(figures, served.version.figures), known=known, said=words)
        log.info("agents.live-performance.measured", performance=row.pk, known=known)


def _due(
    served: Served, fits: Mapping[int, Fit], newest: Mapping[int, int], told: Said
) -> Iterator[tuple[LivePerformance, Fit]]:
    """Windows that may be measured otherwise than they are."""
    name, version, ahead = served.version.name, served.version.version, _horizon(served)
    if ahead:
        last = max((newest[fit.sensors[0]] for fit in fits.values() if fit.sensors[0] in newest), default=0)
        rows = performances.never_measured(name, version=version, before=to_instant(max(0, last - ahead)))
    else:
        rows = performances.to_measure(name, version=version, told_of=list(told))
    for row in rows:
        fit = fits.get(row.machine_id)
        if fit is not None and (not ahead or from_instant(row.to_at) + ahead <= newest.get(fit.sensors[0], 0)):
            yield row, fit


def _horizon(served: Served) -> int:
    """How far a value is told ahead, in microseconds; 0: none is."""
    learned = served.speaker.learned
    return learned.plan.ahead * learned.plan.period_us if isinstance(learned, Ahead) else 0


def _later_values(served: Served, fit: Fit, at: Int64) -> Float64:
    period = served.speaker.signature.period_us
    when = at + _horizon(served)
    read = series.raw([fit.sensors[0]], start=int(when[0]) - period, end=int(when[-1]) + 1, only_good=True)
    return live_tracks.last_values([(read.at, read.value)], when, period)[:, 0]


def _that_count(served: Served, fit: Fit, claims: Sequence[Claim], row: LivePerformance) -> list[Claim]:
    """Of the machine, or of a sensor the model takes; in time, or the first fault after it where time left is told."""
    mine = [one for one in claims if one.sensor is None or one.sensor in fit.sensors]
    if isinstance(served.gauge, OneSided):
        return [one for one in mine if one.start <= row.to_at and one.end >= row.from_at]
    if _unit_us(served):
        faults = [one for one in mine if one.kind == Label.Kind.FAULT and one.end >= row.from_at]
        later = sorted(faults, key=lambda one: one.start)
        inside = [one for one in later if one.start <= row.to_at]
        return [*inside, *[one for one in later if one.start > row.to_at][:1]]
    return []


def _truth(served: Served, at: Int64, claims: Sequence[Claim]) -> Float64:
    """(n,), NaN = nobody told."""
    truth = np.full(len(at), np.nan)
    ends = [(from_instant(one.start), from_instant(one.end)) for one in claims]
    if isinstance(served.gauge, OneSided):
        for one, (start, end) in sorted(zip(claims, ends, strict=True), key=lambda of: of[0].kind == Label.Kind.FAULT):
            truth[(at >= start) & (at <= end)] = float(one.kind == Label.Kind.FAULT)
        return truth
    for start, end in reversed(ends):
        truth[at < start] = (start - at[at < start]) / _unit_us(served)
        truth[(at >= start) & (at <= end)] = np.nan
    return truth


def _unit_us(served: Served) -> int:
    """Of the time that is said to be left, 0 where it is not counted in time."""
    if not isinstance(served.gauge, Quantiles) or not served.gauge.names[0].startswith("rul"):
        return 0
    units = {one.name: one.unit for one in served.speaker.signature.outputs}
    return SECONDS.get(units[served.gauge.names[0]], 0) * SECOND_US


def _words(one: Claim) -> str:
    return f"{one}, {one.start:%Y-%m-%d %H:%M:%S} to {one.end:%Y-%m-%d %H:%M:%S} UTC"
