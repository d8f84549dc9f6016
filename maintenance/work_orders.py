"""Work orders: opened by decide, carried out by people. The only writer of WorkOrder and WorkOrderTransition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import connection, transaction
from django.utils import timezone

from maintenance import alarm_steps, failure_modes, suppressions, wording
from maintenance.alarm_life import OrderState, Situation
from maintenance.models import WorkOrder, WorkOrderTransition
from maintenance.refusals import Refused
from maintenance.verdicts import Step
from sensors import journal
from sensors.columns import to_instant
from sensors.models import Membership

Status = WorkOrder.Status
OPEN = tuple(status.value for status in Status if status not in WorkOrder.CLOSED)

OPENED, OCCURRED, RAISED = "OPENED", "OCCURRED", "RAISED"
ASSIGNED, STARTED, COMPLETED, CANCELLED = "ASSIGNED", "STARTED", "COMPLETED", "CANCELLED"
TABLE: dict[tuple[str, str], str] = {
    (Status.OPEN, ASSIGNED): Status.ASSIGNED,
    (Status.ASSIGNED, ASSIGNED): Status.ASSIGNED,
    (Status.ASSIGNED, STARTED): Status.IN_PROGRESS,
    (Status.IN_PROGRESS, COMPLETED): Status.COMPLETED,
    (Status.OPEN, CANCELLED): Status.CANCELLED,
    (Status.ASSIGNED, CANCELLED): Status.CANCELLED,
    (Status.IN_PROGRESS, CANCELLED): Status.CANCELLED,
}
"""What people can do in which status, and where it leads."""
EVENTS = {
    OPENED: journal.WORK_ORDER_OPENED,
    OCCURRED: journal.WORK_ORDER_OCCURRED,
    RAISED: journal.WORK_ORDER_RAISED,
    ASSIGNED: journal.WORK_ORDER_ASSIGNED,
    STARTED: journal.WORK_ORDER_STARTED,
    COMPLETED: journal.WORK_ORDER_COMPLETED,
    CANCELLED: journal.WORK_ORDER_CANCELLED,
}
DECIDED = {"ORDER_OPENED": OPENED, "ORDER_OCCURRED": OCCURRED, "ORDER_RAISED": RAISED}
"""Actions of decide, and what the order's history calls them."""


class NotPossible(Refused):
    """The work order's status does not allow this."""


class NoFindings(Refused):
    """Say what was found and done: an order is not completed without it."""


class NoReason(Refused):
    """Say why nobody is to work on the order."""


class NotAWorker(Refused):
    """The assignee must be an active technician or administrator of the order's site."""


@dataclass(frozen=True, slots=True)
class Call:
    """What decide made of an order of one situation: steps, oldest first, each with the order after it."""

    situation: Situation
    steps: tuple[Step, ...]
    alarm_id: int | None


def open_for(machine_ids: Iterable[int], *, lock: bool) -> dict[tuple[int, str], OrderState]:
    """The open order of each machine and failure mode that has one, locked in ascending ids where asked for."""
    orders = WorkOrder.objects.filter(machine_id__in=list(machine_ids), status__in=OPEN).order_by("id")
    if lock:
        orders = orders.select_for_update(no_key=True)
    return {
        (order.machine_id, order.failure_mode): OrderState(
            order.pk, order.priority, order.maintenance_type, order.occurrences
        )
        for order in orders.only("machine_id", "failure_mode", "priority", "maintenance_type", "occurrences")
    }


def apply(calls: Sequence[Call], *, run_id: int) -> list[int]:
    """Open and change orders as decided, in the caller's transaction; ids of the transitions, in order."""
    if not calls:
        return []
    fresh = [call for call in calls if _last(call).id is None]
    opened = WorkOrder.objects.bulk_create([_new(call) for call in fresh])
    new = {id(call): order.pk for call, order in zip(fresh, opened, strict=True)}
    statuses = _update([call for call in calls if _last(call).id is not None])
    transitions, entries = [], []
    for call in calls:
        order_id = _last(call).id or new[id(call)]
        status = statuses.get(order_id, Status.OPEN.value)
        for step in call.steps:
            action = DECIDED[step.action]
            transitions.append(
                WorkOrderTransition(
                    order_id=order_id,
                    action=action,
                    from_status="" if action == OPENED else status,
                    to_status=status,
                    key=step.key,
                    at=to_instant(step.at),
                    run_id=run_id,
                    comment=step.reason,
                )
            )
            data = {"machine": call.situation.machine_id, "failure_mode": call.situation.failure_mode}
            data |= {"reason": step.reason, "anomaly": step.anomaly_id, "priority": _last(call).priority}
            entries.append(_entry(transitions[-1], site_id=call.situation.site_id, data=data))
    stored = WorkOrderTransition.objects.bulk_create(transitions)
    journal.record(entries)
    return [transition.pk for transition in stored]


def _last(call: Call) -> OrderState:
    order = call.steps[-1].order
    if order is None:
        raise ValueError(f"{call.steps[-1].key} says nothing of the order")
    return order


def _new(call: Call) -> WorkOrder:
    order, first, situation = _last(call), call.steps[0], call.situation
    mode = failure_modes.CATALOGUE.modes[situation.failure_mode]
    what = f"Fault of an instrument: {first.detail}" if first.detail else f"{mode.name} ({mode.code})"
    return WorkOrder(
        site_id=situation.site_id,
        machine_id=situation.machine_id,
        failure_mode=situation.failure_mode,
        maintenance_type=order.maintenance_type,
        priority=order.priority,
        title=f"{situation.machine}: {mode.name}"[:200],
        description=f"{what}, since {to_instant(first.at):%Y-%m-%d %H:%M} UTC.",
        alarm_id=call.alarm_id,
        occurrences=order.occurrences,
        opened_at=to_instant(first.at),
    )


def _update(calls: Sequence[Call]) -> dict[int, str]:
    """Bring orders that exist to what was decided, in one statement; their statuses by id."""
    if not calls:
        return {}
    rows = [_last(call) for call in calls]
    values = ", ".join(["(%s::bigint, %s, %s, %s::integer)"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {WorkOrder._meta.db_table} AS known SET priority = decided.priority,"
            " maintenance_type = decided.maintenance_type, occurrences = decided.occurrences"
            f" FROM (VALUES {values}) AS decided (id, priority, maintenance_type, occurrences)"
            " WHERE known.id = decided.id RETURNING known.id, known.status",
            [value for row in rows for value in (row.id, row.priority, row.maintenance_type, row.occurrences)],
        )
        return dict(cursor.fetchall())


def assign(order_id: int, *, actor: User, assignee: User, now: datetime | None = None) -> WorkOrder:
    """Give the order to somebody, or to somebody else before the work has begun. Raises ``Refused``."""
    with transaction.atomic():
        order = _locked(order_id)
        require_worker(assignee, site_id=order.site_id)
        return _step(order, ASSIGNED, actor=actor, now=now, comment=str(assignee), assigned_to=assignee)


def start(order_id: int, *, actor: User, now: datetime | None = None) -> WorkOrder:
    """The work has begun: from here on the machine is out of service, and its alarms are hidden. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        order = _step(_behind_its_machine(order_id), STARTED, actor=actor, now=now, started_at=now)
        suppressions.take_out_of_service(order, actor=actor, now=now)
        return order


def complete(order_id: int, *, actor: User, findings: str, now: datetime | None = None) -> WorkOrder:
    """The work is done; ``findings`` say what was found and done. It is in service again. Raises ``Refused``."""
    if not findings.strip():
        raise NoFindings
    now = now or timezone.now()
    with transaction.atomic():
        order = _behind_its_machine(order_id)
        _step(order, COMPLETED, actor=actor, now=now, comment=findings, findings=findings, completed_at=now)
        suppressions.back_in_service(order, actor=actor, now=now, why=_over("WO-{order} is completed.", order))
        return order


def cancel(order_id: int, *, actor: User, comment: str, now: datetime | None = None) -> WorkOrder:
    """Nobody is to work on it; ``comment`` says why. Raises ``Refused``."""
    if not comment.strip():
        raise NoReason
    now = now or timezone.now()
    with transaction.atomic():
        order = _step(_behind_its_machine(order_id), CANCELLED, actor=actor, now=now, comment=comment)
        suppressions.back_in_service(order, actor=actor, now=now, why=_over("WO-{order} is cancelled.", order))
        return order


def _over(pattern: str, order: WorkOrder) -> str:
    return wording.noted(pattern, order=f"{order.pk} {order.title}")


def _behind_its_machine(order_id: int) -> WorkOrder:
    """The order, fresh and locked; its machine and the machine's open alarms before it, as everybody does."""
    machine_id = WorkOrder.objects.values_list("machine_id", flat=True).get(pk=order_id)
    alarm_steps.lock_machine(machine_id)
    alarm_steps.lock_open(machine_id)
    return _locked(order_id)


def _locked(order_id: int) -> WorkOrder:
    return WorkOrder.objects.select_for_update(no_key=True).get(pk=order_id)


def require_worker(user: User, *, site_id: int) -> None:
    """Raises ``NotAWorker`` where somebody may not work in a site."""
    roles = (Membership.Role.TECHNICIAN, Membership.Role.ADMIN)
    member = Membership.objects.filter(site_id=site_id, user=user, role__in=roles)
    if not user.is_active or not (user.is_superuser or member.exists()):
        raise NotAWorker(f"{user} is not.")


def _step(
    order: WorkOrder, action: str, *, actor: User, now: datetime | None, comment: str = "", **changes: Any
) -> WorkOrder:
    """One step of a person on a locked order, with its transition and its entry in the journal."""
    before = order.status
    after = TABLE.get((before, action))
    if after is None:
        raise NotPossible(f"Order {order.pk} is {Status(before).label.lower()}: it cannot be {action.lower()}.")
    for name, value in {**changes, "status": after}.items():
        setattr(order, name, value)
    order.save(update_fields=[*changes, "status"])
    cause = order.transitions.order_by("-id").values_list("id", flat=True).first() or 0
    made = WorkOrderTransition.objects.create(
        order=order,
        action=action,
        from_status=before,
        to_status=after,
        key=f"order/{order.pk}/{action}/after/{cause}",
        at=now or timezone.now(),
        actor=actor,
        comment=comment,
    )
    journal.record([_entry(made, site_id=order.site_id, data={"comment": comment}, actor=actor.get_username())])
    return order


def _entry(made: WorkOrderTransition, *, site_id: int, data: Mapping[str, Any], actor: str = "") -> journal.Entry:
    kind = EVENTS[made.action]
    return journal.Entry(kind, f"work_order/{made.order_id}", f"{kind}/{made.key}", made.at, site_id, actor, data)
