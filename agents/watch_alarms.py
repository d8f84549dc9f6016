"""Looks every minute for alarms that are a nuisance, and tells of them in the log.

The admin's first page and the metrics show the same, read when they are asked for.
"""

from __future__ import annotations

import structlog
from django.utils import timezone

from maintenance import nuisance
from maintenance.nuisance import Finding

log = structlog.get_logger(__name__)


def watch() -> list[Finding]:
    """The periodic job."""
    found = nuisance.look(now=timezone.now())
    for one in found:
        log.warning(f"agents.watch-alarms.{one.kind}", site=one.site_id, count=one.count)
    return found
