"""The only writer of ``StageAttempt``."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from agents import lease
from agents.failures import Verdict
from agents.lease import Lease
from agents.models import StageAttempt


def record(
    taken: Lease, stage: str, started: datetime, outcome: str, verdict: Verdict | None = None, *, told: str = ""
) -> None:
    """What one attempt came to, in the caller's transaction."""
    StageAttempt.objects.create(
        run_id=taken.id,
        stage=stage,
        lease_token=taken.token,
        worker=lease.owner(),
        started_at=started,
        ended_at=max(started, timezone.now()),
        outcome=outcome,
        error_class=verdict.error_class if verdict else "",
        error=verdict.error if verdict else told,
    )


def deaths(taken: Lease, stage: str) -> int:
    """How many earlier attempts at this stage ended without a word: their workers were killed."""
    told = StageAttempt.objects.filter(run_id=taken.id, stage=stage, lease_token__gt=taken.token - taken.attempt)
    return taken.attempt - 1 - told.filter(lease_token__lt=taken.token).count()
