"""Pages of who is logged in and by what."""

from __future__ import annotations

from typing import Any

from axes.models import AccessAttempt
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from sensors import desk, families, show
from sensors.desk import Desk, column
from sensors.identity_models import TokenFamily


class OfTheInstallation(Desk):
    """A page of what is of no site: only superusers see it."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = admin.ModelAdmin.get_queryset(self, request)
        return rows if desk.sees_all(request) else rows.none()

    def may(self, request: HttpRequest, row: Any, to: str) -> bool:
        return desk.sees_all(request)

    def site_id_of(self, row: Any) -> int | None:  # type: ignore[override]  # rows of the installation have none
        return None


@admin.register(AccessAttempt)
class FailedLogInPage(OfTheInstallation):
    """To delete one is to lift what it shuts."""

    list_display = ("username", "ip_address", "failures_since_start", "attempt_time", "path_info")
    search_fields = ("=username", "=ip_address")
    fields = readonly_fields = (
        "username", "ip_address", "failures_since_start", "attempt_time", "path_info", "user_agent",
    )  # fmt: skip

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return desk.sees_all(request)


@admin.register(TokenFamily)
class TokenFamilyPage(OfTheInstallation):
    list_display = ("user", "state", "created_at", "used_at", "address", "agent")
    list_filter = ("revoked_for",)
    list_select_related = ("user",)
    search_fields = ("user__username", "=address", "agent")
    search_help_text = "A user's name, an address, or part of a program's name."
    fields = readonly_fields = ("user", "state", "created_at", "used_at", "address", "agent", "revoked_at")
    actions = ("end_selected",)

    @admin.action(description="End")
    def end_selected(self, request: HttpRequest, rows: QuerySet[TokenFamily]) -> None:
        ended = families.end(rows, why=families.End.ADMINISTRATOR)
        self.message_user(request, f"Ended: {ended}. Their tokens are refused from now on.", messages.SUCCESS)

    @column("State", ordering="revoked_for")
    def state(self, row: TokenFamily) -> str:
        if row.revoked_at is None:
            return show.badge("DONE", "holds")
        return show.badge(
            "FAILED" if row.revoked_for == families.End.REUSED else "CANCELLED", row.get_revoked_for_display()
        )
