"""Pages of what came in: batches, their parts, and readings that contradicted stored ones. For reading only."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from sensors import show
from sensors.desk import Desk, Lines, SiteFilter, column, site_filter
from sensors.models import Batch, BatchPart, ReadingConflict

UNPACKED = "columns"
"""The packed readings of a part: never loaded for a page."""


class PartLines(Lines):
    model = BatchPart
    verbose_name_plural = "parts"
    fields = readonly_fields = (
        "page",
        "state_label",
        "lane",
        "waits_for",
        "readings",
        "stored",
        "already_stored",
        "conflicts",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[BatchPart]:
        return super().get_queryset(request).defer(UNPACKED).select_related("discovered")

    @column("Part")
    def page(self, row: BatchPart) -> str:
        return show.link(row, f"part {row.pk}")

    @column("State")
    def state_label(self, row: BatchPart) -> str:
        return show.badge(row.state)

    @column("Held for")
    def waits_for(self, row: BatchPart) -> str:
        return show.link(row.discovered)


@admin.register(Batch)
class BatchPage(Desk):
    list_display = (
        "received_at", "short_id", "site", "submitted_by", "items_count", "accepted", "held", "duplicates", "rejected",
    )  # fmt: skip
    list_filter = (SiteFilter, "received_at")
    list_select_related = ("site", "submitted_by")
    search_fields = ("=id", "=correlation_id", "^body_sha256")
    search_help_text = "A whole batch id or correlation id, or the beginning of a body's SHA-256."
    date_hierarchy = "received_at"
    fields = readonly_fields = (
        "id", "site", "submitted_by", "received_at", "correlation_id", "body_sha256", "items_count", "accepted", "held",
        "duplicates", "rejected", "refused",
    )  # fmt: skip
    inlines = (PartLines,)

    @column("Batch")
    def short_id(self, row: Batch) -> str:
        return str(row.pk)[:8]

    @column("Readings", ordering="items")
    def items_count(self, row: Batch) -> str:
        return show.count(row.items)

    @column("Not simply accepted")
    def refused(self, row: Batch) -> str:
        return show.pretty(row.results)


@admin.register(BatchPart)
class PartPage(Desk):
    site_path = "batch__site"
    list_display = (
        "id", "state_label", "site", "batch_page", "lane", "readings", "stored", "already_stored", "conflicts", "run",
        "created_at",
    )  # fmt: skip
    list_filter = (site_filter("batch__site"), "state")
    list_select_related = ("batch__site",)
    search_fields = ("=run_id", "=batch__id", "discovered__external_id")
    search_help_text = "A run's number, a whole batch id, or the name of a sensor not known yet."
    ordering = ("-id",)
    fields = readonly_fields = (
        "batch_page", "site", "state_label", "lane", "waits_for", "readings", "stored", "already_stored", "conflicts",
        "run", "size", "created_at", "turned_out", "told",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[BatchPart]:
        return super().get_queryset(request).defer(UNPACKED)

    @column("State", ordering="state")
    def state_label(self, row: BatchPart) -> str:
        return show.badge(row.state)

    @column("Site")
    def site(self, row: BatchPart) -> str:
        return str(row.batch.site)

    @column("Batch")
    def batch_page(self, row: BatchPart) -> str:
        return show.link(row.batch, str(row.batch_id)[:8])

    @column("Held for")
    def waits_for(self, row: BatchPart) -> str:
        return show.link(row.discovered)

    @column("Run", ordering="run_id")
    def run(self, row: BatchPart) -> str:
        return show.link_to("agents_run", row.run_id, f"run {row.run_id}")

    @column("Packed size")
    def size(self, row: BatchPart) -> str:
        return f"{show.count(len(row.columns))} bytes"

    @column("Duplicates and conflicts")
    def turned_out(self, row: BatchPart) -> str:
        return show.pretty(row.outcome)

    @column("Error")
    def told(self, row: BatchPart) -> str:
        return show.trace(row.error)


@admin.register(ReadingConflict)
class ConflictPage(Desk):
    site_path = "sensor__site"
    list_display = ("measured_at", "sensor_page", "site", "refused", "part_page", "created_at")
    list_filter = (site_filter("sensor__site"),)
    list_select_related = ("sensor__site", "part")
    search_fields = ("sensor__external_id", "sensor__name")
    ordering = ("-id",)
    fields = readonly_fields = ("sensor_page", "site", "measured_at", "refused", "part_page", "created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ReadingConflict]:
        return super().get_queryset(request).defer("part__columns")

    @column("Sensor", ordering="sensor__external_id")
    def sensor_page(self, row: ReadingConflict) -> str:
        return show.link(row.sensor)

    @column("Site")
    def site(self, row: ReadingConflict) -> str:
        return str(row.sensor.site)

    @column("Value not kept", ordering="value")
    def refused(self, row: ReadingConflict) -> str:
        return show.number(row.value, row.sensor.unit)

    @column("Came with")
    def part_page(self, row: ReadingConflict) -> str:
        return show.link(row.part, f"part {row.part_id}")
