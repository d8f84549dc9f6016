"""What planning has to know of an order's parts: which are short, how many, and when they can be there."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import DecimalField, F, OuterRef, Q, QuerySet, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from maintenance import part_rules
from maintenance.part_models import OrderPart, Part, Stock

SHORT = Q(wanted__gt=F("reserved") + F("issued") - F("returned"))


@dataclass(frozen=True, slots=True)
class Shortage:
    """``short``: how much of the part is missing; ``elsewhere``: how much is free in other stores of the site;
    ``earliest_on``: when all can be there, in the site's time zone; None: nobody knows."""

    line: int
    order: int
    part: str
    store: str
    unit: str
    short: Decimal
    elsewhere: Decimal
    earliest_on: date | None


def with_elsewhere(rows: QuerySet[OrderPart]) -> QuerySet[OrderPart]:
    """The lines, each with what is free of its part in other stores (``elsewhere``)."""
    others = Stock.objects.filter(part=OuterRef("part")).exclude(store=OuterRef("store")).order_by().values("part")
    free = others.annotate(free=Sum(F("on_hand") - F("reserved"))).values("free")
    return rows.annotate(elsewhere=Coalesce(Subquery(free), Value(Decimal(0)), output_field=DecimalField()))


def of_orders(order_ids: Collection[int], *, now: datetime) -> list[Shortage]:
    """What is short of these orders, by order and part. One query."""
    rows = with_elsewhere(OrderPart.objects.filter(SHORT, order__in=order_ids))
    return [of(row, now=now) for row in rows.select_related("part__site", "store").order_by("order_id", "id")]


def of(row: OrderPart, *, now: datetime) -> Shortage:
    """What is short of a line ``with_elsewhere``."""
    elsewhere: Decimal = getattr(row, "elsewhere")  # noqa: B009 - the query adds it, the class does not know it
    today = now.astimezone(row.part.site.zone).date()
    when = part_rules.earliest(today, short=row.short, elsewhere=elsewhere, lead_time_days=row.part.lead_time_days)
    return Shortage(row.pk, row.order_id, str(row.part), row.store.name, row.part.unit, row.short, elsewhere, when)


def with_stock(rows: QuerySet[Part]) -> QuerySet[Part]:
    """The parts, each with what lies in all stores together (``on_hand``) and what of it is reserved (``reserved``)."""
    return rows.annotate(on_hand=_total("on_hand"), reserved=_total("reserved"))


def below_minimum(rows: QuerySet[Any]) -> QuerySet[Any]:
    """Of the parts ``with_stock`` those of which less lies there than should; of those in use."""
    return rows.filter(is_active=True, on_hand__lt=F("minimum"))


def _total(name: str) -> Coalesce:
    mine = Stock.objects.filter(part=OuterRef("pk")).order_by().values("part").annotate(all=Sum(name)).values("all")
    return Coalesce(Subquery(mine), Value(Decimal(0)), output_field=DecimalField(max_digits=12, decimal_places=3))
