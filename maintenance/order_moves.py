"""How a step on a work order is taken: behind the locks, by the table, with its transition and journal."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone

from maintenance import alarm_steps, order_gates, order_life, plan_work, reservations, work_orders
from maintenance.approval_models import ApprovalWait
from maintenance.models import WorkOrder, WorkOrderTransition
from maintenance.order_life import Action, Status
from maintenance.refusals import Refused
from sensors import journal


class NotPossible(Refused):
    """The work order's status does not allow this."""


def behind_its_machine(order_id: int) -> WorkOrder:
    """The order, fresh and locked; its machine and the machine's open alarms before it, as everybody does."""
    machine_id = WorkOrder.objects.values_list("machine_id", flat=True).get(pk=order_id)
    alarm_steps.lock_machine(machine_id)
    alarm_steps.lock_open(machine_id)
    return locked(order_id)


def locked(order_id: int) -> WorkOrder:
    return WorkOrder.objects.select_for_update(no_key=True).get(pk=order_id)


def status_after(order: WorkOrder, action: Action, *, waits: bool = False) -> Status:
    """The status that an action leads an order to. Raises ``NotPossible``."""
    try:
        return order_life.after(order.status, action, waits=waits)
    except order_life.NotPossibleNow as error:
        label = WorkOrder.Status(order.status).label.lower()
        raise NotPossible(f"Order {order.pk} is {label}: it cannot be {action.lower()}.") from error


def step(
    order: WorkOrder,
    action: Action,
    *,
    actor: User | None,
    now: datetime | None,
    comment: str = "",
    waits: bool = False,
    **changes: Any,
) -> WorkOrder:
    """One step on a locked order, with its transition and its entry in the journal. ``actor`` None: a policy took it;
    ``waits``: as in ``order_life.after``. Raises ``NotPossible``.
    """
    before, after = order.status, status_after(order, action, waits=waits)
    order_gates.require(order, action, actor=actor, now=now or timezone.now())
    for name, value in {**changes, "status": str(after)}.items():
        setattr(order, name, value)
    order.save(update_fields=[*changes, "status"])
    if before == Status.REQUESTED != after:
        ApprovalWait.objects.filter(order=order).delete()
    if order.is_over:
        reservations.release_all(order, actor=actor, now=now)
    elif action is Action.APPROVED:
        reservations.claim(order)
    record(order, action, before=before, actor=actor, at=now or timezone.now(), comment=comment)
    plan_work.follow(order, action, actor=actor, comment=comment, now=now or timezone.now())
    return order


def record(order: WorkOrder, action: Action, *, before: str, actor: User | None, at: datetime, comment: str) -> None:
    """The transition of a step that was taken, and its entry in the journal."""
    cause = order.transitions.order_by("-id").values_list("id", flat=True).first() or 0
    made = WorkOrderTransition.objects.create(
        order=order, action=action, from_status=before, to_status=order.status,
        key=f"order/{order.pk}/{action}/after/{cause}", at=at, actor=actor, comment=comment,
    )  # fmt: skip
    data, by = {"comment": comment}, "" if actor is None else actor.get_username()
    journal.record([work_orders.entry(made, site_id=order.site_id, data=data, actor=by)])
