"""Pages of channels, which people own, and of the messages that went or are to go through them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold import widgets
from unfold.decorators import action

from maintenance import owned, targets
from maintenance.models import Attempt, Channel, Notification
from maintenance.owned_pages import Journaled, Ruled
from maintenance.refusals import Refused
from sensors import ask, show
from sensors.desk import Desk, Lines, SiteFilter, column


class ChannelForm(Ruled):
    """The secret is taken, never shown; left empty, the one there is stays."""

    secret = forms.CharField(
        required=False, max_length=1_000,
        widget=widgets.UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="Signs a webhook's body (HMAC-SHA256). Of a service it is the whole address, such as "
        "slack://… or ntfys://…, as the library apprise writes it. It is not shown; leave it empty to keep the one "
        "there is.",
    )  # fmt: skip

    def clean_secret(self) -> str:
        given: str = self.cleaned_data["secret"]
        return given or str(self.instance.secret)


class Confirmation(forms.Form):
    """Nothing is asked but whether it is meant."""


def _page(row: Channel) -> str:
    return reverse("admin:maintenance_channel_change", args=[row.pk])


def _sent_over(row: Channel) -> str:
    return reverse("admin:maintenance_notification_changelist", query={"channel__id__exact": row.pk})


FIELDS = (
    "site", ("name", "kind"), "target", "secret", ("reader", "language"), ("lowest_priority", "digest_minutes"),
    ("owner", "is_enabled"), "why_disabled", "health", "created_at",
)  # fmt: skip


@admin.register(Channel)
class ChannelPage(Journaled):
    acts = "notices.act"
    edits = "notices.edit"
    form = ChannelForm
    list_display = ("name", "site", "kind", "target", "reader", "lowest_label", "is_enabled", "why_disabled", "waiting")
    list_filter = (SiteFilter, "kind", "is_enabled")
    list_select_related = ("site", "reader__user")
    search_fields = ("name", "target")
    actions_detail = ("test",)

    @action(description="Send a test", url_path="test", permissions=["act"], icon="send")
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = ask.row_of(self, request, object_id)
        actor: Any = request.user
        question = ask.Question(
            title="Send a test message",
            button="Send",
            done="A test is on its way to",
            explain="It goes out now, also in quiet hours. What becomes of it stands in the list of notifications.",
            form=Confirmation,
            perform=lambda row, answers: targets.test(row, actor=actor),
            refusals=(Refused,),
            after=lambda row: _sent_over(row),
        )
        return ask.answer(self, request, [row], question, back=_page(row))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        return super().get_actions_detail(request, object_id) if self.may(request, row, self.acts) else []

    def save_model(self, request: HttpRequest, obj: Channel, form: Any, change: bool) -> None:
        actor: Any = request.user
        owned.settle(obj, actor=actor)
        super().save_model(request, obj, form, change)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        hidden = () if self.has_change_permission(request, obj) else ("secret_is_set",)
        return ("why_disabled", "health", "created_at", *(("site",) if obj else ()), *hidden)

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

    @column("Failures in a row")
    def health(self, row: Channel) -> str:
        if row.silent_until is None:
            return str(row.failures)
        return f"{row.failures}; nothing is sent before {row.silent_until:%Y-%m-%d %H:%M:%S} UTC"

    @column("Messages")
    def waiting(self, row: Channel) -> str:
        return show.listing("maintenance_notification", "show", channel__id__exact=row.pk)


class TryLines(Lines):
    model = Attempt
    verbose_name_plural = "tries"
    fields = readonly_fields = ("began_at", "ended_at", "attempt", "outcome", "reference", "error", "worker")


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
    list_filter = (SiteFilter, "status", "urgency", "event_type", "channel__kind")
    list_select_related = ("channel",)
    inlines = (TryLines,)
    search_fields = ("subject_line", "channel__name", "=provider_reference")
    ordering = ("-id",)
    fields = readonly_fields = (
        "subject_line", "status_label", "channel_page", "event_type", "urgency", "attempts", "due_at", "held_for",
        "digest_page", "sent_at", "error_trace", "provider_reference", "run", "key", "content", "created_at",
    )  # fmt: skip

    @column("Status", ordering="status")
    def status_label(self, row: Notification) -> str:
        return show.badge(row.status)

    @column("Channel", ordering="channel__name")
    def channel_page(self, row: Notification) -> str:
        return show.link(row.channel)

    @column("Told in")
    def digest_page(self, row: Notification) -> str:
        return show.link(row.digest)

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
