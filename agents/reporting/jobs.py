"""A report that was asked for is an errand: made by a worker, tried again, given up.

What makes reports is loaded when the first one is made: it takes memory of every process that has it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib import import_module
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from agents import doorbell, errand, failpoints
from agents.doorbell import Bell
from agents.errand import Errand, Finish, Tell
from agents.report_models import Form, Kind, Report
from agents.reporting import document, schedules
from agents.reporting.period import Asked

LONGEST_SECONDS = 600
KEPT = timedelta(days=30)
"""How long a file is kept; the row stays."""
BUILDERS = {
    Kind.ANOMALY: "agents.reporting.anomalies", Kind.MAINTENANCE: "agents.reporting.upkeep",
    Kind.SYSTEM_HEALTH: "agents.reporting.service", Kind.DATA_QUALITY: "agents.reporting.quality",
}  # fmt: skip
FORMS: Mapping[str, Callable[[document.Document], bytes]] = {
    Form.JSON: document.as_json, Form.CSV: document.as_csv,
    Form.PDF: lambda made: bytes(import_module("agents.reporting.pdf").of(made)),
}  # fmt: skip


def perform(report_id: int) -> str:
    """One attempt (``errand.perform``)."""
    return errand.perform(ERRAND, report_id)


def build(row: Report) -> document.Document:
    made: document.Document = import_module(BUILDERS[Kind(row.kind)]).make(Asked(row.site, row.from_at, row.to_at))
    return made


def _work(row: Report, tell: Tell) -> Finish:
    content = FORMS[row.form](build(row))
    tell({"size": len(content)})

    def finish() -> dict[str, Any]:
        bells = [Bell("deliver", key) for key in schedules.mail(row)]
        failpoints.reach("report:mailed")
        transaction.on_commit(lambda: doorbell.ring_all(bells), robust=True)
        return {"content": content, "sha256": hashlib.sha256(content).hexdigest(), "expires_at": Now() + KEPT}

    return finish


ERRAND = Errand("report", Report, _work, LONGEST_SECONDS, "ask for a shorter period.", refusals=())
