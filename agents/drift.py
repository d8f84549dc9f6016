"""Every hour: whether the readings of machines are still like those that the models which speak learned from. Heavy: a
worker loads it.

Of each machine that a champion fits the newest rows, as many as two windows of its reference have, are held against it,
and none that were looked at before. What was found is a row; beside it, how good the answers were
(``live_performance``). A drift is also

1. an anomaly of the sensor that is furthest off, which takes the way of all others, as an advisory: it is noted, and
   nobody is called. While check after check drifts it is one anomaly that grows;
2. a training that is asked for, unless the model's policy does not allow it: then the row says why.

Rows alone decide what is looked at, so a round that died, or is done twice, changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np
import structlog
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agents import live_performance
from agents.doorbell import Bell
from agents.models import Run
from agents.trainings import requests
from maintenance import anomalies, hidden
from maintenance.models import Anomaly
from maintenance.sightings import Sighting
from mlops import drift_checks, ledger, live_tracks, loader, performances, serving
from mlops.drift import check
from mlops.drift.check import Finding, Verdict
from mlops.drift_models import DriftCheck
from mlops.live_tracks import Wanted
from mlops.loader import Speaker
from mlops.models import Training
from mlops.serving import Fit, Machine
from sensors.columns import Float64, Int64, from_instant, to_instant
from sensors.models import Equipment

log = structlog.get_logger(__name__)

DETECTOR, KIND = "drift", "DRIFT"
AT_ONCE = 50
"""Machines whose readings are in memory at a time."""


@dataclass(frozen=True, slots=True)
class Newest:
    """Rows of a machine that were not looked at before. ``value``: (n, features), NaN = missing or not to be judged;
    ``before``: the check before this one, None = the first one for this version."""

    fit: Fit
    at: Int64
    value: Float64
    before: DriftCheck | None


def look_round() -> list[Bell]:
    """Look at what is new of every machine; bells of the trainings that were asked for."""
    machines = serving.machines()
    newest = live_tracks.newest(machines)
    said = live_performance.said(machines)
    bells: list[Bell] = []
    for name in ledger.speaking():
        try:
            speaker = loader.champion(name)
        except loader.Silent as error:
            log.warning("agents.drift.silent", model=name, error=str(error))
            continue
        bells += _look(speaker, machines, newest)
        live_performance.look(speaker, machines, newest, said)
    before = timezone.now() - timedelta(days=settings.ML_PREDICTIONS_DAYS)
    drift_checks.forget(before=before)
    performances.forget(before=before)
    return bells


def _look(speaker: Speaker, machines: Sequence[Machine], newest: dict[int, int]) -> Iterator[Bell]:
    if speaker.reference is None:
        log.info("agents.drift.no-reference", model=speaker.name, version=speaker.version)
        return
    rows = check.LIVE.in_a_row * speaker.reference.rows
    for found in _newest(speaker, rows, machines, newest):
        verdict = drift_checks.held_against(speaker, _plant_clock(speaker, found), found.value, check.LIVE)
        yield from _keep(speaker, found, verdict)


def _newest(speaker: Speaker, rows: int, machines: Sequence[Machine], newest: dict[int, int]) -> Iterator[Newest]:
    """Of each machine that has so many new rows the last of them."""
    fits = [fit for fit in serving.fits(asdict(speaker.signature), machines) if fit.sensors]
    before = drift_checks.newest([fit.machine.id for fit in fits], name=speaker.name, version=speaker.version)
    wanted = []
    for fit in fits:
        until = live_tracks.known_until(fit, newest, speaker.signature)
        last = before.get(fit.machine.id)
        since = None if last is None else from_instant(last.to_at) + max(1, rows * speaker.signature.period_us)
        if until is not None and (since is None or until >= since):
            wanted.append(Wanted(fit, since=until, until=until))
    looks_back = replace(speaker.signature, rows=2 * rows)  # the last ones may not be complete yet
    for start in range(0, len(wanted), AT_ONCE):
        group = wanted[start : start + AT_ONCE]
        tracks = live_tracks.read(group, looks_back)
        for fit in (one.fit for one in group):
            at, value = tracks[fit.machine.id].at[-rows:], tracks[fit.machine.id].value[-rows:]
            last = before.get(fit.machine.id)
            if len(at) == rows and (last is None or at[0] > from_instant(last.to_at)):
                yield Newest(fit, at, _as_usual(fit, at, value), last)


def _as_usual(fit: Fit, at: Int64, value: Float64) -> Float64:
    """Without what was measured while the machine was out of service or suppressed by design."""
    kept = value.copy()
    for _, begin, end in hidden.not_as_usual([fit.machine.id], first=to_instant(at[0]), last=to_instant(at[-1])):
        kept[(at >= from_instant(begin)) & (at <= (at[-1] if end is None else from_instant(end)))] = np.nan
    return kept


def _plant_clock(speaker: Speaker, found: Newest) -> Int64:
    """Where the hour counts, the site's: people and machines run by it."""
    if speaker.reference is None or not speaker.reference.is_seasonal:
        return found.at
    zone = Equipment.objects.values_list("site__time_zone", flat=True).get(pk=found.fit.machine.id)
    offset = to_instant(found.at[0]).astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
    return found.at + offset // timedelta(microseconds=1)


@transaction.atomic
def _keep(speaker: Speaker, found: Newest, verdict: Verdict) -> list[Bell]:
    row = DriftCheck(
        machine_id=found.fit.machine.id, name=speaker.name, version=speaker.version,
        from_at=to_instant(found.at[0]), to_at=to_instant(found.at[-1]), verdict=drift_checks.verdict_of(verdict),
        reason=verdict.reason, features=drift_checks.features(verdict),
    )  # fmt: skip
    bells: list[Bell] = []
    if verdict.drifted:
        row.anomaly_id = _tell(speaker, found, verdict)
        row.retraining, bells = _retraining(speaker.name)
        log.warning("agents.drift.drifted", model=row.name, version=row.version, machine=row.machine_id)
    row.save(force_insert=True)
    return bells


def _tell(speaker: Speaker, found: Newest, verdict: Verdict) -> int:
    """The anomaly of the drift: a new one, which a run of the machine's lane will decide on, or the one that lasts."""
    sensors = dict(zip((one.name for one in speaker.signature.features), found.fit.sensors, strict=True))
    drifted = sorted((one for one in verdict.findings if one.drifted), key=lambda one: -one.effect)
    known = _lasting(found.before)
    if known is None:
        machine = found.fit.machine
        run_id = Run.objects.create(
            lane=machine.lane, status=Run.Status.REPLAY, stage=Run.Stage.DECIDE,
            findings={"clocks": {str(machine.id): None}},
        ).pk  # fmt: skip
        sensor_id, started_at = sensors[drifted[0].feature], int(found.at[0])
    else:
        run_id, sensor_id, started_at = known.last_run_id, known.sensor_id, from_instant(known.started_at)
    total = sum(one.effect for one in drifted)
    sighting = Sighting(
        sensor_id=sensor_id, detector=DETECTOR, detector_version=f"{speaker.name} {speaker.version}", kind=KIND,
        started_at=started_at, ended_at=int(found.at[-1]), last_at=int(found.at[-1]), readings=len(found.at),
        peak_score=1.0 - min(one.q for one in drifted), peak_at=int(found.at[0]), observed=None, expected_low=None,
        expected_high=None, window_from=int(found.at[0]), window_to=int(found.at[-1]),
        contributors=tuple((sensors[one.feature], one.effect / total) for one in drifted),
        detail=_words(speaker, drifted),
    )  # fmt: skip
    [anomaly_id] = anomalies.record([sighting], run_id=run_id)
    return anomaly_id


def _lasting(before: DriftCheck | None) -> Anomaly | None:
    """That of the window before, where it had drifted."""
    if before is None or before.anomaly_id is None:
        return None
    return Anomaly.objects.filter(pk=before.anomaly_id).first()


def _words(speaker: Speaker, drifted: Sequence[Finding]) -> str:
    told = "; ".join(f"{one.feature}: {one.reason}" for one in drifted)
    return f"not what {speaker.name} {speaker.version} learned from: {told}"


def _retraining(name: str) -> tuple[str, list[Bell]]:
    try:
        row = requests.ask(name, cause=Training.Cause.DRIFT)
    except requests.Refused as error:
        return f"Not asked for: {error}", []
    return f"Training {row.pk} was asked for.", [Bell("train", row.pk)]
