"""Ring the workers: a message with one id says "look". It may be lost, late or doubled; Postgres is the record.

Ringing never raises and never waits long: after one failed or slow ring this process stays silent for a while, and
the sweep finds what is due. Of requests that come together one rings (``Ringer``), and the others wait for no bell.
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
from django.db import transaction
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


def ring_when_stored(bell: Bell) -> None:
    """As soon as the transaction is through, if there is one: before that nobody would find the row."""
    transaction.on_commit(lambda: ring(bell), robust=True)


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
    """Calls ``ring`` with the lanes it is told of, never twice at a time: in the caller where nobody rings, so that an
    idle service does not wait until a thread wakes; what comes meanwhile is rung for together by a thread. What was not
    rung for when its process ends is the sweep's."""

    def __init__(self, ring: Callable[[set[int]], None]) -> None:
        self._ring = ring
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def _begin(self) -> None:
        self._told: set[int] = set()
        self._news = threading.Condition()
        self._ringing = threading.Lock()
        self._thread: threading.Thread | None = None

    def tell(self, lanes: Iterable[int]) -> None:
        with self._news:
            self._told.update(lanes)
        if not self._ringing.acquire(blocking=False):
            return  # who rings looks again afterwards
        try:
            self._ring_once()
        finally:
            self._ringing.release()
        with self._news:
            if self._told:
                self._leave()

    def _leave(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._go_on, name="ringer", daemon=True)
            self._thread.start()
        self._news.notify()

    def _ring_once(self) -> None:
        with self._news:
            lanes, self._told = self._told, set()
        try:
            self._ring(lanes)
        except Exception:
            log.exception("agents.doorbell.ringer-failed")

    def _go_on(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._told)
            with self._ringing:
                self._ring_once()


ringer = Ringer(ring_lanes)
