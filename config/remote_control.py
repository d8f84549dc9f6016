"""What workers answer over the broker: questions. Orders (stop, drop, change limits) they do not take from there.

Their health checks and Flower ask; to stop one or to change it takes a shell on its machine.
"""

from __future__ import annotations

from typing import Any

from celery.signals import celeryd_init
from celery.worker.control import Panel

ANSWERED = frozenset({"ping", "stats", "active", "active_queues", "registered", "reserved", "scheduled", "revoked"})


@celeryd_init.connect
def forget_orders(**_: Any) -> None:
    for name in set(Panel.data) - ANSWERED:
        del Panel.data[name]
