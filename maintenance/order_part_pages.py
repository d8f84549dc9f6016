"""The parts and tools on a work order's page: what is reserved, used and short, and the buttons for it."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold.decorators import action

from maintenance import buttons, part_buttons, part_costs, shortages
from maintenance.models import WorkOrder
from maintenance.part_models import OrderPart, ToolLoan
from maintenance.part_pages import amount
from sensors import show
from sensors.desk import Desk, Lines, column


class OrderPartLines(Lines):
    model = OrderPart
    verbose_name_plural = "parts"
    fields = readonly_fields = (
        "part_page", "store", "wanted_of_it", "reserved_of_it", "used_of_it", "missing", "at_the_earliest",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[OrderPart]:
        return shortages.with_elsewhere(super().get_queryset(request)).select_related("part__site", "store")

    @column("Part")
    def part_page(self, row: OrderPart) -> str:
        return show.link(row.part)

    @column("Wanted")
    def wanted_of_it(self, row: OrderPart) -> str:
        return amount(row.wanted, row.part.unit)

    @column("Reserved")
    def reserved_of_it(self, row: OrderPart) -> str:
        return amount(row.reserved)

    @column("Used")
    def used_of_it(self, row: OrderPart) -> str:
        return amount(row.used)

    @column("Short")
    def missing(self, row: OrderPart) -> str:
        if not row.short:
            return show.DASH
        other = shortages.of(row, now=timezone.now()).elsewhere
        return show.badge("FAILED", amount(row.short) + (f" ({amount(other)} free in other stores)" if other else ""))

    @column("There at the earliest")
    def at_the_earliest(self, row: OrderPart) -> str:
        if not row.short:
            return show.DASH
        when = shortages.of(row, now=timezone.now()).earliest_on
        return "not known: the part has no lead time" if when is None else f"{when:%Y-%m-%d}"


class OrderToolLines(Lines):
    model = ToolLoan
    verbose_name_plural = "tools"
    fields = readonly_fields = ("tool_page", "holder", "issued_at", "returned_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ToolLoan]:
        return super().get_queryset(request).select_related("tool", "holder")

    @column("Tool")
    def tool_page(self, row: ToolLoan) -> str:
        return show.link(row.tool)


class HasParts(Desk):
    """A page of work orders with their parts."""

    part_actions = ("reserve", "issue", "issue_reserved", "release", "give_back")
    part_inlines = (OrderPartLines, OrderToolLines)

    @action(description="Reserve part", url_path="reserve", permissions=["parts_act"], icon="bookmark_add")
    def reserve(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.RESERVE)

    @action(description="Issue part", url_path="issue", permissions=["parts_act"], icon="outbound")
    def issue(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.ISSUE)

    @action(
        description="Issue reserved", url_path="issue-reserved", permissions=["parts_act"],
        icon="shopping_cart_checkout",
    )  # fmt: skip
    def issue_reserved(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.ISSUE_RESERVED)

    @action(description="Release part", url_path="release", permissions=["parts_act"], icon="bookmark_remove")
    def release(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.RELEASE)

    @action(description="Return part", url_path="give-back", permissions=["parts_act"], icon="keyboard_return")
    def give_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.GIVE_BACK)

    def lookup_allowed(self, lookup: str, value: str, request: Any = None) -> bool:
        """A part's page leads to the orders that want it."""
        return lookup == "parts__part__id__exact" or super().lookup_allowed(lookup, value, request)

    @column("Parts cost")
    def parts_cost(self, row: WorkOrder) -> str:
        return f"{part_costs.of_orders([row.pk])[row.pk]:.2f}"
