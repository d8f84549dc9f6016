"""What the parts of work orders cost, from the ledger."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from django.db.models import Sum

from maintenance.part_models import Movement


def of_orders(order_ids: Collection[int]) -> dict[int, Decimal]:
    """By order, what was issued for it less what came back, in the currency its site counts in. One query."""
    rows = Movement.objects.filter(order__in=order_ids).order_by().values("order").annotate(all=Sum("value"))
    found = {order: Decimal(0) for order in order_ids}
    return found | {order: -value for order, value in rows.values_list("order", "all")}
