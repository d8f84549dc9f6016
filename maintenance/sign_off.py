"""Sign-off: whoever closes an order has looked at it. Where a site asks for four eyes, that is not who did the work."""

from __future__ import annotations

from datetime import datetime

from django.contrib.auth.models import User

from maintenance.effort_models import Labour
from maintenance.models import WorkOrder, WorkOrderTransition
from maintenance.order_life import Action
from maintenance.permit_models import WorkRules
from maintenance.refusals import Refused

WORK = (Action.STARTED, Action.RESUMED, Action.COMPLETED)


class SameEyes(Refused):
    """You worked on it, and this site wants somebody else to look at it before it is closed."""


def worked_on(order: WorkOrder) -> frozenset[int]:
    """Who did the work of an order: its assignee, who began or completed it, whose labour is entered."""
    steps = WorkOrderTransition.objects.filter(order=order, action__in=WORK, actor__isnull=False)
    hands = Labour.objects.filter(order=order).values_list("worker", flat=True)
    own = [order.assigned_to_id] if order.assigned_to_id is not None else []
    return frozenset([*own, *steps.values_list("actor", flat=True), *hands])


def require_other_eyes(order: WorkOrder, actor: User, now: datetime) -> None:
    """The gate before an order is closed. Raises ``SameEyes``."""
    if WorkRules.objects.filter(site=order.site_id, four_eyes=True).exists() and actor.pk in worked_on(order):
        raise SameEyes
