"""Answers to the items of an order's checklists. A failed item asks for an order of its own, once."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from maintenance import carrying_notes, checklist_rules, order_moves, order_steps
from maintenance.checklist_models import ChecklistItem
from maintenance.models import WorkOrder
from maintenance.order_life import Status
from maintenance.refusals import Refused


class NotAtWork(Refused):
    """Checklists are answered while the order is in progress."""


class NoSuchAnswer(Refused):
    """That is no answer to this item."""


def answer(
    item_id: int,
    *,
    actor: User,
    passed: bool | None = None,
    value: float | None = None,
    note: str = "",
    now: datetime | None = None,
) -> ChecklistItem:
    """Answer an item, or answer it anew: ``passed`` of a tick or a pass/fail, ``value`` of a reading.

    Where it fails, work on the machine is requested in the same transaction, unless it already was for this item.
    Raises ``Refused``.
    """
    now = now or timezone.now()
    with transaction.atomic():
        order_id = ChecklistItem.objects.values_list("checklist__order", flat=True).get(pk=item_id)
        order = order_moves.behind_its_machine(order_id)
        if order.status != Status.IN_PROGRESS:
            raise NotAtWork
        item = ChecklistItem.objects.select_related("checklist").get(pk=item_id)
        item.passed, item.value = _judged(item, passed=passed, value=value), value
        item.note, item.answered_by, item.answered_at = note.strip(), actor, now
        if not item.passed and item.opened_order_id is None:
            item.opened_order = _ask_for_work(order, item, actor=actor, now=now)
        item.save(update_fields=["passed", "value", "note", "answered_by", "answered_at", "opened_order"])
        said: dict[str, Any] = {"item": item.pk, "passed": item.passed, "value": value, "opened": item.opened_order_id}
        carrying_notes.note(
            "checklist.answered", item.checklist, site_id=order.site_id, order_id=order.pk, actor=actor, now=now, **said
        )
        return item


def in_words(item: ChecklistItem) -> str:
    """The answer, as people read it."""
    if item.passed is None:
        return "unanswered"
    if item.kind == checklist_rules.Kind.READING:
        return f"{item.value:g} {item.unit}".rstrip() + ("" if item.passed else ", out of its limits")
    if item.kind == checklist_rules.Kind.TICK:
        return "done"
    return "passed" if item.passed else "failed"


def _judged(item: ChecklistItem, *, passed: bool | None, value: float | None) -> bool:
    try:
        return checklist_rules.passes(item.kind, low=item.low, high=item.high, passed=passed, value=value)
    except checklist_rules.NoAnswer as error:
        raise NoSuchAnswer(str(error)) from error


def _ask_for_work(order: WorkOrder, item: ChecklistItem, *, actor: User, now: datetime) -> WorkOrder:
    found = f"{item.checklist.name}, at WO-{order.pk}: {item.text}: {in_words(item)}."
    return order_steps.request(
        order.machine, actor=actor, title=f"Failed: {item.text}"[:200],
        maintenance_type=WorkOrder.Type.CORRECTIVE_DEFERRED, now=now,
        description=f"{found} {item.note}".strip(),
    )  # fmt: skip
