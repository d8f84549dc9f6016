"""What the parts of work orders cost, from the ledger."""

from __future__ import annotations

from collections.abc import Collection
from decimal import Decimal

from django.db.models import Case, DecimalField, Exists, F, OuterRef, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce

from maintenance import part_rules
from maintenance.order_models import WorkOrder
from maintenance.part_models import Movement, OrderPart

MONEY: DecimalField[Decimal, Decimal] = DecimalField(max_digits=16, decimal_places=4)


def of_orders(order_ids: Collection[int]) -> dict[int, Decimal]:
    """By order, what was issued for it less what came back, in the currency its site counts in. One query."""
    rows = Movement.objects.filter(order__in=order_ids).order_by().values("order").annotate(all=Sum("value"))
    found = {order: Decimal(0) for order in order_ids}
    return found | {order: -value for order, value in rows.values_list("order", "all")}


def expected(order: WorkOrder) -> Decimal | None:
    """What an order is expected to cost in all, see ``in_all``. One query, none for one that is not stored yet."""
    if order.pk is None or order.expected_cost is None:
        return order.expected_cost
    return rounded(WorkOrder.objects.filter(pk=order.pk).values_list(in_all(), flat=True).get())


def in_all(order: str = "") -> Case:
    """What an order is expected to cost, as an expression on its rows or on those that lead to it by ``order``: what
    somebody said, the parts it has used as it was charged for them, and those it wants at what they cost today. Null
    where nobody said, or a part that it wants has no price.
    """
    to = f"{order}__" if order else ""
    used = Movement.objects.filter(order=OuterRef(f"{to}pk")).order_by().values("order").annotate(all=Sum("value"))
    open_lines = OrderPart.objects.filter(order=OuterRef(f"{to}pk"), wanted__gt=F("issued") - F("returned"))
    worth = (F("wanted") - F("issued") + F("returned")) * F("part__unit_cost")
    wanted = open_lines.order_by().values("order").annotate(all=Sum(worth, output_field=MONEY))
    none = Value(part_rules.ZERO)
    return Case(
        When(Exists(open_lines.filter(part__unit_cost=0)), then=None),
        default=F(f"{to}expected_cost")
        - Coalesce(Subquery(used.values("all")), none, output_field=MONEY)
        + Coalesce(Subquery(wanted.values("all")), none, output_field=MONEY),
        output_field=MONEY,
    )


def rounded(cost: Decimal | None) -> Decimal | None:
    return None if cost is None else cost.quantize(part_rules.CENT)
