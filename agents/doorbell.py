"""Ring the workers: a message with one id says "look". It may be lost, late or doubled; Postgres is the record.

Ringing never raises and never waits long: after one failed or slow ring this process stays silent for a while, and
the sweep finds what is due. Requests leave it to a thread (``Ringer``): what comes while it rings is rung for together,
and an answer waits for no bell.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache

import structlog
from celery import current_app
from kombu import Connection, pools
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from agents import hearsay
from agents import lanes as together
from agents.breaker import SLOW_SECONDS, Breaker

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
    """A queue and the one id its task takes. ``rest``: seconds to wait before it is rung."""

    queue: str
    id: int
    rest: float = field(default=0.0, compare=False)


breaker = Breaker()


@cache
def _link() -> Connection:
    """The key of the pool of connections, itself never connected: to make it costs a tenth of a ring."""
    return current_app.connection_for_write(transport_options=IN_HASTE)


def ring(bell: Bell) -> bool:
    """Whether the message went out."""
    started = time.monotonic()
    if not breaker.allows(started):
        return False
    failed = False
    try:
        with pools.producers[_link()].acquire(block=True, timeout=SLOW_SECONDS) as producer:
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
    """Now, or after the rest that a bell leaves."""
    for bell in bells:
        if not bell.rest:
            ring(bell)
            continue
        if bell.queue == "ingest":
            hearsay.settled(bell.id, seconds=bell.rest)
        later = threading.Timer(bell.rest, ring, [bell])
        later.daemon = True  # a process that ends first leaves it to the sweep
        later.start()


def ring_lanes(lanes: Iterable[int]) -> None:
    """Tell the ingest workers that lanes have something waiting, which must be committed: a bell for each run that
    could begin, and none where it is settled who rings next."""
    firsts = set(together.firsts(lanes))
    if firsts:
        ring_all(Bell("ingest", lane) for lane in sorted(firsts - hearsay.lanes_told_of(firsts)))


class Ringer:
    """Calls ``ring`` in a thread of its own with all lanes that it was told of meanwhile; what it was told of and did
    not ring for when its process ends is the sweep's."""

    def __init__(self, ring: Callable[[set[int]], None]) -> None:
        self._ring = ring
        self._told: set[int] = set()
        self._news = threading.Condition()
        self._process = 0

    def tell(self, lanes: Iterable[int]) -> None:
        with self._news:
            self._told.update(lanes)
            self._news.notify()
            if self._process != os.getpid():  # of a process that was forked only the thread that forked it goes on
                threading.Thread(target=self._go_on, name="ringer", daemon=True).start()
                self._process = os.getpid()

    def _go_on(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._told)
                lanes, self._told = self._told, set()
            try:
                self._ring(lanes)
            except Exception:
                log.exception("agents.doorbell.ringer-failed")


ringer = Ringer(ring_lanes)
