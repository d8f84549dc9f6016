"""What time does: windows and states of machines hide alarms, hidden ones are announced and shown again, standing ones
told again, and floods of them end; meters go on, and plans open their orders.

Due times are columns, looked at by every pass of the sweep. Each step is a transaction of its own behind the lock of
its machine, and does nothing where it was done: any number of sweeps may race, and any of them die in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog
from django.db import InterfaceError, OperationalError, transaction

from agents import notify
from maintenance import floods, meters, notifications, operating, parents, plan_work, re_alarms, suppressions, windows

log = structlog.get_logger(__name__)

MOST = 200
"""Transitions told of in one pass."""


def look() -> None:
    """One pass. One that fails holds up no other."""
    _each(suppressions.ending_soon(), suppressions.say_soon)
    _each(operating.due(), operating.look)
    _each(parents.due(), parents.look)
    _each(suppressions.due(), suppressions.expire)
    _each(windows.due(), windows.look)
    _each(re_alarms.due(), re_alarms.tell_again)
    _each(floods.due(), floods.look)
    _each(meters.due(), meters.look)
    _each(plan_work.due(), plan_work.look)
    tell()


def tell() -> list[int]:
    """Put what no run tells of into the outbox: people ended what hid an alarm, time did, or one
    stands for too long. Ids of the messages."""
    with transaction.atomic():
        told = notifications.take_untold(most=MOST)
        return notifications.create(notify.notify(told.transitions, told.recipients), run_id=None)


def _each(ids: Iterable[int], step: Callable[[int], object]) -> None:
    for row_id in ids:
        try:
            step(row_id)
        except (OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("agents.shelves.failed", row=row_id, step=f"{step.__module__}.{step.__name__}")
