"""The list of sensors that are silent, and since when."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin
from django.db.models import F, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest, HttpResponse

from sensors import show, ticks
from sensors.desk import Desk, column, site_filter
from sensors.models import SensorPresence


@admin.register(SensorPresence)
class SilentSensorPage(Desk):
    site_path = "sensor__site"
    list_before_template = "admin/sensors/silent.html"
    list_display = ("sensor_page", "machine_page", "site", "silent_since", "silent_for", "period")
    list_filter = (site_filter("sensor__site"), "sensor__kind")
    list_select_related = ("sensor__site", "sensor__machine")
    search_fields = ("sensor__external_id", "sensor__name", "sensor__machine__tag", "sensor__machine__name")
    ordering = ("silent_since",)
    fields = readonly_fields = ("sensor_page", "machine_page", "site", "silent_since", "silent_for", "period", "due_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Those that were not heard since."""
        rows: QuerySet[Any] = super().get_queryset(request)
        silent = rows.filter(silent_since__isnull=False, heard_at=F("silent_since"))
        timed: QuerySet[Any] = silent.annotate(silence=Now() - F("silent_since"))
        return timed

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        rule = {"silent_periods": settings.SILENT_PERIODS, "silent_least": ticks.span(settings.SILENT_MIN_SECONDS)}
        page: HttpResponse = super().changelist_view(request, {**(extra_context or {}), **rule})
        return page

    @column("Sensor", ordering="sensor__external_id")
    def sensor_page(self, row: SensorPresence) -> str:
        return show.link(row.sensor)

    @column("Machine", ordering="sensor__machine__tag")
    def machine_page(self, row: SensorPresence) -> str:
        return show.link(row.sensor.machine, row.sensor.machine.tag)

    @column("Site")
    def site(self, row: SensorPresence) -> str:
        return str(row.sensor.site)

    @column("Silent for")
    def silent_for(self, row: Any) -> str:
        return ticks.span(row.silence.total_seconds())

    @column("Sends every", ordering="sensor__period_seconds")
    def period(self, row: SensorPresence) -> str:
        return show.DASH if row.sensor.period_seconds is None else ticks.span(row.sensor.period_seconds)
