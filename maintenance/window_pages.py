"""Pages of maintenance windows: the list with the next occurrence of each, the form, the button that cancels one."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils import timezone
from unfold import widgets
from unfold.decorators import action

from maintenance import windows
from maintenance.models import MaintenanceWindow
from maintenance.occurrences import Occurrence
from maintenance.refusals import Refused
from sensors import ask, show
from sensors.desk import Desk, KeepsSite, SiteFilter, column

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class WindowForm(KeepsSite):
    weekdays = forms.TypedMultipleChoiceField(
        label="Comes again on", required=False, coerce=int, choices=[*enumerate(DAYS, start=1)],
        widget=widgets.UnfoldAdminCheckboxSelectMultipleWidget, help_text="None: it comes once.",
    )  # fmt: skip

    def clean(self) -> dict[str, Any] | None:
        said = super().clean()
        self.cleaned_data["weekdays"] = sorted(self.cleaned_data.get("weekdays") or [])
        return said

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            windows.check(self.instance, now=timezone.now())
        except ValidationError as error:
            self.add_error(None, error)


class Reason(forms.Form):
    reason = forms.CharField(max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}))


class ComesFilter(admin.SimpleListFilter):
    """Windows of which something still comes, unless others are asked for."""

    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("over", "Over"), ("cancelled", "Cancelled"), ("all", "All")]

    def choices(self, changelist: Any) -> Any:
        now, *others = super().choices(changelist)
        return [now | {"display": "Running or to come"}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = self.value()
        if wanted == "all":
            return queryset
        if wanted == "cancelled":
            return queryset.filter(cancelled_at__isnull=False)
        return queryset.filter(cancelled_at=None, look_at__isnull=wanted == "over")


@admin.register(MaintenanceWindow)
class WindowPage(Desk):
    acts = "windows.edit"
    edits = "windows.edit"
    form = WindowForm
    list_before_template = "admin/maintenance/no_windows.html"
    list_display = ("what", "where", "pattern", "next_one", "standing", "created_by", "hidden_by_it")
    list_filter = (SiteFilter, ComesFilter)
    list_select_related = ("site", "equipment", "created_by")
    search_fields = ("reason", "equipment__tag", "equipment__name", "created_by__username")
    autocomplete_fields = ("equipment",)
    fieldsets = (
        (None, {"fields": (("site", "equipment"), "reason")}),
        ("When, in the site's time zone", {"fields": (("first_on", "starts", "minutes"), ("weekdays", "last_on"))}),
        ("What comes of it", {"fields": (("next_one", "standing"), ("hidden_by_it", "created_by"), "cancelled")}),
    )  # fmt: skip
    actions_detail = ("cancel_window",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = ("next_one", "standing", "hidden_by_it", "created_by", "cancelled")
        return shown if obj is None else ("site", *shown)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        cancelled = isinstance(obj, MaintenanceWindow) and obj.cancelled_at is not None
        return not cancelled and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """It is cancelled instead, and stays in the list with what it hid."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        actor: Any = request.user
        if change:
            windows.change(obj.pk, actor=actor, **{name: getattr(obj, name) for name in form.changed_data})
        else:
            windows.add(obj, actor=actor)

    @action(description="Cancel the window", url_path="cancel", permissions=["act"], icon="event_busy")
    def cancel_window(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = ask.row_of(self, request, object_id)
        actor: Any = request.user
        question = ask.Question(
            title="Cancel the maintenance window",
            button="Cancel the window",
            done="Cancelled",
            explain="It comes no more. If it runs, the alarms that it hides are shown within a few seconds, and "
            "whoever must know is told of those that are still active.",
            form=Reason,
            perform=lambda row, said: windows.cancel(row.pk, actor=actor, reason=said["reason"]),
            refusals=(Refused,),
        )
        back = reverse("admin:maintenance_maintenancewindow_change", args=[row.pk])
        return ask.answer(self, request, [row], question, back=back)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        shown = row is not None and self.has_change_permission(request, row)
        return super().get_actions_detail(request, object_id) if shown else []

    @column("Why", ordering="reason")
    def what(self, row: MaintenanceWindow) -> str:
        return show.short(row.reason, 80)

    @column("Of", ordering="equipment__tag")
    def where(self, row: MaintenanceWindow) -> str:
        return show.link(row.equipment) if row.equipment_id else f"all of {row.site}"

    @column("When", ordering="first_on")
    def pattern(self, row: MaintenanceWindow) -> str:
        length = f"{row.minutes} min" if row.minutes < 120 else f"{row.minutes / 60:g} h"
        at = f"{row.starts:%H:%M} for {length}"
        if not row.weekdays:
            return f"{row.first_on:%Y-%m-%d}, {at}"
        days = "every day" if len(row.weekdays) == 7 else ", ".join(DAYS[day - 1][:3] for day in row.weekdays)
        return f"{days}, {at}, until {row.last_on:%Y-%m-%d}"

    @column("Runs or comes next")
    def next_one(self, row: MaintenanceWindow) -> str:
        found = None if row.pk is None else windows.upcoming(row, now=timezone.now())
        return show.DASH if found is None else _shown(found, row)

    @column("Standing", ordering="look_at")
    def standing(self, row: MaintenanceWindow) -> str:
        now = timezone.now()
        found = None if row.pk is None else windows.upcoming(row, now=now)
        if row.cancelled_at is not None:
            return show.badge("CANCELLED")
        if found is None:
            return show.badge("DONE", "over") if row.pk else show.DASH
        return show.badge("HELD", "runs now") if found.begin <= now else show.badge("WAITING", "to come")

    @column("Hidden by it")
    def hidden_by_it(self, row: MaintenanceWindow) -> str:
        return show.listing("maintenance_suppression", "show", window__id__exact=row.pk, standing="all")

    @column("Cancelled")
    def cancelled(self, row: MaintenanceWindow) -> str:
        if row.cancelled_at is None:
            return show.DASH
        return f"{row.cancelled_at:%Y-%m-%d %H:%M} UTC by {row.cancelled_by}: {row.cancel_reason}"


def _shown(one: Occurrence, row: MaintenanceWindow) -> str:
    """In the site's time, with its offset, so that the night in which clocks change can be read."""
    local = partial(datetime.astimezone, tz=row.site.zone)
    return f"{local(one.begin):%a %Y-%m-%d %H:%M} to {local(one.end):%a %H:%M %Z}"
