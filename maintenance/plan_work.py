"""The orders of preventive plans: opened by the sweep when they are due, and moving the plan when they are over.

``look`` opens the order of an occurrence in one transaction behind the plan's lock, with a key of plan and number:
however many sweeps race and whichever dies, there is one. Completing, cancelling or reopening it changes its occurrence
and its plan in the order's own transaction.
"""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from maintenance import order_priority, plan_dates, plans, work_orders
from maintenance.models import WorkOrder
from maintenance.order_life import Action
from maintenance.plan_models import Plan, PlanOccurrence
from maintenance.refusals import Refused
from sensors import journal

MOST = 200
"""Plans looked after in one pass of the sweep."""
ENDS = {
    Action.COMPLETED: PlanOccurrence.Outcome.DONE,
    Action.CANCELLED: PlanOccurrence.Outcome.SKIPPED,
    Action.REJECTED: PlanOccurrence.Outcome.SKIPPED,
    Action.REOPENED: "",
}
"""What a step of the order makes of its occurrence; the others make nothing of it."""
SAID = ("outcome", "ended_at", "by", "comment", "counts_from_on", "counts_from_total")


class MovedOn(Refused):
    """The plan went on since: its order cannot be opened again. Request another one."""


def due(*, now: datetime | None = None) -> list[int]:
    """Plans of which an order is to be opened, those that wait longest first."""
    rows = Plan.objects.filter(look_at__lte=now or Now()).order_by("look_at", "id")
    return list(rows.values_list("id", flat=True)[:MOST])


def look(plan_id: int, *, now: datetime | None = None) -> int | None:
    """Open the order of a plan that is due; its id. Done again it changes nothing."""
    now = now or timezone.now()
    with transaction.atomic():
        row = plans.locked(plan_id)
        if row.look_at is None or row.look_at > now:
            return None
        plans.settle(row, now=now)
        if row.look_at is None or row.look_at > now:
            return None
        return _open(row, now=now).pk


def _open(row: Plan, *, now: datetime) -> WorkOrder:
    reached = row.meter is not None and row.target is not None and row.meter.total >= row.target
    expected = plan_dates.expected_at(row, row.target)
    dates = [row.due_at, now if reached else expected and max(expected, now)]
    key = f"plan/{row.pk}/{row.number}"
    order = work_orders.open_one(
        WorkOrder(
            site_id=row.site_id, machine=row.machine, maintenance_type=WorkOrder.Type.PREDETERMINED, title=row.title,
            priority=row.priority or order_priority.priority(criticality=row.machine.criticality, severe=False),
            description=row.description, planned_minutes=row.minutes, opened_at=now,
            due_at=min((one for one in dates if one is not None), default=None),
        ), key=key, data={"plan": row.pk, "occurrence": row.number},
    )  # fmt: skip
    PlanOccurrence.objects.create(
        plan=row, number=row.number, order=order, nominal_on=row.nominal_on, due_on=row.due_on, meter=row.meter,
        target=row.target, opened_at=now,
    )  # fmt: skip
    row.look_at = None
    row.save(update_fields=["look_at"])
    plans.journaled(journal.PLAN_OPENED, row, cause=str(row.number), at=now, actor=None, data={"work_order": order.pk})
    return order


def follow(order: WorkOrder, action: Action, *, actor: User | None, comment: str, now: datetime) -> None:
    """The plan moves with its order, in the caller's transaction. Raises ``MovedOn``."""
    if action not in ENDS:
        return
    plan_id = PlanOccurrence.objects.filter(order=order).values_list("plan_id", flat=True).first()
    if plan_id is None:
        return
    row = plans.locked(plan_id)
    one = row.occurrences.get(order=order)
    if one.outcome == ENDS[action]:
        return
    if row.occurrences.filter(number__gt=one.number).exists():
        raise MovedOn
    one.outcome = ENDS[action]
    if one.outcome:
        today = now.astimezone(row.site.zone).date()
        is_done = one.outcome == PlanOccurrence.Outcome.DONE
        one.ended_at, one.by, one.comment = now, actor, comment
        one.counts_from_on = today if is_done or one.due_on is None else max(today, one.due_on)
        one.counts_from_total = None if row.meter is None else row.meter.total
    else:
        one.ended_at = one.by = one.counts_from_on = one.counts_from_total = None
        one.comment = ""
    one.save(update_fields=SAID)
    plans.moved(row, one, actor=actor, now=now)
