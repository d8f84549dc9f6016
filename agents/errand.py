"""Long work that was asked for, done by a worker: claimed, worked on, finished, as everything that workers take.

While a worker lives a thread keeps its lease up, however long a step takes. One that dies leaves a lease that runs out;
the next one begins anew. After ``ATTEMPTS`` the errand has failed, and says so. Its row is a ``mlops.models.Errand``.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import Error, connections, models, transaction
from django.db.models.functions import Now

from agents import failpoints, failures, lease
from agents.lease import Lease
from mlops import models as rows

log = structlog.get_logger(__name__)

ATTEMPTS = 3
TELL_SECONDS = 2.0
WAIT_SECONDS = 30.0
UNFINISHED = list(rows.Errand.UNFINISHED)

Tell = Callable[[Mapping[str, Any]], None]
"""Told how far the work is, as columns of the row; not more often than the row is to be written."""
Finish = Callable[[], Mapping[str, Any]]
"""Writes what the work came to, in the transaction that ends it, and says which columns of the row that changes."""


@dataclass(frozen=True, slots=True)
class Errand:
    """``work``: of the row; no transaction is open meanwhile. ``refusals``: errors whose message is for who asked.
    ``passing``: errors that pass by themselves: it is tried again. ``fresh``: columns as an attempt finds them."""

    name: str
    model: type[rows.Errand]
    work: Callable[[Any, Tell], Finish]
    longest_seconds: int
    too_long: str
    refusals: tuple[type[Exception], ...]
    passing: tuple[type[Exception], ...] = ()
    fresh: Mapping[str, Any] = field(default_factory=dict)


def perform(errand: Errand, row_id: int) -> str:
    """One attempt: done, failed, retry, stale (nothing to claim) or fenced (another worker took over). Raises what
    says that the database is gone: the lease runs out then, and it is tried again."""
    taken = lease.claim(errand.model, row_id, seconds=settings.LEASE_SECONDS, status=UNFINISHED)
    if taken is None:
        return "stale"
    with structlog.contextvars.bound_contextvars(errand=errand.name, errand_id=row_id, attempt=taken.attempt):
        try:
            return _attempt(errand, taken)
        except lease.Fenced as error:
            log.warning("agents.errand.fenced", error=str(error))
            return "fenced"


def again(model: type[rows.Errand], row_id: int, **fresh: Any) -> bool:
    """A failed one waits for a worker as if it had never been tried. ``fresh``: columns of its own as an attempt finds
    them. False where it has not failed."""
    failed = model._default_manager.filter(pk=row_id, status="FAILED")
    untried = {"status": "PENDING", "reason": "", "attempts": 0, "rings": 0, "started_at": None, "finished_at": None}
    return bool(failed.update(**untried, due_at=Now(), ring_after=Now(), **fresh))


def _attempt(errand: Errand, taken: Lease) -> str:
    if taken.attempt > ATTEMPTS:
        return _failed(
            errand, taken, f"{ATTEMPTS} attempts began and did not end: their workers were killed or stopped."
        )
    failpoints.reach(f"{errand.name}:claimed")
    try:
        told, finish = _work(errand, taken)
    except lease.Fenced:
        raise
    except errand.refusals as error:
        return _failed(errand, taken, str(error))
    except SoftTimeLimitExceeded:
        return _failed(errand, taken, f"It took longer than {errand.longest_seconds} s: {errand.too_long}")
    except Exception as error:
        return _went_wrong(errand, taken, error)
    with transaction.atomic():
        lease.fence(errand.model, taken)
        changes = {**told, **finish()}
        errand.model._default_manager.filter(pk=taken.id).update(status="DONE", finished_at=Now(), **changes)
        failpoints.reach(f"{errand.name}:finishing")
    log.info("agents.errand.done")
    return "done"


def _work(errand: Errand, taken: Lease) -> tuple[Mapping[str, Any], Finish]:
    mine = errand.model._default_manager.filter(pk=taken.id, lease_token=taken.token)
    mine.update(status="RUNNING", started_at=Now(), **errand.fresh)
    told: dict[str, Any] = {}
    told_at = 0.0

    def tell(columns: Mapping[str, Any]) -> None:
        nonlocal told_at
        told.update(columns)
        failpoints.reach(f"{errand.name}:step")
        if time.monotonic() - told_at >= TELL_SECONDS:
            if not mine.update(**told):
                raise lease.Fenced(f"{errand.name} {taken.id} was taken over")
            told_at = time.monotonic()

    with _held(errand.model, taken):
        return told, errand.work(mine.get(), tell)


@contextmanager
def _held(model: type[models.Model], taken: Lease) -> Iterator[None]:
    """The lease is kept up until the block ends; where it is lost, the next thing that is told says so."""
    over = threading.Event()

    def keep_up() -> None:
        while not over.wait(settings.LEASE_SECONDS / 6):
            try:
                lease.extend(model, taken, seconds=settings.LEASE_SECONDS)
            except lease.Fenced as error:
                log.warning("agents.errand.lease-lost", error=str(error))
                break
            except Error as error:  # the next time may come before the lease runs out
                log.warning("agents.errand.lease-not-kept", error=str(error))
                connections.close_all()
        connections.close_all()

    keeper = threading.Thread(target=keep_up, name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _went_wrong(errand: Errand, taken: Lease, error: Exception) -> str:
    kind = failures.classify(error)
    if kind is failures.Kind.INFRASTRUCTURE:
        raise error
    log.exception("agents.errand.failed", kind=kind)
    passes = kind is failures.Kind.TRANSIENT or isinstance(error, errand.passing)
    if passes and taken.attempt < ATTEMPTS:
        with transaction.atomic():
            due_at = lease.later(WAIT_SECONDS)
            lease.fence(errand.model, taken, status="PENDING", due_at=due_at, ring_after=due_at)
        return "retry"
    return _failed(errand, taken, f"{type(error).__qualname__}: {error}")


def _failed(errand: Errand, taken: Lease, reason: str) -> str:
    log.warning("agents.errand.gave-up", reason=reason)
    with transaction.atomic():
        lease.fence(errand.model, taken, status="FAILED", reason=reason[:5_000], finished_at=lease.NOW)
    return "failed"
