"""The agent that approves, as the sweep runs it: by policy what waits is asked for, goes ahead or is rejected, and
whoever must know is told.

Due times are columns, looked at by every pass. Each step is a transaction of its own behind the lock of its order, and
does nothing where it was done: any number of sweeps may race, and any of them die in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Max
from django.utils import timezone

from agents import notify
from maintenance import approval_asks, approvers, notifications
from maintenance.approval_models import ApprovalDecision
from maintenance.messages import Recipient, Row, Transition, wants
from maintenance.models import Channel, WorkOrderTransition

log = structlog.get_logger(__name__)

What = ApprovalDecision.What
MOST = 200
"""Decisions told of in one pass."""
ACTIONS = {
    What.WAITS: "WAITS", What.REMINDED: "WAITS", What.APPROVED: "OPENED", What.WENT_AHEAD: "OPENED",
    What.REJECTED: "REJECTED",
}  # fmt: skip
"""What decisions are told as."""


def look(*, now: datetime | None = None) -> None:
    """One pass. An order that cannot be dealt with holds up no other."""
    for order_id in approval_asks.due(now=now):
        try:
            approval_asks.look(order_id, now=now)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("agents.approve.failed", order=order_id)
    tell(now=now)


def tell(*, now: datetime | None = None) -> list[int]:
    """Put what was decided into the outbox; ids of the messages. Each decision is told once, by one of several."""
    now = now or timezone.now()
    with transaction.atomic():
        waiting = ApprovalDecision.objects.filter(to_tell=True).order_by("id")
        rows = list(waiting.select_related("asked", "order").select_for_update(skip_locked=True, of=("self",))[:MOST])
        if not rows:
            return []
        ApprovalDecision.objects.filter(pk__in=[row.pk for row in rows]).update(to_tell=False)
        orders = [row.order_id for row in rows]
        steps = WorkOrderTransition.objects.filter(order__in=orders).values("order").annotate(last=Max("id"))
        told = notifications.about_orders(step["last"] for step in steps)
        about = {transition.subject_id: transition for transition in told.transitions}
        made = [
            one
            for row in rows
            if row.order_id in about
            for one in _rows(row, about[row.order_id], told.recipients, now=now)
        ]
        return notifications.create(made, run_id=None)


def _rows(
    decided: ApprovalDecision, about: Transition, recipients: Sequence[Recipient], *, now: datetime
) -> Iterable[Row]:
    happened = replace(about, action=ACTIONS[What(decided.what)], at=decided.at, remark=decided.reason)
    told = notify.payload(happened) | _said(decided)
    return [
        Row(
            site_id=decided.site_id, channel_id=channel.channel_id, event_type=happened.kind,
            subject_line=notify.subject_line(happened), payload=told,
            key=f"approval-decision/{decided.pk}/channel/{channel.channel_id}",
        )
        for channel in _to(decided, happened, recipients, now=now)
    ]  # fmt: skip


def _said(decided: ApprovalDecision) -> dict[str, object]:
    """What a message about a request says beside what others do."""
    until = {} if decided.until is None else {"waits_until": decided.until.isoformat().replace("+00:00", "Z")}
    policy = decided.policy_said or {}
    return until | {
        "asked": "" if decided.asked is None else str(decided.asked),
        "then": policy.get("then", ""),
        "reminder": decided.what == What.REMINDED,
        "cost": decided.facts["cost"] or "",
    }


def _to(
    decided: ApprovalDecision, happened: Transition, recipients: Sequence[Recipient], *, now: datetime
) -> list[Recipient]:
    """Who is told: of work that is to be done whoever subscribed to orders; of a request the persons it is about, on
    all their channels, and the shared channels that ask for it."""
    persons = _persons(decided, now=now)
    wanted = [one for one in recipients if one.site_id == decided.site_id and wants(one, happened)]
    if persons is not None:
        people = Channel.objects.filter(site=decided.site_id, reader__isnull=False)
        theirs = set(people.filter(reader__user__in=persons).values_list("pk", flat=True))
        others = set(people.values_list("pk", flat=True))
        shared = {one.channel_id for one in wanted} - others
        wanted = [one for one in recipients if one.channel_id in theirs | shared]
    first: dict[str, Recipient] = {}
    for one in wanted:
        first.setdefault(one.address or f"channel/{one.channel_id}", one)
    return list(first.values())


def _persons(decided: ApprovalDecision, *, now: datetime) -> list[int] | None:
    """Whom it is about; None: everybody who works there."""
    if decided.what in (What.WAITS, What.REMINDED):
        return approvers.asked(decided.asked, site_id=decided.site_id, now=now)
    if decided.what == What.REJECTED:
        return [] if decided.order.requested_by_id is None else [decided.order.requested_by_id]
    return None
