"""Work orders as decide and plans open, raise and reopen them; what people do is in ``order_steps``.

What opens, or opens again, goes ahead or is requested first, as ``approval_openings`` says.
These two are the only writers of WorkOrder and WorkOrderTransition, but for orders of the past (``history_import``).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Max, Q
from django.utils import timezone

from maintenance import approval_openings, failure_modes
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
    "status": "decided.status", "assigned_to_id": "NULL", "started_at": "NULL", "completed_at": "NULL",
    "closed_at": "NULL", "planned_start": "NULL", "verdict": "''", "label_id": "NULL",
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
    opened = [_new(call) for call in fresh]
    again = _opened_again([call for call in calls if _is_reopened(call)])
    openings = approval_openings.judge([*opened, *again])
    approval_openings.hold(openings)
    WorkOrder.objects.bulk_create(opened)
    approval_openings.record(openings, after=_newest(again))
    new = {id(call): order for call, order in zip(fresh, opened, strict=True)}
    asked = {order.pk for order in (*opened, *again) if order.status == Status.REQUESTED}
    _update([call for call in calls if _last(call).id is not None], asked=asked)
    known = [call.situation.order for call in calls if call.situation.order is not None]
    transitions, entries = [], []
    for call in calls:
        order_id = _last(call).id or new[id(call)].pk
        asked_for = order_id in asked
        status = "" if call.situation.order is None else call.situation.order.status
        for step in call.steps:
            action = DECIDED[step.action]
            before, status = status, Status.REQUESTED if asked_for else _order(step).status
            if asked_for and action is Action.OPENED:
                action = Action.REQUESTED
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
    approval_openings.look_anew(row.id for row in known if row.id is not None and row.status == Status.REQUESTED)
    stored = WorkOrderTransition.objects.bulk_create(transitions)
    journal.record(entries)
    return [transition.pk for transition in stored]


def open_one(new: WorkOrder, *, key: str, data: Mapping[str, Any]) -> WorkOrder:
    """Open an order that no anomaly calls for, in the caller's transaction. ``key``: made of ids, once for each."""
    openings = approval_openings.judge([new])
    approval_openings.hold(openings)
    new.save(force_insert=True)
    approval_openings.record(openings)
    action = Action.REQUESTED if new.status == Status.REQUESTED else Action.OPENED
    made = WorkOrderTransition.objects.create(order=new, action=action, to_status=new.status, key=key, at=new.opened_at)
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


def _is_reopened(call: Call) -> bool:
    return any(step.action == "ORDER_REOPENED" for step in call.steps)


def _opened_again(calls: Sequence[Call]) -> list[WorkOrder]:
    """The orders as they are to be opened again, not stored yet; they are locked. No query where there are none."""
    if not calls:
        return []
    decided = {state.id: state for state in map(_last, calls) if state.id is not None}
    rows = list(WorkOrder.objects.filter(pk__in=decided).order_by("id"))
    for row in rows:
        state = decided[row.pk]
        row.status, row.priority, row.maintenance_type = state.status, state.priority, state.maintenance_type
    return rows


def _newest(orders: Sequence[WorkOrder]) -> dict[int, int]:
    """The newest transition of each order."""
    if not orders:
        return {}
    steps = WorkOrderTransition.objects.filter(order__in=orders).order_by().values("order").annotate(last=Max("id"))
    return dict(steps.values_list("order", "last"))


def _update(calls: Sequence[Call], *, asked: Collection[int]) -> None:
    """Bring orders that exist to what was decided, in one statement. A reopened one is as if nobody had begun; those
    ``asked`` for wait for approval first."""
    if not calls:
        return
    rows = [(_last(call), _is_reopened(call)) for call in calls]
    values = ", ".join(["(%s::bigint, %s, %s, %s::integer, %s::boolean, %s)"] * len(rows))
    undone = ", ".join(
        f"{name} = CASE WHEN decided.reopened THEN {blank} ELSE known.{name} END" for name, blank in REOPENED.items()
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {WorkOrder._meta.db_table} AS known SET priority = decided.priority,"
            f" maintenance_type = decided.maintenance_type, occurrences = decided.occurrences, {undone}"
            f" FROM (VALUES {values}) AS decided (id, priority, maintenance_type, occurrences, reopened, status)"
            " WHERE known.id = decided.id",
            [
                value
                for row, again in rows
                for value in (
                    row.id,
                    row.priority,
                    row.maintenance_type,
                    row.occurrences,
                    again,
                    Status.REQUESTED if row.id in asked else Status.OPEN,
                )
            ],
        )


def entry(made: WorkOrderTransition, *, site_id: int, data: Mapping[str, Any], actor: str = "") -> journal.Entry:
    """What the journal says of a step."""
    kind = EVENTS[Action(made.action)]
    return journal.Entry(kind, f"work_order/{made.order_id}", f"{kind}/{made.key}", made.at, site_id, actor, data)
