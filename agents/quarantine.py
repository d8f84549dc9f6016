"""Quarantine: find what makes a run fail, set that aside alone, and let everything else go on.

A run comes here when its stage has failed more often than its kind of failure allows, or has killed its workers. Its
lane is free meanwhile. Each trial runs in a child process (``agents.probe``) and keeps nothing, so only the end of the
search changes anything: one transaction that splits off what fails as runs of their own, set aside (dead letters),
and hands the rest back to the lane.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from agents import attempts, bisect, causes, dead_letters, failures, lease, probe, stages
from agents.bisect import Culprit, Findings, Search
from agents.doorbell import Bell
from agents.failures import Verdict
from agents.lease import Lease
from agents.models import Run, StageAttempt
from agents.probe import NoVerdict, Step

log = structlog.get_logger(__name__)

MOST_PROBES = 64
MOST_DEATHS = 3  # of the process that searches, which no poison should reach
MOST_QUARANTINES = 2
AGAIN = 5.0  # seconds


def search(run_id: int, *, steps: dict[str, Step]) -> tuple[Bell, ...]:
    """Search a run in quarantine and act on what was found; the bells to ring next."""
    taken = lease.claim(Run, run_id, seconds=_lease_seconds(), status=Run.Status.QUARANTINE, stage=list(steps))
    if taken is None:
        return ()
    run = Run.objects.get(pk=run_id)
    started = timezone.now()
    with structlog.contextvars.bound_contextvars(run_id=run_id, stage=run.stage, **causes.told(run_id, run.gathered)):
        try:
            if taken.attempt > MOST_DEATHS:
                _give_up(run, taken, started)
            else:
                _conclude(run, taken, _found(run, taken, steps[run.stage]), started)
        except NoVerdict as error:
            log.warning("agents.quarantine.no-verdict", error=str(error)[-300:])
            with transaction.atomic():
                # Due as before: the watchdog sees since when.
                lease.fence(Run, taken, attempts=0, ring_after=lease.later(AGAIN))
            return ()
        except lease.Fenced as error:
            log.warning("agents.quarantine.fenced", error=str(error))
            attempts.record(taken, run.stage, started, StageAttempt.Outcome.FENCED)
            return ()
    return (Bell("ingest", run.lane),)


def _lease_seconds() -> float:
    """A trial's time and some for what is around it; it is extended before each trial."""
    return float(settings.LEASE_SECONDS)


def _found(run: Run, taken: Lease, step: Step) -> Findings[Verdict]:
    return Search(_trial(run, taken, step), most=MOST_PROBES).among(stages.units_of(run))


def _give_up(run: Run, taken: Lease, started: datetime) -> None:
    """Nothing of the run is looked at any more: that may be what ends the searches."""
    how = f"{taken.attempt - 1} searches in quarantine began and none ended: they failed, or their workers were killed."
    verdict = failures.worker_died(how, stage=run.stage)
    with transaction.atomic():
        lease.fence(Run, taken, attempts=0, rings=0)
        dead_letters.set_aside(run, verdict)
        attempts.record(taken, run.stage, started, StageAttempt.Outcome.SEARCHED, verdict)
    log.error("agents.quarantine.gave-up")


def _trial(run: Run, taken: Lease, step: Step) -> Callable[[bisect.Units], Verdict | None]:
    def fails(units: bisect.Units) -> Verdict | None:
        lease.extend(Run, taken, seconds=_lease_seconds())
        return probe.probe(step, run, units or None, seconds=settings.CELERY_TASK_SOFT_TIME_LIMIT)

    return fails


def _conclude(run: Run, taken: Lease, found: Findings[Verdict], started: datetime) -> None:
    """Split off what fails and what must go on apart; what is left of the run goes back to its lane."""
    culprits = list(found.culprits)
    if not culprits and not found.apart and run.quarantines >= MOST_QUARANTINES:
        culprits = [Culprit(tuple(stages.units_of(run)), _again(run))]
    apart = {unit for units in (*found.apart, *(c.units for c in culprits)) for unit in units}
    rest = [unit for unit in stages.units_of(run) if unit not in apart]
    itself = None if rest or not culprits else culprits.pop()  # nothing would be left of the run: it fails itself
    pieces = [(units, None) for units in found.apart] + [(c.units, c.failure) for c in culprits]
    told = _told(found, len(pieces) + (itself is not None))
    fields = [stages.piece_of(run, units) for units, _ in pieces]
    stays = rest if itself is None else itself.units
    left = stages.piece_of(run, stays) if stays and pieces else {}
    with transaction.atomic():
        lease.fence(Run, taken, attempts=0, rings=0, edition=run.edition + 1, **left)
        for (units, verdict), carried in zip(pieces, fields, strict=True):
            parts = () if run.stage == Run.Stage.DECIDE else units
            dead_letters.split_off(run, parts=parts, fields=carried, verdict=verdict)
        if itself is not None:
            dead_letters.set_aside(run, itself.failure)
        else:
            Run.objects.filter(pk=run.pk).update(status=Run.Status.REPLAY, due_at=Now(), error_class="", error="")
        attempts.record(taken, run.stage, started, StageAttempt.Outcome.SEARCHED, told=told)
    log.warning("agents.quarantine.searched", probes=found.probes, set_aside=len(culprits) + (itself is not None))


def _again(run: Run) -> Verdict:
    """Fails in the lane and passes every trial: kept with what it failed of."""
    told = f"It failed again and again, and passed every trial in quarantine. The last failure:\n{run.error}"
    return Verdict(
        failures.Kind.BUG, run.error_class, told, failures.cause_of(run.stage, run.error_class, "not reproducible")
    )


def _told(found: Findings[Verdict], pieces: int) -> str:
    if not pieces:
        return f"{found.probes} trials, and none failed: it goes on as a whole."
    return f"{found.probes} trials; {pieces} set apart, of which {len(found.culprits)} fail."
