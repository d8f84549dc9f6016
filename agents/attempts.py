"""The only writer of ``StageAttempt``."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.utils import timezone

from agents import lease
from agents.failures import Verdict
from agents.lease import Lease
from agents.models import StageAttempt

TABLE = StageAttempt._meta.db_table


def record(
    taken: Lease, stage: str, started: datetime, outcome: str, verdict: Verdict | None = None, *, told: str = ""
) -> None:
    """What one attempt came to, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE}"
            " (run_id, stage, lease_token, worker, started_at, ended_at, outcome, error_class, error)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                taken.id, str(stage), taken.token, lease.owner(), started, max(started, timezone.now()), str(outcome),
                verdict.error_class if verdict else "", verdict.error if verdict else told,
            ],
        )  # fmt: skip


def deaths(taken: Lease, stage: str) -> int:
    """How many earlier attempts at this stage ended without a word: their workers were killed."""
    told = StageAttempt.objects.filter(run_id=taken.id, stage=stage, lease_token__gt=taken.token - taken.attempt)
    return taken.attempt - 1 - told.filter(lease_token__lt=taken.token).count()
