"""Pages of escalation: chains with their steps, which people own, and the escalations that run and ran."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.html import format_html
from unfold.decorators import action

from maintenance import buttons, escalation_view, escalations, owned_rules
from maintenance.escalation_life import Step
from maintenance.escalation_models import Call, Chain, ChainStep, Escalation
from maintenance.owned_pages import Journaled, Ruled
from maintenance.rota_pages import OfOneSite, Owned
from sensors import show, ticks
from sensors.desk import Desk, Lines, SiteFilter, column


class Steps(OfOneSite):
    """One step at least, and none after one that goes on until somebody acknowledges: it would never come."""

    names = ("reader", "channel", "rota")

    def clean(self) -> None:
        super().clean()
        said = [form.cleaned_data for form in self.forms if getattr(form, "cleaned_data", None)]
        kept = sorted(
            (one for one in said if not one.get("DELETE") and one.get("position") is not None),
            key=lambda one: int(one["position"]),
        )
        told = owned_rules.steps([one.get("times") for one in kept])
        if told and not (told == owned_rules.NO_STEP and any(form.errors for form in self.forms)):
            raise ValidationError(told)


class StepLines(Owned):
    edits = "notices.edit"
    model = ChainStep
    formset = Steps
    fields = ("position", "after_minutes", "reader", "channel", "rota", "medium", "times", "every_minutes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ChainStep]:
        return super().get_queryset(request).select_related("reader__user", "channel", "rota")


@admin.register(Chain)
class ChainPage(Journaled):
    edits = "notices.edit"
    form = Ruled
    list_before_template = "admin/maintenance/no_chains.html"
    list_display = ("name", "site", "lowest_label", "is_enabled", "in_words", "at_work")
    list_filter = (SiteFilter, "lowest_priority", "is_enabled")
    list_select_related = ("site",)
    search_fields = ("name",)
    fields = ("site", "name", ("lowest_priority", "is_enabled"), "changed_at")
    inlines = (StepLines,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Chain]:
        people = ("steps__reader__user", "steps__channel", "steps__rota")
        return super().get_queryset(request).prefetch_related(*people)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("changed_at", *(("site",) if obj else ()))

    @column("For", ordering="lowest_priority")
    def lowest_label(self, row: Chain) -> str:
        return show.badge(row.lowest_priority, f"{row.lowest_priority.lower()} and above")

    @column("Steps")
    def in_words(self, row: Chain) -> str:
        return ", then ".join(f"{s.reader or s.channel or s.rota} after {s.after_minutes} min" for s in row.steps.all())

    @column("At work")
    def at_work(self, row: Chain) -> str:
        return show.listing("maintenance_escalation", "show", chain__id__exact=row.pk)


class RunningFilter(admin.SimpleListFilter):
    """What runs now, unless what ran is asked for."""

    title = "running"
    parameter_name = "running"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("over", "Over"), ("all", "Now and before")]

    def choices(self, changelist: Any) -> Any:
        now, *others = super().choices(changelist)
        return [now | {"display": "Running"}, *others]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> QuerySet[Escalation]:
        if self.value() == "all":
            return queryset
        return queryset.filter(ended_at__isnull=self.value() != "over")


class CallLines(Lines):
    model = Call
    verbose_name_plural = "who was told"
    fields = readonly_fields = ("at", "number", "time", "outcome", "whom", "due_at")

    @column("Step")
    def number(self, row: Call) -> int:
        return row.step + 1


@admin.register(Escalation)
class EscalationPage(Desk):
    acts = "alarms.act"
    list_before_template = "admin/maintenance/no_escalations.html"
    list_display = ("started_at", "alarm_page", "priority_label", "chain_name", "state_label", "next_step", "due_label")
    list_filter = (SiteFilter, RunningFilter, "ended", "priority")
    list_select_related = ("alarm__machine", "stopped_by", "chain")
    search_fields = ("chain_name", "alarm__machine__tag", "alarm__machine__name", "=alarm__failure_mode")
    date_hierarchy = "started_at"
    fieldsets = (
        (None, {"fields": (("alarm_page", "priority_label"), ("chain_page", "state_label"), "the_plan")}),
        ("What is next", {"fields": (("next_step", "due_label"),)}),
        ("When", {"fields": (("started_at", "ended_at"), ("stopped_by", "stop_reason"))}),
    )
    readonly_fields = (
        "alarm_page", "priority_label", "chain_page", "state_label", "the_plan", "next_step", "due_label",
        "started_at", "ended_at", "stopped_by", "stop_reason",
    )  # fmt: skip
    inlines = (CallLines,)
    actions = ("stop_selected",)
    actions_detail = ("stop",)

    @admin.action(description="Stop", permissions=["act"])
    def stop_selected(self, request: HttpRequest, queryset: QuerySet[Escalation]) -> HttpResponse:
        return buttons.on_selected(self, request, queryset, buttons.STOP, action="stop_selected")

    @action(description="Stop", url_path="stop", permissions=["act"], icon="notifications_off")
    def stop(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return buttons.on_one(self, request, object_id, buttons.STOP)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        offered = super().get_actions_detail(request, object_id)
        return buttons.fitting(self, request, object_id, offered, buttons.OF_ESCALATIONS)

    @column("Alarm", ordering="alarm")
    def alarm_page(self, row: Escalation) -> str:
        return show.link(row.alarm)

    @column("Priority", ordering="priority")
    def priority_label(self, row: Escalation) -> str:
        return show.badge(row.priority)

    @column("Chain", ordering="chain_name")
    def chain_page(self, row: Escalation) -> str:
        return show.link(row.chain, row.chain_name) if row.chain else row.chain_name

    @column("State", ordering="ended")
    def state_label(self, row: Escalation) -> str:
        if row.ended_at is None:
            return show.badge("RUNNING")
        urgent = row.ended == Escalation.End.RAN_OUT
        return show.badge("FAILED" if urgent else "DONE", row.get_ended_display().lower())

    @column("Next")
    def next_step(self, row: Escalation) -> str:
        if row.ended_at is not None:
            return show.DASH
        return escalation_view.next_step(row)

    @column("Due", ordering="due_at")
    def due_label(self, row: Escalation) -> str:
        return _due(row)

    @column("Steps, as they were when it began")
    def the_plan(self, row: Escalation) -> str:
        return "; ".join(_words(step) for step in escalations.plan(row))


class HasEscalation(Desk):
    """Columns of an alarm's page that say who is called while nobody acknowledges it."""

    def _running(self, row: Any) -> Escalation | None:
        """Looked up once for all columns of the page."""
        if not hasattr(row, "escalation_that_runs"):
            row.escalation_that_runs = escalations.running(row.pk)
        found: Escalation | None = row.escalation_that_runs
        return found

    @column("Escalation")
    def escalation_page(self, row: Any) -> str:
        running = self._running(row)
        before = show.listing("maintenance_escalation", "all of this alarm", alarm__id__exact=row.pk, running="all")
        now = show.DASH if running is None else show.link(running, running.chain_name)
        return format_html("{} ({})", now, before)

    @column("Next call")
    def next_call(self, row: Any) -> str:
        running = self._running(row)
        return show.DASH if running is None else f"{escalation_view.next_step(running)}, {_due(running)}"

    @column("Called so far")
    def called_so_far(self, row: Any) -> str:
        running = self._running(row)
        calls = [] if running is None else list(running.calls.all())
        return "; ".join(f"{call.at:%Y-%m-%d %H:%M} UTC: {call.whom}" for call in calls) or show.DASH


def _due(row: Escalation) -> str:
    if row.due_at is None:
        return show.DASH
    left = (row.due_at - timezone.now()).total_seconds()
    return f"{row.due_at:%Y-%m-%d %H:%M} UTC, " + (f"in {ticks.span(left)}" if left > 0 else "now")


def _words(step: Step) -> str:
    often = "until acknowledged" if step.times is None else f"{step.times} times" if step.times > 1 else ""
    again = f", {often} every {step.every_minutes} min" if often else ""
    return f"{step.name} after {step.after_minutes} min{again}"
