"""Which requests a run is of, and by which id it is told in logs, events and traces. Pure.

A run of one request has that request's id. One that gathers several has an id of its own, and names theirs: as many as
fit a line, and how many there are. It lies with the run, so that whoever goes on with it after a crash tells the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

MOST = 16
Gathered = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cause:
    """A request: its id, and the ``traceparent`` of its span where traces are recorded."""

    request: str
    trace: str


def gather(causes: Iterable[Cause]) -> dict[str, Any]:
    """What a run keeps of the requests of its parts, each once, in the order in which they came."""
    every = list(causes)
    requests = dict.fromkeys(cause.request for cause in every if cause.request)
    traces = dict.fromkeys(cause.trace for cause in every if cause.trace)
    found: dict[str, Any] = {"requests": len(requests), "ids": list(requests)[:MOST]}
    return found | ({"traces": list(traces)[:MOST]} if traces else {})


def correlation_id(run_id: int, gathered: Gathered) -> str:
    return str(gathered["ids"][0]) if gathered.get("requests") == 1 else f"run-{run_id}"


def told(run_id: int, gathered: Gathered) -> dict[str, Any]:
    """The fields of each line of the log that is about a run."""
    return {
        "correlation_id": correlation_id(run_id, gathered),
        "requests": gathered.get("requests", 0),
        "request_ids": gathered.get("ids", []),
    }


def trace_of(gathered: Gathered) -> str:
    """The ``traceparent`` that the run's spans are under: of its one request, or of its own first span."""
    return str(gathered.get("trace", ""))
