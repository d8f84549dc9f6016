"""The page that says of each detector and sensor how often it was right."""

from __future__ import annotations

from django.contrib import admin

from maintenance import triage
from maintenance.models import DetectorRecord
from sensors import show
from sensors.desk import Desk, SiteFilter, column


@admin.register(DetectorRecord)
class DetectorRecordPage(Desk):
    list_before_template = "admin/maintenance/record.html"
    list_display = (
        "sensor_page", "machine_page", "detector", "anomaly_list", "real", "false", "expected", "unknown", "right",
        "interval", "rate", "weeks", "last_at",
    )  # fmt: skip
    list_filter = (SiteFilter, "detector")
    list_select_related = ("sensor__machine",)
    search_fields = ("sensor__external_id", "sensor__name", "sensor__machine__tag", "sensor__machine__name")
    ordering = ("-false", "-anomalies", "-id")
    fields = readonly_fields = list_display

    @column("Sensor", ordering="sensor__external_id")
    def sensor_page(self, row: DetectorRecord) -> str:
        return show.link(row.sensor)

    @column("Machine", ordering="sensor__machine__tag")
    def machine_page(self, row: DetectorRecord) -> str:
        return show.link(row.sensor.machine, row.sensor.machine.tag)

    @column("Anomalies", ordering="anomalies")
    def anomaly_list(self, row: DetectorRecord) -> str:
        of = {"sensor__id__exact": row.sensor_id, "detector": row.detector, "nature__exact": "MACHINE"}
        return show.listing("maintenance_anomaly", show.count(row.anomalies), **of)

    @column("Precision", ordering="precision")
    def right(self, row: DetectorRecord) -> str:
        return show.DASH if row.precision is None else f"{row.precision:.0%}"

    @column("95 % interval")
    def interval(self, row: DetectorRecord) -> str:
        low, high = triage.wilson(row.real, row.false)
        return show.DASH if row.precision is None else f"{low:.0%} to {high:.0%}"

    @column("False a week", ordering="false_per_week")
    def rate(self, row: DetectorRecord) -> str:
        return show.number(row.false_per_week)

    @column("Weeks read", ordering="days")
    def weeks(self, row: DetectorRecord) -> str:
        return show.number(round(row.days / 7, 1))
