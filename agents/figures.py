"""The figures of the watchdog's audit: one query each, by an index, asked together in one statement.

Each gives two columns: how many are beyond their limit, and the age of the oldest in seconds, 0 where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.conf import settings
from django.db import connection

from agents import timetable
from agents.audit import Figure, Kind
from maintenance.escalation_life import CAUSES
from maintenance.messages import PRIORITIES
from sensors.models import LANES

STUCK_LEASES = 6
LOST_SWEEPS = 30
DELIVERY_LATE_SECONDS = 300
STALLED_SECONDS = 60
JOB_PERIODS = 3
ESCALATION_LATE_SECONDS = 120
ON_THEIR_WAY = ("ACTIVE", "QUARANTINE")
SUMMARY = "SELECT count(*), coalesce(max(age), 0)"
SINCE = "extract(epoch FROM statement_timestamp() - {})"


def queries() -> Mapping[Kind, str]:
    """The query of each figure, without parameters."""
    return {
        Kind.STUCK_RUNS: _stuck_runs(STUCK_LEASES * settings.LEASE_SECONDS),
        Kind.EXPIRED_LEASES: _expired_leases(LOST_SWEEPS * settings.SWEEP_SECONDS),
        Kind.OVERDUE_DELIVERIES: _overdue_deliveries(DELIVERY_LATE_SECONDS),
        Kind.STALLED_LANES: _stalled_lanes(STALLED_SECONDS),
        Kind.OVERDUE_JOBS: _overdue_jobs(),
        Kind.MISSING_ESCALATIONS: _missing_escalations(ESCALATION_LATE_SECONDS),
        Kind.OVERDUE_ESCALATIONS: _overdue_escalations(ESCALATION_LATE_SECONDS),
        Kind.SILENT_SENSORS: _silent_sensors(),
    }


def read() -> list[Figure]:
    """All figures as of one instant."""
    asked = " UNION ALL ".join(
        f"SELECT '{kind}', found.* FROM ({query}) AS found(number, age)" for kind, query in queries().items()
    )
    with connection.cursor() as cursor:
        cursor.execute(asked)
        return [Figure(Kind(kind), int(number), float(age)) for kind, number, age in cursor.fetchall()]


def _stuck_runs(limit: int) -> str:
    """No stage done for so long since the run could last go on. Each state by itself: each has an index of its own."""
    progress = "greatest(run.created_at, run.due_at, (SELECT max(ended_at) FROM agents_stageattempt AS done"
    progress += " WHERE done.run_id = run.id AND done.outcome = 'DONE'))"
    ages = " UNION ALL ".join(
        f"SELECT {SINCE.format(progress)} AS age FROM agents_run AS run WHERE run.status = '{status}'"
        for status in ON_THEIR_WAY
    )
    return f"{SUMMARY} FROM ({ages}) AS runs WHERE age > {limit}"


def _expired_leases(limit: int) -> str:
    ages = [
        f"SELECT {SINCE.format('lease_until')} AS age FROM agents_run WHERE status = '{status}'"
        for status in ON_THEIR_WAY
    ]
    ages.append(f"SELECT {SINCE.format('lease_until')} FROM maintenance_notification WHERE status = 'PENDING'")
    return f"{SUMMARY} FROM ({' UNION ALL '.join(ages)}) AS leases WHERE age > {limit}"


def _overdue_deliveries(limit: int) -> str:
    """Due, not sent, and nobody at it."""
    return (
        f"SELECT count(*), coalesce({SINCE.format('min(due_at)')}, 0) FROM maintenance_notification"
        f" WHERE status = 'PENDING' AND due_at < statement_timestamp() - {limit} * interval '1 second'"
        " AND (lease_until IS NULL OR lease_until < statement_timestamp())"
    )


def _stalled_lanes(limit: int) -> str:
    """The oldest that waits in each lane without an active run: a part, or a run that waits for its turn."""
    since = "least((SELECT created_at FROM sensors_batchpart WHERE state = 'WAITING' AND lane = lanes.lane"
    since += " ORDER BY id LIMIT 1), (SELECT due_at FROM agents_run AS run WHERE status = 'REPLAY'"
    since += " AND run.lane <= lanes.lane AND run.lane + run.lanes > lanes.lane ORDER BY id LIMIT 1))"
    return (
        f"{SUMMARY} FROM (SELECT {SINCE.format(since)} AS age FROM generate_series(0, {LANES - 1}) AS lanes(lane)"
        " WHERE NOT EXISTS (SELECT FROM agents_run AS run WHERE status = 'ACTIVE' AND run.lane <= lanes.lane"
        " AND run.lane + run.lanes > lanes.lane)) AS waiting"
        f" WHERE age > {limit}"
    )


def _overdue_jobs() -> str:
    """Not done for several periods, or never since the watchdog has been at work, whose own job is the one asking."""
    jobs = ", ".join(
        f"('{job}', {period.total_seconds():.0f})" for job, period in timetable.PERIODS.items() if job != "watchdog"
    )
    done = "coalesce((SELECT max(period) FROM agents_jobrun WHERE job = jobs.name AND outcome = 'DONE'),"
    done += " (SELECT min(period) FROM agents_jobrun WHERE job = 'watchdog'))"
    return (
        f"{SUMMARY} FROM (SELECT {SINCE.format(done)} AS age, length FROM (VALUES {jobs}) AS jobs(name, length)) AS due"
        f" WHERE age > {JOB_PERIODS} * length"
    )


def _missing_escalations(limit: int) -> str:
    """Alarms that need somebody since, and have a chain since, and no escalation for it. The query is not the sweep's
    own, so that a fault in one does not hide in the other."""
    urgency = f"array_position(ARRAY{list(PRIORITIES)}::text[], {{}}::text)"
    cause = "SELECT id, recorded_at FROM maintenance_alarmtransition WHERE alarm_id = alarm.id"
    cause += f" AND action IN {tuple(map(str, CAUSES))} ORDER BY id DESC LIMIT 1"
    chain = "SELECT min(changed_at) AS changed_at FROM maintenance_chain AS one WHERE site_id = alarm.site_id"
    chain += f" AND is_enabled AND {urgency.format('lowest_priority')} >= {urgency.format('alarm.priority')}"
    chain += " AND EXISTS (SELECT FROM maintenance_chainstep WHERE chain_id = one.id)"
    hiding = "SELECT FROM maintenance_suppression WHERE machine_id = alarm.machine_id AND ended_at IS NULL"
    hiding += " AND failure_mode IN ('', alarm.failure_mode)"
    known = "SELECT FROM maintenance_escalation WHERE alarm_id = alarm.id AND (ended_at IS NULL OR cause >= begun.id)"
    return (
        f"{SUMMARY} FROM (SELECT {SINCE.format('greatest(begun.recorded_at, chain.changed_at)')} AS age"
        f" FROM maintenance_alarm AS alarm CROSS JOIN LATERAL ({cause}) AS begun CROSS JOIN LATERAL ({chain}) AS chain"
        " WHERE is_active AND NOT is_acknowledged AND chain.changed_at IS NOT NULL"
        f" AND NOT EXISTS ({hiding}) AND NOT EXISTS ({known})) AS needing WHERE age > {limit}"
    )


def _overdue_escalations(limit: int) -> str:
    return (
        f"SELECT count(*), coalesce({SINCE.format('min(due_at)')}, 0) FROM maintenance_escalation"
        f" WHERE ended_at IS NULL AND due_at < statement_timestamp() - {limit} * interval '1 second'"
    )


def _silent_sensors() -> str:
    return (
        f"SELECT count(*), coalesce({SINCE.format('min(silent_since)')}, 0) FROM sensors_sensorpresence"
        " WHERE silent_since IS NOT NULL AND heard_at = silent_since"
    )
