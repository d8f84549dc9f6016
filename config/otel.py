"""Spans are recorded with OpenTelemetry and sent by OTLP over HTTP, from a thread, some at a time.

Loaded only where ``OTEL_EXPORTER_OTLP_ENDPOINT`` is set. The library reads the other variables of the standard itself
(``OTEL_TRACES_SAMPLER``, ``OTEL_EXPORTER_OTLP_HEADERS``, ``OTEL_BSP_SCHEDULE_DELAY``, ...). A collector that is away
costs spans, nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from agents import version
from sensors import correlation, tracing

KINDS = {tracing.SERVER: SpanKind.SERVER, tracing.INTERNAL: SpanKind.INTERNAL, tracing.CLIENT: SpanKind.CLIENT}
NAMESPACE = "bellwether."
EXPORT_SECONDS = 3


class Recorded(tracing.Span):
    """It began when it was made; whose child it is may be said later, and it is told at its end at the latest."""

    def __init__(self, tracer: trace.Tracer, name: str, kind: tracing.Kind) -> None:
        self._tracer, self._name, self._kind = tracer, name, KINDS[kind]
        self._began = time.time_ns()
        self._attributes: dict[str, Any] = {}
        self._span: trace.Span | None = None
        self._reason = ""

    def under(self, parent: str, *, links: Sequence[str] = ()) -> str:
        if self._span is None:
            around = context_of(parent)
            self._span = self._tracer.start_span(
                self._name,
                Context() if around is None else trace.set_span_in_context(trace.NonRecordingSpan(around), Context()),
                kind=self._kind,
                links=[Link(found) for link in links if (found := context_of(link)) is not None],
                start_time=self._began,
            )
        told = self._span.get_span_context()
        return f"00-{told.trace_id:032x}-{told.span_id:016x}-{int(told.trace_flags):02x}"

    def note(self, **attributes: Any) -> None:
        self._attributes |= {name: value for name, value in attributes.items() if value is not None}

    def failed(self, reason: str) -> None:
        self._reason = reason

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.under("")
        assert self._span is not None
        for name, value in self._attributes.items():
            self._span.set_attribute(name.replace("__", ".") if "__" in name else NAMESPACE + name, value)
        if error is not None or self._reason:
            self._span.set_status(Status(StatusCode.ERROR, self._reason or type(error).__name__))
        self._span.end()


class Recorder:
    def __init__(self) -> None:
        resource = Resource.create({"service.name": "bellwether", "service.version": version.current()})
        self._provider = TracerProvider(resource=resource)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=EXPORT_SECONDS)))
        self._tracer = self._provider.get_tracer("bellwether")

    def span(self, name: str, kind: tracing.Kind) -> Recorded:
        return Recorded(self._tracer, name, kind)

    def flush(self) -> None:
        self._provider.force_flush(1_000 * EXPORT_SECONDS)


def context_of(traceparent: str) -> SpanContext | None:
    if not correlation.traceparent(traceparent):
        return None
    _, trace_id, span_id, flags = traceparent.split("-")
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))


def install() -> None:
    """For this process and those that it forks."""
    tracing.record_with(Recorder())
