"""The page of backups. They are of the whole installation, so only superusers see them."""

from __future__ import annotations

from django.contrib import admin

from agents.backup_models import Backup
from sensors import show
from sensors.desk import column
from sensors.identity_pages import OfTheInstallation


@admin.register(Backup)
class BackupPage(OfTheInstallation):
    list_display = ("kind", "stamp", "result", "began_at", "ended_at", "took", "size", "told")
    list_filter = ("kind", "status")
    ordering = ("-id",)
    fields = readonly_fields = (
        "kind", "stamp", "place", "result", "began_at", "ended_at", "took", "size", "error",
    )  # fmt: skip

    @column("Outcome", ordering="status")
    def result(self, row: Backup) -> str:
        return show.badge(row.status)

    @column("Took")
    def took(self, row: Backup) -> str:
        return show.lasted(row.began_at, row.ended_at) if row.kind == Backup.Kind.WHOLE else show.DASH

    @column("Error")
    def told(self, row: Backup) -> str:
        return show.short(row.error) or show.DASH
