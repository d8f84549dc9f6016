"""A mail server and a webhook receiver that are slow, busy or break off now and then, and keep a log of what came."""

from __future__ import annotations

import asyncio
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from agents.channels.sink import SmtpSink
from tests.servers import Answer, HttpSink, Request

KEEP, BUSY, TOO_MANY, LATE, CUT = "kept", "busy", "too many", "kept, answered late", "kept, broken off"
WEIGHTS = {KEEP: 78, BUSY: 9, TOO_MANY: 4, LATE: 4, CUT: 5}
MAIL_WEIGHTS = {KEEP: 84, BUSY: 8, LATE: 4, CUT: 4}
LATE_SECONDS = 7.0  # the webhook's own limit is 5 s
RETRY_AFTER = {"Retry-After": "2"}


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing that reached a sink. ``key`` is the same for each copy; ``doing``: what the sink made of it."""

    sink: str
    key: str
    at: float
    doing: str
    site: str
    """To whom it was sent."""
    tells_of: str
    """The site whose doings it tells of; empty where it does not say."""

    @property
    def was_kept(self) -> bool:
        return self.doing in (KEEP, LATE, CUT)


@dataclass(slots=True)
class Log:
    """What both sinks got, and how they choose to behave; ``is_kind``: they do nothing but accept."""

    dice: random.Random
    is_kind: bool = False
    deliveries: list[Delivery] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def choose(self, weights: dict[str, int]) -> str:
        with self.lock:
            return KEEP if self.is_kind else self.dice.choices(list(weights), list(weights.values()))[0]

    def add(self, delivery: Delivery) -> None:
        with self.lock:
            self.deliveries.append(delivery)

    def counts(self) -> Counter[str]:
        return Counter(f"{one.sink} {one.doing}" for one in self.deliveries)


def copies(deliveries: Iterable[Delivery]) -> Counter[tuple[str, str]]:
    """How often each message was kept by its sink."""
    return Counter((one.sink, one.key) for one in deliveries if one.was_kept)


class StormyMail(SmtpSink):
    """Keeps mails under their Message-ID."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        doing = self.log.choose(MAIL_WEIGHTS)
        reply = await super().handle_DATA(server, session, envelope)
        mail = self.received[-1]
        site = mail.recipients[0].partition("@")[0]
        self.log.add(Delivery("mail", mail.message_id, time.time(), doing, site, ""))
        if doing == BUSY:
            return "451 4.3.0 busy, try again"
        if doing == LATE:
            await asyncio.sleep(LATE_SECONDS)
        if doing == CUT and server.transport is not None:
            server.transport.abort()
        return reply


class StormyHook(HttpSink):
    """Keeps requests under their Idempotency-Key."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self.log = log

    def answer(self, request: Request) -> Answer:
        doing = self.log.choose(WEIGHTS)
        event: dict[str, Any] = json.loads(request.body)
        site = request.path.rpartition("/")[2]
        tells_of = str(event["data"]["site"]["name"]).lower()
        self.log.add(Delivery("hook", request.headers["Idempotency-Key"], time.time(), doing, site, tells_of))
        if doing == LATE:
            self._closing.wait(LATE_SECONDS)
        return {
            BUSY: Answer(status=503), TOO_MANY: Answer(status=429, headers=RETRY_AFTER), CUT: Answer(cut=True),
        }.get(doing, Answer())  # fmt: skip
