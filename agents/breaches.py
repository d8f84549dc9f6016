"""A champion that does not do what it was let pass for is taken back, once. Heavy: a worker loads it.

It breaches where it says nothing about most of what it is asked, or calls far more anomalous than it did on what was
held out, and the version before it, asked about the same rows, does so less than half as often: readings that have
become bad, or a plant that has become anomalous, are no fault of the champion.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

import numpy as np
import structlog

from agents import predict
from mlops import ledger, live_tracks, loader, predictions, serving
from mlops.learning.examples import Examples
from mlops.live_tracks import Wanted
from mlops.loader import Speaker
from mlops.models import Deployment, ModelVersion, Prediction
from mlops.predictions import Outputs
from sensors.columns import from_instant

log = structlog.get_logger(__name__)

ACTOR = "predict"
WITHIN = timedelta(hours=24)
LEAST_ANSWERS, MOST_ANSWERS = 50, 500
SILENT_SHARE = 0.5
FALSE_ALARMS_TIMES, LEAST_ANOMALOUS_SHARE = 5.0, 0.2
BEFORE_SHARE = 0.5
"""Of the champion's share that of the version before must be below."""


@dataclass(frozen=True, slots=True)
class Breach:
    """``is_one``: whether an answer is of the kind that there are too many of; ``words``: what it does then."""

    words: str
    is_one: Callable[[Outputs], bool]
    limit: float


def look_round() -> list[str]:
    """Hold every champion against its limits; names of the models that were rolled back."""
    return [name for name in ledger.speaking() if _look(name)]


def _look(name: str) -> bool:
    champion = ledger.champion(name)
    if champion is None or champion.pk in ledger.taken_back(name, actor=ACTOR):
        return False
    rows = _newest(champion)
    breach = next((one for one in _breaches(champion) if _share(rows, one) > one.limit), None)
    if len(rows) < LEAST_ANSWERS or breach is None:
        return False
    before = ledger.champion_before(champion, actor=ACTOR)
    if before is None:
        log.warning("agents.breaches.nobody-before", model=name, version=champion.version, does=breach.words)
        return False
    try:
        theirs = _asked_again(loader.opened(before), rows)
    except (loader.Silent, predict.NoAnswer) as error:
        log.warning("agents.breaches.before-is-silent", model=name, version=before.version, error=str(error))
        return False
    return _roll_back(champion, before, rows, theirs, breach)


def _newest(champion: ModelVersion) -> list[Prediction]:
    """Its answers as champion in the last 24 h of event time, the newest ones."""
    entry = Deployment.objects.filter(version=champion, alias=Deployment.Alias.CHAMPION, to_at__isnull=True).first()
    if entry is None:
        return []  # somebody else was promoted meanwhile
    mine = Prediction.objects.filter(
        name=champion.name, version=champion.version, alias=Deployment.Alias.CHAMPION, created_at__gte=entry.from_at
    ).order_by("-asked_at")
    newest = mine.first()
    return [] if newest is None else list(mine.filter(asked_at__gt=newest.asked_at - WITHIN)[:MOST_ANSWERS])


def _breaches(champion: ModelVersion) -> list[Breach]:
    held_out = (champion.figures.get("false_alarms") or [None])[0] or 0.0
    limit = max(FALSE_ALARMS_TIMES * held_out, LEAST_ANOMALOUS_SHARE)
    return [
        Breach("said nothing", predictions.says_nothing, SILENT_SHARE),
        Breach("called anomalous", _is_anomalous, limit),
    ]


def _is_anomalous(outputs: Outputs) -> bool:
    return ((outputs.get("anomalous") or {}).get("value") or 0.0) > 0.5


def _share(rows: Sequence[Prediction], breach: Breach) -> float:
    return sum(breach.is_one(row.outputs) for row in rows) / max(1, len(rows))


def _asked_again(before: Speaker, rows: Sequence[Prediction]) -> dict[int, Outputs]:
    """What the version before says to the same questions, by id of the prediction; none where it cannot be asked."""
    by_machine: dict[int, list[Prediction]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.asked_at):
        by_machine[row.machine_id].append(row)
    fits = [fit for fit in serving.fits(asdict(before.signature), serving.machines()) if fit.sensors]
    found: dict[int, Outputs] = {}
    for fit in fits:
        if (asked := by_machine.get(fit.machine.id)) is None:
            continue
        instants = [from_instant(row.asked_at) for row in asked]
        track = live_tracks.read([Wanted(fit, instants[0], instants[-1])], before.signature)[fit.machine.id]
        ends = np.searchsorted(track.at, np.array(instants, np.int64), side="right").astype(np.int64)
        there = np.flatnonzero(ends >= before.signature.least)
        if len(there):
            nothing = np.full(len(there), np.nan)
            said = predict.answers(before, Examples((track,), np.zeros(len(there), np.int64), ends[there], nothing))
            found |= {asked[place].pk: one for place, one in zip(there.tolist(), said, strict=True)}
    return found


def _roll_back(
    champion: ModelVersion, before: ModelVersion, rows: Sequence[Prediction], theirs: dict[int, Outputs], breach: Breach
) -> bool:
    common = [row for row in rows if row.pk in theirs]
    ours = _share(common, breach)
    other = sum(breach.is_one(theirs[row.pk]) for row in common) / max(1, len(common))
    told = (
        f"Version {champion.version} {breach.words} in {_share(rows, breach):.0%} of its {len(rows)} newest answers "
        f"within 24 h up to {rows[0].asked_at:%Y-%m-%d %H:%M} UTC (at most {breach.limit:.0%} is borne); asked about "
        f"{len(common)} of the same, version {before.version} did so in {other:.0%}, and this one in {ours:.0%}."
    )
    if len(common) < LEAST_ANSWERS or other >= BEFORE_SHARE * ours:
        log.warning("agents.breaches.left-as-it-is", model=champion.name, told=told)
        return False
    try:
        ledger.rollback(champion.name, actor=ACTOR, reason=told, to=before, of=champion)
    except ledger.Refused as error:
        log.warning("agents.breaches.not-rolled-back", model=champion.name, error=str(error))
        return False
    log.error("agents.breaches.rolled-back", model=champion.name, told=told)
    return True
