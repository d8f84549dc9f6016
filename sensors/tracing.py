"""Spans of OpenTelemetry over the way of a request, where tracing is switched on; else next to nothing.

Whoever has something to time asks here and knows no library. What records the spans is set by ``config.otel``. Across
processes a span is told as W3C ``traceparent``: it lies with the batch, with the run and with the event, so that it is
there after a crash as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from types import TracebackType
from typing import Any, Protocol, Self

Kind = str
SERVER, INTERNAL, CLIENT = "server", "internal", "client"


class Span:
    """One that is not recorded: what is used where tracing is off."""

    def under(self, parent: str, *, links: Sequence[str] = ()) -> str:
        """Say whose child it is and what it is linked with, before its end; returns its own ``traceparent``. Without a
        parent it begins a trace."""
        return ""

    def note(self, **attributes: Any) -> None:
        """Attributes; None is left out."""

    def failed(self, reason: str) -> None:
        """It did not come to what it was to do."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None


class Recorder(Protocol):
    """Makes spans that are recorded."""

    def span(self, name: str, kind: Kind) -> Span: ...

    def flush(self) -> None: ...


NOT_RECORDED = Span()
_here: ContextVar[str] = ContextVar("traceparent", default="")
_recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """For this process and those that it forks."""
    global _recorder
    _recorder = recorder


def is_on() -> bool:
    return _recorder is not None


def span(name: str, kind: Kind = INTERNAL) -> Span:
    """A span from here to the end of the ``with`` block."""
    return NOT_RECORDED if _recorder is None else _recorder.span(name, kind)


def current() -> str:
    """The ``traceparent`` that what is written now belongs under; empty where there is none."""
    return "" if _recorder is None else _here.get()


def belongs_under(traceparent: str) -> None:
    """From here on in this context; whoever sets it also ends it, with an empty one."""
    if _recorder is not None:
        _here.set(traceparent)


def flush() -> None:
    """Send what is recorded: before a process ends that ends at once."""
    if _recorder is not None:
        _recorder.flush()
