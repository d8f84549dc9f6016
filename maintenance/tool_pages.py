"""Pages of tools: which there are, who has them, and who had them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from maintenance import buttons, part_buttons, tools
from maintenance.owned_pages import Journaled, Ruled
from maintenance.part_models import Tool, ToolLoan
from maintenance.part_pages import StoreFilter
from sensors import show
from sensors.desk import Desk, Lines, SiteFilter, column, site_filter


class OutFilter(admin.SimpleListFilter):
    title = "where it is"
    parameter_name = "out"
    path = "loans__returned_at"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("out", "Somebody has it"), ("mine", "I have it"), ("in", "In its store")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Tool]) -> QuerySet[Tool]:
        out = ToolLoan.objects.filter(returned_at=None)
        if self.value() == "mine":
            out = out.filter(holder=request.user.pk or 0)
        if self.value() == "in":
            return queryset.exclude(pk__in=out.values("tool"))
        return queryset.filter(pk__in=out.values("tool")) if self.value() else queryset


class LoanLines(Lines):
    model = ToolLoan
    verbose_name_plural = "who had it"
    fields = readonly_fields = (
        "holder",
        "order_page",
        "issued_at",
        "issued_by",
        "returned_at",
        "returned_by",
        "remark",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ToolLoan]:
        return super().get_queryset(request).select_related("holder", "order", "issued_by", "returned_by")

    @column("Work order")
    def order_page(self, row: ToolLoan) -> str:
        return show.link(row.order)


@admin.register(Tool)
class ToolPage(Journaled):
    acts = "parts.act"
    edits = "parts.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_tools.html"
    list_display = ("number", "name", "site", "store", "holder", "since", "for_order", "is_active")
    list_display_links = ("number", "name")
    list_filter = (SiteFilter, OutFilter, StoreFilter, "is_active")
    search_fields = ("number", "name", "loans__holder__username")
    fields = ("site", ("number", "name"), ("store", "is_active"), ("holder", "since", "for_order"), "created_at")
    inlines = (LoanLines,)
    actions_detail = ("lend", "take_back")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Tool]:
        return tools.with_holder(super().get_queryset(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("holder", "since", "for_order", "created_at", *(("site",) if obj else ()))

    @action(description="Issue", url_path="lend", permissions=["act"], icon="outbound")
    def lend(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.LEND)

    @action(description="Take back", url_path="take-back", permissions=["act"], icon="keyboard_return")
    def take_back(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.TAKE_BACK)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, part_buttons.OF_TOOLS)

    def _out(self, row: Any) -> ToolLoan | None:
        return None if row._state.adding else next(iter(row.out), None)

    @column("Who has it")
    def holder(self, row: Tool) -> str:
        out = self._out(row)
        return show.badge("WAITING", str(out.holder)) if out else show.DASH

    @column("Since")
    def since(self, row: Tool) -> Any:
        out = self._out(row)
        return out.issued_at if out else show.DASH

    @column("For")
    def for_order(self, row: Tool) -> str:
        out = self._out(row)
        return show.link(out.order if out else None)


@admin.register(ToolLoan)
class ToolLoanPage(Desk):
    site_path = "tool__site"
    list_before_template = "admin/maintenance/no_loans.html"
    list_display = ("issued_at", "tool_page", "holder", "order_page", "returned_at", "remark_short")
    list_filter = (site_filter("tool__site"), ("returned_at", admin.EmptyFieldListFilter))
    list_select_related = ("tool", "holder", "order")
    search_fields = ("tool__number", "tool__name", "holder__username")
    date_hierarchy = "issued_at"
    fields = (
        "tool_page", "holder", "order_page", ("issued_at", "issued_by"), ("returned_at", "returned_by"), "remark",
    )  # fmt: skip
    readonly_fields = (
        "tool_page", "holder", "order_page", "issued_at", "issued_by", "returned_at", "returned_by", "remark",
    )  # fmt: skip

    @column("Tool", ordering="tool__number")
    def tool_page(self, row: ToolLoan) -> str:
        return show.link(row.tool)

    @column("Work order")
    def order_page(self, row: ToolLoan) -> str:
        return show.link(row.order)

    @column("Remark")
    def remark_short(self, row: ToolLoan) -> str:
        return show.short(row.remark, 60)
