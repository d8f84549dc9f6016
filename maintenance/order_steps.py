"""What people do with work orders: request, plan, assign, start, hold, complete, close, cancel, reopen.

Each is one transaction behind the locks that everybody takes in the same order: the machine, its open alarms, the
order. A machine is out of service, and its alarms are hidden, exactly while somebody works on it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from maintenance import (
    alarm_steps,
    approval_openings,
    failure_modes,
    order_life,
    order_priority,
    order_roles,
    order_verdicts,
    suppressions,
    wording,
)
from maintenance.models import WorkOrder
from maintenance.order_life import Action, Status
from maintenance.order_moves import behind_its_machine, locked, record, status_after, step
from maintenance.refusals import Refused
from sensors.models import Equipment


class NoFindings(Refused):
    """Say what was found and done: an order is not completed without it."""


class NoReason(Refused):
    """Say why."""


class NoTime(Refused):
    """Say when it is to begin and how long it is thought to take."""


class NotAMachine(Refused):
    """Work orders are for machines."""


class UnknownMode(Refused):
    """There is no such failure mode."""


class OneIsOpen(Refused):
    """The machine has an open order for this failure mode already."""

    def __init__(self, order: WorkOrder) -> None:
        super().__init__(f"That is {order}.")
        self.order = order


class NoVerdict(Refused):
    """Say what the anomalies behind it turned out to be."""


def request(
    machine: Equipment,
    *,
    actor: User,
    title: str,
    maintenance_type: str,
    priority: str = "",
    description: str = "",
    failure_mode: str = "",
    hours_to_failure: float | None = None,
    due_at: datetime | None = None,
    expected_cost: Decimal | None = None,
    now: datetime | None = None,
) -> WorkOrder:
    """Ask for work on a machine; it waits for approval. Without a priority the stated rule gives it one
    (``order_priority``), by how long the machine is thought to last. Raises ``Refused``."""
    now = now or timezone.now()
    if machine.level != Equipment.Level.MACHINE:
        raise NotAMachine
    if failure_mode and failure_mode not in failure_modes.CATALOGUE.modes:
        raise UnknownMode
    new = WorkOrder(
        site_id=machine.site_id, machine=machine, failure_mode=failure_mode, maintenance_type=maintenance_type,
        priority=priority or order_priority.priority(
            criticality=machine.criticality, severe=maintenance_type == WorkOrder.Type.CORRECTIVE_IMMEDIATE,
            hours_to_failure=hours_to_failure,
        ), status=Status.REQUESTED, title=title, description=description, requested_by=actor,
        due_at=due_at, expected_cost=expected_cost, opened_at=now,
    )  # fmt: skip
    with transaction.atomic():
        alarm_steps.lock_machine(machine.pk)
        require_none_open(machine.pk, failure_mode)
        new.save(force_insert=True)
        record(new, Action.REQUESTED, before="", actor=actor, at=now, comment=description)
    return new


def require_none_open(machine_id: int, failure_mode: str) -> None:
    """Raises ``OneIsOpen`` that names it."""
    known = WorkOrder.objects.filter(machine_id=machine_id, failure_mode=failure_mode).exclude(
        status__in=sorted(order_life.OVER)
    )
    if failure_mode and (found := known.first()):
        raise OneIsOpen(found)


def plan(
    order_id: int, *, actor: User, start: datetime, minutes: int, comment: str = "", now: datetime | None = None
) -> WorkOrder:
    """Say when it is to begin, and how long it is thought to take. Raises ``Refused``."""
    if minutes < 1:
        raise NoTime
    with transaction.atomic():
        said = comment or f"{start:%Y-%m-%d %H:%M} UTC, {minutes} min"
        return step(
            locked(order_id), Action.PLANNED, actor=actor, now=now, comment=said, planned_start=start,
            planned_minutes=minutes,
        )  # fmt: skip


def assign(order_id: int, *, actor: User, assignee: User, now: datetime | None = None) -> WorkOrder:
    """Give the order to somebody, or to somebody else while nobody works on it. Raises ``Refused``."""
    with transaction.atomic():
        order = locked(order_id)
        order_roles.require_worker(assignee, site_id=order.site_id)
        return step(order, Action.ASSIGNED, actor=actor, now=now, comment=str(assignee), assigned_to=assignee)


def start(order_id: int, *, actor: User, now: datetime | None = None) -> WorkOrder:
    """The work has begun: from here on the machine is out of service, and its alarms are hidden. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        order = step(behind_its_machine(order_id), Action.STARTED, actor=actor, now=now, started_at=now)
        suppressions.take_out_of_service(order, actor=actor, now=now)
        return order


def hold(order_id: int, *, actor: User, comment: str, now: datetime | None = None) -> WorkOrder:
    """The work waits for something, which ``comment`` says; the machine is in service meanwhile. Raises ``Refused``."""
    now = now or timezone.now()
    why = _reason(comment)
    with transaction.atomic():
        order = step(behind_its_machine(order_id), Action.HELD, actor=actor, now=now, comment=why, hold_reason=why)
        said = _noted("WO-{order} is on hold: {reason}", order, reason=why)
        suppressions.back_in_service(order, actor=actor, now=now, why=said)
        return order


def resume(order_id: int, *, actor: User, comment: str = "", now: datetime | None = None) -> WorkOrder:
    """The work goes on: the machine is out of service again. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        order = behind_its_machine(order_id)
        step(order, Action.RESUMED, actor=actor, now=now, comment=comment, hold_reason="")
        suppressions.take_out_of_service(order, actor=actor, now=now)
        return order


def complete(order_id: int, *, actor: User, findings: str, now: datetime | None = None) -> WorkOrder:
    """The work is done; ``findings`` say what was found and done. It is in service again. Raises ``Refused``."""
    if not findings.strip():
        raise NoFindings
    now = now or timezone.now()
    with transaction.atomic():
        order = behind_its_machine(order_id)
        step(order, Action.COMPLETED, actor=actor, now=now, comment=findings, findings=findings, completed_at=now)
        suppressions.back_in_service(order, actor=actor, now=now, why=_noted("WO-{order} is completed.", order))
        return order


def close(
    order_id: int,
    *,
    actor: User,
    verdict: str = "",
    found_mode: str = "",
    mechanism: str = "",
    cause: str = "",
    detection_method: str = "",
    activity: str = "",
    comment: str = "",
    now: datetime | None = None,
) -> WorkOrder:
    """Put on record what was found. With a verdict the anomalies behind it are labelled in the same transaction.

    Raises ``Refused``; ``NoVerdict`` where anomalies opened the order and nothing is said of them; ``ValidationError``
    by field.
    """
    now = now or timezone.now()
    with transaction.atomic():
        order = locked(order_id)
        status_after(order, Action.CLOSED)  # before anything is labelled: who is late hears of the order, not of labels
        if order.alarm_id is not None and not verdict:
            raise NoVerdict
        if found_mode and found_mode not in failure_modes.CATALOGUE.modes:
            raise UnknownMode
        said: dict[str, Any] = {
            "verdict": verdict, "found_mode": found_mode, "mechanism": mechanism, "cause": cause,
            "detection_method": detection_method, "activity": activity, "closed_at": now,
        }  # fmt: skip
        for name, value in said.items():
            setattr(order, name, value)
        order.clean_fields(exclude=[f.name for f in WorkOrder._meta.fields if f.name not in said])
        label = order_verdicts.label(order, actor=actor)
        return step(order, Action.CLOSED, actor=actor, now=now, comment=comment, **said, label=label)


def cancel(order_id: int, *, actor: User, comment: str, now: datetime | None = None) -> WorkOrder:
    """Nobody is to work on it; ``comment`` says why. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        order = step(behind_its_machine(order_id), Action.CANCELLED, actor=actor, now=now, comment=_reason(comment))
        suppressions.back_in_service(order, actor=actor, now=now, why=_noted("WO-{order} is cancelled.", order))
        return order


def reopen(order_id: int, *, actor: User, comment: str, now: datetime | None = None) -> WorkOrder:
    """It was not over after all; ``comment`` says why. As if nobody had begun: it waits for approval first where a
    policy says so, and where it was never approved. Raises ``Refused``."""
    with transaction.atomic():
        order = behind_its_machine(order_id)
        if order.is_over:
            require_none_open(order.machine_id, order.failure_mode)
        last = order.transitions.order_by("-id").first()
        openings = approval_openings.judge([order])
        was_asked_for = last is not None and last.from_status == Status.REQUESTED
        has_policy = any(one.policy is not None for one in openings)
        waits = any(one.waits for one in openings) or (was_asked_for and not has_policy)
        step(
            order, Action.REOPENED, actor=actor, now=now, comment=_reason(comment), waits=waits, assigned_to=None,
            started_at=None, completed_at=None, closed_at=None, planned_start=None, verdict="", label=None,
        )  # fmt: skip
        approval_openings.record(openings, after={} if last is None else {order.pk: last.pk})
        return order


def _noted(pattern: str, order: WorkOrder, **words: str) -> str:
    return wording.noted(pattern, order=f"{order.pk} {order.title}", **words)


def _reason(comment: str) -> str:
    if not comment.strip():
        raise NoReason
    return comment.strip()
