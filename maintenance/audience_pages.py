"""Pages of who is told of what: the persons who get messages, and subscriptions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from unfold import widgets

from maintenance import messages
from maintenance.models import Reader, Subscription
from maintenance.owned_pages import Journaled, Ruled
from sensors import show
from sensors.desk import SiteFilter, column

KIND_WORDS = {
    "alarm.opened": "Alarm",
    "alarm.raised": "Alarm raised in priority",
    "alarm.reopened": "Alarm active again",
    "alarm.returned": "Back to normal",
    "alarm.re_alarmed": "Still active, told again",
    "alarm.unshelves_soon": "Shelving ends soon, still active",
    "alarm.unshelved": "No longer shelved, still active",
    "alarm.unsuppressed": "No longer suppressed by design, still active",
    "alarm.back_in_service": "Back in service, still active",
    "work-order.opened": "Work order opened",
    "work-order.waits": "Work order waits for approval",
    "work-order.rejected": "Requested work order rejected",
}


@admin.register(Reader)
class ReaderPage(Journaled):
    edits = "notices.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_readers.html"
    list_display = ("user", "site", "zone", "quiet", "limit", "critical_at_once", "subscribed", "channels_of")
    list_filter = (SiteFilter, "critical_at_once")
    list_select_related = ("site", "user")
    search_fields = ("user__username", "user__first_name", "user__last_name")
    fields = (
        ("site", "user"), "time_zone", ("quiet_from", "quiet_until"), "critical_at_once",
        ("limit_messages", "limit_minutes"), "created_at",
    )  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("created_at", *(("site", "user") if obj else ()))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may change who is told, and whoever it is themself while they are a member."""
        own = isinstance(obj, Reader) and obj.user_id == request.user.pk and self.has_view_permission(request, obj)
        return own or self.may(request, obj, self.edits)

    @column("Time zone")
    def zone(self, row: Reader) -> str:
        return row.time_zone or f"{row.site.time_zone} (of the site)"

    @column("Quiet hours", ordering="quiet_from")
    def quiet(self, row: Reader) -> str:
        if row.quiet_from is None or row.quiet_until is None:
            return show.DASH
        return f"{row.quiet_from:%H:%M} to {row.quiet_until:%H:%M}"

    @column("At most", ordering="limit_messages")
    def limit(self, row: Reader) -> str:
        return f"{row.limit_messages} in {row.limit_minutes} min" if row.limit_messages else show.DASH

    @column("Subscriptions")
    def subscribed(self, row: Reader) -> str:
        return show.listing("maintenance_subscription", "show", reader__id__exact=row.pk)

    @column("Channels")
    def channels_of(self, row: Reader) -> str:
        return show.listing("maintenance_channel", "show", reader__id__exact=row.pk)


class SubscriptionForm(Ruled):
    kinds = forms.MultipleChoiceField(
        required=False, choices=[(kind, KIND_WORDS[kind]) for kind in messages.KINDS],
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget, help_text="None chosen = all.",
    )  # fmt: skip


@admin.register(Subscription)
class SubscriptionPage(Journaled):
    edits = "notices.edit"
    form = SubscriptionForm
    list_before_template = "admin/maintenance/no_subscriptions.html"
    list_display = ("whom", "site", "where", "lowest_label", "what")
    list_filter = (SiteFilter, "lowest_priority")
    list_select_related = ("site", "reader__user", "channel", "equipment")
    search_fields = ("reader__user__username", "channel__name", "equipment__tag", "equipment__name")
    fields = ("site", ("reader", "channel"), "equipment", "lowest_priority", "kinds", "created_at")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("created_at", *(("site",) if obj else ()))

    @column("Who is told")
    def whom(self, row: Subscription) -> str:
        return str(row.reader or row.channel)

    @column("Of what", ordering="equipment__tag")
    def where(self, row: Subscription) -> str:
        return show.link(row.equipment) if row.equipment_id else "all of the site"

    @column("Nothing below", ordering="lowest_priority")
    def lowest_label(self, row: Subscription) -> str:
        return show.badge(row.lowest_priority)

    @column("Kinds")
    def what(self, row: Subscription) -> str:
        return ", ".join(KIND_WORDS.get(kind, kind) for kind in row.kinds) or "all"
