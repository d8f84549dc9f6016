"""Pages of the ledger: each try to send a message, and each link in a message that was used."""

from __future__ import annotations

from django.contrib import admin

from maintenance.models import Attempt, LinkUse
from sensors import show
from sensors.desk import Desk, column, site_filter


@admin.register(Attempt)
class AttemptPage(Desk):
    site_path = "notification__site"
    list_before_template = "admin/maintenance/no_attempts.html"
    list_display = (
        "began_at", "outcome_label", "message_page", "channel_page", "attempt", "took", "reference", "told", "worker",
    )  # fmt: skip
    list_display_links = ("began_at",)
    list_filter = (
        site_filter("notification__site"),
        "outcome",
        "notification__channel__kind",
        "notification__event_type",
    )
    list_select_related = ("notification__channel",)
    search_fields = ("notification__subject_line", "notification__channel__name", "=reference", "=notification__key")
    date_hierarchy = "began_at"
    fields = readonly_fields = (
        "outcome_label", "message_page", "channel_page", "attempt", "began_at", "ended_at", "took", "reference",
        "error_trace", "worker", "key",
    )  # fmt: skip

    @column("Outcome", ordering="outcome")
    def outcome_label(self, row: Attempt) -> str:
        return show.badge(row.outcome)

    @column("Message")
    def message_page(self, row: Attempt) -> str:
        return show.link(row.notification)

    @column("Channel", ordering="notification__channel__name")
    def channel_page(self, row: Attempt) -> str:
        return show.link(row.notification.channel)

    @column("Took")
    def took(self, row: Attempt) -> str:
        return f"{(row.ended_at - row.began_at).total_seconds():.2f} s"

    @column("Error")
    def told(self, row: Attempt) -> str:
        return show.short(row.error) or show.DASH

    @column("Error")
    def error_trace(self, row: Attempt) -> str:
        return show.trace(row.error)

    @column("Idempotency key")
    def key(self, row: Attempt) -> str:
        return row.notification.key


@admin.register(LinkUse)
class LinkUsePage(Desk):
    site_path = "alarm__site"
    list_before_template = "admin/maintenance/no_link_uses.html"
    list_display = ("used_at", "purpose", "user", "alarm_page", "message_page", "address")
    list_filter = (site_filter("alarm__site"), "purpose")
    list_select_related = ("user", "alarm__machine", "notification")
    search_fields = ("user__username", "alarm__machine__tag")
    fields = readonly_fields = ("used_at", "purpose", "user", "alarm_page", "message_page", "address", "key")

    @column("Alarm")
    def alarm_page(self, row: LinkUse) -> str:
        return show.link(row.alarm)

    @column("Message")
    def message_page(self, row: LinkUse) -> str:
        return show.link(row.notification)
