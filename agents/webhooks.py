"""A webhook's turn: ask it to agree, or take what the journal has for it and send what is due, in order, for a while.

The webhook itself is claimed, so one worker at a time speaks with an address, and a burst is one bell. Events are put
behind one another as they stand in the journal; no more than ``MOST_WAITING`` wait at a time, the rest stays there. At
least once: a worker that dies between sending and recording leads to a second copy under the same id.

An address that is busy or away rests, ever longer, with all that is for it; only a delivery that fails while others
arrive is stepped over, and tried again later.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import structlog
from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from agents import deliver, failpoints, lease, tracks, webhook_event
from agents.channels import webhook as channel
from agents.channels.contract import Permanent, Transient
from agents.channels.exchange import Answer, Exchange, Untrusted
from agents.doorbell import Bell
from agents.lease import Lease
from maintenance import messages, webhook_filter, webhooks
from maintenance.webhook_models import Webhook, WebhookDelivery, WebhookTry
from sensors import feed
from sensors.feed import Position
from sensors.models import Event

log = structlog.get_logger(__name__)

PATIENCE_SECONDS = 3.0
MOST_WAITING = 500
HANDSHAKES = 8
"""So often an address is asked that does not answer, before a person has to ask again."""
SHOWN = 1_024
Status, Delivery = Webhook.Status, WebhookDelivery.Status


@dataclass(frozen=True, slots=True)
class Tried:
    """How an attempt ended: ``answer``, or why there is none."""

    began_at: datetime
    milliseconds: int
    answer: Answer | None = None
    failure: Permanent | Transient | None = None


def take(
    webhook_id: int, *, by: Exchange | None = None, jitter: deliver.Jitter = random.uniform,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Bell, ...]:  # fmt: skip
    """A turn of one webhook; its bell, where more is to do at once."""
    taken = lease.claim(Webhook, webhook_id, seconds=settings.LEASE_SECONDS, status=webhooks.SPEAKING)
    if taken is None or not isinstance(taken.row, Webhook):
        return ()
    row, by = taken.row, by or Exchange()
    with structlog.contextvars.bound_contextvars(webhook_id=webhook_id):
        try:
            failpoints.reach("webhook:claimed")
            if row.status == Status.PENDING:
                due_at = _shake(taken, row, by, jitter)
            else:
                due_at = _send(taken, row, by, jitter, clock)
            _finish(taken, due_at)
        except lease.Fenced as error:
            log.warning("agents.webhooks.fenced", error=str(error))
            return ()
    return (Bell("webhook", webhook_id),) if due_at is not None and due_at <= timezone.now() else ()


def _finish(taken: Lease, due_at: datetime | None) -> None:
    with transaction.atomic():
        lease.fence(Webhook, taken, attempts=0, due_at=due_at, ring_after=due_at or lease.NOW, rings=0)
    soonest = _next_due(taken.id)  # what came meanwhile woke nobody: it was awake
    if soonest is not None and (due_at is None or soonest < due_at):
        webhooks.wake([taken.id])


def _shake(taken: Lease, row: Webhook, by: Exchange, jitter: deliver.Jitter) -> datetime | None:
    """Ask whether it wants events of us (the handshake of CloudEvents' webhooks)."""
    origin = urlsplit(settings.PUBLIC_URL).hostname or "localhost"
    tried = _ask(by, "OPTIONS", row.url, headers={"WebHook-Request-Origin": origin})
    allowed = tried.answer.headers.get("WebHook-Allowed-Origin", "").strip() if tried.answer else ""
    with transaction.atomic():
        lease.extend(Webhook, taken, seconds=settings.LEASE_SECONDS)
        if tried.failure is None and allowed in ("*", origin):
            assert tried.answer is not None
            webhooks.verified(row, rate=_rate(tried.answer.headers.get("WebHook-Allowed-Rate", "")))
            log.info("agents.webhooks.verified")
            return timezone.now()
        why = str(tried.failure) if tried.failure else f"it does not allow {origin}: WebHook-Allowed-Origin is missing"
        webhooks.refused(row, reason=why)
        log.warning("agents.webhooks.not-verified", reason=why)
        return _rest(row, tried.failure, jitter) if isinstance(tried.failure, Transient) else None


def _rate(header: str) -> int | None:
    """Requests a minute; None where it takes any number."""
    return max(1, int(header)) if header.strip().isascii() and header.strip().isdecimal() else None


def _rest(row: Webhook, failure: Transient, jitter: deliver.Jitter) -> datetime | None:
    """Until when the address is left alone; None: a person has to look at it."""
    wait = deliver.after(failure, attempt=row.failures + 1, age=timedelta(), jitter=jitter).wait
    row.failures += 1
    if row.status == Status.PENDING and row.failures >= HANDSHAKES:
        return None
    row.rests_until = timezone.now() + (wait if wait is not None else deliver.BUDGET)
    Webhook.objects.filter(pk=row.pk).update(failures=row.failures, rests_until=row.rests_until)
    return row.rests_until


def _send(
    taken: Lease, row: Webhook, by: Exchange, jitter: deliver.Jitter, clock: Callable[[], float]
) -> datetime | None:
    """Send what is due, until time is up or the address has to rest; when its next turn is."""
    ends, sent = clock() + PATIENCE_SECONDS, 0
    while clock() < ends:
        if row.rate_per_minute is not None and sent > row.rate_per_minute // 60:
            return _paced(row, sent)
        delivery = _next(row)
        if delivery is None:
            if not _read(taken, row):
                return _next_due(row.pk)
            continue
        rests = _deliver(taken, row, delivery, by, jitter)
        if rests is not None:
            return rests
        sent += 1
    return timezone.now()


def _paced(row: Webhook, sent: int) -> datetime:
    """No more than it allowed: so many take so long."""
    assert row.rate_per_minute is not None
    until = timezone.now() + timedelta(minutes=sent / row.rate_per_minute)
    Webhook.objects.filter(pk=row.pk).update(rests_until=until)
    return until


def _read(taken: Lease, row: Webhook) -> bool:
    """Put deliveries of the next events behind those that wait; whether there were any."""
    waiting = WebhookDelivery.objects.filter(webhook=row, status=Delivery.PENDING).count()
    if waiting >= MOST_WAITING:
        return False
    after, until = Position(row.read_transaction, row.read_event), feed.head()
    oldest = timezone.now() - webhooks.KEPT
    if after > until:  # the database was restored into another server: go by the ids that were seen
        rows = list(Event.objects.filter(site=row.site_id, id__gt=row.newest_event).order_by("id")[:MOST_WAITING])
    else:
        rows = feed.between(after, until, sites=[row.site_id], limit=MOST_WAITING)
    more = len(rows) == MOST_WAITING
    behind = feed.of(rows[-1]) if more and after <= until else until
    with transaction.atomic():
        lease.extend(Webhook, taken, seconds=settings.LEASE_SECONDS)
        webhooks.add(row, webhook_filter.wanted(row, [event for event in rows if event.recorded_at > oldest]))
        newest = max([row.newest_event, *(event.pk for event in rows)])
        webhooks.read_until(row, after if more and after > until else behind, newest=newest)
    return bool(rows)


def _next(row: Webhook) -> WebhookDelivery | None:
    """The first that is due, as long as the webhook is active."""
    waiting = WebhookDelivery.objects.filter(webhook=row.pk, webhook__status=Status.ACTIVE, webhook__url=row.url)
    return waiting.filter(status=Delivery.PENDING, due_at__lte=Now()).select_related("event").order_by("id").first()


def _next_due(webhook_id: int) -> datetime | None:
    waiting = WebhookDelivery.objects.filter(webhook=webhook_id, status=Delivery.PENDING)
    return waiting.order_by("due_at").values_list("due_at", flat=True).first()


def _deliver(
    taken: Lease, row: Webhook, delivery: WebhookDelivery, by: Exchange, jitter: deliver.Jitter
) -> datetime | None:
    """One attempt at one delivery; until when the address rests, if it has to."""
    body = webhook_event.envelope(row, delivery)
    with tracks.webhook(delivery) as headers:
        headers |= channel.headers(webhooks.keys(row, now=timezone.now()), body)
        tried = _ask(by, "POST", row.url, headers=headers, body=body)
        failpoints.reach("webhook:sent")
        with transaction.atomic():
            lease.extend(Webhook, taken, seconds=settings.LEASE_SECONDS)
            return _record(row, delivery, tried, jitter)


def _record(row: Webhook, delivery: WebhookDelivery, tried: Tried, jitter: deliver.Jitter) -> datetime | None:
    failure, attempt = tried.failure, _attempt(delivery, tried)
    if failure is None:
        webhooks.tried(delivery, attempt, status=Delivery.DELIVERED, finished_at=Now())
        log.info("agents.webhooks.delivered", event_id=delivery.event_id)
        _answered(row)
        return None
    log.warning("agents.webhooks.not-delivered", reason=str(failure))
    if isinstance(failure, Transient | Untrusted):
        passing = failure if isinstance(failure, Transient) else Transient(str(failure))
        age = timezone.now() - delivery.asked_at
        wait = deliver.after(passing, attempt=attempt.attempt, age=age, jitter=jitter).wait
        if wait is None:
            webhooks.tried(delivery, attempt, status=Delivery.FAILED, finished_at=Now())
        else:
            webhooks.tried(delivery, attempt, due_at=timezone.now() + wait)
        return _rest(row, passing, jitter)
    if tried.answer is None:  # it may not be reached at all: the event waits until a person has looked
        webhooks.tried(delivery, attempt)
        webhooks.stop(row, Status.PAUSED, reason=str(failure))
        return None
    webhooks.tried(delivery, attempt, status=Delivery.FAILED, finished_at=Now())
    if failure.gone:
        webhooks.stop(row, Status.GONE, reason=str(failure))
    else:
        _answered(row)
    return None


def _answered(row: Webhook) -> None:
    """It is there."""
    if row.failures or row.rests_until is not None:
        row.failures, row.rests_until = 0, None
        Webhook.objects.filter(pk=row.pk).update(failures=0, rests_until=None)


def _ask(by: Exchange, method: str, url: str, *, headers: dict[str, str], body: bytes | None = None) -> Tried:
    began_at, started = timezone.now(), time.monotonic()
    answer: Answer | None = None
    failure: Permanent | Transient | None = None
    try:
        answer = by.ask(method, url, headers=headers, body=body)
        channel.judge(answer)
    except (Permanent, Transient) as error:
        failure = error
    return Tried(began_at, round(1_000 * (time.monotonic() - started)), answer, failure)


def _attempt(delivery: WebhookDelivery, tried: Tried) -> WebhookTry:
    answer = tried.answer
    said = "" if answer is None else answer.body[:SHOWN].decode("utf-8", "replace").replace("\x00", "�")
    return WebhookTry(
        delivery=delivery, attempt=delivery.attempts + 1, began_at=tried.began_at, milliseconds=tried.milliseconds,
        answered=None if answer is None else answer.status, answer=said,
        error=messages.one_line(str(tried.failure or ""), limit=webhooks.REASON_LIMIT),
    )  # fmt: skip
