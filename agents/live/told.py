"""Lines of a stream of server-sent events."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from agents import webhook_event
from maintenance.webhook_filter import About
from sensors import columns
from sensors.models import Event
from sensors.series import Latest

BEAT = b": still here\n\n"
HELLO = b": listening\nretry: 3000\n\n"
RESET = b"event: reset\ndata: {}\n\n"
"""What came before can not be told again: read it over REST."""
ENDED = b"event: ended\ndata: {}\n\n"
"""Whoever listens may not any more, or was too slow."""
QUALITIES = ("GOOD", "UNCERTAIN", "BAD")


@dataclass(frozen=True, slots=True)
class Happened:
    """An event, what it is about, and its lines; made once for all who listen."""

    event: Event
    about: About
    lines: bytes


def happened(event: Event, about: About) -> Happened:
    body = _line(webhook_event.of(event, about))
    return Happened(event, about, f"id: {event.pk}\nevent: {event.type}\ndata: {body}\n\n".encode())


def reading(sensor_id: int, latest: Latest) -> bytes:
    """A reading has no id: where a stream is taken up again does not depend on it."""
    said = {
        "sensor": sensor_id,
        "measured_at": columns.instant_text(latest.measured_at),
        "value": latest.value,
        "quality": QUALITIES[latest.quality],
    }
    return f"event: reading\ndata: {_line(said)}\n\n".encode()


def _line(said: dict[str, Any]) -> str:
    return json.dumps(said, sort_keys=True, separators=(",", ":"))
