"""Pages of who is on call: rotas, with their shifts and overrides."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.admin import TabularInline

from maintenance import on_call, owned_rules
from maintenance.escalation_models import Override, Rota, Shift
from maintenance.owned_pages import Journaled, Ruled
from sensors import show
from sensors.desk import Scoped, SiteFilter, column, may_in, sees_all, sites_where


class Owned(Scoped, TabularInline):
    """Rows of a page's row that people own as they own that one; what they name is of its site."""

    edits = ""
    extra = 0
    hide_title = True

    def _may(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is None:
            return sees_all(request) or bool(sites_where(request, self.edits))
        return may_in(request, obj.site_id, self.edits)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    has_add_permission = has_change_permission = has_delete_permission = _may


class OfOneSite(forms.BaseInlineFormSet):  # type: ignore[type-arg]  # the class takes none at run time
    """What the lines name is of the site of the row they belong to."""

    names: tuple[str, ...] = ("reader",)

    def clean(self) -> None:
        super().clean()
        for form in self.forms:
            for name in self.names:
                chosen = form.cleaned_data.get(name) if hasattr(form, "cleaned_data") else None
                if chosen is not None and self.instance.site_id is not None and chosen.site_id != self.instance.site_id:
                    form.add_error(name, owned_rules.OTHER_SITE)


class ShiftLines(Owned):
    edits = "calendars.edit"
    model = Shift
    formset = OfOneSite
    fields = ("reader", "first_on", "days", "every_days", "starts", "ends", "last_on")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Shift]:
        return super().get_queryset(request).select_related("reader__user")


class OverrideLines(Owned):
    edits = "calendars.edit"
    model = Override
    formset = OfOneSite
    fields = ("reader", "from_at", "until_at", "reason")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Override]:
        return super().get_queryset(request).select_related("reader__user")


@admin.register(Rota)
class RotaPage(Journaled):
    edits = "calendars.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_rotas.html"
    list_display = ("name", "site", "zone", "now", "until")
    list_filter = (SiteFilter,)
    search_fields = ("name", "shifts__reader__user__username")
    fields = ("site", ("name", "time_zone"), ("now", "until"), "created_at")
    inlines = (ShiftLines, OverrideLines)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Rota]:
        return on_call.with_people(super().get_queryset(request))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("now", "until", "created_at", *(("site",) if obj else ()))

    @column("Time zone")
    def zone(self, row: Rota) -> str:
        return row.time_zone or f"{row.site.time_zone} (of the site)"

    @column("On call now")
    def now(self, row: Rota) -> str:
        if row._state.adding:
            return show.DASH
        found = on_call.duty(row, at=timezone.now()).readers
        return ", ".join(str(reader) for reader in found) or show.badge("FAILED", "nobody")

    @column("Until")
    def until(self, row: Rota) -> str:
        change = None if row._state.adding else on_call.duty(row, at=timezone.now()).until
        return show.DASH if change is None else f"{change.astimezone(on_call.zone_of(row)):%Y-%m-%d %H:%M %Z}"
