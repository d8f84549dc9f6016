"""The dashboards, written down once: ``python -m deploy.grafana.boards`` writes deploy/grafana/dashboards/*.json."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent / "dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
WIDTH, HEIGHT = 12, 8
REQUESTS = "django_http_responses_total_by_status_view_method_total"
ANSWERS = 'django_http_requests_latency_seconds_by_view_method_bucket{view!~"metrics|live|ready"}'


@dataclass(frozen=True, slots=True)
class Panel:
    """``lines``: a query for each legend."""

    title: str
    unit: str
    lines: dict[str, str]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    uid: str
    title: str
    panels: list[Panel] = field(default_factory=list)


def quantiles(of: str, *shares: float, by: str = "") -> dict[str, str]:
    """A line for each share of what a histogram counted."""
    also = f", {by}" if by else ""
    name = f" {{{{{by}}}}}" if by else ""
    return {
        f"{share:.0%}{name}": f"histogram_quantile({share}, sum by (le{also}) (rate({of}[5m])))" for share in shares
    }


BOARDS = [
    Board("bellwether-pipeline", "Pipeline", [
        Panel("Readings that came in", "short", {
            "{{result}}": "sum by (result) (rate(pdm_readings_received_total[5m]))"}, "A second, by outcome."),
        Panel("Readings that were judged", "short", {
            "judged": "sum(rate(pdm_readings_judged_total[5m]))"}, "A second."),
        Panel("Age of the oldest waiting readings", "s", {"age": "pdm_parts_oldest_waiting_age_seconds"},
              "ReadingsWait fires above 60 s."),
        Panel("What waits and is on its way", "short", {
            "parts waiting": "pdm_parts_waiting", "runs on their way": "pdm_runs_active",
            "runs set aside": "pdm_runs_failed"}),
        Panel("Attempts at each stage", "ops", {"{{stage}}": "sum by (stage) (rate(pdm_stage_received_total[5m]))"}),
        Panel("Time of a stage", "s", quantiles("pdm_stage_duration_seconds_bucket", 0.95, by="stage")),
        Panel("Attempts that did not succeed", "ops", {
            "{{stage}} {{result}}": 'sum by (stage, result) (rate(pdm_stage_attempts_total{result!="done"}[5m]))'}),
        Panel("Waiting for a stage", "s", {"{{stage}}": "pdm_stage_oldest_due_age_seconds"}),
        Panel("From reading to alarm", "s", quantiles("pdm_reading_to_alarm_seconds_bucket", 0.5, 0.99)),
        Panel("Messages in queues", "short", {"{{queue}}": "pdm_queue_messages"}),
        Panel("Memory of each service", "bytes", {"{{instance}}": "pdm_service_memory_bytes"}),
        Panel("What the watchdog finds", "short", {
            "stuck runs": "pdm_watchdog_stuck_runs", "expired leases": "pdm_watchdog_expired_leases",
            "stalled lanes": "pdm_watchdog_stalled_lanes", "overdue jobs": "pdm_watchdog_overdue_jobs",
            "overdue messages": "pdm_watchdog_overdue_deliveries"}),
    ]),
    Board("bellwether-api", "API", [
        Panel("Requests by status", "reqps", {"{{status}}": f"sum by (status) (rate({REQUESTS}[5m]))"}),
        Panel("Share of errors", "percentunit", {
            "errors": f'(sum(rate({REQUESTS}{{status=~"5.."}}[5m])) or vector(0)) / sum(rate({REQUESTS}[5m]))'},
              "ErrorsHigh fires above 1 %."),
        Panel("Time to answer", "s", quantiles(ANSWERS, 0.5, 0.95, 0.99), "AnswersSlow fires above 5 s."),
        Panel("Slowest views", "s", {
            "{{view}}": f"topk(5, histogram_quantile(0.95, sum by (le, view) (rate({ANSWERS}[5m]))))"}),
        Panel("Busiest views", "reqps", {"{{view}}": f"topk(5, sum by (view) (rate({REQUESTS}[5m])))"}),
        Panel("Requests with readings that were let in", "reqps", {"in": "rate(pdm_intake_admitted_total[5m])"}),
        Panel("Requests with readings that were refused", "reqps", {
            "{{reason}}": "sum by (reason) (rate(pdm_intake_refused_total[5m]))"}),
        Panel("Memory of the web server", "bytes", {
            "used": 'pdm_service_memory_bytes{job="bellwether"}',
            "allowed": 'pdm_service_memory_limit_bytes{job="bellwether"}'}),
    ]),
    Board("bellwether-models", "Models", [
        Panel("Since the newest version was made", "s", {
            "{{model}}": "time() - pdm_model_last_training_success_timestamp_seconds"},
              "Since 1970 where there was none."),
        Panel("Versions there are", "short", {
            "models with a version": "count(pdm_model_last_training_success_timestamp_seconds > 0) or vector(0)",
            "models without": "count(pdm_model_last_training_success_timestamp_seconds == 0) or vector(0)"}),
        Panel("Machines whose readings have drifted", "short", {"pairs of model and machine": "pdm_models_drifted"}),
        Panel("Models in trouble", "short", {"models": "pdm_models_degraded"}),
        Panel("Trainings, answers and backtests that wait", "short", {
            "{{queue}}": 'pdm_queue_messages{queue=~"train|answer|backtest|schedule"}'}),
        Panel("Time to detect", "s", quantiles('pdm_stage_duration_seconds_bucket{stage="detect"}', 0.5, 0.95)),
    ]),
    Board("bellwether-fleet", "Fleet", [
        Panel("Open alarms", "short", {"{{priority}} {{state}}": "pdm_alarms_active or on() vector(0)"}),
        Panel("Alarms that opened", "short", {"in an hour": "sum(increase(pdm_alarms_opened_total[1h]))"}),
        Panel("Open work orders", "short", {"{{type}}": "pdm_work_orders_open or on() vector(0)"}),
        Panel("Alarms that are a nuisance", "short", {"{{kind}}": "pdm_alarm_nuisances"}),
        Panel("Silent sensors", "short", {"sensors": "pdm_watchdog_silent_sensors"}),
        Panel("Messages to people", "short", {
            "{{channel}} {{result}}": "sum by (channel, result) (increase(pdm_notifications_total[1h]))"}),
        Panel("Messages that wait", "s", {"oldest": "pdm_deliveries_oldest_due_age_seconds"}),
        Panel("Escalations that are late", "short", {
            "missing": "pdm_watchdog_missing_escalations", "overdue": "pdm_watchdog_overdue_escalations"}),
    ]),
    Board("bellwether-database", "Database", [
        Panel("Postgres answers", "short", {"yes": "pdm_database_up"}),
        Panel("Connections to Postgres", "short", {"{{state}}": "pdm_database_connections"},
              "ConnectionsMany fires above 100."),
        Panel("Size of the database", "bytes", {"size": "pdm_database_size_bytes"}),
        Panel("Partitions ahead", "short", {"days": "pdm_partitions_ahead"}),
        Panel("Since the last backup", "s", {"{{kind}}": "time() - pdm_backup_last_success_timestamp_seconds"},
              "Since 1970 where there was none."),
        Panel("Audit trail", "short", {
            "breaks": "pdm_audit_breaks", "age of the oldest unsealed": "pdm_audit_oldest_unsealed_age_seconds"}),
        Panel("Redis", "bytes", {"memory": "pdm_redis_memory_bytes"}),
        Panel("Connections to Redis", "short", {"connections": "pdm_redis_clients"}),
        Panel("Disk that is free", "percentunit", {"free": "pdm_disk_free_ratio"}, "DiskFills fires below 20 %."),
        Panel("Memory of the machine in use", "percentunit", {"used": "pdm_memory_used_ratio"}),
    ]),
]  # fmt: skip


def drawn(board: Board) -> dict[str, Any]:
    """As Grafana reads it."""
    return {
        "uid": board.uid, "title": board.title, "tags": ["bellwether"], "schemaVersion": 39, "version": 1,
        "editable": True, "refresh": "30s", "time": {"from": "now-6h", "to": "now"},
        "panels": [_panel(number, panel) for number, panel in enumerate(board.panels)],
    }  # fmt: skip


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, 24 // WIDTH)
    return {
        "id": number + 1, "title": panel.title, "description": panel.text, "type": "timeseries", "datasource": SOURCE,
        "gridPos": {"h": HEIGHT, "w": WIDTH, "x": column * WIDTH, "y": row * HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": query, "legendFormat": legend}
            for n, (legend, query) in enumerate(panel.lines.items())
        ],
    }  # fmt: skip


def text(board: Board) -> str:
    return json.dumps(drawn(board), indent=2, ensure_ascii=False) + "\n"


def file_of(board: Board) -> Path:
    return FOLDER / f"{board.title.lower()}.json"


def main() -> None:
    for board in BOARDS:
        file_of(board).write_text(text(board), encoding="utf-8")


if __name__ == "__main__":
    main()
