"""Redis gone for a minute under load, once killed and once hung (SIGSTOP): who notices?

A client sends at a steady rate, open loop, to the whole service (``manage.py up``) whose ``REDIS_URL`` names a Redis of
this test's own, so that nothing starts it again. During the minute no request may fail, and what was accepted, up to
the last ``GRACE`` seconds, must be stored and judged, all five stages, BEFORE Redis comes back. Afterwards everything
must be there exactly once. The goal for the 95th percentile of accept latency is printed and is not a verdict.
"""

from __future__ import annotations

import argparse
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import redis

from agents.channels.sink import SmtpSink
from config import embedded
from tests.bench import results
from tests.bench.results import row
from tests.chaos import load
from tests.chaos.client import token
from tests.chaos.load import Answer, Load
from tests.chaos.service import SITES, Service, until

READINGS = 20
LEASE = 15
MACHINES = tuple(f"m{number}" for number in range(8))
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
AGES = (
    "SELECT extract(epoch FROM least(coalesce(r.finished_at, 'infinity'), %s) - p.created_at)"
    " FROM sensors_batchpart AS p LEFT JOIN agents_run AS r ON r.id = p.run_id WHERE p.created_at BETWEEN %s AND %s"
)
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
    ages: Sequence[float]
    """Seconds from its acceptance to its judgement, or to the end of the outage, of each part accepted during it."""
    lost: int
    doubled: int
    drained: float


@contextmanager
def running(folder: Path) -> Iterator[tuple[Service, OwnRedis, str]]:
    """The service on a Redis that only this process starts; with the password of the first site's client."""
    store = OwnRedis(folder / "redis")
    with ExitStack() as stack:
        stack.callback(store.stop)
        store.start()
        sink = stack.enter_context(SmtpSink(port=0))
        mail = {"EMAIL_HOST": sink.host, "EMAIL_PORT": str(sink.port), "EMAIL_USE_TLS": "0"}
        service = Service(folder / "home", lease_seconds=LEASE, environment=mail | {"REDIS_URL": store.url})
        stack.callback(service.stop)
        service.prepare()
        passwords = service.set_up(machines=MACHINES, high=load.HIGH)
        service.start()
        yield service, store, passwords[SITES[0]]


def outage(service: Service, store: OwnRedis, password: str, *, how: str, seconds: float, rate: float) -> Outage:
    """Redis ``killed`` or ``hung`` for so long."""
    body = partial(load.readings, sensors=MACHINES, size=READINGS)
    client = Load(service.url, token(service.url, SITES[0], password), rate=rate, body=body)
    client.begin()
    time.sleep(WARM_UP)
    store.fail(how=how)
    broke, since = time.monotonic(), service.sql(NOW)[0][0]
    time.sleep(seconds)
    now = service.sql(NOW)[0][0]
    window = since, now - timedelta(seconds=GRACE)
    undone, accepted = (service.number(query, *window) for query in (UNDONE, ACCEPTED))
    ages = [float(age) for (age,) in service.sql(AGES, now, since, now)]
    back = time.monotonic()
    store.recover(how=how)
    answers = client.end()
    drained = until(lambda: is_quiet(service), limit=DRAIN)
    beyond = service.number(load.STORED) - sum(answer.readings for answer in load.accepted(answers))
    return Outage(
        before=[answer for answer in answers if answer.due < broke],
        during=[answer for answer in answers if broke <= answer.due < back],
        accepted=accepted, undone=undone, ages=ages, lost=max(0, -beyond),
        doubled=max(0, beyond) + service.number(load.STAGES_TWICE), drained=drained,
    )  # fmt: skip


def is_quiet(service: Service) -> bool:
    return not any(service.number(query) for query in load.ON_THE_WAY)


def rows(found: Outage, *, how: str) -> list[dict[str, Any]]:
    refused = len(found.during) - len(load.accepted(found.during))
    before, during = (load.percentile(answers, of=95) for answers in (found.before, found.during))
    ages = statistics.quantiles(found.ages, n=100)
    return [
        row(f"Redis {how}: requests", len(found.during), "requests", detail=str(load.summary(found.during))),
        row(f"Redis {how}: requests failed", refused, "requests", goal=0, ok=refused == 0),
        row(f"Redis {how}: accept p50", load.percentile(found.during, of=50), "ms",
            baseline=load.percentile(found.before, of=50), detail="beside before the outage"),
        row(f"Redis {how}: accept p95", during, "ms", goal=f"< {GOAL_MS}", baseline=before),
        row(f"Redis {how}: accept max", max(answer.seconds for answer in found.during) * 1000, "ms",
            baseline=max(answer.seconds for answer in found.before) * 1000),
        row(f"Redis {how}: not judged meanwhile", found.undone, "parts", goal=0, ok=found.undone == 0,
            detail=f"of {found.accepted} accepted until {GRACE:g} s before Redis came back"),
        row(f"Redis {how}: judged after, p50", ages[49], "s", detail="from acceptance to the end of the last stage"),
        row(f"Redis {how}: judged after, p95", ages[94], "s"),
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
        with tempfile.TemporaryDirectory(prefix="bellwether-redis-") as folder, running(Path(folder)) as where:
            found = rows(outage(*where, how=how, seconds=options.seconds, rate=options.rate), how=how)
        results.show(found)
        everything += found
    results.keep("redis-minute", everything)
    return 0 if all(row["ok"] is not False for row in everything) else 1


if __name__ == "__main__":
    sys.exit(main())
