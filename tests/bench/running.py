"""The whole service with a plant, a load on it, and its books: no figure counts unless all is stored and judged."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import psycopg2
from numpy.typing import NDArray

from tests.bench import cpu, plant
from tests.bench.cpu import Group
from tests.chaos.service import ROOT, Service, until
from tests.load import bodies
from tests.load.sender import Order, Said

LEASE = 45
MACHINES = 100
DAYS = 2
"""Whole days before today at which the plant's time begins: so far it can go."""
START_SECONDS = 120.0
DRAIN = 900.0
SECONDS = 5.0
FASTEST = 2_000_000
"""Readings a second beyond which no load goes: bodies are prepared for no more."""
INGEST = "/api/v1/data/ingest"
ON_THE_WAY = """
SELECT EXISTS (SELECT FROM sensors_batchpart WHERE state = 'WAITING')
    OR EXISTS (SELECT FROM agents_run WHERE status NOT IN ('DONE', 'FAILED', 'DISCARDED'))
"""
JUDGED_AT = "SELECT extract(epoch FROM max(finished_at)) FROM agents_run WHERE status = 'DONE'"
BOOKS = {
    "readings in parts that are stored": "SELECT sum(stored) FROM sensors_batchpart WHERE state = 'STORED'",
    "readings of parts": "SELECT sum(readings) FROM sensors_batchpart",
    "readings in the store": "SELECT count(*) FROM sensors_reading",
}
WRONG = {
    "runs not done": "SELECT count(*) FROM agents_run WHERE status <> 'DONE'",
    "runs without each stage done once": """
        SELECT count(*) FROM agents_run r LEFT JOIN (SELECT run_id, count(*) AS n, count(DISTINCT stage) AS stages
        FROM agents_stageattempt WHERE outcome = 'DONE' GROUP BY run_id) d ON d.run_id = r.id
        WHERE d.n IS DISTINCT FROM 5 OR d.stages IS DISTINCT FROM 5""",
    "attempts that failed": "SELECT count(*) FROM agents_stageattempt WHERE outcome NOT IN ('DONE', 'FENCED')",
    "machines with an excursion and no alarm": """
        SELECT count(DISTINCT a.machine_id) FROM maintenance_anomaly a WHERE a.detector = 'limits'
        AND NOT EXISTS (SELECT FROM maintenance_alarm x WHERE x.machine_id = a.machine_id)""",
    "excursions that nothing was decided of": """
        SELECT count(*) FROM maintenance_anomaly a WHERE a.detector = 'limits'
        AND NOT EXISTS (SELECT FROM maintenance_decision d WHERE d.anomaly_id = a.id)""",
}
EXCURSIONS = "SELECT count(*) FROM maintenance_anomaly WHERE detector = 'limits' AND NOT retrospective"


class BooksDoNotBalance(AssertionError):
    """What was sent and what is there differ: the figure does not count."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one load. ``found``: an array for each of ``sender.COLUMNS``; ``seconds``: from the first request
    until the last run was done; ``spent``: processor seconds by group; ``memory``: MiB of the largest process of each.
    """

    said: Said
    found: Mapping[str, NDArray[Any]]
    seconds: float
    drained: float
    spent: Mapping[str, float]
    memory: Mapping[str, float]

    @property
    def accepted(self) -> int:
        return int(self.found["accepted"].sum())

    @property
    def rate(self) -> float:
        """Readings a second, all of them judged."""
        return self.accepted / self.seconds

    @property
    def accept_rate(self) -> float:
        """Readings a second while they were sent, judged or not."""
        return self.accepted / self.said.seconds

    @property
    def refused(self) -> int:
        return int(self.found["refused"].sum())

    def milliseconds(self, *of: float) -> list[float]:
        """Percentiles of the answers' latencies."""
        return [float(value) for value in np.percentile(self.found["seconds"] * 1000, of)]

    def told(self) -> str:
        each = self.said.cpu / max(1, len(self.found["status"])) * 1e6
        return (
            f"{len(self.found['status'])} requests, {self.refused} refused for now, drained in {self.drained:.1f} s; "
            f"{cpu.told(self.spent, elapsed=self.seconds, readings=self.accepted)}; {each:.0f} us of load per request"
        )


@dataclass(slots=True)
class Site:
    """A running service with its plant, and the books of what it accepted.

    ``begins``: seconds since 1970 of step 0; ``step``: where the plant's time stands; ``quiet``: normal readings of
    each sensor since its last excursion; ``excursions``: how many were sent.
    """

    service: Service
    folder: Path
    password: str
    machines: int
    begins: int
    quiet: NDArray[np.int64]
    groups: list[Group]
    step: int = 0
    accepted: int = 0
    excursions: int = 0

    def order(self, shape: str, **changes: Any) -> Order:
        """An order for this plant from where its time stands; ``changes``: what else there is to say."""
        host = urlsplit(self.service.url)
        return order_for(
            shape, machines=self.machines, begins=self.begins, step=self.step, folder=self.folder, host=host.hostname,
            port=host.port, username=plant.CLIENT, password=self.password, **changes,
        )  # fmt: skip

    def load(self, order: Order, *beside: Order, when_begun: Callable[[], None] | None = None) -> Outcome:
        """Send what the orders say, wait until all is judged, and balance the books; what came of the first order.

        Raises ``BooksDoNotBalance``.
        """
        with ExitStack() as stack:
            senders = [stack.enter_context(sending(each, self.folder)) for each in (order, *beside)]
            for sender in senders:
                sender.wait_until_ready()
            before = cpu.read(self.groups)
            for sender in senders:
                sender.begin()
            if when_begun is not None:
                when_begun()
            told = [sender.result() for sender in senders]
        ended = max(said.began + said.seconds for said in told)
        until(lambda: not self.service.sql(ON_THE_WAY)[0][0], limit=DRAIN)
        judged = max(float(self.service.sql(JUDGED_AT)[0][0] or 0), ended)
        spent = cpu.split(before, cpu.read(self.groups), load=sum(said.cpu for said in told))
        memory = {group.name: max(cpu.memory(group), default=0.0) for group in self.groups}
        outcomes = [
            Outcome(said, found_by(each), judged - said.began, judged - ended, spent, memory)
            for each, said in zip((order, *beside), told, strict=True)
        ]
        for each, outcome in zip((order, *beside), outcomes, strict=True):
            self.note(each, outcome)
        self.balance()
        return outcomes[0]

    def note(self, order: Order, outcome: Outcome) -> None:
        """Add what was accepted to the books. Raises ``BooksDoNotBalance`` where an answer was none of success."""
        found, made = outcome.found, bodies.shape(order.shape, machines=self.machines)
        if outcome.said.problems:
            raise BooksDoNotBalance(f"{len(outcome.said.problems)} requests failed: {outcome.said.problems[:3]}")
        sent = len(found["status"]) * made.readings
        if outcome.accepted != sent:
            raise BooksDoNotBalance(f"{outcome.accepted} of {sent} readings sent were accepted")
        self.accepted += sent
        rounds = np.bincount(found["stream"].astype(np.int64), minlength=made.streams)
        count = np.repeat(rounds, made.sensors) * made.instants
        self.step = max(self.step, order.first + int(count.max(initial=0)))
        sensors = np.arange(len(self.quiet))
        if made.probe:
            self.excursions += int(rounds.sum())
            self.quiet[count > 0] = np.where(sensors[count > 0] % made.sensors, bodies.QUIET, 0)
            return
        begun, self.quiet = bodies.stretches(sensors, np.full_like(sensors, order.first), count, self.quiet)
        self.excursions += int(begun.sum())

    def balance(self) -> None:
        """Hold what is stored and judged against what was accepted. Raises ``BooksDoNotBalance``."""
        found = {what: self.service.number(query) for what, query in BOOKS.items()}
        wrong = {what: there for what, there in found.items() if there != self.accepted}
        wrong |= {what: there for what, query in WRONG.items() if (there := self.service.number(query))}
        if (there := self.service.number(EXCURSIONS)) != self.excursions:
            wrong[f"excursions, of {self.excursions} sent"] = there
        if wrong:
            raise BooksDoNotBalance(f"of {self.accepted} readings accepted: {wrong}")


def order_for(shape: str, *, machines: int, begins: int, step: int, folder: Path, **changes: Any) -> Order:
    """An order of that shape from the next round on, until now at most. Raises ``RuntimeError`` where that is now."""
    made = bodies.shape(shape, machines=machines)
    steps = int(time.time()) - begins
    first = -(-step // made.instants) * made.instants
    if (rounds := (steps - first) // made.instants) < 1:
        raise RuntimeError("the plant's time has reached the present: there is nothing left to send")
    rounds = min(rounds, int(changes.get("seconds", SECONDS) * FASTEST / made.readings / made.streams) + 1)
    given: dict[str, Any] = {
        "path": INGEST, "shape": shape, "machines": machines, "form": "json", "start": begins, "steps": steps,
        "first": first, "rounds": rounds, "seconds": SECONDS, "connections": 8, "out": str(folder / f"{shape}.npz"),
    }  # fmt: skip
    return Order(**(given | changes))


def found_by(order: Order) -> dict[str, NDArray[Any]]:
    """What the generator wrote down."""
    with np.load(order.out) as kept:
        return {name: kept[name] for name in kept.files}


class Sending:
    """The generator at work."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def wait_until_ready(self) -> None:
        """Until all its bodies are prepared and its connections open. Raises ``RuntimeError``."""
        assert self.process.stdout is not None
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the load did not start: status {self.process.wait()}")

    def begin(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def result(self) -> Said:
        """Wait for its end. Raises ``RuntimeError``."""
        assert self.process.stdout is not None
        told = self.process.stdout.read()
        if self.process.wait() or not told:
            raise RuntimeError(f"the load ended with {self.process.returncode}: {told}")
        return Said(**json.loads(told))


@contextmanager
def sending(order: Order, folder: Path) -> Iterator[Sending]:
    """The generator, which prepares; it is killed where the caller fails."""
    path = folder / f"{Path(order.out).stem}.order.json"
    path.write_text(json.dumps(asdict(order)))
    command = [sys.executable, "-m", "tests.load.sender", str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as process:
        try:
            yield Sending(process)
        finally:
            process.kill()


@contextmanager
def running(
    folder: Path, *, machines: int = MACHINES, environment: Mapping[str, str] | None = None, postgres: str = ""
) -> Iterator[Site]:
    """The service on servers of its own in this folder, with a plant, warmed up.

    ``postgres``: a statement after which Postgres is started again, such as an ALTER SYSTEM.
    """
    defaults = {"JWT_ACCESS_MINUTES": "5", "LOG_LEVEL": "WARNING"}
    service = Service(folder / "home", lease_seconds=LEASE, environment=defaults | dict(environment or {}))
    try:
        service.prepare()
        if postgres:
            restart(service, postgres)
        password = service.run("-m", "tests.bench.plant", str(machines)).split()[-1]
        service.start()
        quiet = np.full(machines * bodies.PER_MACHINE, bodies.QUIET, np.int64)
        site = Site(service, folder, password, machines, midnight(), quiet, cpu.groups(service))
        site.load(site.order("hundreds", seconds=2.0, rate=20.0, connections=16))
        yield site
    finally:
        service.stop()


def restart(service: Service, statement: str) -> None:
    """Have Postgres started again after a statement that no transaction may hold."""
    connection = psycopg2.connect(host=str(service.sockets), user="postgres", dbname="postgres")
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()
    service.run("-c", "from config import embedded; embedded.stop(); embedded.ensure()")


@contextmanager
def in_a_folder() -> Iterator[Path]:
    """A folder of the bench's own; SIGTERM ends what is below in order, so that no server is left."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="bellwether-bench-") as folder:
        yield Path(folder)


def midnight() -> int:
    """Seconds since 1970 of the day ``DAYS`` before today."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return int((today - timedelta(days=DAYS)).timestamp())
