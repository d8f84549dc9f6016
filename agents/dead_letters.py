"""Runs that were set aside: a dead letter is a run that failed, alone with the part that made it fail.

It keeps its stage, so that a replay goes on where it failed; what it had done stays done, and its parts keep the
readings as they came. The only writer of a run's parts once the run has taken them, but for the stages themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now

from agents import cases, causes
from agents.causes import Cause
from agents.failures import Verdict
from agents.models import Run
from sensors import columns, journal
from sensors.columns import Columns
from sensors.models import BatchPart

log = structlog.get_logger(__name__)

MOST_PARTS = 50
ASIDE = (Run.Status.FAILED, Run.Status.DISCARDED)
Stage = Run.Stage


class NotReplayable(Exception):
    """Only a run that was set aside can be replayed."""


class NotDiscardable(Exception):
    """Only a run that failed can be discarded, and only with a reason."""


@dataclass(frozen=True, slots=True)
class Payload:
    """What a part of a run holds: its readings, or (None) the bytes that cannot be read as readings."""

    part: BatchPart
    readings: Columns | None
    told: str


def set_aside(run: Run, verdict: Verdict) -> None:
    """Write on the run and its parts that it failed, in the caller's transaction; the caller gives back the lease."""
    Run.objects.filter(pk=run.pk).update(
        status=Run.Status.FAILED,
        finished_at=Now(),
        error_class=verdict.error_class,
        error=verdict.error,
        cause=verdict.cause,
        payload_sha256=_hash(run.pk),
    )
    _tell_parts(run.pk, run.stage, verdict.error_class)
    cases.note_failure(run, verdict)
    log.error("agents.dead-letters.set-aside", run_id=run.pk, stage=run.stage, error_class=verdict.error_class)


def split_off(run: Run, *, parts: Collection[int], fields: Mapping[str, Any], verdict: Verdict | None = None) -> Run:
    """A run of its own for some parts of a run, in the caller's transaction: failed with a verdict, else to go on.

    ``fields``: what the new run carries on from the stage of the old one.
    """
    status = Run.Status.REPLAY if verdict is None else Run.Status.FAILED
    piece = Run.objects.create(
        lane=run.lane, lanes=run.lanes, stage=run.stage, status=status, split_from_id=run.place,
        gathered=_gathered(run, parts), **fields,
    )  # fmt: skip
    BatchPart.objects.filter(pk__in=parts).update(run_id=piece.pk)
    if verdict is not None:
        set_aside(piece, verdict)
    return piece


def _gathered(run: Run, parts: Collection[int]) -> dict[str, Any]:
    """The requests of the parts; the whole run's where it is not divided by parts. Its trace goes on."""
    if not parts:
        return dict(run.gathered)
    rows = BatchPart.objects.filter(pk__in=parts).order_by("id").values_list(
        "batch__correlation_id", "batch__traceparent"
    )  # fmt: skip
    trace = causes.trace_of(run.gathered)
    return causes.gather(Cause(*row) for row in rows) | ({"trace": trace} if trace else {})


def _tell_parts(run_id: int, stage: str, error_class: str) -> None:
    mine = BatchPart.objects.filter(run_id=run_id)
    if stage in (Stage.INGEST, Stage.VALIDATE):
        told = f"Run {run_id} failed at {stage} with {error_class}"
        mine.exclude(state=BatchPart.State.STORED).update(state=BatchPart.State.SET_ASIDE, error=told)
    else:
        mine.update(error=f"Stored, but not judged: run {run_id} failed at {stage} with {error_class}")


def _hash(run_id: int) -> str:
    parts = BatchPart.objects.filter(run_id=run_id).order_by("id").values_list("columns", flat=True)
    digest = hashlib.sha256()
    for data in parts:
        digest.update(bytes(data))
    return digest.hexdigest()


@transaction.atomic
def replay(run_id: int, *, actor: str) -> int:
    """Put a run that was set aside back at the stage where it failed; returns its lane. Raises ``NotReplayable``.

    It keeps its row: what it had done stays done, and readings judged meanwhile make its own late. A run that was
    discarded can be replayed as well: that undoes the discarding.
    """
    aside = Run.objects.select_for_update().filter(pk=run_id, status__in=ASIDE).first()
    if aside is None:
        raise NotReplayable(f"Run {run_id} is not set aside, or is being replayed already.")
    Run.objects.filter(pk=run_id).update(
        status=Run.Status.REPLAY, attempts=0, rings=0, quarantines=0, finished_at=None, due_at=Now(), resolution=""
    )
    BatchPart.objects.filter(run_id=run_id, state=BatchPart.State.SET_ASIDE).update(state=BatchPart.State.TAKEN)
    journal.record([_told(journal.RUN_REPLAYED, aside, actor)])
    log.info("agents.dead-letters.replay", run_id=run_id, actor=actor)
    return aside.lane


@transaction.atomic
def discard(run_id: int, *, actor: str, reason: str) -> None:
    """Give up on a run that failed, with a reason; it stays and can still be replayed. Raises ``NotDiscardable``."""
    if not reason.strip():
        raise NotDiscardable("Say why: what is discarded is readings that nobody will judge.")
    failed = Run.objects.select_for_update().filter(pk=run_id, status=Run.Status.FAILED).first()
    if failed is None:
        raise NotDiscardable(f"Run {run_id} has not failed, or was discarded already.")
    resolution = f"Discarded by {actor}: {reason.strip()}"
    Run.objects.filter(pk=run_id).update(status=Run.Status.DISCARDED, resolution=resolution)
    BatchPart.objects.filter(run_id=run_id, state=BatchPart.State.SET_ASIDE).update(error=resolution)
    journal.record([_told(journal.RUN_DISCARDED, failed, actor, reason=reason.strip())])
    log.info("agents.dead-letters.discard", run_id=run_id, actor=actor)


def _told(kind: str, run: Run, actor: str, **data: str) -> journal.Entry:
    """The lease token grows with every attempt, so that the second replay of a run is an event of its own."""
    sites = list(BatchPart.objects.filter(run_id=run.pk).values_list("batch__site_id", flat=True).distinct()[:2])
    return journal.Entry(
        type=kind,
        subject=f"run/{run.pk}",
        key=f"{kind}/{run.pk}/{run.lease_token}",
        occurred_at=run.finished_at or run.created_at,
        site_id=sites[0] if len(sites) == 1 else None,
        actor=actor,
        data={"stage": run.stage, "error_class": run.error_class, "cause": run.cause} | data,
    )


def waiting(*, causes: Iterable[str] | None = None) -> list[int]:
    """Ids of the runs that failed and were neither replayed nor discarded; all, or those of some causes."""
    wanted = Q() if causes is None else Q(cause__in=list(causes))
    return list(Run.objects.filter(wanted, status=Run.Status.FAILED).order_by("id").values_list("id", flat=True))


def payload(run_id: int) -> list[Payload]:
    """What a run carries, part by part, as it came: the first ``MOST_PARTS``."""
    found = []
    for part in BatchPart.objects.filter(run_id=run_id).select_related("batch__site").order_by("id")[:MOST_PARTS]:
        try:
            found.append(Payload(part, columns.unpack(bytes(part.columns)), ""))
        except columns.NotColumns as error:
            found.append(Payload(part, None, f"The stored readings cannot be decoded: {error}"))
    return found
