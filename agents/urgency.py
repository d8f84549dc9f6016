"""How urgent an anomaly makes the alarm of its machine, and which work that calls for. Pure; of decide."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from maintenance import alarm_life, order_priority, triage
from maintenance.alarm_life import Condition, OrderState

SEVERE_KINDS = frozenset({"LIMIT_LOW_LOW", "LIMIT_HIGH_HIGH", "ZONE_D"})
ADVISED_KINDS = frozenset({"DRIFT"})
"""Kinds that say something of a model, and nothing of the machine that somebody could respond to: they are noted."""
SEVERE_SCORE = 0.98  # of 0 to 1: the eight largest deviations so far would hold a sixth of one such by chance

ORDER_PRIORITIES = frozenset({"CRITICAL", "HIGH"})
"""Alarms of these priorities call for work."""

NONE = "NONE"
ORDER_OPENED = "ORDER_OPENED"
ORDER_OCCURRED = "ORDER_OCCURRED"
ORDER_RAISED = "ORDER_RAISED"
ORDER_REOPENED = "ORDER_REOPENED"


def priority_of(condition: Condition, *, criticality: str) -> str:
    """What its definition says, else by criticality and severity.

    One lower where its verdict is not credible, and never below the lowest of an alarm; an advisory stays one.
    """
    if condition.kind in ADVISED_KINDS:
        return alarm_life.ADVISORY
    laid_down = condition.definition.priority if condition.definition is not None else ""
    if laid_down == alarm_life.ADVISORY:
        return laid_down
    severe = condition.kind in SEVERE_KINDS or condition.peak_score >= SEVERE_SCORE
    full = alarm_life.PRIORITIES.index(laid_down or order_priority.BY_CRITICALITY[criticality][severe])
    lower = condition.verdict in (triage.Verdict.DOUBTFUL, triage.Verdict.FALSE_POSITIVE)
    return alarm_life.PRIORITIES[min(full + lower, len(alarm_life.PRIORITIES) - 1)]


def most_urgent(conditions: Iterable[Condition], *, criticality: str) -> Condition:
    """The first of those of the highest priority."""
    return min(conditions, key=lambda c: alarm_life.URGENCY.index(priority_of(c, criticality=criticality)))


def work_for(priority: str, order: OrderState | None, *, again: bool) -> tuple[str, str, OrderState | None]:
    """Action, reason, and the order after it where it changes, for an alarm of a priority and the order there is.

    One that was completed not long ago is opened again: what was done did not last.
    """
    if priority not in ORDER_PRIORITIES:
        return NONE, "priority-needs-no-order", None
    kind = "CORRECTIVE_IMMEDIATE" if priority == "CRITICAL" else "CORRECTIVE_DEFERRED"
    if order is None:
        return ORDER_OPENED, "priority-calls-for-work", OrderState(None, priority, kind, 1)
    if order.completed_at is not None:
        return ORDER_REOPENED, "came-back-soon", reopened(order, priority=priority, maintenance_type=kind)
    if alarm_life.higher(priority, order.priority) != order.priority:
        order = replace(order, priority=priority, maintenance_type=kind)
        if not again:
            return ORDER_RAISED, "higher-priority", order
    if not again:
        return NONE, "order-already-open", None
    return ORDER_OCCURRED, "order-already-open", replace(order, occurrences=order.occurrences + 1)


def reopened(order: OrderState, *, priority: str, maintenance_type: str) -> OrderState:
    return OrderState(order.id, priority, maintenance_type, order.occurrences + 1)
