"""Workers that are stepped by hand. Each answers bells in a thread with a connection of its own, and stops at every
failpoint until it is told how to go on: to the next one, to its death, or into a failure.

One worker moves at a time, so that an interleaving is a list of steps and comes out the same each time. A worker whose
statement waits for a lock that a stopped one holds is left waiting, as it would be anywhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import NoReturn

import pytest
from django.db import connection, connections

from agents import channels, deliver, failpoints, sweeper
from agents.channels.contract import Message, Transient
from agents.doorbell import Bell
from agents.models import Run
from maintenance.models import Notification

A_LOOK = 0.05  # seconds without news before Postgres is asked who waits for whom
LIMIT = 20.0
NO_STOP = 1_000_000
LEASED = (Run, Notification)


class Killed(BaseException):
    """What a worker that dies leaves by: nothing on the way out may do anything, for its connection is gone."""


class Told(RuntimeError):
    """A stage fails because the test says so."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a worker ended with a bell: what to ring next, or how it died or failed."""

    bell: Bell
    result: str
    bells: tuple[Bell, ...] = ()
    error: Exception | None = None


_here = threading.local()


class Worker:
    """One worker. ``bell``: what it is about, None while it is idle; ``at``: the point where it stands, if it does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bell: Bell | None = None
        self.at = ""
        self.backend = 0
        self._passes = 0
        self._told: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._news: SimpleQueue[str | Ended] = SimpleQueue()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    # The worker's own side

    def _live(self) -> None:
        _here.worker = self
        while (job := self._told.get()) is not None:
            job()
        connections.close_all()

    def _answer(self, bell: Bell) -> None:
        try:
            connection.ensure_connection()
            self.backend = connection.connection.info.backend_pid
            self._news.put(_answered(bell))
        except Killed:
            connections.close_all()
            self._news.put(Ended(bell, "died"))
        except Exception as error:
            connections.close_all()
            self._news.put(Ended(bell, "failed", error=error))

    def stop(self, point: str) -> None:
        """Called by the worker's thread at a failpoint."""
        if self._passes:
            self._passes -= 1
            return
        self._news.put(point)
        order = self._told.get()
        if order is not None:
            order()

    # The side of the one who steps it

    def begin(self, bell: Bell, *, passes: int = 0) -> None:
        self.bell, self._passes = bell, passes
        self._told.put(lambda: self._answer(bell))

    def order(self, what: Callable[[], object], *, passes: int = 0) -> None:
        """Go on from where it stands, over so many points more, by doing this first."""
        self.at, self._passes = "", passes
        self._told.put(what)

    def hear(self) -> str | Ended | None:
        try:
            news = self._news.get(timeout=A_LOOK)
        except Empty:
            return None
        if isinstance(news, Ended):
            self.bell = None
        else:
            self.at = news
        return news

    @property
    def moves(self) -> bool:
        return self.bell is not None and not self.at

    def leave(self) -> None:
        self._told.put(None)
        self._thread.join(LIMIT)
        assert not self._thread.is_alive(), self.name


def _answered(bell: Bell) -> Ended:
    if bell.queue == "deliver":
        return Ended(bell, deliver.deliver(bell.id).result)
    return Ended(bell, "answered", sweeper.answer(bell))


def go_on() -> None:
    """An order: as if nothing had happened."""


def fail() -> NoReturn:
    """An order: an exception in the middle of the work."""
    raise Told("the test says so")


def lose_the_connection() -> None:
    """An order: what the worker does next finds that Postgres has gone."""
    if connection.connection is not None:
        connection.connection.close()


def die() -> NoReturn:
    """An order: the end. In a process of its own it is a real one."""
    if not hasattr(_here, "worker"):
        os._exit(failpoints.EXIT_STATUS)
    lose_the_connection()
    raise Killed


class Crew:
    """The workers, and what they ended with, in the order in which they did."""

    def __init__(self, size: int) -> None:
        self.workers = [Worker(f"worker {n}") for n in range(size)]
        self.ended: list[Ended] = []

    @property
    def idle(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.bell is None]

    @property
    def standing(self) -> list[Worker]:
        return [worker for worker in self.workers if worker.at]

    def begin(self, worker: Worker, bell: Bell, *, passes: int = 0) -> None:
        worker.begin(bell, passes=passes)
        self.settle()

    def order(self, worker: Worker, what: Callable[[], object] = go_on, *, passes: int = 0) -> None:
        worker.order(what, passes=passes)
        self.settle()

    def settle(self) -> None:
        """Wait until each has ended, stands at a point, or waits in Postgres for one that stands."""
        ends = time.monotonic() + LIMIT
        while moving := [worker for worker in self.workers if worker.moves]:
            news = [worker.hear() for worker in moving]
            self.ended += [one for one in news if isinstance(one, Ended)]
            if not any(news) and all(self._waits_for_us(worker) for worker in moving):
                return
            assert time.monotonic() < ends, [(w.name, w.bell) for w in moving]

    def _waits_for_us(self, worker: Worker) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_blocking_pids(%s)", [worker.backend])
            holders = cursor.fetchone()[0]
        return bool(holders) and set(holders) <= {other.backend for other in self.workers if other.bell is not None}

    def let_all_go(self) -> None:
        """Everyone to the end of what it is about."""
        while standing := self.standing:
            self.order(standing[0], passes=NO_STOP)

    def take(self) -> list[Ended]:
        """What ended since it was asked last."""
        ended, self.ended = self.ended, []
        return ended

    def leave(self) -> None:
        for worker in self.workers:
            if worker.at:
                worker.order(die)
        self.settle()
        for worker in self.workers:
            worker.leave()


KEEP, BUSY, SILENT = "keep", "busy", "silent"


@dataclass
class Sink:
    """Where the messages go. Keeps the key of each copy; does as it is told with the next ones, then keeps all.

    ``SILENT``: it keeps the message, and its answer comes too late for whoever sent it.
    """

    kept: list[str] = field(default_factory=list)
    moods: list[str] = field(default_factory=list)

    def send(self, message: Message) -> str:
        mood = self.moods.pop(0) if self.moods else KEEP
        if mood == BUSY:
            raise Transient("busy")
        self.kept.append(message.key)
        if mood == SILENT:
            raise Transient("no answer in time")
        return "kept"


def prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make failpoints the places where workers stop and die. Whoever is no worker passes them."""

    def reach(point: str) -> None:
        worker: Worker | None = getattr(_here, "worker", None)
        if worker is not None:
            worker.stop(point)

    monkeypatch.setattr(failpoints, "reach", reach)
    monkeypatch.setattr(failpoints, "die", die)


@contextmanager
def crew(size: int) -> Iterator[Crew]:
    made = Crew(size)
    try:
        yield made
    finally:
        made.leave()


def listen(monkeypatch: pytest.MonkeyPatch) -> Sink:
    """A sink behind the console's channel."""
    sink = Sink()
    monkeypatch.setitem(channels.CHANNELS, "CONSOLE", sink)  # type: ignore[arg-type]
    return sink


def let_leases_run_out() -> list[tuple[str, int]]:
    """Whoever holds one has been frozen for longer than it lasts; of what. Rows that are locked stay as they are."""
    return _update("lease_until = clock_timestamp() - interval '1 second'", "lease_until > clock_timestamp()")


def let_time_pass() -> None:
    """What waits to be tried or rung again is due. Leases are as they were."""
    long_ago = "clock_timestamp() - interval '1 minute'"
    _update(f"due_at = least(due_at, {long_ago}), ring_after = {long_ago}", "true")


def _update(change: str, which: str) -> list[tuple[str, int]]:
    changed: list[tuple[str, int]] = []
    for model in LEASED:
        table = model._meta.db_table
        with connection.cursor() as cursor:
            cursor.execute(
                f"UPDATE {table} SET {change} WHERE id IN"
                f" (SELECT id FROM {table} WHERE {which} ORDER BY id FOR UPDATE SKIP LOCKED) RETURNING id"
            )
            changed += [(model.__name__, row) for (row,) in cursor.fetchall()]
    return changed


def is_in_a_transaction(worker: Worker) -> bool:
    """Whether it stands between a stage's fence and its commit, and holds locks."""
    return worker.at.endswith((":finishing", ":recording"))
