"""Ring the workers: a message with one id says "look". It may be lost, late or doubled; Postgres is the record.

Ringing never raises and never waits long: after one failed or slow ring this process stays silent for a while, and
the sweep finds what is due.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass

import structlog
from celery import current_app
from django.db import DatabaseError, connection
from kombu import pools
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from agents import lanes as together
from agents.breaker import SLOW_SECONDS, Breaker
from agents.models import Run

log = structlog.get_logger(__name__)

STALE_SECONDS = 60
IN_HASTE = {
    "max_retries": 0,  # else a ring to a server that is gone tries to connect for 6 s
    "socket_timeout": 0.5,
    "socket_connect_timeout": 0.5,
}
"""What differs from the transport options of the workers, who have time."""


@dataclass(frozen=True, slots=True)
class Bell:
    """A queue and the one id its task takes."""

    queue: str
    id: int


breaker = Breaker()

A_MOMENT = 0.01  # seconds
RUN = Run._meta.db_table
_rung: dict[int, float] = {}
"""When this process rang for a lane last."""


def ring(bell: Bell) -> bool:
    """Whether the message went out."""
    started = time.monotonic()
    if not breaker.allows(started):
        return False
    failed = False
    try:
        link = current_app.connection_for_write(transport_options=IN_HASTE)
        with pools.producers[link].acquire(block=True, timeout=SLOW_SECONDS) as producer:
            current_app.send_task(
                f"agents.{bell.queue}", args=[bell.id], queue=bell.queue, expires=STALE_SECONDS, retry=False,
                producer=producer,
            )  # fmt: skip
    except (KombuError, RedisError, OSError) as error:
        failed = True
        log.warning("agents.doorbell.failed", queue=bell.queue, id=bell.id, error=str(error))
    now = time.monotonic()
    breaker.note(now=now, took=now - started, failed=failed)
    return not failed


def ring_all(bells: Iterable[Bell]) -> None:
    for bell in bells:
        ring(bell)


def ring_lanes(lanes: Iterable[int], *, now: float | None = None) -> None:
    """Tell the ingest workers that lanes have something waiting, which must be committed: a bell for each run that
    could begin, and none where that is known already.

    A lane in which a run is active needs no bell: the run looks at what waits when it ends, which is later than now.
    Nor does one that was rung for a moment ago: between that bell and the end of what it began lie five hops.
    """
    now = time.monotonic() if now is None else now
    quiet = [lane for lane in lanes if now - _rung.get(together.span(lane)[0], -math.inf) > A_MOMENT]
    if not quiet:
        return
    for bell in bells_of(set(quiet) - _busy()):
        if ring(bell):
            _rung[bell.id] = now


def forget() -> None:
    """As a process that has just begun."""
    _rung.clear()


def _busy() -> set[int]:
    """Lanes in which a run is active; none where the database does not say: a bell too many does no harm."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT lane, lanes FROM {RUN} WHERE status = 'ACTIVE'")
            return {lane for first, count in cursor.fetchall() for lane in range(first, first + count)}
    except DatabaseError as error:
        log.warning("agents.doorbell.unknown", error=str(error))
        return set()


def bells_of(lanes: Iterable[int]) -> list[Bell]:
    return [Bell("ingest", lane) for lane in together.firsts(lanes)]
