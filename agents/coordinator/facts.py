"""What is on record of each source of the agents' health, in two statements, however much is stored.

What was done: the newest lines of each record, by its key. What is due: by the index that its workers go by.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from django.conf import settings
from django.db import connection

from agents import timetable
from agents.coordinator.verdict import WINDOW, Facts
from sensors.models import LANES

NEWEST, NEWEST_OF_JOB = 2_000, 120
"""Lines of a record that are looked at: an hour of a job that is due twice a minute."""
NEW_ENOUGH = f"at > statement_timestamp() - interval '{WINDOW.total_seconds():.0f} seconds'"
SCHEDULED = "status IN ('PROPOSED', 'PUBLISHED', 'REPLACED', 'DISCARDED', 'FAILED')"
ENDED = "status IN ('DONE', 'FAILED')"
ERRANDS = {"backtest": "agents_backtest", "training": "mlops_training", "question": "mlops_question",
           "export": "agents_export", "report": "agents_report"}  # fmt: skip
"""Tables of errands, each with an index of what is due."""


def _jobs() -> str:
    return ", ".join(f"('{job}', {period.total_seconds():.0f})" for job, period in timetable.PERIODS.items())


def done_query() -> str:
    """A row for each source that has done anything."""
    records = [
        _record("'stage/' || CASE outcome WHEN 'SEARCHED' THEN 'QUARANTINE' ELSE stage END", "ended_at",
                "outcome IN ('DONE', 'SEARCHED')", "error_class || ' ' || left(error, 500)", "agents_stageattempt",
                "outcome <> 'FENCED'"),
        _record("'deliver'", "ended_at", "outcome = 'SENT'", "left(error, 500)", "maintenance_attempt"),
        _record("'webhook'", "began_at + milliseconds * interval '1 millisecond'",
                "coalesce(answered BETWEEN 200 AND 299, false)",
                "concat_ws(' ', 'answered ' || answered, error)", "maintenance_webhooktry"),
        _record("'escalate'", "at", "true", "''", "maintenance_call"),
        _record("'approve'", "at", "true", "''", "maintenance_approvaldecision", "by_agent"),
        _record("'backup'", "ended_at", "status = 'DONE'", "left(error, 500)", "agents_backup",
                f"{ENDED} AND ended_at IS NOT NULL"),
        _record("'errand/schedule'", "coalesce(made_at, begun_at, requested_at)", "status <> 'FAILED'",
                "left(reason, 500)", "maintenance_schedule", SCHEDULED),
        *(_record(f"'errand/{name}'", "finished_at", "status = 'DONE'", "left(reason, 500)", table, ENDED)
          for name, table in ERRANDS.items()),
        "SELECT 'job/' || jobs.name, line.finished_at, line.outcome = 'DONE', right(line.error, 500),"
        f" timestamptz '-infinity' FROM (VALUES {_jobs()}) AS jobs(name, length) CROSS JOIN LATERAL"
        " (SELECT finished_at, outcome, error FROM agents_jobrun WHERE job = jobs.name AND outcome <> 'RUNNING'"
        f" ORDER BY period DESC LIMIT {NEWEST_OF_JOB}) AS line",
    ]  # fmt: skip
    return (
        "SELECT source, max(at) FILTER (WHERE well), max(at) FILTER (WHERE NOT well),"
        " min(at) FILTER (WHERE NOT well AND at > coalesce(last_well, '-infinity')),"
        f" min(at) FILTER (WHERE NOT well AND {NEW_ENOUGH}),"
        " (array_agg(error ORDER BY at DESC) FILTER (WHERE NOT well))[1],"
        f" count(*) FILTER (WHERE well AND {NEW_ENOUGH}), count(*) FILTER (WHERE NOT well AND {NEW_ENOUGH}),"
        " extract(epoch FROM statement_timestamp() - greatest(min(oldest),"
        f" statement_timestamp() - interval '{WINDOW.total_seconds():.0f} seconds'))"
        " FROM (SELECT *, max(at) FILTER (WHERE well) OVER (PARTITION BY source) AS last_well"
        f" FROM ({' UNION ALL '.join(records)}) AS record(source, at, well, error, oldest)) AS lines GROUP BY source"
    )


def _record(source: str, at: str, well: str, error: str, table: str, where: str = "true") -> str:
    """The newest lines of a table, and since when they are all that there were."""
    lines = (
        f"SELECT {source} AS source, {at} AS at, {well} AS well, {error} AS error FROM {table} WHERE {where}"
        f" ORDER BY id DESC LIMIT {NEWEST}"
    )
    since = f"CASE WHEN count(*) OVER () < {NEWEST} THEN timestamptz '-infinity' ELSE min(at) OVER () END"
    return f"SELECT source, at, well, error, {since} FROM ({lines}) AS newest"


def due_query() -> str:
    """A row for each source that something waits for or is in hand of: since when it is due, how many wait and are in
    hand. Of a job: the end of the period that was done last."""
    counted = "min(due_at) FILTER (WHERE {0}), count(*) FILTER (WHERE {0}), count(*) FILTER (WHERE lease_until >="
    counted += " statement_timestamp())"
    counted = counted.format(
        "due_at <= statement_timestamp() AND (lease_until IS NULL OR lease_until < statement_timestamp())"
    )
    leased = [
        ("'stage/' || stage", "agents_run", "status = 'ACTIVE'"),
        ("'stage/QUARANTINE'", "agents_run", "status = 'QUARANTINE'"),
        ("'deliver'", "maintenance_notification", "status = 'PENDING'"),
        ("'webhook'", "maintenance_webhook", "status IN ('PENDING', 'ACTIVE')"),
        *((f"'errand/{name}'", table, "status IN ('PENDING', 'RUNNING')") for name, table in ERRANDS.items()),
    ]
    beginning = "(SELECT min(period) FROM agents_jobrun WHERE job = 'watchdog')"
    last = "(SELECT max(period) FROM agents_jobrun WHERE job = jobs.name AND outcome = 'DONE')"
    asked = "min(due_at) FILTER (WHERE {0}), count(*) FILTER (WHERE {0}), 0".format("due_at <= statement_timestamp()")
    whole = "SELECT ended_at FROM agents_backup WHERE kind = 'WHOLE' AND status = 'DONE' ORDER BY id DESC LIMIT 1"
    return " UNION ALL ".join(
        [
            *(f"SELECT {name}, {counted} FROM {table} WHERE {where} GROUP BY 1" for name, table, where in leased),
            "SELECT 'stage/INGEST', min(part.created_at), count(*), 0"
            f" FROM generate_series(0, {LANES - 1}) AS lanes(lane) CROSS JOIN LATERAL (SELECT created_at FROM"
            " sensors_batchpart WHERE state = 'WAITING' AND lane = lanes.lane ORDER BY id LIMIT 1) AS part",
            f"SELECT 'approve', {asked} FROM maintenance_approvalwait WHERE due_at IS NOT NULL",
            f"SELECT 'escalate', {asked} FROM maintenance_escalation WHERE ended_at IS NULL",
            "SELECT 'errand/schedule', min(requested_at), count(*), count(begun_at) FROM maintenance_schedule"
            " WHERE status = 'REQUESTED'",
            f"SELECT 'backup', ended_at + interval '{settings.BACKUP_HOURS} hours', 0, 0 FROM ({whole}) AS newest",
            f"SELECT 'job/' || name, coalesce({last}, {beginning}) + length * interval '1 second', 0, 0"
            f" FROM (VALUES {_jobs()}) AS jobs(name, length)",
        ]
    )


def read() -> tuple[dict[str, Facts], datetime]:
    """The facts of every source that has any, and the database's instant of them."""
    with connection.cursor() as cursor:
        cursor.execute(done_query())
        done = {
            source: Facts(well, bad, since, lately, (error or "").strip(), good, failed, float(covered))
            for source, well, bad, since, lately, error, good, failed, covered in cursor.fetchall()
        }
        cursor.execute(f"SELECT *, statement_timestamp() FROM ({due_query()}) AS due(source, due_at, waiting, held)")
        now: datetime | None = None
        for source, due_at, waiting, held, at in cursor.fetchall():
            now = at
            before = done.get(source, Facts())
            due = min((one for one in (before.due_at, due_at) if one is not None), default=None)
            done[source] = replace(before, due_at=due, waiting=before.waiting + waiting, held=before.held + held)
    assert now is not None  # every job has a row
    return done, now
