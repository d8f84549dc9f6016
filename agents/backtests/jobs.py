"""A backtest that was asked for is done by a worker: claimed, worked on, finished, as everything that workers take.

A worker that dies leaves a lease that runs out; the next one begins anew. After ``ATTEMPTS`` the backtest has failed,
and says so.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now

from agents import failpoints, failures, lease
from agents.backtests import proposal, requests, work
from agents.backtests.figures import Period
from agents.backtests.history import Asked
from agents.lease import Lease
from agents.models import Backtest
from sensors.columns import DAY_US, from_instant

log = structlog.get_logger(__name__)

Status = Backtest.Status
ATTEMPTS = 3
LONGEST_SECONDS = 7_200
TELL_SECONDS = 2.0
WAIT_SECONDS = 30.0


def perform(backtest_id: int) -> str:
    """One attempt: done, failed, retry, stale (nothing to claim) or fenced (another worker took over). Raises what
    says that the database is gone: the lease runs out then, and it is tried again."""
    unfinished = [str(status) for status in Backtest.UNFINISHED]
    taken = lease.claim(Backtest, backtest_id, seconds=settings.LEASE_SECONDS, status=unfinished)
    if taken is None:
        return "stale"
    with structlog.contextvars.bound_contextvars(backtest_id=backtest_id, attempt=taken.attempt):
        try:
            return _attempt(taken)
        except lease.Fenced as error:
            log.warning("agents.backtests.fenced", error=str(error))
            return "fenced"


def _attempt(taken: Lease) -> str:
    if taken.attempt > ATTEMPTS:
        return _failed(taken, f"{ATTEMPTS} attempts began and did not end: their workers were killed or stopped.")
    failpoints.reach("backtest:claimed")
    try:
        result = _work(taken)
    except lease.Fenced:
        raise
    except (work.NoReadings, proposal.BadProposal, requests.Refused) as error:
        return _failed(taken, str(error))
    except SoftTimeLimitExceeded:
        return _failed(taken, f"It took longer than {LONGEST_SECONDS} s: ask for a shorter period, or fewer sensors.")
    except Exception as error:
        kind = failures.classify(error)
        if kind is failures.Kind.INFRASTRUCTURE:
            raise
        log.exception("agents.backtests.failed", kind=kind)
        if kind is failures.Kind.TRANSIENT and taken.attempt < ATTEMPTS:
            with transaction.atomic():
                due_at = lease.later(WAIT_SECONDS)
                lease.fence(Backtest, taken, status=Status.PENDING, due_at=due_at, ring_after=due_at)
            return "retry"
        return _failed(taken, f"{type(error).__qualname__}: {error}")
    with transaction.atomic():
        lease.fence(Backtest, taken, status=Status.DONE, result=result, finished_at=lease.NOW)
    log.info("agents.backtests.done", readings=result["readings"])
    return "done"


def _work(taken: Lease) -> dict[str, Any]:
    row = Backtest.objects.select_related("site", "machine", "sensor").get(pk=taken.id)
    mine = Backtest.objects.filter(pk=taken.id, lease_token=taken.token)
    mine.update(status=Status.RUNNING, started_at=Now(), slices_done=0, slices=0)
    target = requests.target_of(row)
    asked = Asked(
        target,
        Period(from_instant(row.from_at), from_instant(row.to_at)),
        round(row.look_back_days * DAY_US),
        proposal.read(row.proposed, present=target.limits),
    )
    told_at = time.monotonic()

    def tell(done: int, total: int) -> None:
        nonlocal told_at
        failpoints.reach("backtest:slice")
        if done == total or time.monotonic() - told_at >= TELL_SECONDS:
            lease.extend(Backtest, taken, seconds=settings.LEASE_SECONDS)
            mine.update(slices_done=done, slices=total)
            told_at = time.monotonic()

    return work.run(asked, tell=tell)


def _failed(taken: Lease, reason: str) -> str:
    log.warning("agents.backtests.gave-up", reason=reason)
    with transaction.atomic():
        lease.fence(Backtest, taken, status=Status.FAILED, reason=reason[:5_000], finished_at=lease.NOW)
    return "failed"
