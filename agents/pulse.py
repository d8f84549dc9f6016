"""The sweep's sign of life: a row of its own beside those of the periodic jobs, for all copies of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from django.db.models import F
from django.db.models.functions import Now

from agents.models import JobRun

JOB = "sweep"
SECONDS = 5.0


class Pulse:
    """Notes every few seconds that a pass was made."""

    def __init__(self) -> None:
        self._noted_at = -math.inf

    def note(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        if clock() - self._noted_at < SECONDS:
            return
        rows = JobRun.objects.filter(job=JOB)
        if not rows.update(period=Now(), started_at=Now(), finished_at=Now(), attempts=F("attempts") + 1):
            JobRun.objects.create(
                job=JOB, period=Now(), started_at=Now(), finished_at=Now(), outcome=JobRun.Outcome.DONE, attempts=1
            )
        self._noted_at = clock()
