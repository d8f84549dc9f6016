"""Slow down a client for a while: the only writer of ``Throttle``. The intake reads the rates with the backlog."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db.models.functions import Now

from agents.models import Case, Throttle

log = structlog.get_logger(__name__)

READINGS_PER_SECOND = 10
LASTS = timedelta(hours=1)


def put(user_id: int, *, case: Case, reason: str) -> None:
    """From now on, for ``LASTS``; begins anew where there is one already. In the caller's transaction."""
    Throttle.objects.update_or_create(
        user_id=user_id,
        defaults={
            "readings_per_second": READINGS_PER_SECOND, "until": Now() + LASTS, "reason": reason, "case": case,
            "created_at": Now(),
        },
    )  # fmt: skip
    log.warning("agents.throttles.put", user_id=user_id, readings_per_second=READINGS_PER_SECOND, case_id=case.pk)
