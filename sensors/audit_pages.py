"""The page of the audit trail, for who may read it in a site."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from sensors import show
from sensors.audit_models import AuditEntry
from sensors.desk import Desk, SiteFilter, column
from sensors.permissions import READ_AUDIT


@admin.register(AuditEntry)
class AuditPage(Desk):
    sees = READ_AUDIT
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

    @column("Said")
    def said(self, row: AuditEntry) -> Any:
        return show.pretty(row.detail)

    @column("In the chain", ordering="number")
    def sealed(self, row: AuditEntry) -> str:
        return show.DASH if row.number is None else str(row.number)
