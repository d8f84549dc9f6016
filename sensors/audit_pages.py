"""The page of the audit trail, for who may read it in a site."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from sensors import desk, permissions, show
from sensors.audit_models import AuditEntry
from sensors.desk import Desk, SiteFilter, column

READS = permissions.READ_AUDIT


@admin.register(AuditEntry)
class AuditPage(Desk):
    list_before_template = "admin/sensors/no_audit.html"
    list_display = ("at", "actor", "action", "target", "site", "credential", "address", "sealed")
    list_display_links = ("at",)
    list_filter = (SiteFilter, "credential", "at")
    list_select_related = ("site",)
    search_fields = ("=actor", "^action", "^target", "=request_id")
    search_help_text = "A whole user name or request id, or the beginning of an action or of what it was done to."
    fields = readonly_fields = (
        "at", "actor", "action", "target", "site", "credential", "address", "request_id", "said", "number", "previous",
        "hash",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        rows: QuerySet[AuditEntry] = admin.ModelAdmin.get_queryset(self, request)
        return rows if desk.sees_all(request) else rows.filter(site__in=desk.sites_where(request, READS))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.may(request, None, READS)

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return self.may(request, obj, READS)

    @column("Said")
    def said(self, row: AuditEntry) -> Any:
        return show.pretty(row.detail)

    @column("In the chain", ordering="number")
    def sealed(self, row: AuditEntry) -> str:
        return show.DASH if row.number is None else str(row.number)
