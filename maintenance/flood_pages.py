"""Pages of floods: which there were, and of each its alarms by machine, the one that came first before the others."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from maintenance import first_out
from maintenance.alarm_life import State
from maintenance.alarm_pages import STATES
from maintenance.flood_models import Flood
from sensors import show
from sensors.desk import Desk, SiteFilter, column

A_PAGE = 50


class LastingFilter(admin.SimpleListFilter):
    title = "lasting"
    parameter_name = "lasting"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("now", "Now"), ("over", "Over")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Flood]) -> QuerySet[Flood]:
        return queryset.filter(ended_at__isnull=self.value() == "now") if self.value() in ("now", "over") else queryset


@admin.register(Flood)
class FloodPage(Desk):
    list_before_template = "admin/maintenance/no_floods.html"
    change_form_outer_after_template = "admin/maintenance/first_out.html"
    list_display = ("began_at", "site", "state_label", "lasted", "activations")
    list_filter = (SiteFilter, LastingFilter)
    list_select_related = ("site",)
    search_fields = ("site__name",)
    date_hierarchy = "began_at"
    fields = readonly_fields = ("site", "state_label", "began_at", "ended_at", "lasted", "activations", "found_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Flood]:
        return super().get_queryset(request).select_related("site")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        shown = {} if row is None else {"first_out": _page(row, request.GET.get("page", ""))}
        page: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})
        return page

    @column("State", ordering="ended_at")
    def state_label(self, row: Flood) -> str:
        return show.badge("FAILED", "lasts") if row.ended_at is None else show.badge("DONE", "over")

    @column("Lasted")
    def lasted(self, row: Flood) -> str:
        return show.lasted(row.began_at, row.ended_at or timezone.now())


def _page(flood: Flood, number: str) -> Any:
    """A page of the flood's alarms, each with how long after the very first it came, and its state in words."""
    alarms = first_out.of_flood(flood).select_related("machine")
    page = Paginator(alarms, A_PAGE).get_page(number)
    first_at: Any = alarms.values_list("first_at", flat=True).first()
    for alarm in page.object_list:
        alarm.after = f"+{show.lasted(first_at, alarm.first_at)}"
        alarm.state_label = show.badge(alarm.state, f"{alarm.state}: {STATES[State(alarm.state)]}")
    return page
