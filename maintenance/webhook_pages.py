"""Pages of webhooks and their deliveries, for a site's administrators: how they are, the log, and the buttons."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from unfold import widgets
from unfold.decorators import action

from maintenance import buttons, webhook_filter, webhooks
from maintenance.buttons import Button
from maintenance.owned_pages import Journaled, Ruled
from maintenance.webhook_models import Webhook, WebhookDelivery, WebhookTry
from sensors import ask, show
from sensors.desk import Desk, Lines, SiteFilter, column, site_filter

Status = Webhook.Status
CHANGES = "webhooks.edit"


class Administered(Desk):
    """What only the administrators of a site see of it: an address may hold a secret, and so may an answer."""

    sees = acts = CHANGES

    def has_act_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.may(request, obj if isinstance(obj, (Webhook, WebhookDelivery)) else None, CHANGES)

    def press(self, request: HttpRequest, key: str, button: Button) -> HttpResponse:
        if not self.may(request, ask.row_of(self, request, key), CHANGES):
            raise PermissionDenied
        return buttons.on_one(self, request, key, button)


class WebhookForm(Ruled):
    types = forms.MultipleChoiceField(
        choices=[(name, name) for name in webhook_filter.CHOICES],
        widget=widgets.UnfoldAdminSelectMultipleWidget(attrs={"size": 12}),
        help_text="Which events: single types, or a family such as alarm.*.",
    )


class Overlap(forms.Form):
    hours = forms.IntegerField(
        min_value=0, max_value=webhooks.MOST_OVERLAP_HOURS, initial=24, widget=widgets.UnfoldAdminIntegerFieldWidget,
        help_text="So long the old secret signs beside the new one.",
    )  # fmt: skip


class Span(forms.Form):
    begin = forms.SplitDateTimeField(widget=widgets.UnfoldAdminSplitDateTimeWidget, label="Recorded from")
    end = forms.SplitDateTimeField(widget=widgets.UnfoldAdminSplitDateTimeWidget, label="And before")


def _button(
    name: str, title: str, done: str, act: Callable[..., object], *on: str, explain: str, **more: Any
) -> Button:
    return Button(
        name, title, title, done, fits=lambda row: row.status in on, explain=explain,
        **{"perform": lambda row, actor, said: act(row.pk, actor=actor),
           "form": lambda rows, data: buttons.Confirmation(data)} | more,
    )  # fmt: skip


def _rotated(row: Webhook) -> tuple[str]:
    fresh = Webhook.objects.only("secret").get(pk=row.pk)
    return (f"The new secret, shown this once: {fresh.secret}",)


VERIFY = _button(
    "verify", "Verify", "Asked", webhooks.verify, "PENDING", "GONE", "ACTIVE",
    explain="The address is asked whether it wants events of this installation. Nothing is sent before it has agreed.",
)  # fmt: skip
TEST = _button(
    "test", "Send a test", "A test is on its way to", webhooks.test, "ACTIVE",
    explain="What becomes of it stands in the list of deliveries.",
)  # fmt: skip
PAUSE = _button(
    "pause", "Pause", "Paused", webhooks.pause, "ACTIVE", explain="What happens meanwhile waits in the journal."
)
RESUME = _button(
    "resume", "Resume", "Resumed", webhooks.resume, "PAUSED",
    explain="What has happened meanwhile is sent, as far as it is kept.",
)  # fmt: skip
ROTATE = _button(
    "rotate", "Rotate the secret", "A new secret for", webhooks.rotate, *Status.values,
    explain="The new secret is shown once, on the next page.", form=lambda rows, data: Overlap(data),
    perform=lambda row, actor, said: webhooks.rotate(row.pk, overlap=timedelta(hours=said["hours"]), actor=actor),
    warn=_rotated,
)  # fmt: skip
REPLAY_TIME = _button(
    "replay_time", "Replay a time", "Events are sent again to", webhooks.replay_between, *Status.values,
    explain=f"The events of that time which it wants by its filters, {webhooks.MOST_REPLAYED:,} at most.",
    form=lambda rows, data: Span(data),
    perform=lambda row, actor, said: webhooks.replay_between(row.pk, **said, actor=actor),
)  # fmt: skip
OF_WEBHOOKS = buttons.by_name(VERIFY, TEST, PAUSE, RESUME, ROTATE, REPLAY_TIME)
REPLAY = _button(
    "replay", "Send again", "To be sent again:", webhooks.replay, "DELIVERED", "FAILED",
    explain="The receiver knows it by its id, and may drop it if it has seen it.",
)  # fmt: skip
OF_DELIVERIES = buttons.by_name(REPLAY)


@admin.register(Webhook)
class WebhookPage(Administered, Journaled):
    edits = CHANGES
    form = WebhookForm
    list_display = ("name", "site", "status_label", "url", "why", "failures", "verified_at", "deliveries_list")
    list_filter = (SiteFilter, "status")
    list_select_related = ("site",)
    search_fields = ("name", "url")
    autocomplete_fields = ("equipment",)
    fieldsets = (
        (None, {"fields": (("site", "name"), "url", "types", ("lowest_priority", "equipment"))}),
        (
            "How it stands",
            {"fields": (("status_label", "why"), ("failures", "rests_until"), ("verified_at", "rate_per_minute"),
                        ("previous_until", "deliveries_list"), ("created_by", "created_at"))},
        ),
    )  # fmt: skip
    actions_detail = tuple(OF_WEBHOOKS)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = (
            "status_label", "why", "failures", "rests_until", "verified_at", "rate_per_minute", "previous_until",
            "deliveries_list", "created_by", "created_at",
        )  # fmt: skip
        return shown if obj is None else ("site", *shown)

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        actor: Any = request.user
        webhooks.settle(obj, actor=actor)
        if change:  # what its worker writes meanwhile stays
            settled = webhooks.SETTLED if "url" in form.changed_data else ()
            obj.save(update_fields=[*form.changed_data, *settled])
            return
        obj.save()
        self.message_user(request, f"Its secret, shown this once: {obj.secret}", messages.WARNING)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, OF_WEBHOOKS)

    @action(description=VERIFY.title, url_path="verify", permissions=["act"], icon="handshake")
    def verify(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.press(request, object_id, VERIFY)

    @action(description=TEST.title, url_path="test", permissions=["act"], icon="send")
    def test(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.press(request, object_id, TEST)

    @action(description=PAUSE.title, url_path="pause", permissions=["act"], icon="pause")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.press(request, object_id, PAUSE)

    @action(description=RESUME.title, url_path="resume", permissions=["act"], icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.press(request, object_id, RESUME)

    @action(description=ROTATE.title, url_path="rotate", permissions=["act"], icon="key")
    def rotate(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.press(request, object_id, ROTATE)

    @action(description=REPLAY_TIME.title, url_path="replay-time", permissions=["act"], icon="replay")
    def replay_time(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.press(request, object_id, REPLAY_TIME)

    @column("State", ordering="status")
    def status_label(self, row: Webhook) -> str:
        return show.badge(row.status)

    @column("Why")
    def why(self, row: Webhook) -> str:
        return show.short(row.reason) or show.DASH

    @column("Deliveries")
    def deliveries_list(self, row: Webhook) -> str:
        return show.listing("maintenance_webhookdelivery", "show", webhook__id__exact=row.pk)


class TryLines(Lines):
    model = WebhookTry
    verbose_name_plural = "attempts"
    fields = readonly_fields = ("began_at", "attempt", "answered", "milliseconds", "error", "answer")


@admin.register(WebhookDelivery)
class WebhookDeliveryPage(Administered):
    site_path = "webhook__site"
    list_display = ("created_at", "status_label", "what", "webhook_page", "attempts", "finished_at", "why")
    list_filter = (site_filter("webhook__site"), "status")
    list_select_related = ("webhook", "event")
    search_fields = ("event__subject", "event__type", "webhook__name")
    fields = readonly_fields = (
        "what", "webhook_page", "status_label", "why", "attempts", "due_at", "created_at", "finished_at"
    )  # fmt: skip
    inlines = (TryLines,)
    actions_detail = ("replay",)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, OF_DELIVERIES)

    @action(description=REPLAY.title, url_path="replay", permissions=["act"], icon="replay")
    def replay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.press(request, object_id, REPLAY)

    @column("State", ordering="status")
    def status_label(self, row: WebhookDelivery) -> str:
        return show.badge(row.status)

    @column("Event")
    def what(self, row: WebhookDelivery) -> str:
        return "test" if row.event is None else f"{row.event.type} {row.event.subject}"

    @column("Webhook", ordering="webhook__name")
    def webhook_page(self, row: WebhookDelivery) -> str:
        return show.link(row.webhook, row.webhook.name)

    @column("Why")
    def why(self, row: WebhookDelivery) -> str:
        return show.short(row.reason) or show.DASH
