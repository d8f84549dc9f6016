"""What time does to hidden alarms: the notice before their end, the end itself, and the messages of both.

Due times are columns, looked at by every pass of the sweep. Each step is a transaction of its own behind the lock of
its machine, and does nothing where it was done: any number of sweeps may race, and any of them die in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog
from django.db import InterfaceError, OperationalError, transaction

from agents import notify
from maintenance import notifications, suppressions

log = structlog.get_logger(__name__)

MOST = 200
"""Transitions told of in one pass."""


def look() -> None:
    """One pass. A suppression that cannot be ended holds up no other."""
    _each(suppressions.ending_soon(), suppressions.say_soon)
    _each(suppressions.due(), suppressions.expire)
    tell()


def tell() -> list[int]:
    """Put what no run tells of into the outbox: people ended what hid an alarm, or time did. Ids of the messages."""
    with transaction.atomic():
        told = notifications.take_untold(most=MOST)
        return notifications.create(notify.notify(told.transitions, told.recipients), run_id=None)


def _each(ids: Iterable[int], step: Callable[[int], object]) -> None:
    for suppression_id in ids:
        try:
            step(suppression_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("agents.shelves.failed", suppression=suppression_id, step=step.__name__)
