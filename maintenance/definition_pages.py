"""Pages of alarm definitions: what people lay down, and what it holds for."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from unfold import widgets

from maintenance import definition_book, definition_view
from maintenance.definition_models import AlarmDefinition
from maintenance.failure_modes import CATALOGUE
from sensors import show
from sensors.desk import Desk, KeepsSite, SiteFilter, column

ANY = "any"
MODES = [("", "Any"), *((mode.code, f"{mode.code}: {mode.name}") for mode in CATALOGUE.modes.values())]


class DefinitionForm(KeepsSite):
    """The model says what is wrong; here only the failure mode is chosen instead of written."""

    failure_mode = forms.ChoiceField(required=False, choices=MODES, widget=widgets.UnfoldAdminSelectWidget)


class PlaceFilter(admin.SimpleListFilter):
    title = "place"
    parameter_name = "place"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("machine", "One machine"), ("class", "A class of equipment"), ("all", "All equipment")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AlarmDefinition]) -> QuerySet[AlarmDefinition]:
        if self.value() == "machine":
            return queryset.filter(machine__isnull=False)
        if self.value() == "class":
            return queryset.exclude(equipment_class="")
        return queryset.filter(machine=None, equipment_class="") if self.value() == "all" else queryset


class ModeFilter(admin.SimpleListFilter):
    title = "failure mode"
    parameter_name = "mode"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return MODES[1:]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AlarmDefinition]) -> QuerySet[AlarmDefinition]:
        return queryset.filter(failure_mode=self.value()) if self.value() else queryset


@admin.register(AlarmDefinition)
class DefinitionPage(Desk):
    edits = "alarms.edit"
    form = DefinitionForm
    list_before_template = "admin/maintenance/no_definitions.html"
    change_form_outer_after_template = "admin/maintenance/definition_holds_for.html"
    list_display = (
        "place", "sensor_kind_words", "anomaly_words", "mode_words", "priority_label", "what_to_do", "within",
        "latching", "told_again", "site",
    )  # fmt: skip
    list_filter = (SiteFilter, PlaceFilter, "priority", "sensor_kind", ModeFilter, "anomaly_kind", "latching")
    list_select_related = ("site", "machine")
    search_fields = ("machine__tag", "machine__name", "equipment_class", "cause", "consequence", "response")
    autocomplete_fields = ("machine",)
    fieldsets = (
        ("For what", {"fields": ("site", ("machine", "equipment_class"), ("sensor_kind", "anomaly_kind"),
                                 "failure_mode")}),
        ("What it means", {"fields": ("cause", "consequence")}),
        ("What to do", {"fields": ("priority", "response", "respond_within_minutes")}),
        ("How it behaves", {"fields": ("latching", ("re_alarm_seconds", "re_alarm_count"))}),
        ("Kept", {"fields": (("revision", "updated_by", "updated_at"),)}),
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("revision", "updated_by", "updated_at", *(definition_book.SCOPE if obj else ()))

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        actor: Any = request.user
        definition_book.save(obj, actor=actor)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        actor: Any = request.user
        definition_book.delete(obj, actor=actor)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AlarmDefinition]) -> None:
        for row in queryset:
            self.delete_model(request, row)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        row: AlarmDefinition | None = self.get_object(request, object_id)
        shown: dict[str, Any] = {}
        if row is not None:
            lines, total = definition_view.of_definition(row)
            shown = {"holds_for": {"definition": row, "lines": lines, "more": total - len(lines)}}
        page: HttpResponse = super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})
        return page

    @column("For", ordering="machine__tag")
    def place(self, row: AlarmDefinition) -> str:
        return str(row.machine) if row.machine is not None else row.equipment_class or "all equipment"

    @column("Sensors", ordering="sensor_kind")
    def sensor_kind_words(self, row: AlarmDefinition) -> str:
        return row.get_sensor_kind_display() or ANY

    @column("Anomaly", ordering="anomaly_kind")
    def anomaly_words(self, row: AlarmDefinition) -> str:
        return row.get_anomaly_kind_display() or ANY

    @column("Failure mode", ordering="failure_mode")
    def mode_words(self, row: AlarmDefinition) -> str:
        return row.failure_mode or ANY

    @column("Priority", ordering="priority")
    def priority_label(self, row: AlarmDefinition) -> str:
        return show.badge(row.priority) if row.priority else "by criticality"

    @column("Response")
    def what_to_do(self, row: AlarmDefinition) -> str:
        return show.short(row.response, 80) or "none is asked for"

    @column("Within", ordering="respond_within_minutes")
    def within(self, row: AlarmDefinition) -> str:
        return f"{row.respond_within_minutes} min" if row.respond_within_minutes else show.DASH

    @column("Told again", ordering="re_alarm_seconds")
    def told_again(self, row: AlarmDefinition) -> str:
        return show.re_alarm(row.re_alarm_seconds, row.re_alarm_count)


class HasGuidance(Desk):
    """Columns of an alarm that say what its definition says."""

    @column("Definition")
    def definition_page(self, row: Any) -> str:
        return show.link(row.definition)

    @column("Cause")
    def cause(self, row: Any) -> str:
        return row.definition.cause if row.definition else ""

    @column("Consequence")
    def consequence(self, row: Any) -> str:
        return row.definition.consequence if row.definition else ""

    @column("Response")
    def response(self, row: Any) -> str:
        return row.definition.response if row.definition else ""

    @column("Time to respond")
    def time_to_respond(self, row: Any) -> str:
        within = row.definition.respond_within_minutes if row.definition else None
        return f"{within} min" if within else ""

    @column("Told again")
    def told_again(self, row: Any) -> str:
        said = row.definition
        if said is None or said.re_alarm_seconds is None:
            return ""
        due = f", next at {row.re_alarm_at:%Y-%m-%d %H:%M} UTC" if row.re_alarm_at else ""
        return f"{row.re_alarms} of {said.re_alarm_count} times{due}"

    @column("Latching")
    def latches(self, row: Any) -> str:
        return "after its return it waits for an acknowledgement" if row.definition and row.definition.latching else ""
