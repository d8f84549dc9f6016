"""Pages of channels, which people own, and of the messages that went or are to go through them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold import widgets

from maintenance.models import Channel, Notification
from sensors import show
from sensors.desk import Desk, KeepsSite, SiteFilter, column


class ChannelForm(KeepsSite):
    """The secret is taken, never shown; left empty, the one there is stays."""

    secret = forms.CharField(
        required=False, max_length=200,
        widget=widgets.UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Signs a webhook's body (HMAC-SHA256). It is not shown; leave it empty to keep the one there is.",
    )  # fmt: skip

    def clean_secret(self) -> str:
        given: str = self.cleaned_data["secret"]
        return given or str(self.instance.secret)


FIELDS = (
    "site", ("name", "kind"), "target", "secret", ("lowest_priority", "is_enabled"), "why_disabled", "created_at",
)  # fmt: skip


@admin.register(Channel)
class ChannelPage(Desk):
    owned = True
    form = ChannelForm
    list_display = ("name", "site", "kind", "target", "lowest_label", "is_enabled", "why_disabled", "waiting")
    list_filter = (SiteFilter, "kind", "is_enabled")
    list_select_related = ("site",)
    search_fields = ("name", "target")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        hidden = () if self.has_change_permission(request, obj) else ("secret_is_set",)
        return ("why_disabled", "created_at", *(("site",) if obj else ()), *hidden)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return FIELDS
        return [("secret_is_set" if field == "secret" else field) for field in FIELDS]

    @column("Secret")
    def secret_is_set(self, row: Channel) -> str:
        return "is set" if row.secret else show.DASH

    @column("Nothing below", ordering="lowest_priority")
    def lowest_label(self, row: Channel) -> str:
        return show.badge(row.lowest_priority)

    @column("Why it is off")
    def why_disabled(self, row: Channel) -> str:
        return show.short(row.disabled_reason) or show.DASH

    @column("Messages")
    def waiting(self, row: Channel) -> str:
        return show.listing("maintenance_notification", "show", channel__id__exact=row.pk)


@admin.register(Notification)
class NotificationPage(Desk):
    list_display = (
        "created_at",
        "status_label",
        "subject_line",
        "channel_page",
        "event_type",
        "attempts",
        "sent_at",
        "told",
    )
    list_display_links = ("created_at", "subject_line")
    list_filter = (SiteFilter, "status", "event_type")
    list_select_related = ("channel",)
    search_fields = ("subject_line", "channel__name", "=provider_reference")
    ordering = ("-id",)
    fields = readonly_fields = (
        "subject_line", "status_label", "channel_page", "event_type", "attempts", "due_at", "sent_at", "error_trace",
        "provider_reference", "run", "key", "content", "created_at",
    )  # fmt: skip

    @column("Status", ordering="status")
    def status_label(self, row: Notification) -> str:
        return show.badge(row.status)

    @column("Channel", ordering="channel__name")
    def channel_page(self, row: Notification) -> str:
        return show.link(row.channel)

    @column("Error")
    def told(self, row: Notification) -> str:
        return show.short(row.error) or show.DASH

    @column("Error")
    def error_trace(self, row: Notification) -> str:
        return show.trace(row.error)

    @column("Run")
    def run(self, row: Notification) -> str:
        return show.link_to("agents_run", row.run_id, f"run {row.run_id}")

    @column("Rendered from")
    def content(self, row: Notification) -> str:
        return show.pretty(row.payload)
