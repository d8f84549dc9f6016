"""The order of the stages, and what each loads and commits around its pure middle.

A stage is claimed (``agents.lease``), worked on with no transaction open, and finished in one transaction that begins
with the fence. What ``perform`` returns are the bells to ring next; it rings nothing itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from agents import attempts, failpoints, failures, hearsay, lanes, lease, measures, quarantine, stages, tracks
from agents.doorbell import Bell
from agents.lease import Lease
from agents.models import Run, StageAttempt
from sensors.models import BatchPart
from sensors.tracing import Span

log = structlog.get_logger(__name__)

Stage = Run.Stage
ORDER = (Stage.INGEST, Stage.VALIDATE, Stage.DETECT, Stage.DECIDE, Stage.NOTIFY)
STEPS: dict[str, Callable[[Run, int, stages.Units], stages.Finish]] = {
    Stage.INGEST: stages.ingest_step,
    Stage.VALIDATE: stages.validate_step,
    Stage.DETECT: stages.detect_step,
    Stage.DECIDE: stages.decide_step,
    Stage.NOTIFY: stages.notify_step,
}
A_BREATH = 0.05, 0.2  # seconds between two tries of one attempt
REST, MOST_REST = 2.0, 0.25
"""What a run leaves its lanes, in times of its own trip, and seconds."""
CROWD, MANY = 32, 2_000
"""Parts, and readings: where fewer wait, they go at once. Few requests are not held up for what many would gain."""
A_MOMENT = 2.0  # seconds: the sweep leaves a run alone so long after a stage: its own bell is on the way


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: done, stale (nothing to claim), retry, quarantine or fenced; and what to ring next."""

    result: str
    bells: tuple[Bell, ...] = ()


def begin(lane: int) -> Outcome:
    """Stage ingest of a lane: begin its next run if none is active and something waits, and do the first stage.

    The run goes down the lane's neighbours as well, as far as they are free (``agents.lanes``). What waits to be
    replayed goes before what is new, and while it cannot go, nothing new begins in its lanes.
    """
    first, count = lanes.span(lane)
    there = lanes.runs(first, count, stages=ORDER)
    for run in there.active:
        if run.stage == Stage.INGEST and (outcome := perform(run.stage, run.id)).result != "stale":
            return outcome
    for run in there.waiting:
        if _activate(run.id):
            if run.stage == Stage.INGEST:
                return perform(run.stage, run.id)
            return Outcome("done", (Bell(run.stage.lower(), run.id),))
    for begins, many in there.free:
        if lanes.waiting(begins, many)[0] and (new := _new(begins, many)):
            hearsay.settled(first, seconds=hearsay.UNDER_WAY_SECONDS)
            return perform(Stage.INGEST, new.pk)
    return Outcome("stale")


def _new(first: int, count: int) -> Run | None:
    try:
        with transaction.atomic():
            return Run.objects.create(lane=first, lanes=count)
    except IntegrityError:  # another worker was faster
        return None


def _activate(run_id: int) -> bool:
    """Let a run that waits to be replayed go on, unless one of its lanes has an active run: that goes first."""
    waiting = _waiting_replays().filter(pk=run_id)
    try:
        with transaction.atomic():
            return bool(waiting.update(status=Run.Status.ACTIVE, due_at=Now()))
    except IntegrityError:
        return False


def perform(stage: str, run_id: int) -> Outcome:
    """One attempt at one stage of a run."""
    taken = lease.claim(Run, run_id, seconds=settings.LEASE_SECONDS, status=Run.Status.ACTIVE, stage=stage)
    if taken is None:
        return Outcome("stale")
    started = timezone.now()
    with tracks.stage(stage, taken) as span, measures.attempt(stage) as ended:
        try:
            return ended(_guarded(stage, taken, started, span))
        except lease.Fenced as error:
            log.warning("agents.pipeline.fenced", error=str(error))
            attempts.record(taken, stage, started, StageAttempt.Outcome.FENCED)
            return ended(Outcome("fenced"))


def _guarded(stage: str, taken: Lease, started: datetime, span: Span) -> Outcome:
    most = failures.POLICIES[failures.Kind.DEATH].attempts
    if taken.attempt > most and (deaths := attempts.deaths(taken, stage)) >= most:
        how = f"{deaths} attempts began and did not end: their workers were killed, or lost the database."
        return _to_quarantine(stage, taken, failures.worker_died(how, stage=stage), started)
    try:
        return _in_place(stage, taken, started, span)
    except lease.Fenced:
        raise
    except Exception as error:
        verdict = failures.judge(error, stage=stage, attempt=taken.attempt)
        span.failed(verdict.error_class)
        measures.FAILURES.labels(stage.lower(), verdict.kind.lower()).inc()
        if verdict.kind is failures.Kind.INFRASTRUCTURE:
            raise  # no verdict: the lease runs out and the run resumes
        log.exception("agents.pipeline.failed", attempt=taken.attempt, kind=verdict.kind)
        return _failed(stage, taken, verdict, started)


def _in_place(stage: str, taken: Lease, started: datetime, span: Span) -> Outcome:
    """One attempt; where somebody was only in the way for a moment, a few tries of it."""
    for left in reversed(range(failures.POLICIES[failures.Kind.TRANSIENT].tries)):
        try:
            return _attempt(stage, taken, started, span)
        except lease.Fenced:
            raise
        except Exception as error:
            if not left or failures.classify(error) is not failures.Kind.TRANSIENT:
                raise
            log.info("agents.pipeline.in-the-way", error=str(error).strip())
            time.sleep(random.uniform(*A_BREATH))
    raise AssertionError("the last try returns or raises")


def _attempt(stage: str, taken: Lease, started: datetime, span: Span) -> Outcome:
    failpoints.reach(f"{stage}:claimed")
    assert isinstance(taken.row, Run)
    run = taken.row
    finish = STEPS[stage](run, taken.attempt, None)
    failpoints.reach(f"{stage}:worked")
    following = ORDER[ORDER.index(Stage(stage)) + 1] if stage != ORDER[-1] else None
    changes: dict[str, Any] = {
        "attempts": 0,
        "rings": 0,
        "quarantines": 0,
        "error_class": "",
        "error": "",
        "cause": "",
        "ring_after": lease.later(A_MOMENT),
    }
    if following is None:
        changes |= {"status": Run.Status.DONE, "finished_at": lease.NOW}
    else:
        changes |= {"stage": following}
    changes |= tracks.learn(run, finish.changes, span)
    with transaction.atomic():
        lease.fence(Run, taken, **changes)
        bells = finish.commit()
        attempts.record(taken, stage, started, StageAttempt.Outcome.DONE)
        if following is None and run.was_aside:  # what a failure had said of its parts is over
            BatchPart.objects.filter(run_id=run.pk).exclude(error="").update(error="")
        failpoints.reach(f"{stage}:finishing")
    return Outcome("done", (*bells, *_afterwards(stage, run, finish, following)))


def _afterwards(stage: str, run: Run, finish: stages.Finish, following: Run.Stage | None) -> tuple[Bell, ...]:
    """What is left when a stage is committed. Whatever fails now, it is done: the sweep rings for what nobody rang."""
    try:
        failpoints.reach(f"{stage}:committed")
        log.info("agents.pipeline.stage-done")
        finish.after()
        if following is not None:
            return (Bell(following.lower(), run.pk),)
        log.info("agents.pipeline.done", readings=run.readings)
        measures.JUDGED.inc(run.readings)
        return _lanes_again(run, rest=_rest(run))
    except Exception:
        log.exception("agents.pipeline.failed-when-done")
        return ()


def search(run_id: int) -> Outcome:
    """Find what makes a run in quarantine fail, and let the rest of it go on."""
    bells = quarantine.search(run_id, steps=STEPS)
    return Outcome("done" if bells else "stale", bells)


def _lanes_again(run: Run, *, rest: float = 0.0) -> tuple[Bell, ...]:
    """What came in while the run was on its way waits for the next one, and a crowd for ``rest`` seconds more."""
    hearsay.over([lane for lane, _ in lanes.spans(run.lane, run.lanes)])
    found = {lane: lanes.waiting(lane, count, most=CROWD) for lane, count in lanes.spans(run.lane, run.lanes)}
    rests = {
        lane: rest if parts >= CROWD or readings >= MANY else 0.0 for lane, (parts, readings) in found.items() if parts
    }
    replays = lanes.firsts(other.lane for other in lanes.runs(run.lane, run.lanes, stages=ORDER).waiting)
    return tuple(Bell("ingest", lane, wait) for lane, wait in sorted((rests | dict.fromkeys(replays, 0.0)).items()))


def _rest(run: Run) -> float:
    """Seconds to leave a run's lanes alone, so that more goes into the next one: under load a trip's five hops are
    shared by more readings, and an idle lane waits for nothing. No rest where more waits than a run takes."""
    if run.readings > settings.RUN_MAX_READINGS // 2:
        return 0.0
    took = (timezone.now() - run.created_at).total_seconds()
    return min(max(0.0, REST * took), MOST_REST)


def _failed(stage: str, taken: Lease, verdict: failures.Verdict, started: datetime) -> Outcome:
    if verdict.wait is None:
        return _to_quarantine(stage, taken, verdict, started)
    due_at = lease.later(verdict.wait)
    with transaction.atomic():
        lease.fence(Run, taken, due_at=due_at, ring_after=due_at, error_class=verdict.error_class, error=verdict.error)
        attempts.record(taken, stage, started, StageAttempt.Outcome.RETRY, verdict)
    return Outcome("retry")


def _to_quarantine(stage: str, taken: Lease, verdict: failures.Verdict, started: datetime) -> Outcome:
    """Free the lane, and have the run searched for the part that fails."""
    log.error("agents.pipeline.to-quarantine", error_class=verdict.error_class)
    with transaction.atomic():
        lease.fence(
            Run, taken, status=Run.Status.QUARANTINE, attempts=0, rings=0, due_at=lease.NOW,
            ring_after=lease.later(A_MOMENT), quarantines=lease.Sql("quarantines + 1"),
            error_class=verdict.error_class, error=verdict.error, cause=verdict.cause,
        )  # fmt: skip
        run = Run.objects.get(pk=taken.id)
        if stage == Stage.INGEST and not BatchPart.objects.filter(run_id=taken.id).exists():
            # It has taken none yet; the lane's next run must not meet the same ones.
            take = BatchPart.objects.filter(pk__in=stages.parts_to_take(run), state=BatchPart.State.WAITING)
            take.update(state=BatchPart.State.TAKEN, run_id=taken.id)
        attempts.record(taken, stage, started, StageAttempt.Outcome.QUARANTINE, verdict)
    return Outcome("quarantine", (Bell("quarantine", taken.id), *_lanes_again(run)))


def idle_lanes_with_work(*, for_seconds: float = 0) -> list[int]:
    """One lane for each run that could begin: something waits there, for so long at least, and no run is active. What
    the sweep rings, once for each."""
    since = Now() - timedelta(seconds=for_seconds)
    taken = Run.objects.filter(status=Run.Status.ACTIVE, lane__lte=OuterRef("lane"))
    parts = _waiting_parts().filter(~Exists(taken.filter(lane__gt=OuterRef("lane") - F("lanes"))))
    met = Run.objects.filter(status=Run.Status.ACTIVE, lane__lt=OuterRef("lane") + OuterRef("lanes"))
    replays = _waiting_replays().filter(~Exists(met.filter(lane__gt=OuterRef("lane") - F("lanes"))))
    found = {*_lanes(parts.filter(created_at__lte=since)), *_lanes(replays.filter(due_at__lte=since))}
    return lanes.firsts(found)


def _lanes(rows: QuerySet[Any]) -> list[int]:
    return list(rows.values_list("lane", flat=True).order_by().distinct())


def _waiting_parts() -> QuerySet[BatchPart]:
    return BatchPart.objects.filter(state=BatchPart.State.WAITING)


def _waiting_replays() -> QuerySet[Run]:
    """But for those at a stage that only a newer version knows."""
    return Run.objects.filter(status=Run.Status.REPLAY, stage__in=ORDER)
