"""Models are asked about live machines: the champion, and in its shadow the challenger. Heavy: a worker loads it.

What is asked is decided by rows alone, so that a round that died, or is done twice, changes nothing: of each machine,
model and version there is one prediction for an instant.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import islice

import numpy as np
import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from mlops import ledger, live_tracks, loader, predictions, serving
from mlops.learning.examples import Examples, Track, at_the_end
from mlops.live_tracks import Wanted
from mlops.loader import Speaker
from mlops.models import Deployment, Prediction
from mlops.predictions import Outputs
from mlops.serving import Fit, Machine
from sensors.columns import Float64, from_instant, to_instant
from sensors.models import LANES

log = structlog.get_logger(__name__)

Alias = Deployment.Alias
AT_ONCE = 50
"""Machines whose readings are in memory at a time."""
MOST_TOLD = 200
"""Machines of which is kept why a model did not answer about them."""
SHARE_OF_LIMIT = 0.5
"""Of the time a task may take, what a round may; who has waited longest is asked first the next time."""


class NoAnswer(Exception):
    """The model cannot answer about a machine; the message says why."""


@dataclass(slots=True)
class Turn:
    """One model's part of a round. ``not_answered``: id of a machine -> why; ``answered``: how many predictions are
    new; ``given``: machines in lanes of the challenger's share that it has answered about."""

    name: str
    share: float
    ends_at: float
    answered: int = 0
    trouble: list[str] = field(default_factory=list)
    not_answered: dict[int, str] = field(default_factory=dict)
    given: set[int] = field(default_factory=set)

    def is_given(self, machine: Machine) -> bool:
        return machine.lane < self.share * LANES


def look_round() -> int:
    """Ask every model that speaks about the machines that have newer readings; how many predictions that made."""
    names, machines = ledger.speaking(), serving.machines()
    newest = live_tracks.newest(machines)
    ends_at = time.monotonic() + settings.CELERY_TASK_SOFT_TIME_LIMIT * SHARE_OF_LIMIT
    first = int(time.time() // 60) % max(1, len(names))  # so that the last ones have their turn where time is short
    return sum(_ask(name, machines, newest, ends_at) for name in (*names[first:], *names[:first]))


def _ask(name: str, machines: Sequence[Machine], newest: dict[int, int], ends_at: float) -> int:
    turn = Turn(name, ledger.policy(name).challenger_share, ends_at)
    try:
        champion = loader.champion(name)
        if champion.degraded:
            turn.trouble.append(champion.degraded)
        if (challenger := _challenger(turn, champion)) is not None:
            _ask_speaker(turn, challenger, Alias.CHALLENGER, machines, newest)
        _ask_speaker(turn, champion, Alias.CHAMPION, machines, newest)
    except loader.Silent as error:
        turn.trouble.append(str(error))
        log.warning("agents.predict.silent", model=name, error=str(error))
    told = dict(islice(turn.not_answered.items(), MOST_TOLD))
    predictions.looked(name, answered=turn.answered > 0, trouble=" ".join(turn.trouble), not_answered=told)
    return turn.answered


def _challenger(turn: Turn, champion: Speaker) -> Speaker | None:
    version = ledger.challenger(turn.name)
    if version is None or version.version == champion.version:
        return None
    try:
        return loader.opened(version)
    except loader.Silent as error:
        turn.trouble.append(f"The challenger cannot be asked: {error}")
        log.warning("agents.predict.challenger-silent", model=turn.name, error=str(error))
        return None


def _ask_speaker(
    turn: Turn, speaker: Speaker, alias: Alias, machines: Sequence[Machine], newest: dict[int, int]
) -> None:
    fits = [fit for fit in serving.fits(asdict(speaker.signature), machines) if fit.sensors]
    last = predictions.last_asked([fit.machine.id for fit in fits], name=turn.name, version=speaker.version)
    if alias == Alias.CHALLENGER:
        turn.given = {fit.machine.id for fit in fits if fit.machine.id in last and turn.is_given(fit.machine)}
    wanted = _with_news(fits, speaker, newest, last)
    for start in range(0, len(wanted), AT_ONCE):
        if time.monotonic() > turn.ends_at:
            log.warning("agents.predict.out-of-time", model=turn.name, left=len(wanted) - start)
            break
        rows = list(_predictions(turn, speaker, alias, wanted[start : start + AT_ONCE], last))
        predictions.record(rows)
        turn.answered += len(rows)


def _with_news(
    fits: Sequence[Fit], speaker: Speaker, newest: dict[int, int], last: Mapping[int, datetime]
) -> list[Wanted]:
    """Who has waited longest comes first."""
    found = []
    for fit in fits:
        until, before = live_tracks.known_until(fit, newest, speaker.signature), last.get(fit.machine.id)
        if until is not None and (before is None or until > from_instant(before)):
            found.append(Wanted(fit, since=until, until=until))
    never = datetime.min.replace(tzinfo=UTC)
    return sorted(found, key=lambda one: last.get(one.fit.machine.id, never))


def _predictions(
    turn: Turn, speaker: Speaker, alias: Alias, wanted: Sequence[Wanted], last: Mapping[int, datetime]
) -> Iterator[Prediction]:
    tracks = live_tracks.read(wanted, speaker.signature)
    for machine in (one.fit.machine for one in wanted):
        track, before = tracks[machine.id], last.get(machine.id)
        if before is not None and (not len(track.at) or track.at[-1] <= from_instant(before)):
            continue  # what came since is not good, or not complete
        try:
            outputs = predictions.marked(answers(speaker, at_the_end((track,), np.array([np.nan])))[0])
        except NoAnswer as error:
            turn.not_answered[machine.id] = str(error)
            turn.given.discard(machine.id)
            continue
        if alias == Alias.CHALLENGER and turn.is_given(machine):
            turn.given.add(machine.id)
        yield Prediction(
            machine_id=machine.id, name=turn.name, version=speaker.version, alias=alias,
            is_shown=(machine.id in turn.given) == (alias == Alias.CHALLENGER),
            asked_at=to_instant(int(track.at[-1])), from_at=to_instant(int(track.at[0])), outputs=outputs,
            degraded=speaker.degraded,
        )  # fmt: skip


def answers(speaker: Speaker, asked: Examples) -> list[Outputs]:
    """What a version says to each of the questions. Raises ``NoAnswer``."""
    for track in asked.tracks:
        _enough(track, speaker)
    try:
        said = speaker.learned.answer(asked)
        columns = {one.name: (one.unit, _numbers(said[one.name])) for one in speaker.signature.outputs}
    except SoftTimeLimitExceeded:
        raise
    except Exception as error:
        log.exception("agents.predict.failed", model=speaker.name, version=speaker.version)
        raise NoAnswer(f"Version {speaker.version} fails: {type(error).__name__}: {error}") from error
    return [
        {name: {"unit": unit, "value": values[place]} for name, (unit, values) in columns.items()}
        for place in range(len(asked))
    ]


def _enough(track: Track, speaker: Speaker) -> None:
    """Raises ``NoAnswer`` where the model is asked nothing yet."""
    known, least = live_tracks.known_rows(track), speaker.signature.least
    if known < least:
        raise NoAnswer(f"{known} of the {least} rows that version {speaker.version} needs are there.")


def _numbers(values: Float64) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
