"""Pages of the flow's own record: runs, the attempts at their stages, and the replay of what failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from django import forms
from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold import widgets
from unfold.decorators import action

from agents import backup_page, case_pages, dead_letters, doorbell, job_pages, throttle_pages
from agents.backtests import pages as backtest_pages
from agents.exports import pages as export_pages
from agents.models import Run, StageAttempt
from agents.reporting import pages as report_pages
from agents.schedule import pages as schedule_pages
from agents.trainings import pages as training_pages
from sensors import ask, columns, desk, show
from sensors.desk import Desk, Lines, column
from sensors.models import BatchPart

__all__ = [
    "backtest_pages",
    "backup_page",
    "case_pages",
    "export_pages",
    "job_pages",
    "report_pages",
    "schedule_pages",
    "throttle_pages",
    "training_pages",
]

LINES = 50
"""Readings of a part that its page shows."""


class AttemptLines(Lines):
    model = StageAttempt
    verbose_name_plural = "attempts"
    fields = readonly_fields = ("stage_label", "result", "took", "started_at", "worker", "error_class", "told")
    ordering = ("id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[StageAttempt]:
        """An error may quote readings of a part that was split off since, and that may be another site's."""
        rows: QuerySet[StageAttempt] = super().get_queryset(request)
        return rows if desk.sees_all(request) else rows.exclude(run__edition__gt=0, error__gt="")

    @column("Stage")
    def stage_label(self, row: StageAttempt) -> str:
        return row.get_stage_display()

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


class Reason(forms.Form):
    reason = forms.CharField(
        max_length=2_000, widget=widgets.UnfoldAdminTextareaWidget(attrs={"rows": 4}), help_text="Kept with the run."
    )


Button = Callable[[HttpRequest, dict[str, Sequence[str]]], ask.Question]


def replaying(request: HttpRequest, hidden: dict[str, Sequence[str]]) -> ask.Question:
    def perform(run: Run, answers: dict[str, Any]) -> None:
        doorbell.ring_lanes([dead_letters.replay(run.pk, actor=request.user.get_username())])

    return ask.Question(
        title="Replay failed runs",
        button="Replay",
        done="Replaying",
        form=Confirmation,
        perform=perform,
        refusals=(dead_letters.NotReplayable,),
        explain="It goes on at the stage where it failed; what was done stays done. Where nothing newer of the machine "
        "was judged meanwhile, alarms may open and messages go out; otherwise its readings are late, and neither page "
        "nor clear.",
        hidden=hidden,
    )


def discarding(request: HttpRequest, hidden: dict[str, Sequence[str]]) -> ask.Question:
    def perform(run: Run, answers: dict[str, Any]) -> None:
        dead_letters.discard(run.pk, actor=request.user.get_username(), reason=answers["reason"])

    return ask.Question(
        title="Discard failed runs",
        button="Discard",
        done="Discarded",
        form=Reason,
        perform=perform,
        refusals=(dead_letters.NotDiscardable,),
        explain="Nobody will judge what they carry. They stay, with your reason, and a replay takes them back.",
        hidden=hidden,
    )


@admin.register(Run)
class RunPage(Desk):
    acts = "readings.repair"
    list_display = (
        "id",
        "status_label",
        "stage_label",
        "lane",
        "readings_count",
        "attempts",
        "took",
        "created_at",
        "error_class",
    )
    list_filter = ("status", "stage", "created_at")
    search_fields = ("=id", "=lane", "=cause", "=split_from__id", "error_class")
    search_help_text = "A run's number, the one it was split from, a lane, a cause, or part of an error's name."
    date_hierarchy = "created_at"
    ordering = ("-id",)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("status_label", "stage_label"),
                    ("lane", "readings_count"),
                    ("created_at", "finished_at"),
                    ("parts", "piece_of", "pieces"),
                ),
            },
        ),
        ("Work", {"fields": (("attempts", "rings"), ("lease_owner", "lease_until"), ("due_at", "ring_after"))}),
        ("Error", {"fields": (("error_class", "cause"), "resolution", "error_trace")}),
        ("What it carries", {"fields": ("payload_sha256", "payload"), "classes": ("collapse",)}),
        ("Left for the next stage", {"fields": ("left",), "classes": ("collapse",)}),
    )
    readonly_fields = (
        "status_label", "stage_label", "lane", "readings_count", "created_at", "finished_at", "parts", "attempts",
        "rings", "lease_owner", "lease_until", "due_at", "ring_after", "error_class", "cause", "resolution",
        "error_trace", "payload_sha256", "payload", "left", "piece_of", "pieces",
    )  # fmt: skip
    inlines = (AttemptLines,)
    actions = ("replay_selected", "discard_selected")
    actions_detail = ("replay", "discard")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        """A run serves a lane, which sites share: it is shown to those who may see all that it carried."""
        rows: QuerySet[Run] = admin.ModelAdmin.get_queryset(self, request).defer("verdicts")
        if desk.sees_all(request):
            return rows
        carried = BatchPart.objects.filter(run_id=OuterRef("pk"))
        mine = list(desk.roles(request))
        return rows.filter(Exists(carried.filter(batch__site__in=mine)), ~Exists(carried.exclude(batch__site__in=mine)))

    def may(self, request: HttpRequest, row: Any, to: str) -> bool:
        """In every site of which the run carried readings."""
        if desk.sees_all(request) or row is None:
            return super().may(request, None, to)
        carried = set(BatchPart.objects.filter(run_id=row.pk).values_list("batch__site_id", flat=True).distinct())
        return bool(carried) and carried <= set(desk.sites_where(request, to))

    @admin.action(description="Replay", permissions=["act"])
    def replay_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse:
        return self._ask_selected(request, queryset, replaying, "replay_selected")

    @admin.action(description="Discard", permissions=["act"])
    def discard_selected(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse:
        return self._ask_selected(request, queryset, discarding, "discard_selected")

    @action(description="Replay", url_path="replay", permissions=["act"], icon="replay")
    def replay(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_one(request, object_id, replaying)

    @action(description="Discard", url_path="discard", permissions=["act"], icon="delete")
    def discard(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self._ask_one(request, object_id, discarding)

    def _ask_one(self, request: HttpRequest, key: str, button: Button) -> HttpResponse:
        row = ask.row_of(self, request, key)
        return ask.answer(
            self, request, [row], button(request, {}), back=reverse("admin:agents_run_change", args=[row.pk])
        )

    def _ask_selected(self, request: HttpRequest, rows: QuerySet[Run], button: Button, name: str) -> HttpResponse:
        question = button(request, ask.selected(request, name))
        return ask.answer(self, request, list(rows), question, back=reverse("admin:agents_run_changelist"))

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        if row is None or not self.may(request, row, self.acts):
            return []
        fitting = {"agents_run_replay": dead_letters.ASIDE, "agents_run_discard": (Run.Status.FAILED,)}
        offered = super().get_actions_detail(request, object_id)
        return [one for one in offered if row.status in fitting[one.action_name]]

    @column("Status", ordering="status")
    def status_label(self, row: Run) -> str:
        return show.badge(row.status)

    @column("Stage", ordering="stage")
    def stage_label(self, row: Run) -> str:
        return row.get_stage_display()  # a stage that only a newer version knows shows as it is

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

    @column("Piece of")
    def piece_of(self, row: Run) -> str:
        return show.link_to("agents_run", row.split_from_id, f"run {row.split_from_id}")

    @column("Split off")
    def pieces(self, row: Run) -> str:
        return show.listing("agents_run", "pieces set apart from it", q=row.pk) if row.edition else show.DASH

    @column("Readings as they came")
    def payload(self, row: Run) -> str:
        return show.trace("\n\n".join(_told(held) for held in dead_letters.payload(row.pk)))


def _told(held: dead_letters.Payload) -> str:
    """A part for people: where it came from, and its first readings, one a line."""
    head = f"part {held.part.pk} of batch {held.part.batch_id}, {held.part.batch.site}: {held.part.readings} readings"
    if held.readings is None:
        return f"{head}\n{held.told}\n{bytes(held.part.columns)[:64].hex(' ')}"
    shown = held.readings.take(np.arange(len(held.readings)) < LINES)
    lines = [
        f"  sensor {sensor}  {columns.to_instant(at).isoformat()}  {value!r}"
        for sensor, at, value in zip(shown.sensor.tolist(), shown.at.tolist(), shown.value.tolist(), strict=True)
    ]
    more = [f"  and {len(held.readings) - LINES} more"] if len(held.readings) > LINES else []
    return "\n".join([head, *lines, *more])
