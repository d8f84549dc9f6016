"""Pages of what was decided and why, and how the verdict of triage is shown on those of anomalies and alarms."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html_join

from maintenance.models import Decision, Triaged
from sensors import show
from sensors.desk import Desk, Lines, column, site_filter


class Judged:
    """Columns of rows that triage has judged."""

    @column("Verdict", ordering="verdict")
    def verdict_label(self, row: Triaged) -> str:
        return show.badge(row.verdict) if row.verdict else show.DASH

    @column("Because")
    def verdict_words(self, row: Triaged) -> str:
        told = ((_weight(reason["points"]), reason["detail"]) for reason in row.verdict_reasons)
        return format_html_join("", "<div>{}: {}</div>", told) or show.DASH


def _weight(points: int) -> str:
    if not points:
        return "a person said"
    return f"against it ({points})" if points > 0 else f"for it ({-points})"


class DecisionLines(Lines):
    model = Decision
    verbose_name_plural = "what was decided"
    fields = readonly_fields = ("at", "action", "reason", "run")

    @column("Run")
    def run(self, row: Decision) -> str:
        return show.link_to("agents_run", row.run_id, f"run {row.run_id}")


@admin.register(Decision)
class DecisionPage(Desk):
    site_path = "machine__site"
    list_display = ("at", "action_words", "reason", "machine_page", "failure_mode", "anomaly_page", "run")
    list_filter = (site_filter("machine__site"), "action")
    list_select_related = ("machine", "anomaly__sensor")
    search_fields = ("machine__tag", "reason", "=run_id")
    ordering = ("-id",)
    fields = readonly_fields = (
        "machine_page", "failure_mode", "anomaly_page", "action_words", "reason", "at", "run", "key", "created_at",
    )  # fmt: skip

    @column("Action", ordering="action")
    def action_words(self, row: Decision) -> str:
        return row.action.replace("_", " ").lower()

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: Decision) -> str:
        return show.link(row.machine, row.machine.tag)

    @column("Anomaly")
    def anomaly_page(self, row: Decision) -> str:
        return show.link(row.anomaly)

    @column("Run", ordering="run_id")
    def run(self, row: Decision) -> str:
        return show.link_to("agents_run", row.run_id, f"run {row.run_id}")
