"""What the workers count and time for Prometheus. Labels have few values each: stages, kinds, channels, results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

from django.utils import timezone
from prometheus_client import Counter, Histogram

from agents.models import Run
from maintenance.models import AlarmTransition, Channel
from sensors.models import BatchPart

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
OPENINGS = (AlarmTransition.Action.OPENED, AlarmTransition.Action.REOPENED)
RESULTS = ("done", "retry", "quarantine", "fenced", "infrastructure")

RECEIVED = Counter("pdm_stage_received", "Attempts at a stage that were begun.", ["stage"])
ENDED = Counter("pdm_stage_attempts", "Attempts at a stage, by how they ended.", ["stage", "result"])
FAILURES = Counter("pdm_stage_failures", "Attempts at a stage that failed, by sort of failure.", ["stage", "reason"])
TOOK = Histogram("pdm_stage_duration_seconds", "How long an attempt at a stage took.", ["stage"], buckets=SECONDS)
JUDGED = Counter("pdm_readings_judged", "Readings that went through all stages.")
ALARMED = Histogram(
    "pdm_reading_to_alarm_seconds",
    "From the oldest reading of a run being accepted to its alarm being opened.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0),
)
OPENED = Counter("pdm_alarms_opened", "Alarms that were opened, or became active again.")
DELIVERIES = Counter("pdm_notifications", "Attempts at a message, by channel and result.", ["channel", "result"])

for _stage in Run.Stage.values:  # a count of 0 can be told from a missing one
    RECEIVED.labels(_stage.lower()), TOOK.labels(_stage.lower())
    for _result in RESULTS:
        ENDED.labels(_stage.lower(), _result)
for _channel in Channel.Kind.values:
    for _result in ("sent", "retry", "failed"):
        DELIVERIES.labels(_channel, _result)


class Ended(Protocol):
    """How an attempt ended, in one word."""

    @property
    def result(self) -> str: ...


Kept = TypeVar("Kept", bound=Ended)


@contextmanager
def attempt(stage: str) -> Iterator[Callable[[Kept], Kept]]:
    """Around an attempt that was claimed: counts it, how long it took, and how it ended, which the block says. Whatever
    leaves the block as an error is the infrastructure's: there is no verdict on it."""
    stage = stage.lower()
    RECEIVED.labels(stage).inc()
    began, result = time.monotonic(), "infrastructure"

    def ended(outcome: Kept) -> Kept:
        nonlocal result
        result = outcome.result
        return outcome

    try:
        yield ended
    finally:
        TOOK.labels(stage).observe(time.monotonic() - began)
        ENDED.labels(stage, result).inc()


def alarms_of(run_id: int) -> None:
    """Count the alarms that a run opened, and how long its oldest reading had been here. After its decisions are
    committed."""
    opened = AlarmTransition.objects.filter(run_id=run_id, action__in=OPENINGS).count()
    oldest = BatchPart.objects.filter(run_id=run_id).order_by("created_at").values_list("created_at", flat=True).first()
    if not opened or oldest is None:
        return
    OPENED.inc(opened)
    ALARMED.observe(max(0.0, (timezone.now() - oldest).total_seconds()))
