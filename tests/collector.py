"""Where traces and reports of errors go in tests: real HTTP servers that take what is sent and take it apart."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import brotli
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.servers import HttpSink, Request

UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "br": brotli.decompress}


@dataclass(frozen=True, slots=True)
class Seen:
    """A span as the collector got it; ids in hex."""

    name: str
    trace: str
    span: str
    parent: str
    links: tuple[str, ...]
    attributes: dict[str, Any]
    failed: bool


class Collector(HttpSink):
    """An OTLP collector: what was posted to ``/v1/traces``, as spans."""

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Seen]:
        found = []
        for request in self.received:
            if request.path == "/v1/traces":
                told = ExportTraceServiceRequest.FromString(body_of(request))
                found += [
                    _seen(span)
                    for of_resource in told.resource_spans
                    for scope in of_resource.scope_spans
                    for span in scope.spans
                ]
        return found

    def wait_for(self, holds: Callable[[list[Seen]], bool], *, seconds: float = 60.0) -> list[Seen]:
        """The spans, as soon as they are as wanted."""
        ends = time.monotonic() + seconds
        while not holds(found := self.spans):
            assert time.monotonic() < ends, [one.name for one in found]
            time.sleep(0.1)
        return found


class Reports(HttpSink):
    """What Sentry would get: the events of the envelopes."""

    @property
    def dsn(self) -> str:
        return f"http://public-key@127.0.0.1:{self.port}/7"

    @property
    def events(self) -> list[dict[str, Any]]:
        found = []
        for request in self.received:
            lines = body_of(request).split(b"\n")
            for header, payload in zip(lines[1::2], lines[2::2], strict=False):
                if json.loads(header).get("type") == "event":
                    found.append(json.loads(payload))
        return found


def body_of(request: Request) -> bytes:
    packed = {name.lower(): value for name, value in request.headers.items()}.get("content-encoding", "")
    return UNPACK[packed](request.body) if packed else request.body


def _seen(span: Any) -> Seen:
    values = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
    return Seen(
        name=span.name, trace=span.trace_id.hex(), span=span.span_id.hex(), parent=span.parent_span_id.hex(),
        links=tuple(link.span_id.hex() for link in span.links), attributes=values, failed=span.status.code == 2,
    )  # fmt: skip
