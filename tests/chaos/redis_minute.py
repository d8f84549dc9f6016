"""Redis gone for a minute under load, once killed and once hung (SIGSTOP): who notices?

A client sends at a steady rate, open loop, to the whole service (``manage.py up``) whose ``REDIS_URL`` names a Redis of
this test's own, so that nothing starts it again. During the minute no request may fail, and what was accepted, up to
the last ``GRACE`` seconds, must be stored and judged, all five stages, BEFORE Redis comes back. Afterwards everything
must be there exactly once. The goal for the 95th percentile of accept latency is printed and is not a verdict.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
import redis

from agents.channels.sink import SmtpSink
from config import embedded
from tests.bench import results
from tests.bench.results import row
from tests.chaos import load, storm
from tests.chaos.load import Answer, Load
from tests.chaos.storm import MACHINES, SETUP, Service, session, until

READINGS = 20
GRACE = 5.0
GOAL_MS = 50
WARM_UP = 8.0
DRAIN = 120.0
CONF = 'port 0\nunixsocket "{folder}/redis.sock"\ndir "{folder}"\nsave ""\nmaxmemory-policy noeviction\n'
ACCEPTED = "SELECT count(*) FROM sensors_batchpart WHERE created_at BETWEEN %s AND %s"
UNDONE = (
    "SELECT count(*) FROM sensors_batchpart AS p LEFT JOIN agents_run AS r ON r.id = p.run_id"
    " WHERE p.created_at BETWEEN %s AND %s AND (p.state <> 'STORED' OR r.status IS DISTINCT FROM 'DONE')"
)
BY_WHOM = "SELECT count(*) FROM agents_stageattempt WHERE outcome = 'DONE' AND started_at BETWEEN %s AND %s"
NOW = "SELECT clock_timestamp()"


class OwnRedis:
    """A Redis server as a child of this process, on a unix socket in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.conf = folder / "redis.conf"
        self.conf.write_text(CONF.format(folder=folder))
        self.socket = folder / "redis.sock"
        self.url = f"unix://{self.socket}?db=0"

    def start(self) -> None:
        self.process = subprocess.Popen([embedded._redis_binary(), str(self.conf)], stdout=subprocess.DEVNULL)
        until(self.answers, limit=30)

    def answers(self) -> bool:
        try:
            return bool(redis.Redis(unix_socket_path=str(self.socket), socket_timeout=1).ping())
        except redis.ConnectionError:
            return False

    def fail(self, *, how: str) -> None:
        self.process.send_signal(signal.SIGKILL if how == "killed" else signal.SIGSTOP)

    def recover(self, *, how: str) -> None:
        if how == "killed":
            self.process.wait()
            self.start()
        else:
            self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True)
class Outage:
    """What was seen while Redis was gone: answers before and during, and the parts accepted and not done by its end."""

    before: Sequence[Answer]
    during: Sequence[Answer]
    accepted: int
    undone: int
    stages: int
    lost: int
    doubled: int
    drained: float


def outage(folder: Path, *, how: str, seconds: float, rate: float) -> Outage:
    """The service with Redis ``killed`` or ``hung`` for so long."""
    store = OwnRedis(folder / "redis")
    store.start()
    with SmtpSink(port=0) as sink:
        service = Service(folder / "home", sink)
        service.environment["REDIS_URL"] = store.url
        service.run("manage.py", "migrate", "-v", "0")
        setup = SETUP.format(machines=MACHINES)
        password = service.run("manage.py", "shell", "--no-imports", "-c", setup).split()[-1]
        try:
            service.start()
            return watch(service, store, password, how=how, seconds=seconds, rate=rate)
        finally:
            service.stop()
            store.stop()


def watch(service: Service, store: OwnRedis, password: str, *, how: str, seconds: float, rate: float) -> Outage:
    names = [f"s{n}" for n in range(MACHINES)]
    body = partial(load.readings, sensors=names, size=READINGS)
    client = Load(service.url, log_in(service, password), rate=rate, body=body)
    client.begin()
    time.sleep(WARM_UP)
    store.fail(how=how)
    broke, since = time.monotonic(), ask(service, NOW)
    time.sleep(seconds - GRACE)
    until_then = ask(service, NOW)
    time.sleep(GRACE)
    back, now = time.monotonic(), ask(service, NOW)
    undone, accepted = (int(ask(service, query, since, until_then)) for query in (UNDONE, ACCEPTED))
    stages = int(ask(service, BY_WHOM, since, now))
    store.recover(how=how)
    answers = client.end()
    drained = until(lambda: storm.is_quiet(service), limit=DRAIN)
    sent = sum(answer.readings for answer in load.accepted(answers))
    beyond = service.count("stored") - sent
    return Outage(
        before=[answer for answer in answers if answer.due < broke],
        during=[answer for answer in answers if broke <= answer.due < back],
        accepted=accepted, undone=undone, stages=stages,
        lost=max(0, -beyond), doubled=max(0, beyond) + service.count("stages not done once"),
        drained=drained,
    )  # fmt: skip


def log_in(service: Service, password: str) -> str:
    answer = session().post(
        f"{service.url}/api/v1/auth/token/", json={"username": "storm", "password": password}, timeout=30
    )
    return str(answer.json()["access"])


def ask(service: Service, query: str, *values: Any) -> Any:
    connection = psycopg2.connect(host=str(service.sockets), user="postgres", dbname=embedded.DATABASE)
    try:
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchone()[0]
    finally:
        connection.close()


def rows(found: Outage, *, how: str) -> list[dict[str, Any]]:
    refused = len(found.during) - len(load.accepted(found.during))
    before, during = (load.percentile(answers, of=95) for answers in (found.before, found.during))
    return [
        row(f"Redis {how}: requests", len(found.during), "requests", detail=str(load.summary(found.during))),
        row(f"Redis {how}: requests failed", refused, "requests", goal=0, ok=refused == 0),
        row(f"Redis {how}: accept p50", load.percentile(found.during, of=50), "ms",
            baseline=load.percentile(found.before, of=50), detail="beside before the outage"),
        row(f"Redis {how}: accept p95", during, "ms", goal=f"< {GOAL_MS}", baseline=before),
        row(f"Redis {how}: accept max", max(answer.seconds for answer in found.during) * 1000, "ms",
            baseline=max(answer.seconds for answer in found.before) * 1000),
        row(f"Redis {how}: not judged meanwhile", found.undone, "parts", goal=0, ok=found.undone == 0,
            detail=f"of {found.accepted} accepted until {GRACE:g} s before its return; {found.stages} stages done"),
        row(f"Redis {how}: lost", found.lost, "readings", goal=0, ok=found.lost == 0),
        row(f"Redis {how}: doubled", found.doubled, "readings, stages", goal=0, ok=found.doubled == 0),
        row(f"Redis {how}: drained after", found.drained, "s"),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="How long Redis is gone.")
    parser.add_argument("--rate", type=float, default=15, help="Requests a second.")
    parser.add_argument("--how", choices=["killed", "hung"], action="append")
    options = parser.parse_args()
    everything: list[dict[str, Any]] = []
    for how in options.how or ["killed", "hung"]:
        with tempfile.TemporaryDirectory(prefix="bellwether-redis-") as folder:
            found = rows(outage(Path(folder), how=how, seconds=options.seconds, rate=options.rate), how=how)
        results.show(found)
        everything += found
    results.keep("redis-minute", everything)
    return 0 if all(row["ok"] is not False for row in everything) else 1


if __name__ == "__main__":
    sys.exit(main())
