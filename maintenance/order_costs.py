"""What orders cost: every kind of cost is one function in ``SOURCES``, and the total is their sum."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from django.db.models import Sum

from maintenance import part_costs
from maintenance.effort_models import Labour, OrderCost
from maintenance.permit_models import WorkRules

Amounts = Mapping[int, Decimal]
"""By order; an order that has none is not in it."""
CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Costs:
    """``by_kind``: what each kind comes to. ``unpriced_minutes``: labour of people who had no hourly cost when it was
    entered, which the total leaves out."""

    by_kind: Mapping[str, Decimal]
    currency: str
    unpriced_minutes: float

    @property
    def total(self) -> Decimal:
        return sum(self.by_kind.values(), Decimal("0.00"))


def line_cost(minutes: float, hourly_cost: Decimal) -> Decimal:
    """To the cent, halves up."""
    return (Decimal(minutes) / 60 * hourly_cost).quantize(CENT, rounding=ROUND_HALF_UP)


def labour(order_ids: Sequence[int]) -> Amounts:
    """Each line by the hourly cost that was kept with it, to the cent."""
    found: dict[int, Decimal] = defaultdict(Decimal)
    for line in Labour.objects.filter(order__in=order_ids, hourly_cost__isnull=False):
        found[line.order_id] += line_cost(line.minutes, line.hourly_cost or Decimal())
    return found


def other(order_ids: Sequence[int]) -> Amounts:
    rows = OrderCost.objects.filter(order__in=order_ids).order_by("order").values_list("order")
    return dict(rows.annotate(Sum("amount")))


SOURCES: Mapping[str, Callable[[Sequence[int]], Amounts]] = {
    "labour": labour, "parts": part_costs.of_orders, "other": other,
}  # fmt: skip


def of(order_ids: Sequence[int], *, site_id: int) -> dict[int, Costs]:
    """What orders of a site cost, each kind asked once for all of them."""
    currency = WorkRules.objects.filter(site=site_id).values_list("currency", flat=True).first() or "EUR"
    amounts = {kind: source(order_ids) for kind, source in SOURCES.items()}
    unpriced: dict[int, float] = defaultdict(float)
    for line in Labour.objects.filter(order__in=order_ids, hourly_cost=None):
        unpriced[line.order_id] += line.minutes
    return {
        key: Costs({kind: found.get(key, Decimal("0.00")) for kind, found in amounts.items()}, currency, unpriced[key])
        for key in order_ids
    }
