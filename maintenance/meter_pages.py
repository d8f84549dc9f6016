"""Pages of meters: the list with their totals, what they read, and the button to enter a reading."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from unfold import widgets
from unfold.decorators import action

from maintenance import buttons, meters
from maintenance.buttons import Button
from maintenance.plan_models import Meter, MeterReading
from sensors import show
from sensors.desk import Desk, KeepsSite, Lines, SiteFilter, column


class MeterForm(KeepsSite):
    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            meters.check(self.instance)
        except ValidationError as error:
            for name, told in error.message_dict.items():
                self.add_error(name if name in self.fields else None, told)


class ReadingForm(forms.Form):
    value = forms.FloatField(min_value=0, widget=widgets.UnfoldAdminDecimalFieldWidget, help_text="What it shows.")
    at = forms.SplitDateTimeField(
        label="Read at", widget=widgets.UnfoldAdminSplitDateTimeWidget, required=False, help_text="Empty: now."
    )
    replaced = forms.BooleanField(
        required=False, widget=widgets.UnfoldBooleanSwitchWidget,
        help_text="The counter was replaced or set back: it counts on from this value.",
    )  # fmt: skip


ENTER = Button(
    "enter", "Enter a reading", "Enter", "Entered for", fits=lambda row: row.source == Meter.Source.ENTERED,
    perform=lambda row, actor, said: meters.enter(row.pk, actor=actor, **said),
    form=lambda rows, data: ReadingForm(data),
)  # fmt: skip
BUTTONS = buttons.by_name(ENTER)


class ReadingLines(Lines):
    model = MeterReading
    verbose_name_plural = "readings of the last 90 days"
    fields = readonly_fields = ("at", "value", "total", "replaced", "entered_by")

    def get_queryset(self, request: HttpRequest) -> QuerySet[MeterReading]:
        since = timezone.now() - meters.RATE_DAYS * meters.DAY
        return super().get_queryset(request).filter(at__gte=since).select_related("entered_by")


@admin.register(Meter)
class MeterPage(Desk):
    acts = "machines.act"
    edits = "plans.edit"
    form = MeterForm
    list_before_template = "admin/maintenance/no_meters.html"
    list_display = ("name", "machine_page", "unit", "source", "total_shown", "rate", "read_at")
    list_filter = (SiteFilter, "unit", "source")
    list_select_related = ("site", "machine", "sensor")
    search_fields = ("name", "machine__tag", "machine__name")
    autocomplete_fields = ("machine", "sensor")
    fieldsets = (
        (None, {"fields": (("site", "machine"), ("name", "unit"), "source", ("sensor", "threshold"))}),
        ("How it stands", {"fields": (("total_shown", "rate"), "read_at")}),
    )
    inlines = (ReadingLines,)
    actions_detail = ("enter",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = ("total_shown", "rate", "read_at")
        return shown if obj is None else ("site", "machine", "unit", "source", "sensor", *shown)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was counted stays."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        actor: Any = request.user
        if change:
            meters.change(obj.pk, actor=actor, name=obj.name, threshold=obj.threshold)
        else:
            meters.add(obj, actor=actor)

    @action(description="Enter a reading", url_path="enter", permissions=["act"], icon="edit_note")
    def enter(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, ENTER)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, BUTTONS)

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: Meter) -> str:
        return show.link(row.machine, row.machine.tag)

    @column("Total", ordering="total")
    def total_shown(self, row: Meter) -> str:
        return f"{row.total:,.1f}"

    @column("A day", ordering="per_day")
    def rate(self, row: Meter) -> str:
        return show.DASH if row.per_day is None else f"{row.per_day:,.1f}"
