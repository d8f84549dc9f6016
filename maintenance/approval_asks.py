"""The agent that approves: what policies make of orders that wait. It writes ApprovalWait, as ``approvals``
does; a step that ends the waiting (``order_moves``) deletes it.

Nothing is scheduled: when an order is looked at next is a column, and every pass of the sweep asks ``due``. ``look``
does one step for one order behind its lock, by the policy that holds then (``approval_life`` says what). So it does not
matter how many sweeps there are, which of them die, and how late they come.
"""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now
from django.utils import timezone

from maintenance import (
    approval_book,
    approval_life,
    approval_openings,
    approval_record,
    approvals,
    approvers,
    order_moves,
)
from maintenance.approval_life import Asked, Do
from maintenance.approval_models import ApprovalDecision, ApprovalPolicy, ApprovalWait
from maintenance.models import WorkOrder
from maintenance.order_life import Action, Status

What = ApprovalDecision.What
MOST = 200
"""Orders looked at in one pass."""


def due(*, now: datetime | None = None) -> list[int]:
    """Orders to look at: those nobody looked at yet, and those whose time has come."""
    waits = ApprovalWait.objects.filter(order=OuterRef("pk"))
    unseen = WorkOrder.objects.filter(~Exists(waits), status=Status.REQUESTED).order_by("id")
    late = ApprovalWait.objects.filter(due_at__lte=now or Now()).order_by("due_at", "id")
    found = dict.fromkeys(late.values_list("order_id", flat=True)[:MOST])
    found |= dict.fromkeys(unseen.values_list("pk", flat=True)[:MOST])
    return list(found)


def look(order_id: int, *, now: datetime | None = None) -> Do:
    """One step for one order; what was done. Done again it does nothing."""
    now = now or timezone.now()
    with transaction.atomic():
        order = order_moves.locked(order_id)
        wait = ApprovalWait.objects.filter(order=order).first()
        if order.status != Status.REQUESTED:
            return Do.NOTHING
        if wait is not None and (wait.due_at is None or wait.due_at > now):
            return Do.NOTHING
        facts = approval_book.facts_of(order)
        approval_book.lock(order.site_id)
        rows = {
            row.pk: row for row in approval_book.rows_of([order.site_id]).select_related("approver", "then_approver")
        }
        policy, trial = approval_openings.holding(rows, facts)
        if wait is None:
            wait = ApprovalWait(site_id=order.site_id, order=order, since=approvals.since(order))
            if trial is not None:
                kept = approval_openings.of_opening(order, facts, trial, now=now, key="trial")
                approval_record.add([kept])
        step = approval_life.step(None if policy is None else approval_book.value_of(policy), _asked(wait), now=now)
        return _do(order, wait, policy, step, now=now)


def _asked(wait: ApprovalWait) -> Asked | None:
    if wait.policy_id is None or wait.policy_revision is None or wait.until is None:
        return None
    return Asked(wait.policy_id, wait.policy_revision, wait.until, wait.reminded, wait.is_left)


def _do(
    order: WorkOrder, wait: ApprovalWait, policy: ApprovalPolicy | None, step: approval_life.Step, *, now: datetime
) -> Do:
    if step.do is Do.NOTHING or policy is None:
        if policy is None:
            wait.policy, wait.policy_revision, wait.asked, wait.until = None, None, None, None
            wait.reminded, wait.is_left = 0, False
        _keep(wait, due_at=step.until)
    elif step.do in (Do.GO_AHEAD, Do.REJECT):
        _end(order, policy, step.do, now=now)
    elif step.do is Do.LEAVE:
        wait.is_left = True
        _keep(wait, due_at=None)
        approval_record.record(order, What.LEFT, now=now, policy=policy, asked=wait.asked)
    else:
        again = step.do is Do.REMIND
        wait.policy, wait.policy_revision, wait.until, wait.is_left = policy, policy.revision, step.until, False
        wait.asked = _able(policy.then_approver if again else policy.approver, order)
        wait.reminded = wait.reminded + 1 if again else 0
        _keep(wait, due_at=step.until)
        what = What.REMINDED if again else What.WAITS
        approval_record.record(order, what, now=now, policy=policy, asked=wait.asked, until=step.until, to_tell=True)
    return step.do


def _end(order: WorkOrder, policy: ApprovalPolicy, do: Do, *, now: datetime) -> None:
    """The policy approves or rejects it: nobody did."""
    ahead = do is Do.GO_AHEAD
    said = f"By policy {policy.pk}, revision {policy.revision} ({policy})"
    why = f"{said}." if ahead else f"{said}: its time was up."
    order_moves.step(order, Action.APPROVED if ahead else Action.REJECTED, actor=None, now=now, comment=why)
    what = What.WENT_AHEAD if ahead else What.REJECTED
    approval_record.record(order, what, now=now, policy=policy, reason=why, to_tell=True)


def _able(person: User | None, order: WorkOrder) -> User | None:
    """Who is asked: nobody in particular where the one who was named may not approve any more."""
    return person if person is not None and approvers.is_administrator(person, site_id=order.site_id) else None


def _keep(wait: ApprovalWait, *, due_at: datetime | None) -> None:
    wait.due_at, wait.deferred_until, wait.defer_reason, wait.deferred_by = due_at, None, "", None
    wait.save()
