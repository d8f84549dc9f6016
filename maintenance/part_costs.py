"""What the parts of work orders cost, from the ledger."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from django.db.models import DecimalField, OuterRef, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from maintenance.order_models import WorkOrder
from maintenance.part_models import Movement


def of_orders(order_ids: Collection[int]) -> dict[int, Decimal]:
    """By order, what was issued for it less what came back, in the currency its site counts in. One query."""
    rows = Movement.objects.filter(order__in=order_ids).order_by().values("order").annotate(all=Sum("value"))
    found = {order: Decimal(0) for order in order_ids}
    return found | {order: -value for order, value in rows.values_list("order", "all")}


def with_cost(rows: QuerySet[WorkOrder]) -> QuerySet[WorkOrder]:
    """The orders, each with the same as ``parts_cost``, for sums in the database."""
    mine = Movement.objects.filter(order=OuterRef("pk")).order_by().values("order").annotate(all=-Sum("value"))
    money: DecimalField[Decimal, Decimal] = DecimalField(max_digits=16, decimal_places=2)
    return rows.annotate(parts_cost=Coalesce(Subquery(mine.values("all")), Value(Decimal(0)), output_field=money))
