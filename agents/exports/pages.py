"""The page of exports: who asked for which file, for who reads the audit trail of the site."""

from __future__ import annotations

from django.contrib import admin

from agents.export_models import Export
from sensors import show
from sensors.desk import Desk, SiteFilter, column
from sensors.permissions import READ_AUDIT


@admin.register(Export)
class ExportPage(Desk):
    sees = READ_AUDIT
    list_display = ("file", "site", "asked_by", "result", "row_count", "created_at", "expires_at", "told")
    list_filter = (SiteFilter, "what", "form", "status")
    list_select_related = ("site", "asked_by")
    ordering = ("-id",)
    fields = readonly_fields = (
        "file", "site", "machine", "sensor", "from_at", "to_at", "asked_by", "result", "reason", "row_count", "percent",
        "created_at", "started_at", "finished_at", "expires_at",
    )  # fmt: skip

    @column("File", ordering="what")
    def file(self, row: Export) -> str:
        return row.name

    @column("Status", ordering="status")
    def result(self, row: Export) -> str:
        return show.badge(row.status)

    @column("Rows", ordering="rows")
    def row_count(self, row: Export) -> str:
        return show.count(row.rows)

    @column("Reason")
    def told(self, row: Export) -> str:
        return show.short(row.reason) or show.DASH
