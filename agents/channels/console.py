"""The worker's own log: for trying things out, and for log collectors that page."""

from __future__ import annotations

import structlog

from agents.channels.contract import Message

log = structlog.get_logger(__name__)


class Console:
    def send(self, message: Message) -> str:
        log.info(
            "agents.console.message",
            key=message.key,
            type=message.event_type,
            subject_line=message.subject_line,
            payload=message.payload,
        )
        return "log"
