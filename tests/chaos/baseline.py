"""The same faults on a plain Celery pipeline and on ours, side by side: what is Postgres as the record worth?

``tests.chaos.plain_celery`` is five tasks in a chain on Redis with late acknowledgement and reject-on-lost: what most
would build. Both sides run three worker processes of one pool process each, under the same supervisor, on a Redis
(append-only file on) and a Postgres of their own, one side after the other; are offered the same number of batches of
20 readings a second; and are struck by the same faults from the same seed:

1. kills: SIGKILL to a worker and its pool, or to the pool's process alone, at a random moment while it works;
2. when all of that is done: Redis emptied once (FLUSHALL), under load, after the workers stood still for 3 s.

A plain batch is *lost* when its last task never ran and no message is left in the broker, neither queued nor
unacknowledged, so that nothing can ever run it; *doubled* when one of its tasks wrote its row more than once. Losses by
kills are a matter of luck (a worker must die between taking a message and noting it as unacknowledged): what is printed
is what was seen, a zero too. Ours must show zero in all of them, whatever the luck.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import redis

import manage
from agents.channels.sink import SmtpSink
from config import embedded, node, supervisor
from config.supervisor import Child, Supervisor
from tests.bench import results
from tests.bench.results import row
from tests.chaos import load, plain_celery, service
from tests.chaos.client import token
from tests.chaos.load import Load
from tests.chaos.service import ROOT, SITES, START_SECONDS, Service, until

WORKERS = 3
LEASE = 15
MACHINES = tuple(f"m{number}" for number in range(8))
LONGEST_WAIT = 0.5  # of the supervisor before it starts a worker again: else dozens of kills would take half an hour
POOL_SHARE = 0.3
PAUSE = 3.0
DRAIN = 240.0
STILL = 5.0


@dataclass(slots=True)
class Round:
    """What one kind of fault came to: lost and doubled in batches."""

    faults: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    sent: int = 0
    lost: int = 0
    doubled: int = 0
    told_twice: int = 0
    seconds: float = 0.0
    drained: float = 0.0


class Side(Service):
    """A pipeline in processes of its own, started by ``serve``."""

    name: str
    done: str
    """Query for the batches that went all the way."""

    def __init__(self, home: Path, sink: SmtpSink, *, rate: float) -> None:
        mail = {"EMAIL_HOST": sink.host, "EMAIL_PORT": str(sink.port), "EMAIL_USE_TLS": "0"}
        super().__init__(home, lease_seconds=LEASE, environment=mail)
        self.sink, self.rate, self.sent = sink, rate, 0

    def begin(self) -> None:
        """Start the processes, and wait until all workers consume."""
        self.prepare()
        self.make_ready()
        command = [sys.executable, "-m", "tests.chaos.baseline", "--serve", self.name, "--port", str(self.port)]
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        until(lambda: self.consuming() == WORKERS, limit=START_SECONDS)

    def make_ready(self) -> None:
        """What has to be there before the processes start."""

    def workers(self) -> list[int]:
        return self.processes(" worker ")

    def consuming(self) -> int:
        """How many workers have their pool and ask the broker for work."""
        pools = sum(bool(service.children(worker)) for worker in self.workers())
        try:
            return min(pools, sum(client["cmd"] == "brpop" for client in self.redis().client_list()))
        except redis.ConnectionError:
            return 0

    def strike(self, dice: random.Random) -> str:
        """SIGKILL to one of the two workers that have run longest: it is at work, not starting."""
        until(lambda: self.consuming() >= WORKERS - 1, limit=60)
        time.sleep(dice.uniform(0.1, 0.7))
        worker = dice.choice(sorted(self.workers())[: WORKERS - 1])
        pool = service.children(worker)
        if pool and dice.random() < POOL_SHARE:
            os.kill(pool[0], signal.SIGKILL)
            return "pool process killed"
        os.killpg(worker, signal.SIGKILL)
        return "worker killed"

    def waiting(self) -> int:
        """Messages in the broker, queued or not acknowledged."""
        store = self.redis()
        queued = sum(store.llen(key) for key in store.scan_iter(_type="list"))
        return queued + sum(store.hlen(key) for key in store.scan_iter("*unacked", _type="hash"))

    def begin_sending(self) -> None:
        raise NotImplementedError

    def end_sending(self) -> int:
        """How many batches were accepted since ``begin_sending``."""
        raise NotImplementedError

    def is_quiet(self) -> bool:
        raise NotImplementedError

    def doubled(self) -> int:
        raise NotImplementedError

    def told_twice(self) -> int:
        raise NotImplementedError


class Plain(Side):
    """The plain Celery pipeline: a batch is done when its last task has written its row."""

    name = "plain"
    done = "SELECT count(DISTINCT batch) FROM effect WHERE stage = 'notify'"

    quiet_since: float | None = None

    def make_ready(self) -> None:
        self.execute(plain_celery.TABLE)

    def begin_sending(self) -> None:
        self.quiet_since = None
        command = ["-m", "tests.chaos.plain_celery", "--first", str(self.sent), "--rate", str(self.rate)]
        environment = self.environment | plain_environment(self.sockets)
        self.producer = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )

    def end_sending(self) -> int:
        self.producer.send_signal(signal.SIGTERM)
        said, _ = self.producer.communicate(timeout=60)
        self.sent += int(said)
        return int(said)

    def is_quiet(self) -> bool:
        """Nothing in the broker for some seconds: longer than a message is in a live worker's hands alone."""
        now = time.monotonic()
        if self.waiting():
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = now
        return self.quiet_since is not None and now - self.quiet_since > STILL

    def doubled(self) -> int:
        return self.number(
            "SELECT count(DISTINCT batch) FROM"
            " (SELECT batch FROM effect GROUP BY batch, stage HAVING count(*) > 1) AS repeated"
        )

    def told_twice(self) -> int:
        return self.number("SELECT count(*) - count(DISTINCT batch) FROM effect WHERE stage = 'notify'")


class Ours(Side):
    """The whole service: a batch is done when its every reading is stored and its runs went through all stages."""

    name = "ours"
    done = (
        "SELECT count(*) FROM sensors_batch AS b WHERE b.accepted = (SELECT coalesce(sum(p.stored), 0)"
        " FROM sensors_batchpart AS p JOIN agents_run AS r ON r.id = p.run_id AND r.status = 'DONE'"
        " WHERE p.batch_id = b.id AND p.state = 'STORED')"
    )

    def make_ready(self) -> None:
        self.passwords = self.set_up(machines=MACHINES, high=load.HIGH)

    def begin_sending(self) -> None:
        until(self.is_ready, limit=START_SECONDS)
        body = partial(load.readings, sensors=MACHINES, size=plain_celery.READINGS, first=self.sent)
        site = SITES[0]
        self.client = Load(self.url, token(self.url, site, self.passwords[site]), rate=self.rate, body=body)
        self.client.begin()

    def end_sending(self) -> int:
        answers = self.client.end()
        accepted = len(load.accepted(answers))
        if accepted != len(answers):
            raise RuntimeError(f"Only workers are struck, and yet the intake said {load.summary(answers)}")
        self.sent += accepted
        return accepted

    def is_quiet(self) -> bool:
        return not any(self.number(query) for query in load.ON_THE_WAY)

    def doubled(self) -> int:
        """Batches, readings and anomalies beyond what was sent, and stages that were done more than once."""
        beyond = (
            self.number("SELECT count(*) FROM sensors_batch") - self.sent,
            self.number(load.STORED) - self.sent * plain_celery.READINGS,
            self.number("SELECT count(*) FROM maintenance_anomaly WHERE detector = 'limits'")
            - load.excursions(self.sent),
        )
        return sum(max(0, count) for count in beyond) + self.number(load.STAGES_TWICE)

    def told_twice(self) -> int:
        return len(self.sink.received) - len({mail.message_id for mail in self.sink.received})


def contest(side: Side, *, kills: int, seed: int) -> tuple[Round, Round]:
    """Both rounds on one side: under kills, and with Redis emptied once."""
    dice = random.Random(seed)
    try:
        side.begin()
        return under_kills(side, dice, kills=kills), emptied(side)
    finally:
        side.stop()


def under_kills(side: Side, dice: random.Random, *, kills: int) -> Round:
    found = Round()
    side.begin_sending()
    until(lambda: side.number(side.done) > 0, limit=START_SECONDS)
    began = time.monotonic()
    for _ in range(kills):
        found.faults[side.strike(dice)] += 1
    found.seconds = time.monotonic() - began
    return settled(side, found)


def emptied(side: Side) -> Round:
    """Redis emptied with a backlog in it, as when it comes back empty from a failover."""
    found = Round(faults=Counter({"Redis emptied": 1}))
    done_before, doubled_before, told_before = side.number(side.done), side.doubled(), side.told_twice()
    until(lambda: side.consuming() == WORKERS, limit=60)
    side.begin_sending()
    until(lambda: side.number(side.done) > done_before, limit=START_SECONDS)
    workers = side.workers()
    for worker in workers:
        os.killpg(worker, signal.SIGSTOP)
    time.sleep(PAUSE)
    found.waiting = side.waiting()
    side.redis().flushall()
    for worker in workers:
        os.killpg(worker, signal.SIGCONT)
    time.sleep(2)
    settled(side, found)
    found.lost += done_before
    found.doubled -= doubled_before
    found.told_twice -= told_before
    return found


def settled(side: Side, found: Round) -> Round:
    """End the sending, wait until nothing moves, and count."""
    found.sent = side.end_sending()
    found.drained = until(side.is_quiet, limit=DRAIN)
    found.lost = found.sent - side.number(side.done)
    found.doubled, found.told_twice = side.doubled(), side.told_twice()
    return found


def compare(*, kills: int, rate: float, seed: int) -> list[dict[str, Any]]:
    """Both sides, one after the other; a row for each figure."""
    found = []
    for kind in (Plain, Ours):
        with tempfile.TemporaryDirectory(prefix="bellwether-baseline-") as folder, SmtpSink(port=0) as sink:
            found.append(contest(kind(Path(folder) / "home", sink, rate=rate), kills=kills, seed=seed))
    return [*rows_of("kills", *(side[0] for side in found)), *rows_of("emptying", *(side[1] for side in found))]


def rows_of(name: str, plain: Round, ours: Round) -> list[dict[str, Any]]:
    faults = ", ".join(f"{count} x {kind}" for kind, count in sorted(plain.faults.items()))
    backlog = f"; {plain.waiting} messages in Redis, ours {ours.waiting}" if plain.waiting or ours.waiting else ""

    def zero(what: str, ours_found: int, plain_found: int) -> dict[str, Any]:
        seen = f"plain Celery: {plain_found} of {plain.sent:,}" if plain_found else "plain Celery: none seen this time"
        return row(what, ours_found, "batches", goal=0, ok=ours_found == 0, baseline=plain_found, detail=seen)

    return [
        row(f"{name}: faults", ours.faults.total(), "faults", baseline=plain.faults.total(), detail=faults + backlog),
        row(f"{name}: sent", ours.sent, "batches", baseline=plain.sent,
            detail=f"struck for {ours.seconds:.0f} s, plain for {plain.seconds:.0f} s" if plain.seconds else ""),
        zero(f"{name}: lost", ours.lost, plain.lost),
        zero(f"{name}: doubled", ours.doubled, plain.doubled),
        row(f"{name}: told twice", ours.told_twice, "messages", baseline=plain.told_twice,
            detail="mails under the same Message-ID; plain: the last task run again"),
        row(f"{name}: drained after", ours.drained, "s", baseline=plain.drained),
    ]  # fmt: skip


def plain_environment(sockets: Path) -> dict[str, str]:
    return {
        "PLAIN_BROKER_URL": f"redis+socket://{sockets / 'redis.sock'}",
        "PLAIN_DATABASE": f"host='{sockets}' user=postgres dbname={embedded.DATABASE}",
    }


def serve(name: str, *, port: int) -> None:
    """The processes of one side, until SIGINT."""
    supervisor.LONGEST_WAIT = LONGEST_WAIT
    if name == Ours.name:
        manage.main(["manage.py", "up", f"--port={port}", f"--flower-port={node.free_port(0)}", "--metrics-port=0"])
        return
    embedded.ensure()
    sockets = embedded._socket_dir()
    celery = [sys.executable, "-m", "celery", "-A", "tests.chaos.plain_celery", "worker", "--concurrency", "1"]
    options = ["-l", "WARNING", "--without-gossip", "--without-mingle"]
    children = [Child(f"plain{n}", [*celery, "-n", f"plain{n}@%h", *options]) for n in range(WORKERS)]
    bare = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    workers = Supervisor(children, ROOT, bare | plain_environment(sockets), tend=embedded.ensure)
    signal.signal(signal.SIGINT, lambda *_: workers.stopping.set())
    workers.start()
    workers.watch()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=45)
    parser.add_argument("--rate", type=float, default=20, help="Batches a second.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--serve", choices=["plain", "ours"], help="Only run the processes of one side.")
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, port=options.port)
        return 0
    found = compare(kills=options.kills, rate=options.rate, seed=options.seed)
    results.show(found)
    results.keep("baseline", found)
    return 0 if all(row["ok"] is not False for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
