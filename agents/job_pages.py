"""The page of the periodic jobs. They serve the whole installation, so only superusers see them."""

from __future__ import annotations

from django.contrib import admin

from agents import timetable
from agents.models import JobRun
from sensors import show, ticks
from sensors.desk import column
from sensors.identity_pages import OfTheInstallation


@admin.register(JobRun)
class JobRunPage(OfTheInstallation):
    list_display = ("job", "period", "result", "attempts", "took", "every", "told")
    list_filter = ("job", "outcome")
    search_fields = ("job", "error")
    search_help_text = "A job's name, or part of an error."
    date_hierarchy = "period"
    ordering = ("-id",)
    fields = readonly_fields = (
        "job", "every", "period", "result", "attempts", "started_at", "finished_at", "took", "error_trace",
    )  # fmt: skip

    @column("Outcome", ordering="outcome")
    def result(self, row: JobRun) -> str:
        return show.badge(row.outcome)

    @column("Took")
    def took(self, row: JobRun) -> str:
        return show.lasted(row.started_at, row.finished_at)

    @column("Once in")
    def every(self, row: JobRun) -> str:
        period = timetable.PERIODS.get(row.job)
        return show.DASH if period is None else ticks.span(period.total_seconds())

    @column("Error")
    def told(self, row: JobRun) -> str:
        """The last line of the trace says what it was."""
        return show.short(row.error.strip().rpartition("\n")[2]) or show.DASH

    @column("Error")
    def error_trace(self, row: JobRun) -> str:
        return show.trace(row.error)
