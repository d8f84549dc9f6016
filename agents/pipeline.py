"""The order of the stages, and what each loads and commits around its pure middle.

A stage is claimed (``agents.lease``), worked on with no transaction open, and finished in one transaction that begins
with the fence. What ``perform`` returns are the bells to ring next; it rings nothing itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from agents import failpoints, failures, lease, stages
from agents.doorbell import Bell
from agents.lease import Lease
from agents.models import Run, StageAttempt
from sensors.models import BatchPart

log = structlog.get_logger(__name__)

Stage = Run.Stage
ORDER = (Stage.INGEST, Stage.VALIDATE, Stage.DETECT, Stage.DECIDE, Stage.NOTIFY)
STEPS: dict[str, Callable[[Run, int], stages.Finish]] = {
    Stage.INGEST: stages.ingest_step,
    Stage.VALIDATE: stages.validate_step,
    Stage.DETECT: stages.detect_step,
    Stage.DECIDE: stages.decide_step,
    Stage.NOTIFY: stages.notify_step,
}
A_MOMENT = timedelta(seconds=2)  # the sweep leaves a run alone so long after a stage: its own bell is on the way


class NotReplayable(Exception):
    """Only a run that failed can be replayed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: done, stale (nothing to claim), retry, failed or fenced; and what to ring next."""

    result: str
    bells: tuple[Bell, ...] = ()


def begin(lane: int) -> Outcome:
    """Stage ingest of a lane: begin its next run if none is active and something waits, and do the first stage."""
    run_id = _activate_replay(lane) or _new_run(lane)
    if run_id is None:
        return Outcome("stale")
    stage = Run.objects.values_list("stage", flat=True).get(pk=run_id)
    return perform(stage, run_id) if stage == Stage.INGEST else Outcome("done", (Bell(stage.lower(), run_id),))


def _activate_replay(lane: int) -> int | None:
    """The oldest run of the lane that waits to be replayed goes before what is new."""
    waiting = Run.objects.filter(lane=lane, status=Run.Status.REPLAY).order_by("id").values_list("id", flat=True)
    run_id = waiting.first()
    if run_id is None:
        return None
    try:
        with transaction.atomic():
            changed = waiting.filter(pk=run_id).order_by().update(status=Run.Status.ACTIVE, due_at=Now())
    except IntegrityError:  # the lane has an active run: it goes first
        return None
    return run_id if changed else None


def _new_run(lane: int) -> int | None:
    """The lane's run at its first stage: a new one where something waits and none is active, or the one there is."""
    active = Run.objects.filter(lane=lane, status=Run.Status.ACTIVE).values_list("id", "stage").first()
    if active is not None:
        return active[0] if active[1] == Stage.INGEST else None
    if not BatchPart.objects.filter(lane=lane, state=BatchPart.State.WAITING).exists():
        return None
    try:
        with transaction.atomic():
            return Run.objects.create(lane=lane).pk
    except IntegrityError:  # another worker was faster
        return None


def perform(stage: str, run_id: int) -> Outcome:
    """One attempt at one stage of a run."""
    taken = lease.claim(Run, run_id, seconds=settings.LEASE_SECONDS, status=Run.Status.ACTIVE, stage=stage)
    if taken is None:
        return Outcome("stale")
    started = timezone.now()
    with structlog.contextvars.bound_contextvars(run_id=run_id, stage=stage):
        try:
            return _guarded(stage, taken, started)
        except lease.Fenced as error:
            log.warning("agents.pipeline.fenced", error=str(error))
            _record(stage, taken, started, StageAttempt.Outcome.FENCED)
            return Outcome("fenced")


def _guarded(stage: str, taken: Lease, started: datetime) -> Outcome:
    if taken.attempt > settings.RUN_MAX_ATTEMPTS:
        return _give_up(stage, taken, failures.worker_died(taken.attempt), started)
    try:
        return _attempt(stage, taken, started)
    except lease.Fenced:
        raise
    except Exception as error:
        if failures.is_infrastructure(error):
            raise  # no verdict: the lease runs out and the run resumes
        log.exception("agents.pipeline.failed", attempt=taken.attempt)
        return _failed(stage, taken, error, started)


def _attempt(stage: str, taken: Lease, started: datetime) -> Outcome:
    failpoints.reach(f"{stage}:claimed")
    run = Run.objects.get(pk=taken.id)
    finish = STEPS[stage](run, taken.attempt)
    failpoints.reach(f"{stage}:worked")
    following = ORDER[ORDER.index(Stage(stage)) + 1] if stage != ORDER[-1] else None
    changes: dict[str, Any] = {
        "attempts": 0,
        "rings": 0,
        "error_class": "",
        "error": "",
        "ring_after": Now() + A_MOMENT,
    }
    if following is None:
        changes |= {"status": Run.Status.DONE, "finished_at": Now()}
    else:
        changes |= {"stage": following}
    with transaction.atomic():
        lease.fence(Run, taken, **changes, **finish.changes)
        bells = finish.commit()
        _record(stage, taken, started, StageAttempt.Outcome.DONE)
        if following is None:  # what a failure had said of its parts is over
            BatchPart.objects.filter(run_id=run.pk).exclude(error="").update(error="")
        failpoints.reach(f"{stage}:finishing")
    failpoints.reach(f"{stage}:committed")
    finish.after()
    if following is not None:
        return Outcome("done", (*bells, Bell(following.lower(), run.pk)))
    log.info("agents.pipeline.done", readings=run.readings)
    return Outcome("done", (*bells, *_lane_again(run.lane)))


def _lane_again(lane: int) -> tuple[Bell, ...]:
    """What came in while the run was on its way waits for the next one."""
    waiting = BatchPart.objects.filter(lane=lane, state=BatchPart.State.WAITING).exists()
    replays = Run.objects.filter(lane=lane, status=Run.Status.REPLAY).exists()
    return (Bell("ingest", lane),) if waiting or replays else ()


def _failed(stage: str, taken: Lease, error: Exception, started: datetime) -> Outcome:
    verdict = failures.judge(error, attempt=taken.attempt, most=settings.RUN_MAX_ATTEMPTS)
    if verdict.wait is None:
        return _give_up(stage, taken, verdict, started)
    due_at = Now() + timedelta(seconds=verdict.wait)
    with transaction.atomic():
        lease.fence(Run, taken, due_at=due_at, ring_after=due_at, error_class=verdict.error_class, error=verdict.error)
        _record(stage, taken, started, StageAttempt.Outcome.RETRY, verdict)
    return Outcome("retry")


def _give_up(stage: str, taken: Lease, verdict: failures.Verdict, started: datetime) -> Outcome:
    """Set the run aside with its reason, and free the lane for what comes after it."""
    log.error("agents.pipeline.set-aside", error_class=verdict.error_class)
    with transaction.atomic():
        lease.fence(
            Run, taken, status=Run.Status.FAILED, finished_at=Now(),
            error_class=verdict.error_class, error=verdict.error,
        )  # fmt: skip
        lane = Run.objects.values_list("lane", flat=True).get(pk=taken.id)
        mine = BatchPart.objects.filter(run_id=taken.id, state=BatchPart.State.TAKEN)
        if stage == Stage.INGEST:  # it has taken none yet; the next run must not meet the same ones again
            mine = BatchPart.objects.filter(pk__in=stages.parts_to_take(lane))
        if stage not in (Stage.INGEST, Stage.VALIDATE):
            BatchPart.objects.filter(run_id=taken.id, state=BatchPart.State.STORED).update(
                error=f"Stored, but not judged: run {taken.id} failed at {stage} with {verdict.error_class}"
            )
        mine.update(
            state=BatchPart.State.SET_ASIDE, run_id=taken.id, error=f"Run {taken.id} failed: {verdict.error_class}"
        )
        _record(stage, taken, started, StageAttempt.Outcome.FAILED, verdict)
    return Outcome("failed", _lane_again(lane))


def _record(stage: str, taken: Lease, started: datetime, outcome: str, verdict: failures.Verdict | None = None) -> None:
    StageAttempt.objects.create(
        run_id=taken.id,
        stage=stage,
        lease_token=taken.token,
        worker=lease.OWNER,
        started_at=started,
        ended_at=max(started, timezone.now()),
        outcome=outcome,
        error_class=verdict.error_class if verdict else "",
        error=verdict.error if verdict else "",
    )


def replay(run_id: int, *, actor: str) -> int:
    """Put a failed run back at the stage where it failed; returns its lane. Raises ``NotReplayable``.

    It keeps its row: what it had done stays done, and readings judged meanwhile make its own late.
    """
    with transaction.atomic():
        failed = Run.objects.select_for_update().filter(pk=run_id, status=Run.Status.FAILED).first()
        if failed is None:
            raise NotReplayable(f"Run {run_id} has not failed, or is being replayed already.")
        Run.objects.filter(pk=run_id).update(
            status=Run.Status.REPLAY, attempts=0, rings=0, finished_at=None, due_at=Now()
        )
        aside = BatchPart.objects.filter(run_id=run_id, state=BatchPart.State.SET_ASIDE)
        if failed.stage == Stage.INGEST:
            aside.update(state=BatchPart.State.WAITING, run_id=None, error="")
        else:
            aside.update(state=BatchPart.State.TAKEN)
    log.info("agents.pipeline.replay", run_id=run_id, actor=actor)
    return failed.lane


def idle_lanes_with_work(*, for_seconds: float = 0) -> list[int]:
    """Lanes where something waits, for so long at least, and no run is active: what the sweep rings, once for each."""
    active = Run.objects.filter(lane=OuterRef("lane"), status=Run.Status.ACTIVE)
    since = Now() - timedelta(seconds=for_seconds)
    parts, replays = _waiting_parts().filter(created_at__lte=since), _waiting_replays().filter(due_at__lte=since)
    return sorted({*_lanes(parts, active), *_lanes(replays, active)})


def _lanes(rows: QuerySet[Any], active: QuerySet[Run]) -> list[int]:
    return list(rows.filter(~Exists(active)).values_list("lane", flat=True).order_by().distinct())


def _waiting_parts() -> QuerySet[BatchPart]:
    return BatchPart.objects.filter(state=BatchPart.State.WAITING)


def _waiting_replays() -> QuerySet[Run]:
    return Run.objects.filter(status=Run.Status.REPLAY)
