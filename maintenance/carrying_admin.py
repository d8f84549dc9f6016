"""Pages of what is set for the work of a site, and lists of downtime and permits."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from maintenance import permits
from maintenance.carrying_page import standing
from maintenance.checklist_models import ChecklistTemplate, TemplateItem
from maintenance.effort_models import Downtime, LabourRate
from maintenance.owned_pages import Journaled, Ruled
from maintenance.permit_models import Permit, PermitRule, WorkRules
from maintenance.rota_pages import Owned
from sensors import show
from sensors.desk import Desk, SiteFilter, column


class ItemLines(Owned):
    edits = "orders.edit"
    model = TemplateItem
    fields = ("position", "text", "kind", "unit", "low", "high", "is_required")


@admin.register(ChecklistTemplate)
class TemplatePage(Journaled):
    edits = "orders.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_templates.html"
    list_display = ("name", "site", "items_count", "permit_kind", "is_enabled", "changed_at")
    list_filter = (SiteFilter, "is_enabled", "permit_kind")
    list_select_related = ("site",)
    search_fields = ("name", "items__text")
    fields = ("site", ("name", "is_enabled"), "permit_kind", "changed_at")
    inlines = (ItemLines,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChecklistTemplate]:
        rows: QuerySet[ChecklistTemplate] = super().get_queryset(request)
        return rows.annotate(how_many=Count("items", distinct=True))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("changed_at", *(("site",) if obj else ()))

    @column("Items", ordering="how_many")
    def items_count(self, row: Any) -> int:
        return int(row.how_many)


@admin.register(LabourRate)
class RatePage(Journaled):
    edits = "orders.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_rates.html"
    list_display = ("worker", "site", "hourly_cost", "changed_at")
    list_filter = (SiteFilter,)
    list_select_related = ("site", "worker")
    search_fields = ("worker__username", "worker__last_name")
    fields = ("site", "worker", "hourly_cost", "changed_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("changed_at", *(("site", "worker") if obj else ()))


class PermitRuleLines(Owned):
    edits = "settings.edit"
    model = PermitRule
    fields = ("maintenance_type", "kind")


@admin.register(WorkRules)
class RulesPage(Journaled):
    edits = "settings.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_work_rules.html"
    list_display = ("site", "four_eyes", "currency", "needs")
    list_filter = (SiteFilter, "four_eyes")
    list_select_related = ("site",)
    search_fields = ("site__name",)
    fields = ("site", ("four_eyes", "currency"), "changed_at")
    inlines = (PermitRuleLines,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkRules]:
        return super().get_queryset(request).prefetch_related("permits")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("changed_at", *(("site",) if obj else ()))

    @column("Permits")
    def needs(self, row: WorkRules) -> str:
        return "; ".join(str(rule) for rule in row.permits.all()) or show.DASH


class LastsFilter(admin.SimpleListFilter):
    title = "now"
    parameter_name = "lasts"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Down now"), ("no", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Downtime]) -> QuerySet[Downtime]:
        return queryset if self.value() is None else queryset.filter(until_at__isnull=self.value() == "yes")


@admin.register(Downtime)
class DowntimePage(Desk):
    list_before_template = "admin/maintenance/no_downtimes.html"
    list_display = ("machine_page", "from_at", "until_at", "lasted", "reason", "is_planned", "order_page")
    list_display_links = ("from_at",)
    list_filter = (SiteFilter, LastsFilter, "reason", "is_planned")
    list_select_related = ("machine", "order")
    search_fields = ("machine__tag", "machine__name", "note")
    date_hierarchy = "from_at"
    fields = readonly_fields = (
        "machine_page", "order_page", "from_at", "until_at", "lasted", "reason", "is_planned", "note", "entered_by",
        "entered_at",
    )  # fmt: skip

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: Downtime) -> str:
        return show.link(row.machine)

    @column("Work order")
    def order_page(self, row: Downtime) -> str:
        return show.link(row.order)

    @column("Lasted")
    def lasted(self, row: Downtime) -> str:
        return show.lasted(row.from_at, row.until_at) if row.until_at else show.badge("FAILED", "still down")


class HoldsFilter(admin.SimpleListFilter):
    title = "validity"
    parameter_name = "holds"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Valid now"), ("no", "Not valid now")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Permit]) -> QuerySet[Permit]:
        now = permits.valid(timezone.now())
        if self.value() == "yes":
            return queryset.filter(now)
        return queryset.exclude(now) if self.value() == "no" else queryset


@admin.register(Permit)
class PermitPage(Desk):
    list_before_template = "admin/maintenance/no_permits.html"
    list_display = ("kind", "standing_label", "order_page", "valid_from", "valid_until", "issued_by")
    list_filter = (SiteFilter, HoldsFilter, "kind")
    list_select_related = ("order", "issued_by")
    search_fields = ("order__title", "order__machine__tag", "conditions")
    date_hierarchy = "valid_until"
    fields = readonly_fields = (
        "kind", "standing_label", "order_page", "conditions", "valid_from", "valid_until", "issued_by", "issued_at",
        "revoked_by", "revoked_at", "revoke_reason",
    )  # fmt: skip

    @column("State")
    def standing_label(self, row: Permit) -> str:
        return standing(row)

    @column("Work order", ordering="order")
    def order_page(self, row: Permit) -> str:
        return show.link(row.order)
