"""One id for what belongs together, from a request to what becomes of its readings.

A request has the id it came with, if that is well formed, else one is made. Whatever is written while it is worked on,
lines of the log and events of the journal, carries the id of its context.
"""

from __future__ import annotations

import re
import uuid

import structlog

HEADER = "X-Request-ID"
LONGEST = 64
WELL_FORMED = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{7,{LONGEST - 1}}}")
TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


def of_request(given: str, trace: str) -> str:
    """The id of a request: that of its header ``X-Request-ID``, else the trace's of ``traceparent``, else a new one."""
    if given and WELL_FORMED.fullmatch(given):
        return given
    known = traceparent(trace) if trace else ""
    return known[3:35] if known else str(uuid.uuid4())


def traceparent(given: str) -> str:
    """The header as W3C Trace Context has it, in version 00; empty where it is not well formed."""
    found = TRACEPARENT.fullmatch(given.strip())
    if found is None:
        return ""
    version, trace, span, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace, 16) or not int(span, 16):
        return ""
    return f"00-{trace}-{span}-{flags}"


def current() -> str:
    """The id of what is being worked on; empty where nothing has one."""
    return str(structlog.contextvars.get_contextvars().get("correlation_id", ""))[:LONGEST]
