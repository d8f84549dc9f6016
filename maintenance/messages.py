"""The values a message is made from, on one page. Pure: no Django.

What happened to an alarm or a work order (``Transition``), where a site's messages go and what is wanted there
(``Recipient``), and the outbox row that comes of the two (``Row``).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PRIORITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
"""Most urgent first."""

KINDS = (
    "alarm.opened", "alarm.raised", "alarm.reopened", "alarm.returned", "alarm.unshelves_soon", "alarm.unshelved",
    "alarm.unsuppressed", "alarm.back_in_service", "alarm.re_alarmed", "work-order.opened",
    "work-order.waits", "work-order.rejected",
)  # fmt: skip
"""The kinds of event that are told. What people do themselves (acknowledge, comment, shelve) is not, but for what ends
the hiding of an alarm that is still active."""


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
class Guidance:
    """What people laid down for the alarm; a text is empty where they said nothing of it."""

    cause: str
    consequence: str
    response: str
    respond_within_minutes: int | None


@dataclass(frozen=True, slots=True)
class PastCase:
    """A work order of the same machine and failure mode that was completed, and what was found."""

    order_id: int
    closed_at: datetime
    findings: str


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
    places: frozenset[int] = frozenset()
    """The machine and the lines it stands in."""
    past: tuple[PastCase, ...] = ()
    """The newest first."""
    guidance: Guidance | None = None

    @property
    def kind(self) -> str:
        """The kind of event, such as ``alarm.opened``."""
        return f"{self.source}.{self.action.lower()}"


@dataclass(frozen=True, slots=True)
class Wish:
    """What one subscription asks for. ``place``: a machine or line, None for the whole site; no ``kinds``: all."""

    place: int | None
    lowest_priority: str
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class Recipient:
    """An enabled channel of a site.

    ``wishes``: the subscriptions that name the channel or the person whose it is; without any it gets all of its site.
    ``address``: what makes two channels the same to who reads them, empty where nothing does.
    """

    channel_id: int
    site_id: int
    lowest_priority: str
    wishes: tuple[Wish, ...] = ()
    address: str = ""


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


def wants(recipient: Recipient, transition: Transition) -> bool:
    """Whether a channel is to be told of this: it is of its site, not below its priority, and some subscription asks
    for it."""
    if recipient.site_id != transition.site_id or not admits(recipient.lowest_priority, transition.priority):
        return False
    return not recipient.wishes or any(_asks(wish, transition) for wish in recipient.wishes)


def _asks(wish: Wish, transition: Transition) -> bool:
    return (
        (wish.place is None or wish.place in transition.places)
        and admits(wish.lowest_priority, transition.priority)
        and (not wish.kinds or transition.kind in wish.kinds)
    )


def counted(number: int, noun: str) -> str:
    """Such as ``1 alarm`` and ``7 alarms``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def one_line(text: str, *, limit: int) -> str:
    """The text without line breaks and other control characters, at most ``limit`` characters long.

    Names come from users and clients: a line break in one must not start a header, a log line or a line of a message.
    """
    plain = "".join(" " if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in text)
    words = " ".join(plain.split())
    return words if len(words) <= limit else words[: limit - 1] + "…"
