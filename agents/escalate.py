"""What time does to alarms that nobody acknowledges: whoever is next in the chain is told.

Every pass of the sweep looks at what is due. Each step is a transaction of its own: that it was taken, when the next
is due, and the messages, which are ordinary rows of the outbox. A sweep that dies in between has done none of it.
"""

from __future__ import annotations

from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError, transaction

from agents import doorbell, notify
from agents.doorbell import Bell
from maintenance import escalations, notifications
from maintenance.escalations import Told
from maintenance.messages import Row

log = structlog.get_logger(__name__)


def look(*, now: datetime | None = None) -> None:
    """One pass. An alarm that cannot be dealt with holds up no other."""
    for alarm_id in escalations.due(now=now):
        try:
            doorbell.ring_all(Bell("deliver", row) for row in go_on(alarm_id, now=now))
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("agents.escalate.failed", alarm=alarm_id)


def go_on(alarm_id: int, *, now: datetime | None = None) -> list[int]:
    """What is to be done for one alarm now; ids of the messages that go out."""
    with transaction.atomic():
        told = escalations.go_on(alarm_id, now=now)
        if told is None:
            return []
        return notifications.create(_rows(told), run_id=None, at_once=True)


def _rows(told: Told) -> list[Row]:
    happened = told.transition
    said = {name: getattr(told, name) for name in ("chain", "step", "steps", "time", "waited_minutes")}
    return [
        Row(
            site_id=happened.site_id,
            channel_id=channel_id,
            event_type=happened.kind,
            subject_line=notify.subject_line(happened),
            payload=notify.payload(happened) | {"escalation": said},
            key=f"{told.key}/channel/{channel_id}",
        )
        for channel_id in told.channels
    ]
