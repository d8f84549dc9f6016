"""The door of the intake: lets a request pass, or refuses it with a problem, a count and a line in the log."""

from __future__ import annotations

import structlog
from django.conf import settings
from prometheus_client import Counter

from agents import admission, backlog, quota
from agents.admission import Reason
from sensors import problems
from sensors.inbox import Arriving
from sensors.models import Batch
from sensors.problems import Problem

log = structlog.get_logger(__name__)

ADMITTED = Counter("pdm_intake_admitted", "Requests with readings that were let in.")
REFUSED = Counter("pdm_intake_refused", "Requests with readings that were refused for now, by reason.", ["reason"])
READINGS = Counter(
    "pdm_readings_received", "Readings in requests that were let in, by what became of each.", ["result"]
)
_received = {name: READINGS.labels(name) for name in ("accepted", "held", "duplicates", "rejected")}
for _reason in Reason:
    REFUSED.labels(_reason)  # a count of 0 can be told from a missing one

OVERLOAD = {Reason.BACKLOG_AGE, Reason.BACKLOG_READINGS}
"""What is everybody's: 503. The rest is the sender's own: 429."""


def admit(arriving: Arriving) -> None:
    """Raises a ``too-many-requests`` or ``unavailable`` problem; a request that is refused uses up no quota."""
    limits = admission.Limits(
        seconds=settings.INTAKE_MAX_BACKLOG_SECONDS, readings=settings.INTAKE_MAX_BACKLOG_READINGS
    )
    load = backlog.gauge.load(limits)
    overload = admission.decide(load, limits=limits, site_id=arriving.site_id, critical=arriving.critical)
    refusal = overload or quota.take(
        quota.buckets(
            user_id=arriving.user_id,
            site_id=arriving.site_id,
            client_rate=admission.client_rate(
                load, user_id=arriving.user_id, agreed=settings.INTAKE_CLIENT_READINGS_PER_SECOND
            ),
            site_rate=settings.INTAKE_SITE_READINGS_PER_SECOND,
        ),
        readings=arriving.readings,
    )
    if refusal is None:
        ADMITTED.inc()
        return
    REFUSED.labels(refusal.reason).inc()
    log.warning(
        "agents.intake.refused", reason=refusal.reason, detail=refusal.detail, site=arriving.site_id,
        user=arriving.user_id, readings=arriving.readings, critical=arriving.critical,
    )  # fmt: skip
    name = "unavailable" if refusal.reason in OVERLOAD else "too-many-requests"
    raise Problem(name, refusal.detail, retry_after=refusal.wait or problems.retry_soon())


def count(batch: Batch) -> None:
    """Counts the readings of a batch that was stored now."""
    for name, series in _received.items():
        series.inc(getattr(batch, name))


def count_failure(error: Exception) -> None:
    """Counts a request that the database's trouble kept out."""
    if problems.is_database_trouble(error):
        REFUSED.labels(Reason.DATABASE).inc()
