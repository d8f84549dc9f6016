"""The page of clients that were slowed down. To lift one is to delete its row.

A client may send to several sites, so only superusers see them.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from agents.models import Throttle
from sensors import desk, show
from sensors.desk import column
from sensors.identity_pages import OfTheInstallation


@admin.register(Throttle)
class ThrottlePage(OfTheInstallation):
    list_display = ("user", "readings_per_second", "until", "case_page", "told")
    list_select_related = ("user", "case")
    search_fields = ("user__username", "reason")
    search_help_text = "A client's name, or part of the reason."
    fields = readonly_fields = ("user", "readings_per_second", "created_at", "until", "case_page", "reason")

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return desk.sees_all(request)

    @column("Case")
    def case_page(self, row: Throttle) -> str:
        return show.link(row.case)

    @column("Reason")
    def told(self, row: Throttle) -> str:
        return show.short(row.reason)
