"""The journal: what happened to which subject, written in the transaction of the change it tells of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any

from sensors import audit, correlation, tracing
from sensors.models import Event

ANOMALY_DETECTED = "anomaly.detected"
INSTRUMENT_FAULT = "instrument.fault"
ALARM_OPENED = "alarm.opened"
ALARM_RAISED = "alarm.raised"
ALARM_RETURNED = "alarm.returned"
ALARM_REOPENED = "alarm.reopened"
ALARM_NOTED = "alarm.noted"
ALARM_RE_ALARMED = "alarm.re_alarmed"
ALARM_ACKNOWLEDGED = "alarm.acknowledged"
ALARM_COMMENTED = "alarm.commented"
ALARM_UNACKNOWLEDGED = "alarm.unacknowledged"
ALARM_ASSIGNED = "alarm.assigned"
ALARM_SHELVED = "alarm.shelved"
ALARM_UNSHELVES_SOON = "alarm.unshelves_soon"
ALARM_UNSHELVED = "alarm.unshelved"
ALARM_SUPPRESSED = "alarm.suppressed"
ALARM_UNSUPPRESSED = "alarm.unsuppressed"
ALARM_OUT_OF_SERVICE = "alarm.out_of_service"
ALARM_BACK_IN_SERVICE = "alarm.back_in_service"
DEFINITION_ADDED = "alarm_definition.added"
DEFINITION_CHANGED = "alarm_definition.changed"
DEFINITION_DELETED = "alarm_definition.deleted"
SUPPRESSION_BEGAN = "suppression.began"
SUPPRESSION_ENDED = "suppression.ended"
OPERATING_RULE_ADDED = "operating_rule.added"
OPERATING_RULE_CHANGED = "operating_rule.changed"
OPERATING_RULE_DELETED = "operating_rule.deleted"
MACHINE_STATE_CHANGED = "machine.state_changed"
MODEL_PROMOTED = "model.promoted"
MODEL_ROLLED_BACK = "model.rolled_back"
MODEL_CHALLENGED = "model.challenged"
PLAN_ADDED = "plan.added"
PLAN_CHANGED = "plan.changed"
PLAN_PAUSED = "plan.paused"
PLAN_RESUMED = "plan.resumed"
PLAN_OPENED = "plan.opened"
PLAN_MOVED = "plan.moved"
METER_ADDED = "meter.added"
METER_CHANGED = "meter.changed"
METER_READ = "meter.read"
WINDOW_ADDED = "maintenance_window.added"
WINDOW_CHANGED = "maintenance_window.changed"
WINDOW_CANCELLED = "maintenance_window.cancelled"
ESCALATION_BEGAN = "escalation.began"
ESCALATION_CALLED = "escalation.called"
ESCALATION_ENDED = "escalation.ended"
WORK_ORDER_OPENED = "work_order.opened"
WORK_ORDER_OCCURRED = "work_order.occurred"
WORK_ORDER_RAISED = "work_order.raised"
WORK_ORDER_ASSIGNED = "work_order.assigned"
WORK_ORDER_STARTED = "work_order.started"
WORK_ORDER_COMPLETED = "work_order.completed"
WORK_ORDER_CANCELLED = "work_order.cancelled"
WORK_ORDER_REQUESTED = "work_order.requested"
WORK_ORDER_APPROVED = "work_order.approved"
WORK_ORDER_REJECTED = "work_order.rejected"
WORK_ORDER_MODIFIED = "work_order.modified"
WORK_ORDER_DEFERRED = "work_order.deferred"
WORK_ORDER_PLANNED = "work_order.planned"
WORK_ORDER_HELD = "work_order.held"
WORK_ORDER_RESUMED = "work_order.resumed"
WORK_ORDER_CLOSED = "work_order.closed"
WORK_ORDER_REOPENED = "work_order.reopened"
STOCK_RECEIVED = "stock.received"
STOCK_ISSUED = "stock.issued"
STOCK_RETURNED = "stock.returned"
STOCK_ADJUSTED = "stock.adjusted"
STOCK_TRANSFERRED = "stock.transferred"
PART_BELOW_MINIMUM = "part.below_minimum"
PART_RESTOCKED = "part.restocked"
PART_RESERVED = "part.reserved"
PART_RELEASED = "part.released"
TOOL_ISSUED = "tool.issued"
TOOL_RETURNED = "tool.returned"
APPROVAL_POLICY_ADDED = "approval_policy.added"
APPROVAL_POLICY_CHANGED = "approval_policy.changed"
APPROVAL_POLICY_DELETED = "approval_policy.deleted"
DELEGATION_ADDED = "delegation.added"
DELEGATION_ENDED = "delegation.ended"
SENSOR_SILENT = "sensor.silent"
SENSOR_HEARD = "sensor.heard"
SENSOR_TUNED = "sensor.tuned"
SENSOR_TUNING_UNDONE = "sensor.tuning_undone"
READINGS_EXPIRED = "readings.expired"
RUN_REPLAYED = "run.replayed"
RUN_DISCARDED = "run.discarded"
LABEL_ADDED = "label.added"
LABEL_RETRACTED = "label.retracted"
REGIME_DECLARED = "regime.declared"
REGIME_RETRACTED = "regime.retracted"
CASE_OPENED = "case.opened"
CASE_NEEDS_PERSON = "case.needs_person"
CASE_RESOLVED = "case.resolved"
CASE_CANCELLED = "case.cancelled"
OWNED = frozenset(
    f"{name}.{what}"
    for name in (
        "person",
        "channel",
        "subscription",
        "rota",
        "override",
        "chain",
        "part",
        "store",
        "tool",
        "checklist_template",
        "labour_rate",
        "work_rules",
        "sensor_default",
        "parent_rule",
        "worker",
        "team",
        "skill",
        "holiday",
        "absence",
        "travel",
        "worker_skill",
        "working_hours",
        "required_skill",
        "order_timing",
        "machine_hours",
        "webhook",
    )
    for what in ("added", "changed", "deleted")
)
"""Rows that people own and change as they like."""
CARRYING_OUT = frozenset(
    {
        "checklist.attached", "checklist.detached", "checklist.answered", "labour.entered", "labour.withdrawn",
        "order_cost.entered", "order_cost.withdrawn", "downtime.began", "downtime.ended", "downtime.withdrawn",
        "permit.issued", "permit.revoked", "attachment.added", "attachment.removed",
    }
)  # fmt: skip
"""What belongs to a work order, and the downtime of machines."""

IMPORTED = frozenset(f"{name}.{what}" for name in ("equipment", "sensor") for what in ("added", "changed"))
"""Rows of a table that somebody imported."""

SCHEDULE = frozenset(
    f"schedule.{what}"
    for what in (
        "requested", "proposed", "failed", "discarded", "pinned", "unpinned", "moved", "taken_out", "published",
    )
)  # fmt: skip
"""What becomes of a schedule."""

KEYS = frozenset(f"api_key.{what}" for what in ("added", "changed", "rotated", "revoked"))
"""What becomes of the keys of programs and devices."""

WEBHOOKS = frozenset(
    f"webhook.{what}" for what in ("verified", "paused", "resumed", "gone", "rotated", "replayed", "tested")
)
"""What becomes of an address that events are sent to."""

TYPES = OWNED | IMPORTED | CARRYING_OUT | SCHEDULE | KEYS | WEBHOOKS | frozenset(
    {
        ANOMALY_DETECTED, INSTRUMENT_FAULT, MODEL_PROMOTED, MODEL_ROLLED_BACK, MODEL_CHALLENGED,
        ALARM_NOTED, ALARM_RE_ALARMED, DEFINITION_ADDED, DEFINITION_CHANGED, DEFINITION_DELETED,
        ALARM_OPENED, ALARM_RAISED, ALARM_RETURNED, ALARM_REOPENED, ALARM_ACKNOWLEDGED, ALARM_COMMENTED,
        ALARM_UNACKNOWLEDGED, ALARM_ASSIGNED, ALARM_SHELVED, ALARM_UNSHELVES_SOON, ALARM_UNSHELVED, ALARM_SUPPRESSED,
        ALARM_UNSUPPRESSED, ALARM_OUT_OF_SERVICE, ALARM_BACK_IN_SERVICE, SUPPRESSION_BEGAN, SUPPRESSION_ENDED,
        OPERATING_RULE_ADDED, OPERATING_RULE_CHANGED, OPERATING_RULE_DELETED, MACHINE_STATE_CHANGED,
        WINDOW_ADDED, WINDOW_CHANGED, WINDOW_CANCELLED,
        PLAN_ADDED, PLAN_CHANGED, PLAN_PAUSED, PLAN_RESUMED, PLAN_OPENED, PLAN_MOVED,
        METER_ADDED, METER_CHANGED, METER_READ,
        ESCALATION_BEGAN, ESCALATION_CALLED, ESCALATION_ENDED,
        WORK_ORDER_OPENED, WORK_ORDER_OCCURRED, WORK_ORDER_RAISED, WORK_ORDER_ASSIGNED, WORK_ORDER_STARTED,
        WORK_ORDER_COMPLETED, WORK_ORDER_CANCELLED, WORK_ORDER_REQUESTED, WORK_ORDER_APPROVED, WORK_ORDER_REJECTED,
        WORK_ORDER_PLANNED, WORK_ORDER_HELD, WORK_ORDER_RESUMED, WORK_ORDER_CLOSED, WORK_ORDER_REOPENED,
        STOCK_RECEIVED, STOCK_ISSUED, STOCK_RETURNED, STOCK_ADJUSTED, STOCK_TRANSFERRED, PART_BELOW_MINIMUM,
        PART_RESTOCKED, PART_RESERVED, PART_RELEASED, TOOL_ISSUED, TOOL_RETURNED,
        WORK_ORDER_MODIFIED, WORK_ORDER_DEFERRED, APPROVAL_POLICY_ADDED, APPROVAL_POLICY_CHANGED,
        APPROVAL_POLICY_DELETED, DELEGATION_ADDED, DELEGATION_ENDED,
        SENSOR_SILENT, SENSOR_HEARD, SENSOR_TUNED, SENSOR_TUNING_UNDONE,
        READINGS_EXPIRED,
        RUN_REPLAYED, RUN_DISCARDED,
        LABEL_ADDED, LABEL_RETRACTED, REGIME_DECLARED, REGIME_RETRACTED,
        CASE_OPENED, CASE_NEEDS_PERSON, CASE_RESOLVED, CASE_CANCELLED,
    }
)  # fmt: skip


class UnknownType(ValueError):
    """An event has a type that is not in ``journal.TYPES``: webhooks and pages would not know it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One event before it is stored. ``key`` is made of ids and causes: the same event comes once."""

    type: str
    subject: str
    key: str
    occurred_at: datetime
    site_id: int | None = None
    actor: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


def record(entries: Sequence[Entry]) -> None:
    """Add the entries that are not there yet, in one statement and in the caller's transaction.

    What somebody did, and not the flow, gets into the audit trail as well, with where it came from. Raises
    ``UnknownType`` before anything is written.
    """
    for entry in entries:
        if entry.type not in TYPES:
            raise UnknownType(f"{entry.type!r} of {entry.subject}")
    Event.objects.bulk_create(
        [
            Event(
                site_id=entry.site_id,
                type=entry.type,
                subject=entry.subject,
                key=entry.key,
                occurred_at=entry.occurred_at,
                actor=entry.actor,
                data=dict(entry.data),
                correlation_id=correlation.current(),
                traceparent=tracing.current(),
            )
            for entry in entries
        ],
        ignore_conflicts=True,
    )
    audit.record([
        audit.Act(
            entry.type, entry.subject, actor=entry.actor, site_id=entry.site_id, detail=entry.data, reference=entry.key
        )
        for entry in entries
        if entry.actor
    ])  # fmt: skip


def readings_expired(day: date) -> Entry:
    """A day's readings were dropped because they had passed retention."""
    return Entry(
        type=READINGS_EXPIRED,
        subject=f"readings/{day.isoformat()}",
        key=f"{READINGS_EXPIRED}/{day.isoformat()}",
        occurred_at=datetime.combine(day, time(), tzinfo=UTC),
    )
