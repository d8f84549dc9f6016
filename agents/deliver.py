"""Carry one message of the outbox to its recipient, and record what became of it.

At least once: a worker that dies between sending and recording leads to a second copy under the same key. The row is
claimed by lease, so that two workers do not send it at the same time; the sending holds no transaction.

Messages are rung for in the order in which they came, and there may be hundreds before an escalation's. So whoever is
rung for any of them looks first whether a more urgent one is due (``look``): that waits for one send at most.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models import DurationField, ExpressionWrapper
from django.db.models.functions import Coalesce, Now

from agents import channels, failpoints, lease, measures, tracks
from agents.channels import contract
from agents.channels.contract import Message, Permanent, Transient
from agents.doorbell import Bell
from agents.lease import Lease
from agents.reporting import enclosed
from maintenance import digests, ledger, links, notifications, superseded, targets
from maintenance.models import Notification

log = structlog.get_logger(__name__)

BUDGET = timedelta(hours=24)
LONGEST_BACKOFF_SECONDS = 300.0
SPREAD_SECONDS = 2.0
PATIENCE_SECONDS = 2.5
"""So long one look sends what is more urgent: it is to be over, with a send that hangs (15 s) and what is
recorded of it, before its task is ended."""

Jitter = Callable[[float, float], float]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended: sent, held (for a digest), superseded, resting (its target is), retry, failed, stale
    (nothing to claim) or fenced (another worker took over)."""

    result: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to make of a failure: try again after ``wait``, or (None) give up, and the channel with it."""

    reason: str
    wait: timedelta | None = None
    disable: bool = False


def look(
    notification_id: int,
    *,
    by: Mapping[str, contract.Channel] = channels.CHANNELS,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Bell, ...]:
    """What whoever is rung for a message does: those that are more urgent go first, however late they came.

    Returns a bell to ring where they took so long that this one has to wait.
    """
    ends = clock() + PATIENCE_SECONDS
    while (urgent := notifications.most_urgent()) is not None:
        deliver(urgent, by=by)
        if clock() > ends:
            return (Bell("deliver", notification_id),)
    deliver(notification_id, by=by)
    return ()


def deliver(
    notification_id: int,
    *,
    by: Mapping[str, contract.Channel] = channels.CHANNELS,
    jitter: Jitter = random.uniform,
) -> Outcome:
    """One attempt at one message. Raises only what the database raises: the lease runs out then, and it goes anew."""
    taken = lease.claim(Notification, notification_id, seconds=settings.LEASE_SECONDS, status="PENDING")
    if taken is None:
        return Outcome("stale")
    with tracks.delivery(taken) as span:
        try:
            outcome = _attempt(taken, by, jitter)
        except lease.Fenced as error:
            log.warning("agents.deliver.fenced", error=str(error))
            outcome = Outcome("fenced", str(error))
        span.note(result=outcome.result)
        if outcome.result in ("retry", "failed"):
            span.failed(outcome.reason)
        return outcome


def _attempt(taken: Lease, by: Mapping[str, contract.Channel], jitter: Jitter) -> Outcome:
    failpoints.reach("deliver:claimed")
    age = ExpressionWrapper(Now() - Coalesce("admitted_at", "created_at"), output_field=DurationField())
    rows = digests.waiting(Notification.objects.select_related("channel__reader__user", "channel__site", "site"))
    row = rows.annotate(age=age, now=Now()).get(pk=taken.id)
    if not row.channel.is_enabled:
        return _give_up(taken, Verdict(f"the channel is disabled. {row.channel.disabled_reason}".strip()))
    if taken.attempt > 1 and row.age > BUDGET:  # its workers died, or none ran, until it was too old
        return _give_up(taken, Verdict(f"given up after {BUDGET}. {row.error}".strip()))
    if row.hidden_by:
        return _supersede(taken, reason=superseded.reason(row.hidden_by))
    if digests.concerns(row) and (held := _wait(taken, row, now=row.now)) is not None:
        return held
    if (until := targets.rest(row.channel, now=row.now)) is not None:
        return _rest(taken, row, until=until, jitter=jitter)
    try:
        reference = by[row.channel.kind].send(_message(row))
    except Permanent as failure:
        return _give_up(taken, Verdict(str(failure), disable=failure.gone), row)
    except Transient as failure:
        return _postpone(taken, after(failure, attempt=taken.attempt, age=row.age, jitter=jitter), row)
    except Exception as error:
        log.exception("agents.deliver.unexpected", kind=row.channel.kind)
        unknown = Transient(f"{type(error).__qualname__}: {error}")
        return _postpone(taken, after(unknown, attempt=taken.attempt, age=row.age, jitter=jitter), row)
    failpoints.reach("deliver:sent")
    with transaction.atomic():
        lease.fence(Notification, taken)
        notifications.sent(taken.id, reference=reference)
        targets.answered(row.channel)
        _note(taken, row, "SENT", reference=reference)
        failpoints.reach("deliver:recording")
    failpoints.reach("deliver:recorded")
    _count(row, "sent")
    log.info("agents.deliver.sent", kind=row.channel.kind, key=row.key, reference=reference)
    return Outcome("sent")


def _wait(taken: Lease, row: Notification, *, now: datetime) -> Outcome | None:
    with transaction.atomic():
        hold = digests.admit(row, now=now)
        if hold is None:
            return None
        lease.fence(Notification, taken)
        notifications.hold(taken.id, until=hold.until, reason=hold.reason)
    log.info("agents.deliver.held", reason=hold.reason, until=hold.until.isoformat())
    return Outcome("held", hold.reason)


def _supersede(taken: Lease, *, reason: str) -> Outcome:
    with transaction.atomic():
        lease.fence(Notification, taken)
        notifications.supersede(taken.id, reason=reason)
    log.info("agents.deliver.superseded", reason=reason)
    return Outcome("superseded", reason)


def after(failure: Transient, *, attempt: int, age: timedelta, jitter: Jitter) -> Verdict:
    """What to make of a transient failure: full jitter, no sooner than the other side asked, within the budget."""
    backoff = jitter(0.0, min(LONGEST_BACKOFF_SECONDS, 2.0 ** min(attempt, 16)))
    wait = timedelta(seconds=max(failure.retry_after, backoff))
    if age + wait > BUDGET:
        return Verdict(f"given up: the next attempt would be later than {BUDGET} after the first. {failure}")
    return Verdict(str(failure), wait=wait)


def _message(row: Notification) -> Message:
    return Message(
        key=row.key,
        event_type=row.event_type,
        subject_line=row.subject_line,
        payload=row.payload,
        target=row.channel.target,
        secret=row.channel.secret,
        time_zone=digests.zone_of(row.channel.reader, row.site).key,
        created_at=row.created_at,
        language=row.channel.language,
        links=links.of_message(row),
        files=enclosed.files(row),
    )


def _note(taken: Lease, row: Any, outcome: str, *, reference: str = "", error: str = "") -> None:
    ledger.tried(
        taken.id, attempt=taken.attempt, worker=lease.owner(), began_at=row.now, outcome=outcome, reference=reference,
        error=error,
    )  # fmt: skip


def _count(row: Any, result: str) -> None:
    measures.DELIVERIES.labels(row.channel.kind, result).inc()


def _rest(taken: Lease, row: Any, *, until: datetime, jitter: Jitter) -> Outcome:
    """The target failed again and again: leave it alone, and spread what waits for it over some seconds."""
    reason = f"{row.channel.failures} failures in a row: nothing is sent there for a while"
    if row.age + (until - row.now) > BUDGET:
        return _give_up(taken, Verdict(f"given up after {BUDGET}. {reason}"))
    with transaction.atomic():
        lease.fence(Notification, taken)
        notifications.rest(taken.id, until=until + timedelta(seconds=jitter(0.0, SPREAD_SECONDS)), reason=reason)
    log.info("agents.deliver.resting", channel_id=row.channel_id, until=until.isoformat())
    return Outcome("resting", reason)


def _postpone(taken: Lease, verdict: Verdict, row: Any) -> Outcome:
    if verdict.wait is None:
        return _give_up(taken, verdict, row)
    with transaction.atomic():
        lease.fence(Notification, taken)
        notifications.retry(taken.id, reason=verdict.reason, wait=verdict.wait)
        targets.struggled(row.channel_id)
        _note(taken, row, "RETRY", error=verdict.reason)
    _count(row, "retry")
    log.warning("agents.deliver.postponed", reason=verdict.reason, seconds=round(verdict.wait.total_seconds(), 1))
    return Outcome("retry", verdict.reason)


def _give_up(taken: Lease, verdict: Verdict, tried: Any = None) -> Outcome:
    """``tried``: the row, where the message was sent before it failed."""
    with transaction.atomic():
        lease.fence(Notification, taken)
        notifications.failed(taken.id, reason=verdict.reason, disable=verdict.disable)
        if tried is not None:
            _note(taken, tried, "FAILED", error=verdict.reason)
            _count(tried, "failed")
    log.error("agents.deliver.failed", reason=verdict.reason, channel_disabled=verdict.disable)
    return Outcome("failed", verdict.reason)
