"""What is wrong with a service, as rows: written past the service, read by the figures that it shows itself.

python -m tests.bench.ills plant     a site with a machine that may be sent for; prints keys and the sensor's name
python -m tests.bench.ills rows      everything at once
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from agents.backup_models import Backup
from agents.models import Heartbeat, JobRun, Run
from maintenance.escalation_models import Escalation
from maintenance.models import Notification
from mlops.drift_models import DriftCheck
from sensors import audit_chain, columns, keys, permissions
from sensors.audit_models import AuditEntry
from sensors.models import Batch
from tests import factories, plant

PARTS = 10_001
HIGH = 40.0
FROM_ROWS = (
    "AuditNotSealed", "AuditTrailBroken", "BackupFailed", "BackupOld", "BacklogDeep", "EscalationsLate",
    "HeartbeatNotAnswered", "JobsOverdue", "LeasesExpired", "MessagesWait", "ModelsDegraded", "PartitionsMissing",
    "ReadingsDrift", "ReadingsWait", "RunsSetAside", "RunsStuck", "SensorsSilent", "StageWaits",
)  # fmt: skip
"""Alerts that these rows bring about, with nobody at work who would see to them."""


def make_plant() -> dict[str, str]:
    """A sensor with a limit, a program that may send for it and one that may read."""
    site = factories.site(slug="watched")
    sensor = factories.sensor(machine=factories.machine(site=site), high=HIGH)
    actor, made = factories.user(site=site, username="watcher"), {"sensor": sensor.external_id}
    for name, scope in (("sender", permissions.SEND), ("reader", permissions.READ)):
        _, secret = keys.create(site=site, name=name, kind="PROGRAM", scopes=[scope], actor=actor)
        made[name] = f"{keys.SCHEME} {secret}"
    return made


def write_rows() -> None:
    """One of each ill."""
    now = timezone.now()
    hour, day = now - timedelta(hours=1), now - timedelta(days=1)
    made = plant.rows(factories.site())  # a run that was set aside, a silent sensor, a model in trouble
    Run.objects.create(
        lane=(made.machine.lane or 0), stage="DETECT", created_at=hour, due_at=hour, ring_after=hour, lease_until=hour,
        lease_owner="a worker that died",
    )  # fmt: skip
    JobRun.objects.create(job="watchdog", period=day, started_at=day, finished_at=day, outcome="DONE")
    Notification.objects.update(status="PENDING", due_at=hour, error="")
    Escalation.objects.update(due_at=hour)
    Heartbeat.objects.update_or_create(pk=1, defaults={"answered_at": hour})
    DriftCheck.objects.create(
        machine=made.machine, name="wear", version=1, from_at=hour, to_at=now, verdict="DRIFTED", reason="made",
        features=[], anomaly_id=made.anomaly.pk, retraining="none: made",
    )  # fmt: skip
    Backup.objects.create(
        kind="WHOLE", status="FAILED", place="/backups", stamp="9", error="No space left on device", ended_at=now
    )
    with connection.cursor() as cursor:
        _wait(cursor, made.batch)
        _break_the_audit_trail(cursor)
        cursor.execute(
            "SELECT relname FROM pg_inherits JOIN pg_class ON oid = inhrelid WHERE right(relname, 8) ~ '^[0-9]{8}$'"
            " AND right(relname, 8) > to_char(statement_timestamp(), 'YYYYMMDD')"
        )
        for (partition,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {partition}")


def _wait(cursor: Any, batch: Batch) -> None:
    """So many parts, since two minutes."""
    cursor.execute(
        "INSERT INTO sensors_batchpart (batch_id, lane, state, readings, columns, outcome, error, created_at)"
        " SELECT %s, 60, 'WAITING', 0, %s, '{}', '', statement_timestamp() - interval '2 minutes'"
        " FROM generate_series(1, %s)",
        [batch.pk, columns.pack(columns.empty()), PARTS],
    )


def _break_the_audit_trail(cursor: Any) -> None:
    """Three sealed entries, of which somebody alters the second past the service; and one that is not sealed."""
    for n in range(3):
        AuditEntry.objects.create(credential="session", action=f"made.{n}")
    audit_chain.seal()
    cursor.execute("ALTER TABLE sensors_auditentry DISABLE TRIGGER USER")
    cursor.execute("UPDATE sensors_auditentry SET hash = repeat('0', 64) WHERE action = 'made.1'")
    AuditEntry.objects.create(credential="session", action="made.late", at=timezone.now() - timedelta(hours=1))
    cursor.execute("ALTER TABLE sensors_auditentry ENABLE TRIGGER USER")


def main() -> int:
    if sys.argv[1] == "plant":
        sys.stdout.write(json.dumps(make_plant()) + "\n")
    else:
        write_rows()
    return 0


if __name__ == "__main__":
    sys.exit(main())
