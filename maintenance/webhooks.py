"""Webhooks: what a person does with one, and how it gets on. The only writer of ``Webhook`` and ``WebhookDelivery``.

Sending is the agents' (``agents.webhooks``). While one is not active the journal keeps what it has not been sent.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from maintenance import messages, webhook_filter
from maintenance.refusals import Refused
from maintenance.webhook_models import Webhook, WebhookDelivery, WebhookTry
from sensors import feed, journal, journal_order
from sensors.feed import Position
from sensors.models import Event

Status, Delivery = Webhook.Status, WebhookDelivery.Status

SPEAKING = [Status.PENDING.value, Status.ACTIVE.value]
"""Those that a worker has something to say to."""
KEPT = timedelta(days=30)
"""How long deliveries are kept, and how old an event is sent at most."""
MOST_REPLAYED = 10_000
MOST_OVERLAP_HOURS = 168
REASON_LIMIT = 300


class NotActive(Refused):
    """The address has not agreed, or is paused or gone: verify or resume it first."""


class NotPaused(Refused):
    """It is not paused."""


class TooMany(Refused):
    """So many events cannot be sent again at a time: name a shorter time."""


class StillWaits(Refused):
    """It has not been sent yet."""


def settle(row: Webhook, *, actor: User) -> None:
    """What follows from what was said of one that is to be stored. Another address has to agree anew."""
    if row._state.adding:
        start = feed.head()
        row.secret, row.created_by = _new_secret(), actor
        row.read_transaction, row.read_event = start.transaction, start.event
        row.newest_event = Event.objects.order_by("-id").values_list("id", flat=True).first() or 0
        return
    if not Webhook.objects.filter(pk=row.pk, url=row.url).exists():
        row.status, row.reason, row.verified_at, row.rate_per_minute = Status.PENDING, "", None, None
        row.failures, row.rests_until, row.due_at = 0, None, timezone.now()


SETTLED = ("status", "reason", "verified_at", "rate_per_minute", "failures", "rests_until", "due_at")
"""What ``settle`` changes of one that is there."""


def _new_secret() -> str:
    return "whsec_" + secrets.token_urlsafe(32)


def verify(webhook_id: int, *, actor: User) -> Webhook:
    """Ask the address once more whether it agrees."""
    return _move(webhook_id, Status.PENDING, None, actor=actor)


def pause(webhook_id: int, *, actor: User) -> Webhook:
    """Send nothing for now. Raises ``NotActive``."""
    return _move(webhook_id, Status.PAUSED, "paused", actor=actor, only_from=Status.ACTIVE, else_raise=NotActive)


def resume(webhook_id: int, *, actor: User) -> Webhook:
    """Send again, also what has happened meanwhile. Raises ``NotPaused``."""
    row = _move(webhook_id, Status.ACTIVE, "resumed", actor=actor, only_from=Status.PAUSED, else_raise=NotPaused)
    begin_anew(row.pk)
    return row


def _move(
    webhook_id: int, to: str, told: str | None, *, actor: User, only_from: str = "", else_raise: type[Refused] = Refused
) -> Webhook:
    with transaction.atomic():
        row = Webhook.objects.select_for_update().get(pk=webhook_id)
        if only_from and row.status != only_from:
            raise else_raise
        row.status, row.reason, row.failures, row.rests_until = to, "", 0, None
        row.due_at = row.ring_after = timezone.now()
        row.rings = 0
        row.save(update_fields=["status", "reason", "failures", "rests_until", "due_at", "ring_after", "rings"])
        if told:
            note(row, told, actor=actor)
    return row


def rotate(webhook_id: int, *, overlap: timedelta, actor: User) -> Webhook:
    """A new secret; what is sent within the overlap is signed by both."""
    with transaction.atomic():
        row = Webhook.objects.select_for_update().get(pk=webhook_id)
        row.previous_secret, row.previous_until = row.secret, timezone.now() + overlap
        row.secret = _new_secret()
        row.save(update_fields=["secret", "previous_secret", "previous_until"])
        note(row, "rotated", actor=actor)
    return row


def keys(row: Webhook, *, now: datetime) -> tuple[str, ...]:
    """The secrets that sign, the newest first."""
    overlaps = row.previous_secret and row.previous_until is not None and now < row.previous_until
    return (row.secret, row.previous_secret) if overlaps else (row.secret,)


def test(webhook_id: int, *, actor: User) -> WebhookDelivery:
    """Send an event that says it is a test. Raises ``NotActive``."""
    with transaction.atomic():
        row = Webhook.objects.select_for_update().get(pk=webhook_id)
        if row.status != Status.ACTIVE:
            raise NotActive
        made = WebhookDelivery.objects.create(webhook=row)
        note(row, "tested", actor=actor)
        wake([row.pk])
    return made


def replay(delivery_id: int, *, actor: User) -> WebhookDelivery:
    """Send again what was delivered or has failed. Raises ``StillWaits``."""
    with transaction.atomic():
        row = WebhookDelivery.objects.select_for_update(of=("self",)).select_related("webhook").get(pk=delivery_id)
        if row.status == Delivery.PENDING:
            raise StillWaits
        _ask_anew(WebhookDelivery.objects.filter(pk=row.pk))
        note(row.webhook, "replayed", actor=actor, delivery=row.pk)
        wake([row.webhook_id])
    row.refresh_from_db()
    return row


def replay_between(webhook_id: int, *, begin: datetime, end: datetime, actor: User) -> int:
    """Send what was recorded in a time, again or for the first time; how many events. Raises ``TooMany``."""
    with transaction.atomic():
        row = Webhook.objects.select_for_update().get(pk=webhook_id)
        until = feed.head()
        of_then = Event.objects.filter(
            webhook_filter.by_type(row.types), site=row.site_id, recorded_at__gte=begin, recorded_at__lt=end
        )
        asked = list(of_then.filter(written_in__lt=until.transaction).order_by("written_in", "id")[: MOST_REPLAYED + 1])
        if len(asked) > MOST_REPLAYED:
            raise TooMany(f"There are more than {MOST_REPLAYED:,}.")
        found = webhook_filter.wanted(row, asked)
        put = {event.pk for event in found}
        _ask_anew(WebhookDelivery.objects.filter(webhook=row, event__in=put).exclude(status=Delivery.PENDING))
        add(row, found)
        note(row, "replayed", actor=actor, begin=begin.isoformat(), end=end.isoformat(), events=len(put))
        wake([row.pk])
    return len(put)


def _ask_anew(rows: QuerySet[WebhookDelivery]) -> None:
    rows.update(status=Delivery.PENDING, attempts=0, due_at=Now(), asked_at=Now(), finished_at=None, reason="")


def begin_anew(webhook_id: int) -> None:
    """What waited while nothing was sent has its whole time again."""
    WebhookDelivery.objects.filter(webhook=webhook_id, status=Delivery.PENDING).update(due_at=Now(), asked_at=Now())


def add(row: Webhook, events: Iterable[Event]) -> None:
    """Deliveries of events, in their order; those that are there already stay as they are."""
    rows = [WebhookDelivery(webhook=row, event=event) for event in events]
    WebhookDelivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=1_000)


def read_until(row: Webhook, position: Position, *, newest: int) -> None:
    """How far the journal was read for it."""
    Webhook.objects.filter(pk=row.pk).update(
        read_transaction=position.transaction, read_event=position.event, newest_event=newest
    )
    row.read_transaction, row.read_event, row.newest_event = position.transaction, position.event, newest


def wake(webhooks: Iterable[int]) -> None:
    """There is something to do for them; those that rest go on resting."""
    idle = Webhook.objects.filter(_idle(), pk__in=list(webhooks)).exclude(rests_until__gt=Now())
    idle.update(due_at=Now(), ring_after=Now(), rings=0)


def _idle() -> Q:
    return Q(due_at=None) | Q(due_at__gt=Now())


def wake_for_news() -> None:
    """Those for whose sites the journal has something that was not read yet."""
    behind = Q(written_in__gt=OuterRef("read_transaction")) | Q(
        written_in=OuterRef("read_transaction"), id__gt=OuterRef("read_event")
    )
    news = feed.settled().filter(behind, site=OuterRef("site"), written_in__gte=OuterRef("read_transaction"))
    restored = Q(read_transaction__gt=journal_order.OLDEST_OPEN)  # into another server, which counts for itself
    idle = Webhook.objects.filter(_idle(), status=Status.ACTIVE).exclude(rests_until__gt=Now())
    wake(idle.filter(Exists(news) | restored).values_list("pk", flat=True))


def verified(row: Webhook, *, rate: int | None) -> None:
    """It agreed. In the caller's transaction."""
    Webhook.objects.filter(pk=row.pk).update(
        status=Status.ACTIVE, reason="", verified_at=Now(), rate_per_minute=rate, failures=0
    )
    begin_anew(row.pk)
    note(row, "verified", actor=None)


def refused(row: Webhook, *, reason: str) -> None:
    """It did not agree: it stays as it is until a person asks again."""
    Webhook.objects.filter(pk=row.pk).update(reason=messages.one_line(reason, limit=REASON_LIMIT))


def stop(row: Webhook, to: str, *, reason: str) -> None:
    """Nothing more is sent until a person looks at it. In the caller's transaction."""
    Webhook.objects.filter(pk=row.pk).update(status=to, reason=messages.one_line(reason, limit=REASON_LIMIT))
    note(row, "gone" if to == Status.GONE else "paused", actor=None, reason=reason)


def tried(delivery: WebhookDelivery, attempt: WebhookTry, **changes: Any) -> None:
    """Keep an attempt and what it leads to. In the caller's transaction."""
    attempt.save()
    changes = {"reason": attempt.error, **changes}
    WebhookDelivery.objects.filter(pk=delivery.pk).update(attempts=F("attempts") + 1, **changes)


def forget(*, before: datetime) -> int:
    """Delete deliveries that were over before; how many."""
    return WebhookDelivery.objects.filter(finished_at__lt=before).delete()[0]


def note(row: Webhook, what: str, *, actor: User | None, **data: Any) -> None:
    """Keep in the journal what became of it."""
    subject = f"webhook/{row.pk}"
    last = Event.objects.filter(subject=subject).order_by("-id").values_list("id", flat=True).first() or 0
    entry = journal.Entry(
        type=f"webhook.{what}", subject=subject, key=f"webhook.{what}/{row.pk}/after/{last}",
        occurred_at=timezone.now(), site_id=row.site_id, actor="" if actor is None else actor.get_username(),
        data={"name": row.name, **data},
    )  # fmt: skip
    journal.record([entry])
