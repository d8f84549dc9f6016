"""Pages of spare parts: parts, stores, stock, and the ledger of movements."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from maintenance import buttons, part_buttons, shortages
from maintenance.owned_pages import Journaled, Ruled
from maintenance.part_models import Movement, Part, Stock, Store
from sensors import show
from sensors.desk import Desk, Lines, SiteFilter, column, scope, site_filter


def amount(value: Decimal, unit: str = "") -> str:
    """Without zeros at its end."""
    return f"{value.normalize():f} {unit}".rstrip()


class LevelFilter(admin.SimpleListFilter):
    """Parts of which there is too little, or nothing."""

    title = "stock"
    parameter_name = "level"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("below", "Below the minimum"), ("none", "None in stock"), ("some", "In stock")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() == "below":
            return shortages.below_minimum(queryset)
        if self.value() == "none":
            return queryset.filter(on_hand=0)
        return queryset.filter(on_hand__gt=0) if self.value() == "some" else queryset


class StoreFilter(admin.SimpleListFilter):
    """The stores of the sites of whoever looks."""

    title = "store"
    parameter_name = "store"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        rows = scope(request, Store.objects.order_by("name", "id"), path="site").values_list("pk", "name")
        return [(str(pk), name) for pk, name in rows]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(store=self.value()) if (self.value() or "").isdigit() else queryset


class StockLines(Lines):
    model = Stock
    verbose_name_plural = "where it lies"
    fields = readonly_fields = ("store", "on_hand", "reserved", "free")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Stock]:
        return super().get_queryset(request).select_related("store")

    @column("Free")
    def free(self, row: Stock) -> str:
        return amount(row.available)


@admin.register(Part)
class PartPage(Journaled):
    acts = "parts.act"
    edits = "parts.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_parts.html"
    list_display = (
        "number", "name", "site", "stock_label", "free", "at_least", "cost", "lead_time_days", "is_active",
    )  # fmt: skip
    list_display_links = ("number", "name")
    list_filter = (SiteFilter, LevelFilter, "is_active")
    list_select_related = ("site",)
    search_fields = ("number", "name")
    fieldsets = (
        (None, {"fields": ("site", ("number", "name"), ("unit", "unit_cost"))}),
        ("How much of it there should be", {"fields": (("minimum", "lead_time_days"), "is_active")}),
        ("What there is", {"fields": (("stock_label", "free"), ("moved", "orders"), "created_at")}),
    )
    inlines = (StockLines,)
    actions_detail = ("receive", "transfer", "adjust")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Part]:
        return shortages.with_stock(super().get_queryset(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("stock_label", "free", "moved", "orders", "created_at", *(("site",) if obj else ()))

    @action(description="Receive", url_path="receive", permissions=["act"], icon="add")
    def receive(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.RECEIVE)

    @action(description="Transfer", url_path="transfer", permissions=["act"], icon="swap_horiz")
    def transfer(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.TRANSFER)

    @action(description="Adjust", url_path="adjust", permissions=["parts_edit"], icon="rule")
    def adjust(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, part_buttons.ADJUST)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, part_buttons.OF_PARTS)

    @column("In stock", ordering="on_hand")
    def stock_label(self, row: Part) -> str:
        if row._state.adding:
            return show.DASH
        lies: Decimal = getattr(row, "on_hand")  # noqa: B009 - the query adds it, the class does not know it
        said = amount(lies, row.unit)
        few = row.is_active and lies < row.minimum
        return show.badge("FAILED", f"{said}, below {amount(row.minimum)}") if few else said

    @column("Free", ordering=F("on_hand") - F("reserved"))  # type: ignore[arg-type]  # Django takes expressions
    def free(self, row: Part) -> str:
        return show.DASH if row._state.adding else amount(getattr(row, "on_hand") - getattr(row, "reserved"), row.unit)  # noqa: B009

    @column("Minimum", ordering="minimum")
    def at_least(self, row: Part) -> str:
        return amount(row.minimum, row.unit) if row.minimum else show.DASH

    @column("Unit cost", ordering="unit_cost")
    def cost(self, row: Part) -> str:
        return amount(row.unit_cost)

    @column("Movements")
    def moved(self, row: Part) -> str:
        if row._state.adding:
            return show.DASH
        return show.listing("maintenance_movement", "show", part__id__exact=row.pk)

    @column("Wanted by")
    def orders(self, row: Part) -> str:
        if row._state.adding:
            return show.DASH
        return show.listing("maintenance_workorder", "work orders", parts__part__id__exact=row.pk)


@admin.register(Store)
class StorePage(Journaled):
    edits = "parts.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_stores.html"
    list_display = ("name", "site", "is_active", "stock", "tools")
    list_filter = (SiteFilter, "is_active")
    list_select_related = ("site",)
    search_fields = ("name",)
    fields = ("site", ("name", "is_active"), ("stock", "tools"), "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("stock", "tools", "created_at", *(("site",) if obj else ()))

    @column("Stock")
    def stock(self, row: Store) -> str:
        return show.DASH if row._state.adding else show.listing("maintenance_stock", "show", store=row.pk)

    @column("Tools")
    def tools(self, row: Store) -> str:
        return show.DASH if row._state.adding else show.listing("maintenance_tool", "show", store=row.pk)


@admin.register(Stock)
class StockPage(Desk):
    site_path = "part__site"
    list_before_template = "admin/maintenance/no_stock.html"
    list_display = ("part_page", "store", "on_hand", "reserved", "free", "moved")
    list_filter = (site_filter("part__site"), StoreFilter)
    list_select_related = ("part", "store")
    search_fields = ("part__number", "part__name", "store__name")
    ordering = ("part__number", "store__name")
    fields = readonly_fields = ("part_page", "store", "on_hand", "reserved", "free", "moved")

    @column("Part", ordering="part__number")
    def part_page(self, row: Stock) -> str:
        return show.link(row.part)

    @column("Free", ordering=F("on_hand") - F("reserved"))  # type: ignore[arg-type]  # Django takes expressions
    def free(self, row: Stock) -> str:
        return amount(row.available, row.part.unit)

    @column("Movements")
    def moved(self, row: Stock) -> str:
        return show.listing("maintenance_movement", "show", part__id__exact=row.part_id, store=row.store_id)


@admin.register(Movement)
class MovementPage(Desk):
    list_before_template = "admin/maintenance/no_movements.html"
    list_display = (
        "at",
        "kind_words",
        "part_page",
        "store",
        "signed",
        "on_hand",
        "value",
        "order_page",
        "actor",
        "why",
    )
    list_filter = (SiteFilter, StoreFilter, "kind")
    list_select_related = ("part", "store", "other_store", "order", "actor")
    search_fields = ("part__number", "part__name", "reason", "actor__username")
    date_hierarchy = "at"
    fields = readonly_fields = (
        "at", "kind_words", "part_page", "store", "other_store", "signed", "on_hand", "value", "order_page", "actor",
        "reason",
    )  # fmt: skip

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Pages of parts and orders lead to their own movements."""
        own = lookup in {"part__id__exact", "order__id__exact"}
        return own or super().lookup_allowed(lookup, value, request)

    @column("What", ordering="kind")
    def kind_words(self, row: Movement) -> str:
        where = f" {'from' if row.quantity > 0 else 'to'} {row.other_store}" if row.other_store else ""
        return f"{row.get_kind_display()}{where}"

    @column("Part", ordering="part__number")
    def part_page(self, row: Movement) -> str:
        return show.link(row.part)

    @column("Quantity", ordering="quantity")
    def signed(self, row: Movement) -> str:
        return f"{'+' if row.quantity > 0 else ''}{amount(row.quantity, row.part.unit)}"

    @column("Work order")
    def order_page(self, row: Movement) -> str:
        return show.link(row.order)

    @column("Reason")
    def why(self, row: Movement) -> str:
        return show.short(row.reason, 60)
