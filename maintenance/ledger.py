"""Each attempt to send a message: who tried when, and what came of it. The only writer of Attempt."""

from __future__ import annotations

from datetime import datetime

from maintenance import messages
from maintenance.models import Attempt

REASON_LIMIT = 300


def tried(
    notification_id: int, *, attempt: int, worker: str, began_at: datetime, outcome: str, reference: str = "",
    error: str = "",
) -> None:  # fmt: skip
    """In the transaction that records the outcome with the message itself."""
    Attempt.objects.create(
        notification_id=notification_id, attempt=attempt, worker=worker, began_at=began_at, outcome=outcome,
        reference=messages.one_line(reference, limit=REASON_LIMIT), error=error,
    )  # fmt: skip
