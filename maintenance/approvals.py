"""What people decide about orders that were requested: approve, reject, change, set aside.

Each is one transaction behind the lock of the order.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from maintenance import approval_book, approvers, order_moves
from maintenance.approval_models import ApprovalDecision, ApprovalWait
from maintenance.approval_record import record
from maintenance.models import WorkOrder
from maintenance.order_life import Action, Status
from maintenance.order_steps import NoReason
from maintenance.refusals import Refused

What = ApprovalDecision.What
CHANGEABLE = ("priority", "maintenance_type", "due_at", "description", "expected_cost")
"""What an approver may change of an order before it is approved."""
LONGEST = timedelta(days=366)


class NoSuchTime(Refused):
    """Say until when it is set aside: later than now, and at most a year."""


class NothingChanged(Refused):
    """That is how it is already."""


def approve(order_id: int, *, actor: User, comment: str = "", now: datetime | None = None) -> WorkOrder:
    """What was requested is to be done. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        order, giver = _mine(order_id, actor=actor, now=now)
        order_moves.step(order, Action.APPROVED, actor=actor, now=now, comment=_signed(comment, giver))
        record(order, What.APPROVED, now=now, actor=actor, for_whom=giver, reason=comment, to_tell=True)
    return order


def reject(order_id: int, *, actor: User, comment: str, now: datetime | None = None) -> WorkOrder:
    """What was requested is not to be done; ``comment`` says why. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        order, giver = _mine(order_id, actor=actor, now=now)
        why = _reason(comment)
        order_moves.step(order, Action.REJECTED, actor=actor, now=now, comment=_signed(why, giver))
        record(order, What.REJECTED, now=now, actor=actor, for_whom=giver, reason=why, to_tell=True)
    return order


def modify(order_id: int, *, actor: User, comment: str = "", now: datetime | None = None, **said: Any) -> WorkOrder:
    """Change what is said of a requested order (see ``CHANGEABLE``), with what it was on record; it goes on waiting, by
    the policy that holds for it then. Raises ``Refused``, and ``ValidationError`` by field."""
    now = now or timezone.now()
    with transaction.atomic():
        order, giver = _mine(order_id, actor=actor, now=now)
        changes = {name: value for name, value in said.items() if value != getattr(order, name)}
        if not changes:
            raise NothingChanged
        before = {name: getattr(order, name) for name in changes}
        for name, value in changes.items():
            setattr(order, name, value)
        unsaid = {f.name for f in WorkOrder._meta.fields if f.null and changes.get(f.name) is None}
        order.clean_fields(exclude=unsaid | {f.name for f in WorkOrder._meta.fields if f.name not in changes})
        told = "; ".join(
            f"{name.replace('_', ' ')}: {_word(before[name])} → {_word(changes[name])}" for name in changes
        )
        said_too = f"{told}. {comment}".strip() if comment else told
        order_moves.step(order, Action.MODIFIED, actor=actor, now=now, comment=_signed(said_too, giver), **changes)
        record(order, What.MODIFIED, now=now, actor=actor, for_whom=giver, reason=said_too)
        approval_book.look_soon(ApprovalWait.objects.filter(order=order))
    return order


def defer(order_id: int, *, actor: User, until: datetime, comment: str, now: datetime | None = None) -> WorkOrder:
    """Set a requested order aside until an instant; then it is asked for anew. Raises ``Refused``."""
    now = now or timezone.now()
    if not now < until <= now + LONGEST:
        raise NoSuchTime
    with transaction.atomic():
        order, giver = _mine(order_id, actor=actor, now=now)
        why = _reason(comment)
        told = f"until {until:%Y-%m-%d %H:%M} UTC: {why}"
        order_moves.step(order, Action.DEFERRED, actor=actor, now=now, comment=_signed(told, giver))
        aside = {
            "deferred_until": until, "defer_reason": why, "deferred_by": actor, "due_at": until, "until": None,
            "policy": None, "policy_revision": None, "reminded": 0, "is_left": False,
        }  # fmt: skip
        fresh = {"site_id": order.site_id, "since": since(order)}
        ApprovalWait.objects.update_or_create(order=order, defaults=aside, create_defaults=fresh | aside)
        record(order, What.DEFERRED, now=now, actor=actor, for_whom=giver, reason=why, until=until)
    return order


def since(order: WorkOrder) -> datetime:
    """Since when it waits: from when it was requested, or opened again."""
    asked = order.transitions.filter(to_status=Status.REQUESTED).exclude(from_status=Status.REQUESTED)
    return asked.order_by("-id").values_list("recorded_at", flat=True).first() or order.created_at


def _mine(order_id: int, *, actor: User, now: datetime) -> tuple[WorkOrder, User | None]:
    """The order, locked, for somebody who may approve it, and for whom they do. Raises ``NotAnApprover``."""
    order = order_moves.locked(order_id)
    return order, approvers.authority(actor, site_id=order.site_id, now=now)


def _signed(comment: str, giver: User | None) -> str:
    return comment if giver is None else f"{comment} (delegate of {giver})".strip()


def _reason(comment: str) -> str:
    if not comment.strip():
        raise NoReason
    return comment.strip()


def _word(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, Decimal):
        return f"{value:.2f}"
    return str(value) if value not in (None, "") else "nothing"
