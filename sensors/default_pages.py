"""Pages of the alarm settings that hold for many sensors."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest

from sensors import sensor_defaults, show
from sensors.default_models import SensorDefault
from sensors.desk import KeepsSite, Refusing, SiteFilter, column

LIMITS = ("low_low", "low", "high", "high_high")


@admin.register(SensorDefault)
class SensorDefaultPage(Refusing):
    edits = "equipment.edit"
    form = KeepsSite
    list_before_template = "admin/sensors/no_defaults.html"
    list_display = ("scope", "limits", "deadband", "n_of_m", "delays", "no_data", "site")
    list_filter = (SiteFilter, "sensor_kind", "equipment_class")
    list_select_related = ("site",)
    search_fields = ("equipment_class", "unit")
    fieldsets = (
        ("For what", {"fields": ("site", ("equipment_class", "sensor_kind", "unit"))}),
        ("Alarm limits", {"fields": (
            ("low_low", "low"), ("high", "high_high"), "deadband", ("alarm_readings", "alarm_readings_of"),
            ("rise_per_minute", "fall_per_minute", "rate_span_seconds"),
        )}),
        ("Timing", {"fields": ("silent_after_seconds", ("on_delay_seconds", "off_delay_seconds"))}),
        ("Kept", {"fields": (("revision", "updated_by", "updated_at"), "sensors")}),
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("revision", "updated_by", "updated_at", "sensors", *(sensor_defaults.SCOPE if obj else ()))

    def save_model(self, request: HttpRequest, obj: Any, form: forms.ModelForm[Any], change: bool) -> None:
        actor: Any = request.user
        if change:
            said = {name: form.cleaned_data[name] for name in form.changed_data}
            changed = sensor_defaults.change(obj, said, actor=actor)
        else:
            changed = sensor_defaults.save(obj, actor=actor)
        self.message_user(request, f"Sensors for which something else holds now: {changed}.", messages.INFO)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        actor: Any = request.user
        sensor_defaults.delete(obj, actor=actor)

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Each is deleted on its page: what holds then may be refused."""
        return {name: found for name, found in super().get_actions(request).items() if name != "delete_selected"}

    @column("For", ordering="equipment_class")
    def scope(self, row: SensorDefault) -> str:
        return str(row)

    @column("Low low / low / high / high high")
    def limits(self, row: SensorDefault) -> str:
        values = [getattr(row, name) for name in LIMITS]
        return " / ".join(map(show.number, values)) if any(value is not None for value in values) else show.DASH

    @column("N of M")
    def n_of_m(self, row: SensorDefault) -> str:
        return f"{row.alarm_readings} of {row.alarm_readings_of}" if row.alarm_readings else show.DASH

    @column("On, off delay")
    def delays(self, row: SensorDefault) -> str:
        both = (row.on_delay_seconds, row.off_delay_seconds)
        return ", ".join("–" if value is None else f"{value} s" for value in both)

    @column("No data for", ordering="silent_after_seconds")
    def no_data(self, row: SensorDefault) -> str:
        return f"{row.silent_after_seconds} s" if row.silent_after_seconds else show.DASH

    @column("Sensors it says something for")
    def sensors(self, row: SensorDefault) -> str:
        return show.count(sensor_defaults.used(row)) if row.pk is not None else show.DASH
