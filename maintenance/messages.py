"""The values a message is made from, on one page. Pure: no Django.

What happened to an alarm or a work order (``Transition``), where a site's messages go (``Recipient``), and the outbox
row that comes of the two (``Row``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PRIORITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
"""Most urgent first."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """The anomaly a message tells of: which sensor, what was seen at the peak, what was expected there."""

    sensor_id: int
    sensor: str
    unit: str
    kind: str
    observed: float | None
    expected_low: float | None
    expected_high: float | None


@dataclass(frozen=True, slots=True)
class Transition:
    """One step in the life of an alarm or a work order, with what a reader wants to know of it."""

    source: str
    """``alarm`` or ``work-order``."""
    id: int
    """Of the transition."""
    action: str
    subject_id: int
    """Of the alarm or the work order."""
    title: str
    """A work order's; empty for an alarm."""
    site_id: int
    site: str
    machine_id: int
    machine: str
    failure_mode: str
    priority: str
    since: datetime
    at: datetime
    evidence: Evidence | None
    remark: str = ""
    """Why it happened, where somebody said so."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """An enabled channel of a site."""

    channel_id: int
    site_id: int
    lowest_priority: str


@dataclass(frozen=True, slots=True)
class Pending:
    """What a run has to tell, and to whom."""

    transitions: tuple[Transition, ...]
    recipients: tuple[Recipient, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One message to one recipient, before it is stored. ``payload`` is plain JSON."""

    site_id: int
    channel_id: int
    event_type: str
    subject_line: str
    payload: Mapping[str, Any]
    key: str


def admits(lowest_priority: str, priority: str) -> bool:
    """Whether a channel that sends nothing below ``lowest_priority`` sends this."""
    return PRIORITIES.index(priority) <= PRIORITIES.index(lowest_priority)


def one_line(text: str, *, limit: int) -> str:
    """The text without line breaks and other control characters, at most ``limit`` characters long.

    Names come from users and clients: a line break in one must not start a header, a log line or a line of a message.
    """
    plain = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)
    words = " ".join(plain.split())
    return words if len(words) <= limit else words[: limit - 1] + "…"
