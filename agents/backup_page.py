"""The page of backups. They are of the whole installation, so only superusers see them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.backup_models import Backup
from sensors import desk, show
from sensors.desk import Desk, column


@admin.register(Backup)
class BackupPage(Desk):
    list_display = ("kind", "stamp", "result", "began_at", "ended_at", "took", "size", "told")
    list_filter = ("kind", "status")
    ordering = ("-id",)
    fields = readonly_fields = (
        "kind", "stamp", "place", "result", "began_at", "ended_at", "took", "size", "error",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = admin.ModelAdmin.get_queryset(self, request)
        return rows if desk.sees_all(request) else rows.none()

    def may(self, request: HttpRequest, row: Any, wanted: Any) -> bool:
        return desk.sees_all(request)

    @column("Outcome", ordering="status")
    def result(self, row: Backup) -> str:
        return show.badge(row.status)

    @column("Took")
    def took(self, row: Backup) -> str:
        return show.lasted(row.began_at, row.ended_at) if row.kind == Backup.Kind.WHOLE else show.DASH

    @column("Error")
    def told(self, row: Backup) -> str:
        return show.short(row.error) or show.DASH
