"""Pages of judgements and their consequences: anomalies, alarms and work orders, and what staff do about them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from unfold.decorators import action

from maintenance import (
    alarm_pages,
    approval_pages,
    approval_policy_pages,
    audience_pages,
    carrying_admin,
    decision_pages,
    definition_pages,
    escalation_pages,
    flood_pages,
    labelling,
    ledger_pages,
    log_pages,
    message_pages,
    meter_pages,
    operating_pages,
    order_pages,
    parent_pages,
    part_pages,
    people_pages,
    plan_pages,
    record_pages,
    rota_pages,
    tool_pages,
    webhook_pages,
    window_pages,
)
from maintenance.alarm_pages import AlarmSteps, AsksFilter, Hideable, StateFilter
from maintenance.decision_pages import DecisionLines, Judged
from maintenance.definition_pages import HasGuidance
from maintenance.escalation_pages import HasEscalation
from maintenance.models import Alarm, Anomaly, WorkOrder
from sensors import columns, sensor_page, show
from sensors.chart import Stretch
from sensors.desk import Desk, Lines, SiteFilter, column

__all__ = [
    "alarm_pages", "approval_pages", "approval_policy_pages", "audience_pages", "carrying_admin", "decision_pages",
    "definition_pages", "escalation_pages", "flood_pages", "ledger_pages", "log_pages", "message_pages", "meter_pages",
    "operating_pages", "order_pages", "parent_pages", "part_pages", "people_pages", "plan_pages", "record_pages",
    "rota_pages", "tool_pages", "webhook_pages", "window_pages",
]  # fmt: skip

CONTEXT = 3
"""How many times its own length the picture shows before and after an anomaly."""


@admin.register(Anomaly)
class AnomalyPage(Judged, Desk):
    acts = "labels.edit"
    change_form_outer_before_template = "admin/maintenance/around.html"
    list_display = (
        "started_at", "sensor_page", "machine_page", "nature_label", "kind_words", "lasted", "observed_value",
        "expected", "peak", "verdict_label", "detector", "late",
    )  # fmt: skip
    list_filter = (
        SiteFilter, "nature", "verdict", "detector", "kind", "retrospective", ("ended_at", admin.EmptyFieldListFilter)
    )  # fmt: skip
    list_select_related = ("sensor", "machine")
    search_fields = ("sensor__external_id", "machine__tag", "machine__name", "kind", "=failure_mode")
    date_hierarchy = "started_at"
    fieldsets = (
        (
            None,
            {"fields": (("sensor_page", "machine_page"), ("nature_label", "kind_words"),
                        ("failure_mode", "alarms", "labels"), ("verdict_label", "verdict_words"))},
        ),
        ("When", {"fields": (("started_at", "last_at"), ("ended_at", "lasted"))}),
        ("How much", {"fields": (("observed_value", "expected"), ("peak", "peak_at"), "readings", "detail")}),
        (
            "On what the verdict rests",
            {
                "fields": (
                    ("detector", "detector_version"), ("window_from", "window_to"), ("retrospective", "runs"),
                    ("shares", "created_at"),
                )
            },
        ),
    )  # fmt: skip
    readonly_fields = (
        "sensor_page", "machine_page", "nature_label", "kind_words", "failure_mode", "alarms", "labels", "started_at",
        "last_at", "ended_at", "lasted", "readings", "observed_value", "expected", "peak", "peak_at", "detector",
        "detector_version", "window_from", "window_to", "shares", "retrospective", "detail", "runs", "created_at",
        "verdict_label", "verdict_words",
    )  # fmt: skip
    inlines = (DecisionLines,)
    actions_detail = ("label",)

    @action(description="Label", url_path="label", permissions=["act"], icon="label")
    def label(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return labelling.view(self, request, object_id)

    def get_actions_detail(self, request: HttpRequest, object_id: Any) -> Any:
        row = self.get_object(request, str(object_id))
        return super().get_actions_detail(request, object_id) if self.may(request, row, self.acts) else []

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        anomaly = self.get_object(request, object_id)
        around = {} if anomaly is None else {"anomaly": anomaly, "chart": picture_around(anomaly)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), "around": around})

    @column("Sensor", ordering="sensor__external_id")
    def sensor_page(self, row: Anomaly) -> str:
        return show.link(row.sensor)

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: Anomaly) -> str:
        return show.link(row.machine, row.machine.tag)

    @column("Of", ordering="nature")
    def nature_label(self, row: Anomaly) -> str:
        return show.badge(row.nature)

    @column("Kind", ordering="kind")
    def kind_words(self, row: Anomaly) -> str:
        return row.kind.replace("_", " ").lower()

    @column("Lasted")
    def lasted(self, row: Anomaly) -> str:
        return show.lasted(row.started_at, row.last_at) if row.ended_at else show.badge("OPEN", "still lasts")

    @column("Observed", ordering="observed")
    def observed_value(self, row: Anomaly) -> str:
        return show.number(row.observed, row.sensor.unit)

    @column("Expected")
    def expected(self, row: Anomaly) -> str:
        return show.bounds(row.expected_low, row.expected_high, row.sensor.unit)

    @column("Peak score", ordering="peak_score")
    def peak(self, row: Anomaly) -> str:
        return show.number(row.peak_score)

    @column("In late data", ordering="retrospective")
    def late(self, row: Anomaly) -> str:
        return "late" if row.retrospective else show.DASH

    @column("Alarms of it")
    def alarms(self, row: Anomaly) -> str:
        return show.listing(
            "maintenance_alarm",
            f"{row.machine.tag}, {row.failure_mode}",
            machine__id__exact=row.machine_id,
            failure_mode__exact=row.failure_mode,
        )

    @column("Labels")
    def labels(self, row: Anomaly) -> str:
        return labelling.listing(row)

    @column("Contributors")
    def shares(self, row: Anomaly) -> str:
        return sensor_page.shares(row.contributors)

    @column("Runs")
    def runs(self, row: Anomaly) -> str:
        return show.link_to("agents_run", row.last_run_id, f"{row.first_run_id} to {row.last_run_id}")


def picture_around(anomaly: Anomaly) -> str:
    """The sensor's readings around an anomaly, with what was expected against what was observed."""
    start, end = min(anomaly.window_from, anomaly.started_at), max(anomaly.window_to, anomaly.last_at)
    length = max(
        anomaly.last_at - anomaly.started_at, (anomaly.sensor.period_seconds or 60) * 8 * columns.MICROSECOND * 10**6
    )
    window = sensor_page.Window(
        min(start, anomaly.started_at - CONTEXT * length), max(end, anomaly.last_at + CONTEXT * length)
    )
    stretches = sensor_page.stretches([anomaly])
    if anomaly.expected_low is not None or anomaly.expected_high is not None:
        stretches.append(
            Stretch(
                start=columns.from_instant(anomaly.started_at - length),
                end=columns.from_instant(anomaly.last_at + length),
                label="expected",
                style="expected",
                low=anomaly.expected_low,
                high=anomaly.expected_high,
            )
        )
    return sensor_page.picture(anomaly.sensor, window, stretches=stretches)


class OrderLines(Lines):
    model = WorkOrder
    verbose_name_plural = "work orders"
    fields = readonly_fields = ("page", "state", "opened_at", "completed_at")

    @column("Work order")
    def page(self, row: WorkOrder) -> str:
        return show.link(row)

    @column("Status")
    def state(self, row: WorkOrder) -> str:
        return show.badge(row.status)


@admin.register(Alarm)
class AlarmPage(Judged, HasGuidance, HasEscalation, Hideable):
    change_form_outer_after_template = "admin/maintenance/similar_panel.html"
    list_display = (
        "priority_label", "machine_page", "failure_mode", "state_label", "raised_at", "returned_at", "occurrences",
        "peak", "verdict_label", "sensor_page", "acknowledged_by", "assigned_to",
    )  # fmt: skip
    list_display_links = ("priority_label", "raised_at")
    list_filter = (
        SiteFilter,
        StateFilter,
        AsksFilter,
        "priority",
        "verdict",
        "is_open",
        "is_active",
        "is_acknowledged",
    )
    list_select_related = ("machine", "sensor", "acknowledged_by", "assigned_to")
    search_fields = ("machine__tag", "machine__name", "sensor__external_id", "=failure_mode")
    date_hierarchy = "raised_at"
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("machine_page", "sensor_page"),
                    ("priority_label", "state_label"),
                    ("failure_mode", "anomalies"),
                    ("verdict_label", "verdict_words"),
                    "assigned_to",
                )
            },
        ),
        (
            "What to do",
            {
                "fields": (
                    "response",
                    ("time_to_respond", "definition_page"),
                    "cause",
                    "consequence",
                    ("latches", "told_again"),
                )
            },
        ),
        ("While nobody acknowledges it", {"fields": (("escalation_page", "next_call"), "called_so_far")}),
        ("When", {"fields": (("raised_at", "returned_at"), ("acknowledged_by", "acknowledged_at"), "created_at")}),
        ("How much", {"fields": (("occurrences", "peak"),)}),
    )
    readonly_fields = (
        "machine_page", "sensor_page", "priority_label", "state_label", "failure_mode", "anomalies", "raised_at",
        "returned_at", "acknowledged_by", "acknowledged_at", "created_at", "occurrences", "peak", "assigned_to",
        "verdict_label", "verdict_words", "response", "time_to_respond", "definition_page", "cause", "consequence",
        "latches", "told_again", "escalation_page", "next_call", "called_so_far",
    )  # fmt: skip
    inlines = (OrderLines, AlarmSteps)
    actions = (
        "acknowledge_selected", "unacknowledge_selected", "shelve_selected", "unshelve_selected", "assign_selected",
    )  # fmt: skip
    actions_detail = (
        "acknowledge", "stop_escalation", "unacknowledge", "shelve", "unshelve", "assign_alarm", "comment",
    )  # fmt: skip

    @column("Priority", ordering="priority")
    def priority_label(self, row: Alarm) -> str:
        return show.badge(row.priority)

    @column("Machine", ordering="machine__tag")
    def machine_page(self, row: Alarm) -> str:
        return show.link(row.machine)

    @column("Sensor", ordering="sensor__external_id")
    def sensor_page(self, row: Alarm) -> str:
        return show.link(row.sensor)

    @column("Peak score", ordering="peak_score")
    def peak(self, row: Alarm) -> str:
        return show.number(row.peak_score)

    @column("Anomalies behind it")
    def anomalies(self, row: Alarm) -> str:
        return show.listing(
            "maintenance_anomaly",
            f"{row.machine.tag}, {row.failure_mode}",
            machine__id__exact=row.machine_id,
            failure_mode__exact=row.failure_mode,
        )
