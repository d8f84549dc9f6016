"""Work orders as decide opens, raises and reopens them; what people do is in ``order_steps``.

These two are the only writers of WorkOrder and WorkOrderTransition, but for orders of the past (``history_import``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.utils import timezone

from maintenance import failure_modes
from maintenance.alarm_life import OrderState, Situation
from maintenance.models import WorkOrder, WorkOrderTransition
from maintenance.order_life import OVER, Action, Status
from maintenance.verdicts import Step
from sensors import journal
from sensors.columns import from_instant, to_instant

EVENTS = {action: getattr(journal, f"WORK_ORDER_{action}") for action in Action}
DECIDED = {
    "ORDER_OPENED": Action.OPENED,
    "ORDER_OCCURRED": Action.OCCURRED,
    "ORDER_RAISED": Action.RAISED,
    "ORDER_REOPENED": Action.REOPENED,
}
"""Actions of decide, and what the order's history calls them."""
DONE = (Status.COMPLETED, Status.CLOSED)
REOPENED = {
    "status": "'OPEN'", "assigned_to_id": "NULL", "started_at": "NULL", "completed_at": "NULL", "closed_at": "NULL",
    "planned_start": "NULL", "verdict": "''", "label_id": "NULL",
}  # fmt: skip
"""What an order that is opened again no longer says, as SQL; its history does."""


@dataclass(frozen=True, slots=True)
class Call:
    """What decide made of an order of one situation: steps, oldest first, each with the order after it."""

    situation: Situation
    steps: tuple[Step, ...]
    alarm_id: int | None


def open_for(machine_ids: Iterable[int], *, lock: bool) -> dict[tuple[int, str], OrderState]:
    """The order of each machine and failure mode that has one: the open one, else the one that was completed last, if
    that is no longer ago than ``ORDER_REOPEN_HOURS``. Locked in ascending ids where asked for."""
    lately = Q(status__in=DONE, completed_at__gt=timezone.now() - timedelta(hours=settings.ORDER_REOPEN_HOURS))
    orders = WorkOrder.objects.filter(~Q(status__in=sorted(OVER)) | lately, machine_id__in=list(machine_ids))
    orders = orders.exclude(failure_mode="").order_by("id")
    if lock:
        orders = orders.select_for_update(no_key=True)
    rows = orders.only(
        "machine_id", "failure_mode", "priority", "maintenance_type", "occurrences", "status", "completed_at"
    )
    oldest_first = sorted(rows, key=lambda order: order.completed_at.timestamp() if order.completed_at else math.inf)
    return {(order.machine_id, order.failure_mode): _state(order) for order in oldest_first}


def _state(order: WorkOrder) -> OrderState:
    completed_at = None if order.completed_at is None else from_instant(order.completed_at)
    return OrderState(order.pk, order.priority, order.maintenance_type, order.occurrences, order.status, completed_at)


def apply(calls: Sequence[Call], *, run_id: int) -> list[int]:
    """Open and change orders as decided, in the caller's transaction; ids of the transitions, in order."""
    if not calls:
        return []
    fresh = [call for call in calls if _last(call).id is None]
    opened = WorkOrder.objects.bulk_create([_new(call) for call in fresh])
    new = {id(call): order.pk for call, order in zip(fresh, opened, strict=True)}
    _update([call for call in calls if _last(call).id is not None])
    transitions, entries = [], []
    for call in calls:
        order_id = _last(call).id or new[id(call)]
        status = "" if call.situation.order is None else call.situation.order.status
        for step in call.steps:
            action = DECIDED[step.action]
            before, status = status, _order(step).status
            transitions.append(
                WorkOrderTransition(
                    order_id=order_id,
                    action=action,
                    from_status=before,
                    to_status=status,
                    key=step.key,
                    at=to_instant(step.at),
                    run_id=run_id,
                    comment=step.reason,
                )
            )
            data = {"machine": call.situation.machine_id, "failure_mode": call.situation.failure_mode}
            data |= {"reason": step.reason, "anomaly": step.anomaly_id, "priority": _last(call).priority}
            entries.append(entry(transitions[-1], site_id=call.situation.site_id, data=data))
    stored = WorkOrderTransition.objects.bulk_create(transitions)
    journal.record(entries)
    return [transition.pk for transition in stored]


def open_one(new: WorkOrder, *, key: str, data: Mapping[str, Any]) -> WorkOrder:
    """Open an order that no anomaly calls for, in the caller's transaction. ``key``: made of ids, once for each."""
    new.save(force_insert=True)
    made = WorkOrderTransition.objects.create(
        order=new, action=Action.OPENED, to_status=new.status, key=key, at=new.opened_at
    )
    journal.record([entry(made, site_id=new.site_id, data={"machine": new.machine_id, **data})])
    return new


def _last(call: Call) -> OrderState:
    return _order(call.steps[-1])


def _order(step: Step) -> OrderState:
    if step.order is None:
        raise ValueError(f"{step.key} says nothing of the order")
    return step.order


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


def _update(calls: Sequence[Call]) -> None:
    """Bring orders that exist to what was decided, in one statement. A reopened one is as if nobody had begun."""
    if not calls:
        return
    rows = [(_last(call), any(step.action == "ORDER_REOPENED" for step in call.steps)) for call in calls]
    values = ", ".join(["(%s::bigint, %s, %s, %s::integer, %s::boolean)"] * len(rows))
    undone = ", ".join(
        f"{name} = CASE WHEN decided.reopened THEN {blank} ELSE known.{name} END" for name, blank in REOPENED.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {WorkOrder._meta.db_table} AS known SET priority = decided.priority,"
            f" maintenance_type = decided.maintenance_type, occurrences = decided.occurrences, {undone}"
            f" FROM (VALUES {values}) AS decided (id, priority, maintenance_type, occurrences, reopened)"
            " WHERE known.id = decided.id",
            [v for row, again in rows for v in (row.id, row.priority, row.maintenance_type, row.occurrences, again)],
        )


def entry(made: WorkOrderTransition, *, site_id: int, data: Mapping[str, Any], actor: str = "") -> journal.Entry:
    """What the journal says of a step."""
    kind = EVENTS[Action(made.action)]
    return journal.Entry(kind, f"work_order/{made.order_id}", f"{kind}/{made.key}", made.at, site_id, actor, data)
