"""Checklists of orders: attached as copies of templates, and what is still unanswered in them.

Answers are in ``checklist_answers``.
"""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from maintenance import carrying_notes, permits
from maintenance.checklist_models import Checklist, ChecklistItem, ChecklistTemplate
from maintenance.models import WorkOrder
from maintenance.order_life import OVER, Status
from maintenance.refusals import Refused
from sensors import access


class IsOver(Refused):
    """The work order is over."""


class OtherSite(Refused):
    """The checklist is of another site."""


class Disabled(Refused):
    """The checklist is disabled."""


class NoItems(Refused):
    """The checklist has no items."""


class Unanswered(Refused):
    """Required items of its checklists are unanswered:"""


class NotYours(Refused):
    """It is detached by whoever attached it or an administrator, and where it asks for a permit by the latter alone."""


class Answered(Refused):
    """Somebody answered it already: it stays."""


def attach(order_id: int, *, actor: User, template: ChecklistTemplate, now: datetime | None = None) -> Checklist:
    """Copy a template onto an order that is not over. Raises ``Refused``."""
    now = now or timezone.now()
    with transaction.atomic():
        order = _locked(order_id)
        if template.site_id != order.site_id:
            raise OtherSite
        if not template.is_enabled:
            raise Disabled
        made = Checklist.objects.create(
            order=order, template=template, name=template.name, permit_kind=template.permit_kind, attached_by=actor,
            attached_at=now,
        )  # fmt: skip
        if order.status == Status.IN_PROGRESS:
            permits.require_valid(order, actor, now)
        items = [
            ChecklistItem(
                checklist=made, position=number, text=item.text, kind=item.kind, unit=item.unit, low=item.low,
                high=item.high, is_required=item.is_required,
            )
            for number, item in enumerate(template.items.all(), start=1)
        ]  # fmt: skip
        if not items:
            raise NoItems
        ChecklistItem.objects.bulk_create(items)
        carrying_notes.note(
            "checklist.attached", made, site_id=order.site_id, order_id=order.pk, actor=actor, now=now,
            name=made.name, template=template.pk,
        )  # fmt: skip
        return made


def detach(checklist_id: int, *, actor: User, now: datetime | None = None) -> None:
    """Take a checklist off its order, while nobody answered anything in it. Raises ``Refused``.

    Whoever attached it does that, or who may correct what others entered; one that asks for a permit is taken off by
    who issues permits.
    """
    with transaction.atomic():
        row = Checklist.objects.get(pk=checklist_id)
        order = _locked(row.order_id)
        is_mine = actor.pk == row.attached_by_id and not row.permit_kind
        takes = "permits.issue" if row.permit_kind else "orders.edit"
        if not is_mine and not access.may(actor, order.site_id, to=takes):
            raise NotYours
        if row.items.filter(passed__isnull=False).exists():
            raise Answered
        carrying_notes.note(
            "checklist.detached", row, site_id=order.site_id, order_id=order.pk, actor=actor,
            now=now or timezone.now(), name=row.name,
        )  # fmt: skip
        row.delete()


def require_answered(order: WorkOrder, actor: User, now: datetime) -> None:
    """The gate before completion. Raises ``Unanswered``, which names them."""
    left = ChecklistItem.objects.filter(checklist__order=order, is_required=True, passed=None).order_by("id")
    names = [text.rstrip(".") for text in left.values_list("text", flat=True)[:4]]
    if names:
        raise Unanswered("; ".join(names[:3]) + (" and more." if len(names) > 3 else "."))


def _locked(order_id: int) -> WorkOrder:
    order = WorkOrder.objects.select_for_update(no_key=True).get(pk=order_id)
    if order.status in OVER:
        raise IsOver
    return order
