"""A periodic job runs once in each of its periods, however many beats tick, however often, and however late.

Two guards. A session's advisory lock is held for the whole work: nobody else is at it, the work needs no transaction
around it, and the lock goes with its connection, so that after a death the next tick takes over. A row per job and
period, unique in the database, says that the period's work is done. Period and clock are the database's.

What can still happen twice is work whose worker died, or lost its connection, before it was written down as done: a
job must bear being repeated.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import structlog
from django.db import Error, connection
from django.db.models.functions import Now

from agents import timetable
from agents.models import JobRun

log = structlog.get_logger(__name__)

LOCKS = 0x62775F6A6F627300
"""Seed of the advisory locks' keys, so that they differ from those of others."""
KEPT = timedelta(days=7)
TABLE = JobRun._meta.db_table


class Result(StrEnum):
    """What a tick came to."""

    DONE = "done"
    ALREADY_DONE = "already-done"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Begun:
    """The row of an attempt; ``attempt`` is its fence."""

    id: int
    attempt: int


def run(job: str, work: Callable[[], object]) -> Result:
    """Do the work unless it was done in this period or somebody is at it.

    Raises what the work raised, after writing it down: the next tick of the period tries again. ``KeyError`` for a job
    that is not in the timetable.
    """
    period = timetable.PERIODS[job]
    with _alone(job) as alone:
        if not alone:
            log.info("agents.jobs.busy", job=job)
            return Result.BUSY
        begun = _begin(job, period)
        if begun is None:
            return Result.ALREADY_DONE
        try:
            with structlog.contextvars.bound_contextvars(job=job, correlation_id=f"job-run-{begun.id}"):
                work()
        except Exception as error:
            _finish(begun, JobRun.Outcome.FAILED, error="".join(traceback.format_exception(error)))
            raise
        _finish(begun, JobRun.Outcome.DONE)
        _forget_old(job, before=KEPT + period)
    return Result.DONE


@contextmanager
def _alone(job: str) -> Iterator[bool]:
    """Whether the job's lock was free; it is held until the block ends, or the connection does."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, %s))", [job, LOCKS])
        free = bool(cursor.fetchone()[0])
    try:
        yield free
    finally:
        if free:
            _unlock(job)


def _unlock(job: str) -> None:
    """Without an answer the connection is dropped: a lock that stays would stop the job on all machines."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(hashtextextended(%s, %s))", [job, LOCKS])
            held = bool(cursor.fetchone()[0])
    except Error as error:
        log.warning("agents.jobs.not-unlocked", job=job, error=str(error).strip())
        connection.close()
    else:
        if not held:
            log.warning("agents.jobs.lock-was-lost", job=job)


def _begin(job: str, period: timedelta) -> Begun | None:
    """Open this period's row, or open it anew where the last attempt failed or died; None where it is done."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} AS known (job, period, started_at, outcome, attempts, error)"
            " SELECT %s, date_bin(%s * interval '1 second', now, timestamptz 'epoch'), now, 'RUNNING', 1, ''"
            " FROM clock_timestamp() AS now"
            " ON CONFLICT (job, period) DO UPDATE SET started_at = EXCLUDED.started_at, finished_at = NULL,"
            " outcome = 'RUNNING', attempts = known.attempts + 1, error = ''"
            " WHERE known.outcome <> 'DONE' RETURNING id, attempts",
            [job, period.total_seconds()],
        )
        row = cursor.fetchone()
    return None if row is None else Begun(*row)


def _finish(begun: Begun, outcome: JobRun.Outcome, *, error: str = "") -> None:
    """Write down how the attempt ended, unless another one began since: then its lock was lost on the way."""
    ours = JobRun.objects.filter(pk=begun.id, attempts=begun.attempt, outcome=JobRun.Outcome.RUNNING)
    if not ours.update(outcome=outcome, finished_at=Now(), error=error):
        log.warning("agents.jobs.overtaken", job_run=begun.id, attempt=begun.attempt)


def _forget_old(job: str, *, before: timedelta) -> None:
    """Never the period that is under way, however long it is."""
    JobRun.objects.filter(job=job, period__lt=Now() - before).delete()
