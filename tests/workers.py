"""Workers that may die: what a Celery worker does with bells, in a child process; and what the sweep does after it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from django.db import connections
from django.utils import timezone

from agents import sweeper
from agents.doorbell import Bell
from agents.export_models import Export
from agents.models import Backtest, Run, StageAttempt
from agents.report_models import Report
from maintenance.models import AlarmTransition, Anomaly, Decision, Notification, WorkOrder
from mlops.models import MachineState, Question, Training
from sensors.models import BatchPart, Event, Reading, Sensor


def work(bells: Iterable[Bell], *, environment: Mapping[str, str] | None = None) -> int:
    """Answer bells and those they lead to in a child process; its exit status."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        os.environ.update(environment or {})
        try:
            sweeper.work_off(bells)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def let_time_pass() -> None:
    """Leases run out, and what waited for another try is due."""
    long_ago = timezone.now() - timedelta(seconds=1)
    for model in (Run, Notification, Backtest, Export, Training, Question, Report):
        model._default_manager.filter(lease_until__isnull=False).update(lease_until=long_ago)
        model._default_manager.update(ring_after=long_ago, due_at=long_ago)


def recover(*, environment: Mapping[str, str] | None = None) -> None:
    """What the sweep does after a crash, until nothing is due."""
    let_time_pass()
    while bells := list(sweeper.due()):
        work(bells, environment=environment)
        let_time_pass()


def effects(sensor: Sensor) -> dict[str, Any]:
    """Everything the flow did, without the ids."""
    site = sensor.site
    return {
        "readings": sorted(Reading.objects.filter(sensor=sensor).values_list("measured_at", "value", "quality")),
        "anomalies": sorted(
            Anomaly.objects.filter(site=site).values_list("kind", "started_at", "ended_at", "readings")
        ),
        "transitions": sorted(AlarmTransition.objects.filter(alarm__site=site).values_list("action", "at")),
        "orders": sorted(WorkOrder.objects.filter(site=site).values_list("failure_mode", "occurrences")),
        "decisions": sorted(Decision.objects.filter(machine=sensor.machine).values_list("action", "reason", "at")),
        "notifications": sorted(Notification.objects.filter(site=site).values_list("subject_line", "status")),
        "events": sorted(Event.objects.filter(site=site).values_list("type", "occurred_at")),
        "parts": sorted(BatchPart.objects.filter(batch__site=site).values_list("state", "stored", "already_stored")),
        "stages": sorted(StageAttempt.objects.filter(outcome="DONE").values_list("stage", flat=True)),
        "memory": bytes(MachineState.objects.get(machine=sensor.machine).memory),
    }
