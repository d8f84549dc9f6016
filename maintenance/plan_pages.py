"""Pages of preventive plans: the list with what is due, the form with its preview, pause, resume and done."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from unfold import widgets
from unfold.decorators import action

from maintenance import buttons, plan_dates, plans
from maintenance.buttons import Button, Confirmation, Saying
from maintenance.plan_models import Plan, PlanOccurrence
from sensors import show
from sensors.desk import Desk, KeepsSite, Lines, SiteFilter, column

SHOWN_DAYS = 3 * 366 * plan_dates.DAY
"""Of what is over, on a plan's page."""
UNITS = {"DAY": ("day", "days"), "WEEK": ("week", "weeks"), "MONTH": ("month", "months")}


class PlanForm(KeepsSite):
    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            plans.check(self.instance, now=timezone.now())
        except ValidationError as error:
            for name, told in error.message_dict.items() if hasattr(error, "error_dict") else [("", error.messages)]:
                self.add_error(name if name in self.fields else None, told)


class DoneForm(forms.Form):
    on = forms.DateField(label="Done on", widget=widgets.UnfoldAdminDateWidget, help_text="By the site's calendar.")
    comment = forms.CharField(
        max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 3}), help_text="What was done."
    )


PAUSE = Button(
    "pause", "Pause the plan", "Pause", "Paused", fits=lambda row: row.paused_at is None,
    takes="plans.edit",
    perform=lambda row, actor, said: plans.pause(row.pk, actor=actor, reason=said["comment"]),
    form=lambda rows, data: Saying(data),
    explain="It opens no order until it is resumed; one that is open stays. Say why.",
)  # fmt: skip
RESUME = Button(
    "resume", "Resume the plan", "Resume", "Resumed", fits=lambda row: row.paused_at is not None,
    takes="plans.edit",
    perform=lambda row, actor, said: plans.resume(row.pk, actor=actor),
    form=lambda rows, data: Confirmation(data),
    explain="What became due meanwhile is due at once, as one order.",
)  # fmt: skip
DONE = Button(
    "record_done", "Record work that was done", "Record", "Recorded", fits=lambda row: row.open_order is None,
    perform=lambda row, actor, said: plans.record_done(row.pk, actor=actor, on=said["on"], comment=said["comment"]),
    form=lambda rows, data: DoneForm(data, initial={"on": _today(rows[0])}),
    explain="The work was done without an order of the plan, such as early and with other work: the plan moves. Where "
    "an order is open, complete that.",
)  # fmt: skip
BUTTONS = buttons.by_name(PAUSE, RESUME, DONE)


def _today(row: Plan) -> date:
    return timezone.now().astimezone(row.site.zone).date()


class StandingFilter(admin.SimpleListFilter):
    title = "standing"
    parameter_name = "standing"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("overdue", "Overdue"), ("ordered", "Order is open"), ("paused", "Paused")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Plan]) -> QuerySet[Plan]:
        wanted = {
            "overdue": plans.overdue(now=timezone.now()), "ordered": Q(open_order__isnull=False),
            "paused": Q(paused_at__isnull=False),
        }  # fmt: skip
        found = wanted.get(self.value() or "")
        return queryset if found is None else queryset.filter(found)


class OccurrenceLines(Lines):
    model = PlanOccurrence
    verbose_name_plural = "what became of it, for three years"
    fields = readonly_fields = (
        "number", "due_on", "target", "order_page", "outcome", "ended_at", "counts_from_on", "by", "comment",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlanOccurrence]:
        rows = super().get_queryset(request).filter(opened_at__gte=timezone.now() - SHOWN_DAYS)
        return rows.select_related("order", "by")

    @column("Order")
    def order_page(self, row: PlanOccurrence) -> str:
        return show.link(row.order) if row.order_id else "without an order"


@admin.register(Plan)
class PlanPage(Desk):
    acts = "orders.act"
    edits = "plans.edit"
    form = PlanForm
    list_before_template = "admin/maintenance/no_plans.html"
    change_form_after_template = "admin/maintenance/plan_preview_button.html"
    list_display = ("title", "machine_page", "rhythm", "next_due", "standing", "order_page", "minutes")
    list_filter = (SiteFilter, StandingFilter, "kind", "basis")
    list_select_related = ("site", "machine", "meter")
    search_fields = ("title", "machine__tag", "machine__name", "description")
    autocomplete_fields = ("machine", "sensor", "meter")
    ordering = ("due_at", "id")
    fieldsets = (
        (None, {"fields": (("site", "machine"), "title", "description", ("priority", "minutes"), ("kind", "sensor"))}),
        (
            "By the calendar",
            {"fields": (("every", "unit", "first_on"), ("due_time", "lead_days"), "basis")},
        ),
        ("Season", {"fields": (("season_first", "season_last", "outside"),)}),
        ("By a meter", {"fields": (("meter", "meter_every"), ("meter_first", "meter_lead"))}),
        ("What comes of it", {"fields": (("next_due", "standing"), ("order_page", "paused"), "created_by")}),
    )
    inlines = (OccurrenceLines,)
    actions_detail = ("pause", "resume", "record_done")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        is_open = PlanOccurrence.objects.filter(plan=OuterRef("pk"), outcome="")
        return super().get_queryset(request).annotate(open_order=Subquery(is_open.values("order_id")[:1]))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        shown = ("next_due", "standing", "order_page", "paused", "created_by")
        return shown if obj is None else ("site", "machine", "kind", "sensor", *shown)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """It is paused instead, and stays in the list with what became of it."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        actor: Any = request.user
        if change:
            plans.change(obj.pk, actor=actor, **{name: getattr(obj, name) for name in form.changed_data})
        else:
            plans.add(obj, actor=actor)

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.preview)
        own = [
            path("preview/", view, name="maintenance_plan_preview"),
            path("<int:key>/preview/", view, name="maintenance_plan_preview_of"),
        ]
        return own + super().get_urls()

    def preview(self, request: HttpRequest, key: int | None = None) -> HttpResponse:
        """What is in the form, and would come of it; nothing is stored."""
        row = None if key is None else self.get_object(request, str(key))
        may = self.has_add_permission(request) if key is None else row and self.has_change_permission(request, row)
        if request.method != "POST" or not may:
            raise PermissionDenied
        form = self.get_form(request, row, change=row is not None)(request.POST, instance=row)
        found = plan_dates.upcoming(form.instance, now=timezone.now()) if form.is_valid() else []
        context = {
            "form": form,
            "lines": [_line(form.instance, one) for one in found],
            "whole": "HX-Request" not in request.headers,
        }
        return TemplateResponse(request, "admin/maintenance/plan_preview.html", context)

    @action(description="Pause", url_path="pause", permissions=["plans_edit"], icon="pause")
    def pause(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, PAUSE)

    @action(description="Resume", url_path="resume", permissions=["plans_edit"], icon="play_arrow")
    def resume(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, RESUME)

    @action(description="Was done", url_path="record-done", permissions=["act"], icon="task_alt")
    def record_done(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, DONE)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, BUTTONS)

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: Plan) -> str:
        return show.link(row.machine, row.machine.tag)

    @column("Comes again")
    def rhythm(self, row: Plan) -> str:
        return in_words(row)

    @column("Next due", ordering="due_at")
    def next_due(self, row: Plan) -> str:
        if row._state.adding:
            return show.DASH
        dates = [] if row.due_at is None else [_local(row, row.due_at)]
        if row.target is not None and row.meter is not None:
            expected = plan_dates.expected_at(row, row.target)
            about = "" if expected is None else f", about {expected:%Y-%m-%d}"
            dates.append(f"at {row.target:g} ({row.meter.total:.6g} now{about})")
        return " or ".join(dates)

    @column("Standing")
    def standing(self, row: Plan) -> str:
        if row._state.adding:
            return show.DASH
        if row.paused_at is not None:
            return show.badge("HELD", "paused")
        reached = row.target is not None and row.meter is not None and row.meter.total >= row.target
        if reached or (row.due_at is not None and row.due_at < timezone.now()):
            return show.badge("FAILED", "overdue")
        return show.badge("WAITING", "to come")

    @column("Open order")
    def order_page(self, row: Plan) -> str:
        key = getattr(row, "open_order", None)
        return show.DASH if key is None else show.link_to("maintenance_workorder", key, f"WO-{key}")

    @column("Paused")
    def paused(self, row: Plan) -> str:
        if row.paused_at is None:
            return show.DASH
        return f"{row.paused_at:%Y-%m-%d %H:%M} UTC by {row.paused_by}: {row.pause_reason}"


def in_words(row: Plan) -> str:
    """Such as *every 3 months or 500 hours, from the completion, 04-01 to 10-31*."""
    parts = []
    if row.every is not None:
        one, many = UNITS[row.unit]
        parts.append(one if row.every == 1 else f"{row.every} {many}")
    if row.meter is not None and row.meter_every is not None:
        parts.append(f"{row.meter_every:g} {row.meter.get_unit_display().lower()}")
    basis = "from the completion" if row.basis == Plan.Basis.COMPLETION else "by due date"
    season = f", {row.season_first} to {row.season_last}" if row.season_first else ""
    return f"every {' or '.join(parts)}, {basis}{season}"


def _local(row: Plan, at: datetime) -> str:
    return f"{at.astimezone(row.site.zone):%a %Y-%m-%d %H:%M %Z}"


def _line(row: Plan, one: plan_dates.Upcoming) -> dict[str, str]:
    return {
        "due": "when the meter gets there; nobody can say when" if one.due_at is None else _local(row, one.due_at),
        "opens": show.DASH if one.opens_at is None else _local(row, one.opens_at),
        "target": show.DASH if one.target is None else f"{one.target:g}",
        "by": one.by,
    }
