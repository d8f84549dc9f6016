"""What a channel is: one way to carry a message to one recipient.

A channel sends within its time limit and returns what the other side calls the message, or raises one of the two
failures. It touches no database and is never called inside a transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class File:
    """What a mail carries beside its words."""

    name: str
    media_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Message:
    """What a channel needs to know of a notification. ``key`` is the same for each attempt to send it."""

    key: str
    event_type: str
    subject_line: str
    payload: Mapping[str, Any]
    target: str
    secret: str
    time_zone: str
    created_at: datetime
    language: str = "en"
    links: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Where its reader acts with one click, by what it is about, such as ``alarm/7``, and by purpose; none for
    programs."""
    files: tuple[File, ...] = ()


class Permanent(Exception):
    """Sending again would fail again. ``gone``: the target itself is no more, or may not be reached at all."""

    def __init__(self, reason: str, *, gone: bool = False) -> None:
        super().__init__(reason)
        self.gone = gone


class Transient(Exception):
    """Sending again may succeed, but not before ``retry_after`` seconds have passed."""

    def __init__(self, reason: str, *, retry_after: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Channel(Protocol):
    def send(self, message: Message) -> str: ...
