"""By what an attempt is found again: lines of the log, events and spans name the requests that it is of.

They are read from the row that is worked on, so that a retry after a crash, by whoever makes it, is told as the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import structlog

from agents import causes
from agents.causes import Gathered
from agents.lease import Lease
from agents.models import Run
from maintenance.models import Notification
from maintenance.webhook_models import WebhookDelivery
from sensors import correlation, tracing
from sensors.tracing import Span


@contextmanager
def stage(name: str, taken: Lease) -> Iterator[Span]:
    """Around an attempt at a stage. Stage ingest does not know yet which requests it is of (``learn``)."""
    assert isinstance(taken.row, Run)
    gathered: Gathered = {} if name == Run.Stage.INGEST else taken.row.gathered
    said = causes.told(taken.id, gathered)
    with (
        structlog.contextvars.bound_contextvars(run_id=taken.id, stage=name, **said),
        tracing.span(f"stage {name.lower()}") as span,
    ):
        span.note(run_id=taken.id, stage=name.lower(), attempt=taken.attempt, requests=said["requests"])
        if trace := causes.trace_of(gathered):
            span.under(trace)
            tracing.belongs_under(trace)
        try:
            yield span
        finally:
            tracing.belongs_under("")


def learn(run: Run, changes: Mapping[str, Any], span: Span) -> Mapping[str, Any]:
    """What stage ingest leaves on its run, with the trace: that of the one request, or one that begins here and has
    links to those of all. Nothing new where it was another stage."""
    if "gathered" not in changes:
        return changes
    gathered: dict[str, Any] = dict(changes["gathered"])
    said = causes.told(run.pk, gathered)
    structlog.contextvars.bind_contextvars(**said)
    if tracing.is_on():
        traces: list[str] = gathered.get("traces", [])
        alone = gathered["requests"] == 1 and len(traces) == 1
        own = span.under(traces[0] if alone else "", links=() if alone else traces)
        gathered["trace"] = traces[0] if alone else own
        span.note(requests=said["requests"])
        tracing.belongs_under(gathered["trace"])
    return {**changes, "gathered": gathered}


@contextmanager
def delivery(taken: Lease) -> Iterator[Span]:
    """Around an attempt at a message: of the requests of the run that it tells of, if it tells of one."""
    assert isinstance(taken.row, Notification)
    run_id = taken.row.run_id
    gathered: Gathered = {}
    said: dict[str, Any] = {"correlation_id": f"notification-{taken.id}"}
    if run_id is not None:
        gathered = Run.objects.filter(pk=run_id).values_list("gathered", flat=True).first() or {}
        said = causes.told(run_id, gathered)
    with (
        structlog.contextvars.bound_contextvars(notification_id=taken.id, attempt=taken.attempt, **said),
        tracing.span("deliver", tracing.CLIENT) as span,
    ):
        span.note(notification_id=taken.id, attempt=taken.attempt, run_id=run_id)
        span.under(causes.trace_of(gathered))
        yield span


@contextmanager
def webhook(attempted: WebhookDelivery) -> Iterator[dict[str, str]]:
    """Around an attempt at a webhook's delivery: of what the event came of. Gives headers that tell the receiver."""
    event = attempted.event
    found = (event.correlation_id if event is not None else "") or f"webhook-delivery-{attempted.pk}"
    attempt = attempted.attempts + 1
    with (
        structlog.contextvars.bound_contextvars(delivery_id=attempted.pk, attempt=attempt, correlation_id=found),
        tracing.span("webhook", tracing.CLIENT) as span,
    ):
        span.note(delivery_id=attempted.pk, attempt=attempt, correlation_id=found)
        own = span.under(event.traceparent if event is not None else "")
        yield {correlation.HEADER: found} | ({"traceparent": own} if own else {})
