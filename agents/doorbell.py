"""Ring the workers: a message with one id says "look". It may be lost, late or doubled; Postgres is the record.

Ringing never raises and never waits long: after one failed or slow ring this process stays silent for a while, and
the sweep finds what is due.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from celery import current_app
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

QUIET_SECONDS = 10.0
SLOW_SECONDS = 0.5
STALE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Bell:
    """A queue and the one id its task takes."""

    queue: str
    id: int


class Breaker:
    """Opens after a failed or slow ring, and lets one ring through when the quiet time is over."""

    def __init__(self) -> None:
        self.silent_until = 0.0

    def allows(self, now: float) -> bool:
        return now >= self.silent_until

    def note(self, *, now: float, took: float, failed: bool) -> None:
        self.silent_until = now + QUIET_SECONDS if failed or took > SLOW_SECONDS else 0.0


breaker = Breaker()


def ring(bell: Bell) -> bool:
    """Whether the message went out."""
    started = time.monotonic()
    if not breaker.allows(started):
        return False
    failed = False
    try:
        current_app.send_task(
            f"agents.{bell.queue}", args=[bell.id], queue=bell.queue, expires=STALE_SECONDS, retry=False
        )
    except (KombuError, RedisError, OSError) as error:
        failed = True
        log.warning("agents.doorbell.failed", queue=bell.queue, id=bell.id, error=str(error))
    now = time.monotonic()
    breaker.note(now=now, took=now - started, failed=failed)
    return not failed


def ring_all(bells: Iterable[Bell]) -> None:
    for bell in bells:
        ring(bell)


def ring_lanes(lanes: Iterable[int]) -> None:
    """Tell the ingest workers that lanes have something waiting."""
    ring_all(Bell("ingest", lane) for lane in lanes)
