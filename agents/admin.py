"""Pages of the flow's own record: runs, the attempts at their stages, and the replay of what failed."""

from __future__ import annotations

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.decorators import action

from agents import dead_letters, doorbell
from agents.models import Run, StageAttempt
from sensors import ask, desk, show
from sensors.desk import ACTORS, Desk, Lines, column
from sensors.models import BatchPart


class AttemptLines(Lines):
    model = StageAttempt
    verbose_name_plural = "attempts"
    fields = readonly_fields = ("stage", "result", "took", "started_at", "worker", "error_class", "told")
    ordering = ("id",)

    @column("Outcome")
    def result(self, row: StageAttempt) -> str:
        return show.badge(row.outcome)

    @column("Took")
    def took(self, row: StageAttempt) -> str:
        return show.lasted(row.started_at, row.ended_at)

    @column("Error")
    def told(self, row: StageAttempt) -> str:
        return show.short(row.error, 300) or show.DASH


class Confirmation(forms.Form):
    """Nothing is asked but whether it is meant."""


@admin.register(Run)
class RunPage(Desk):
    list_display = (
        "id",
        "status_label",
        "stage",
        "lane",
        "readings_count",
        "attempts",
        "took",
        "created_at",
        "error_class",
    )
    list_filter = ("status", "stage", "created_at")
    search_fields = ("=id", "=lane", "error_class")
    search_help_text = "A run's number, a lane, or part of an error's name."
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fieldsets = (
        (
            None,
            {"fields": (("status_label", "stage"), ("lane", "readings_count"), ("created_at", "finished_at"), "parts")},
        ),
        ("Work", {"fields": (("attempts", "rings"), ("lease_owner", "lease_until"), ("due_at", "ring_after"))}),
        ("Error", {"fields": ("error_class", "error_trace")}),
        ("Left for the next stage", {"fields": ("left",), "classes": ("collapse",)}),
    )
    readonly_fields = (
        "status_label", "stage", "lane", "readings_count", "created_at", "finished_at", "parts", "attempts", "rings",
        "lease_owner", "lease_until", "due_at", "ring_after", "error_class", "error_trace", "left",
    )  # fmt: skip
    inlines = (AttemptLines,)
    actions = ("replay_selected",)
    actions_detail = ("replay",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """A run serves a lane, which sites share: it is shown to those who may see all that it carried."""
        rows: QuerySet[Run] = admin.ModelAdmin.get_queryset(self, request).defer("verdicts")
        if desk.sees_all(request):
            return rows
        carried = BatchPart.objects.filter(run_id=OuterRef("pk"))
        mine = list(desk.roles(request))
        return rows.filter(Exists(carried.filter(batch__site__in=mine)), ~Exists(carried.exclude(batch__site__in=mine)))

    def may(self, request: HttpRequest, row: Any, wanted: Any) -> bool:
        """In every site of which the run carried readings."""
        if desk.sees_all(request) or row is None:
            return super().may(request, None, wanted)
        carried = set(BatchPart.objects.filter(run_id=row.pk).values_list("batch__site_id", flat=True).distinct())
        return bool(carried) and all(desk.roles(request).get(site) in wanted for site in carried)

    @admin.action(description="Replay", permissions=["act"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse:
        hidden = ask.selected(request, "replay_selected")
        return self._ask(request, list(queryset), back=reverse("admin:agents_run_changelist"), hidden=hidden)

    @action(description="Replay", url_path="replay", permissions=["act"], icon="replay")
    def replay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = ask.row_of(self, request, object_id)
        return self._ask(request, [row], back=reverse("admin:agents_run_change", args=[row.pk]))

    def _ask(self, request: HttpRequest, rows: list[Run], *, back: str, hidden: Any = None) -> HttpResponse:
        question = ask.Question(
            title="Replay failed runs",
            button="Replay",
            done="Replaying",
            form=Confirmation,
            perform=partial(_replay, request.user.get_username()),
            refusals=(dead_letters.NotReplayable,),
            explain="It goes on at the stage where it failed. What was done stays done; readings that were judged "
            "meanwhile make its own late, so a replay neither pages nor clears.",
            hidden=hidden or {},
        )
        return ask.answer(self, request, rows, question, back=back)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        fits = row is not None and row.status == Run.Status.FAILED and self.may(request, row, ACTORS)
        return super().get_actions_detail(request, object_id) if fits else []

    @column("Status", ordering="status")
    def status_label(self, row: Run) -> str:
        return show.badge(row.status)

    @column("Readings", ordering="readings")
    def readings_count(self, row: Run) -> str:
        return show.count(row.readings)

    @column("Took")
    def took(self, row: Run) -> str:
        return show.lasted(row.created_at, row.finished_at)

    @column("Batch parts")
    def parts(self, row: Run) -> str:
        return show.listing("sensors_batchpart", "what it carries", q=row.pk)

    @column("Error")
    def error_trace(self, row: Run) -> str:
        return show.trace(row.error)

    @column("Findings")
    def left(self, row: Run) -> str:
        return show.pretty(row.findings)


def _replay(actor: str, run: Run, answers: dict[str, Any]) -> None:
    doorbell.ring_lanes([dead_letters.replay(run.pk, actor=actor)])
