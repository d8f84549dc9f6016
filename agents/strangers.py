"""Runs that stand where this version does not know its way: written by a newer one during a rolling deploy, or left
behind by it after a rollback. They are left alone, counted, and told of once in a while."""

from __future__ import annotations

import time

import structlog

from agents.models import Run

log = structlog.get_logger(__name__)

TELL_SECONDS = 60.0
SHOWN = 10


class Teller:
    """Tells again only after a while, so that a sweep each second does not fill the log."""

    def __init__(self) -> None:
        self.silent_until = 0.0

    def tell(self) -> None:
        now = time.monotonic()
        if now < self.silent_until:
            return
        self.silent_until = now + TELL_SECONDS
        rows = Run.objects.strange().order_by("id").values_list("id", "status", "stage")[:SHOWN]
        if rows:
            log.error("agents.strangers.left-alone", runs=[f"{run} {status} at {stage}" for run, status, stage in rows])


teller = Teller()
