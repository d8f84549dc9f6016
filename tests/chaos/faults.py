"""What can be done to the service, as a table: each fault ends its harm, and lets run again what it killed."""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import redis

from tests.chaos.proxy import Proxy
from tests.chaos.service import WORKERS, Service, children, command_of, kill_group, until

PATIENCE = 120.0
STALL_SECONDS = 4.0
MOST_CUT_AFTER = 60_000
SOLO = "--pool solo"
ACT_SECONDS = 3.0
ACT_TRIES = 20
AT_WORK = """
SELECT (SELECT count(*) FROM agents_run WHERE lease_owner = ANY(%s) AND lease_until > clock_timestamp())
+ (SELECT count(*) FROM maintenance_notification WHERE lease_owner = ANY(%s) AND lease_until > clock_timestamp())
"""

RING_FINISHED = """
from agents import doorbell
from agents.doorbell import Bell
from agents.models import Run
from maintenance.models import Notification
for run in Run.objects.order_by("-id")[:20]:
    for stage in Run.Stage.values:
        doorbell.ring(Bell(stage.lower(), run.lane if stage == "INGEST" else run.pk))
for message in Notification.objects.order_by("-id")[:50]:
    doorbell.ring(Bell("deliver", message.pk))
"""


@dataclass(slots=True)
class Arena:
    """The service, the connections that can be broken, and the dice."""

    service: Service
    dice: random.Random
    postgres: Proxy
    broker: Proxy
    mail: Proxy
    hook: Proxy


@dataclass(frozen=True, slots=True)
class Fault:
    """``senders``: how many processes that may be sending a message it can stop between sending and recording."""

    name: str
    harm: Callable[[Arena], None]
    senders: int = 0


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault that happened, by the clock of this machine, which is the database's as well."""

    fault: Fault
    began_at: datetime
    ended_at: datetime


@dataclass(slots=True)
class Storm:
    """Deals faults until time is up. All are dealt once, in an order of the seed's, before one comes again."""

    arena: Arena
    faults: Sequence[Fault]
    strikes: list[Strike] = field(default_factory=list)

    def rage(self, *, seconds: float, say: Callable[[str], None], goes_on: Callable[[], bool]) -> None:
        """Strike until the time is over. Raises ``TimeoutError`` where the service does not get on after a fault."""
        began = time.monotonic()
        for fault in deal(self.faults, self.arena.dice):
            time.sleep(self.arena.dice.uniform(0.3, 1.5))
            if time.monotonic() - began > seconds or not goes_on():
                return
            say(f"  {time.monotonic() - began:6.1f} s  {fault.name}")
            self.strike(fault)

    def strike(self, fault: Fault) -> None:
        began_at = datetime.now(UTC)
        try:
            fault.harm(self.arena)
        except redis.RedisError as error:
            raise RuntimeError(f"{fault.name}: {error}") from error
        ended_at = datetime.now(UTC)
        self.strikes.append(Strike(fault, began_at, ended_at))
        try:
            until(lambda: is_getting_on(self.arena.service, since=ended_at), limit=PATIENCE)
        except TimeoutError as error:
            raise TimeoutError(f"no stage was done in {PATIENCE:g} s after: {fault.name}") from error


def deal(faults: Sequence[Fault], dice: random.Random) -> Iterator[Fault]:
    while True:
        yield from dice.sample(faults, len(faults))


def is_getting_on(service: Service, *, since: datetime) -> bool:
    """Whether workers consume: a stage was done since then. Else the next fault would only ever meet start-up."""
    return bool(
        service.number(
            "SELECT count(*) FROM agents_stageattempt WHERE outcome = 'DONE' AND started_at > %s LIMIT 1", since
        )
    )


def workers(arena: Arena) -> list[int]:
    """All of them, as soon as all are there."""
    until(lambda: len(arena.service.processes(" worker ")) == WORKERS, limit=PATIENCE)
    return sorted(arena.service.processes(" worker "))


def is_at_work(arena: Arena, worker: int) -> bool:
    """Whether it holds a lease."""
    host = socket.gethostname()
    owners = [f"{host}:{pid}" for pid in (worker, *children(worker))]
    return arena.service.number(AT_WORK, owners, owners) > 0


def busy_worker(arena: Arena) -> int:
    """One that is at work, if any is within a while: to kill one that waits shows little."""
    found = arena.dice.choice(workers(arena))
    ends = time.monotonic() + ACT_SECONDS
    while time.monotonic() < ends:
        for worker in arena.service.processes(" worker "):
            if is_at_work(arena, worker):
                return worker
    return found


def kill_worker(arena: Arena) -> None:
    kill_group(busy_worker(arena))


def kill_pool_process(arena: Arena) -> None:
    """Of a worker that has one: the quarantine's works by itself."""
    busy = busy_worker(arena)
    chosen = busy if children(busy) else next(pid for pid in workers(arena) if SOLO not in command_of(pid))
    until(lambda: bool(children(chosen)), limit=PATIENCE)
    os.kill(children(chosen)[0], signal.SIGKILL)


def freeze_worker(arena: Arena) -> None:
    """In the act, for longer than what it holds is its own; then it wakes up and wants to finish."""
    for _ in range(ACT_TRIES):
        group = busy_worker(arena)
        os.killpg(group, signal.SIGSTOP)
        if is_at_work(arena, group):
            break
        os.killpg(group, signal.SIGCONT)
    else:
        os.killpg(group, signal.SIGSTOP)
    time.sleep(int(arena.service.environment["LEASE_SECONDS"]) + 2)
    os.killpg(group, signal.SIGCONT)


def kill(word: str) -> Callable[[Arena], None]:
    def harm(arena: Arena) -> None:
        until(lambda: bool(arena.service.processes(word)), limit=PATIENCE)
        kill_group(arena.service.processes(word)[0])

    return harm


def empty_redis(arena: Arena) -> None:
    arena.service.redis().flushall()


def kill_redis(arena: Arena) -> None:
    os.kill(arena.service.redis_pid(), signal.SIGKILL)
    time.sleep(arena.dice.uniform(0.5, STALL_SECONDS))
    arena.service.ensure_servers()


def freeze_redis(arena: Arena) -> None:
    pid = arena.service.redis_pid()
    os.kill(pid, signal.SIGSTOP)
    time.sleep(STALL_SECONDS)
    os.kill(pid, signal.SIGCONT)


def ring_twice(arena: Arena) -> None:
    """Double what waits in the queues, and ring for what is finished."""
    store = arena.service.redis()
    for queue in store.keys("bw:*"):
        if store.type(queue) == b"list":
            for message in store.lrange(queue, 0, -1):
                store.lpush(queue, message)
    arena.service.run("manage.py", "shell", "--no-imports", "-c", RING_FINISHED)


def crash_postgres(arena: Arena) -> None:
    """An immediate shutdown, which is what recovery from a crash begins with."""
    pid = arena.service.postgres_pid()
    os.kill(pid, signal.SIGQUIT)
    until(lambda: not is_alive(pid), limit=PATIENCE)
    arena.service.ensure_servers()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def cut(*names: str) -> Callable[[Arena], None]:
    def harm(arena: Arena) -> None:
        for name in names:
            proxy(arena, name).cut()

    return harm


def stall(*names: str, then_cut: bool = False) -> Callable[[Arena], None]:
    """Nothing passes for a while; then it goes on where it stood, or every connection is cut."""

    def harm(arena: Arena) -> None:
        for name in names:
            proxy(arena, name).stall()
        time.sleep(STALL_SECONDS)
        for name in names:
            if then_cut:
                proxy(arena, name).cut()
            proxy(arena, name).flow()

    return harm


def cut_in_an_answer(name: str) -> Callable[[Arena], None]:
    """After so many bytes of answers, in the midst of one: what was asked for was done, and nobody heard of it."""

    def harm(arena: Arena) -> None:
        chosen = proxy(arena, name)
        for _ in range(3):
            chosen.cut_after = arena.dice.randrange(1, MOST_CUT_AFTER)
            time.sleep(1)
        chosen.cut_after = None

    return harm


def slow(name: str) -> Callable[[Arena], None]:
    def harm(arena: Arena) -> None:
        chosen = proxy(arena, name)
        chosen.delay = 0.03
        time.sleep(STALL_SECONDS)
        chosen.delay = 0.0

    return harm


def proxy(arena: Arena, name: str) -> Proxy:
    chosen: Proxy = getattr(arena, name)
    return chosen


SENDERS = 2
"""Processes that send messages: the outbox worker's one, and the sweep."""

FAULTS = (
    Fault("worker killed", kill_worker, senders=1),
    Fault("pool process killed", kill_pool_process, senders=1),
    Fault("worker frozen beyond its lease", freeze_worker, senders=1),
    Fault("sweep killed", kill("manage.py sweep"), senders=1),
    Fault("web killed", kill("granian")),
    Fault("Redis emptied", empty_redis),
    Fault("Redis killed", kill_redis),
    Fault("Redis frozen", freeze_redis),
    Fault("Redis cut off", cut("broker"), senders=1),
    Fault("Redis stalled", stall("broker"), senders=1),
    Fault("bells rung twice", ring_twice),
    Fault("Postgres crashed", crash_postgres, senders=SENDERS),
    Fault("Postgres cut off", cut("postgres"), senders=SENDERS),
    Fault("Postgres cut in an answer", cut_in_an_answer("postgres"), senders=SENDERS * 3),
    Fault("Postgres stalled", stall("postgres"), senders=SENDERS),
    Fault("Postgres stalled and cut off", stall("postgres", then_cut=True), senders=SENDERS),
    Fault("Postgres slow", slow("postgres")),
    Fault("sinks cut off", cut("mail", "hook"), senders=SENDERS),
    Fault("sinks stalled and cut off", stall("mail", "hook", then_cut=True), senders=SENDERS),
)
