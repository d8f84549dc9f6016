"""Ours beside a plain build of the same job (``plain_project``): the same load, server, process counts and machine.

The plain build has a database and a Redis database of its own on the same servers, and runs while ours stands still.
What was sent to it is held against what it stored as well, and its figure counts until its last task is done.
"""

from __future__ import annotations

import argparse
import os
import secrets
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from config import node, supervisor
from tests.bench import copying, results
from tests.bench.results import row
from tests.bench.running import DRAIN, MACHINES, found_by, in_a_folder, midnight, order_for, running, sending
from tests.chaos.service import ROOT, Service, kill_group, session, until
from tests.load import bodies
from tests.load.sender import Said

PROJECT = ROOT / "tests" / "bench" / "plain_project"
DATABASE, REDIS_DATABASE = "plain", 7
CLIENT = "client"
GOAL = 100.0
START_SECONDS = 60.0
WORKERS = ("ingest,validate", "detect,decide,notify")
"""Queues of each worker: as many processes as ours have for the stages."""
UNFINISHED = "SELECT count(*) FROM plant_batch WHERE stage <> 'DONE'"
DONE_AT = "SELECT extract(epoch FROM max(finished_at)) FROM plant_batch"
BOOKS = "SELECT count(*), count(*) FILTER (WHERE value >= %s) FROM plant_reading"
MISSED = """
SELECT count(*) FROM plant_reading r JOIN plant_sensor s ON s.id = r.sensor_id WHERE r.value > s.high AND NOT (
EXISTS (SELECT FROM plant_anomaly a WHERE a.sensor_id = r.sensor_id AND a.measured_at = r.measured_at)
AND EXISTS (SELECT FROM plant_alarm x WHERE x.machine_id = s.machine_id))
"""


@dataclass(slots=True)
class Plain:
    """The plain build, running."""

    folder: Path
    port: int
    password: str
    connection: Any
    machines: int
    step: int = 0
    accepted: int = 0

    def number(self, query: str, *values: Any) -> float:
        with self.connection, self.connection.cursor() as cursor:
            cursor.execute(query, values or None)
            return float(cursor.fetchone()[0] or 0)

    def rate(self, *, shape: str, seconds: float, connections: int) -> float:
        """Readings a second, until the last task is done. Raises ``AssertionError`` where the books do not balance."""
        order = order_for(
            shape, machines=self.machines, begins=midnight(), step=self.step, folder=self.folder, host="127.0.0.1",
            port=self.port, username=CLIENT, password=self.password, seconds=seconds, connections=connections,
        )  # fmt: skip
        with sending(order, self.folder) as sender:
            sender.wait_until_ready()
            sender.begin()
            said: Said = sender.result()
        until(lambda: not self.number(UNFINISHED), limit=DRAIN)
        found = found_by(order)
        assert not said.problems, said.problems[:3]
        self.step += bodies.PERIOD
        self.accepted += int(found["accepted"].sum())
        assert self.number(BOOKS, bodies.HIGH) == self.accepted
        assert self.number(MISSED) == 0
        return int(found["accepted"].sum()) / (self.number(DONE_AT) - said.began)


@contextmanager
def plain(service: Service, folder: Path, *, machines: int = MACHINES) -> Iterator[Plain]:
    """The plain build, on the servers of a service whose processes stand still."""
    port, password = node.free_port(0), secrets.token_hex(18)  # as an argument it must not begin with a dash
    environment = surroundings(service)
    with ExitStack() as stack:
        stack.enter_context(copying.database(service, DATABASE))
        fill = [sys.executable, "-m", "django", "fill", str(machines), str(bodies.HIGH), CLIENT, password]
        subprocess.run(fill, cwd=PROJECT, env=environment, check=True)
        for command in commands(port):
            stack.enter_context(child(command, environment, folder / "plain.log"))
        until(lambda: answers(port), limit=START_SECONDS)
        connection = psycopg2.connect(host=str(service.sockets), user="postgres", dbname=DATABASE)
        stack.callback(connection.close)
        yield Plain(folder, port, password, connection, machines)


def surroundings(service: Service) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "BELLWETHER_"))}
    return kept | dict.fromkeys(node.THREADS, "1") | {
        "PYTHONPATH": str(PROJECT),
        "DJANGO_SETTINGS_MODULE": "settings",
        "PLAIN_SECRET": secrets.token_urlsafe(48),
        "PLAIN_DATABASE": DATABASE,
        "PLAIN_HOST": str(service.sockets),
        "PLAIN_BROKER": f"redis+socket://{service.redis_socket}?virtual_host={REDIS_DATABASE}",
    }  # fmt: skip


def commands(port: int) -> list[list[str]]:
    """The web server as ours is started, but for how it writes its log, and the workers."""
    ours = supervisor.service(port=port, flower_port=0, beat_file=Path("beat"), concurrency=1)
    web = next(child.command for child in ours if child.name == "web")
    celery = [sys.executable, "-m", "celery", "-A", "celeryapp", "worker", *supervisor.QUIET, "--concurrency", "1"]
    return [
        [word.replace("config.wsgi", "wsgi") for word in web if word not in supervisor.LINES],
        *([*celery, "-n", f"plain{number}@%h", "-Q", queues] for number, queues in enumerate(WORKERS)),
    ]


@contextmanager
def child(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    """A process and all that it starts, killed in the end."""
    with log.open("a") as out:
        process = subprocess.Popen(
            command, cwd=PROJECT, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield
    finally:
        kill_group(process.pid)
        process.wait()


def answers(port: int) -> bool:
    try:
        return session().get(f"http://127.0.0.1:{port}/", timeout=5).status_code > 0
    except OSError:
        return False


def bench(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    with running(folder) as site:
        sent = {"seconds": options.seconds, "connections": options.connections}
        fast = [site.load(site.order(options.shape, **sent)).rate for _ in range(options.times)]
        site.service.kill()
        with plain(site.service, folder) as theirs:
            theirs.rate(shape="hundreds", seconds=1.0, connections=2)
            sent = {"shape": options.shape, "seconds": options.plain_seconds, "connections": options.connections}
            slow = [theirs.rate(**sent) for _ in range(options.times)]
    return rows(slow, fast, options)


def rows(slow: Sequence[float], fast: Sequence[float], options: argparse.Namespace) -> list[dict[str, Any]]:
    theirs, ours = statistics.median(slow), statistics.median(fast)
    ratio = ours / theirs
    return [
        row("plain build", theirs, "readings/s",
            detail=f"{options.times} x {options.plain_seconds:g} s, {min(slow):,.0f} to {max(slow):,.0f}"),
        row("ours", ours, "readings/s",
            detail=f"{options.times} x {options.seconds:g} s, {min(fast):,.0f} to {max(fast):,.0f}"),
        row("ours, of the plain build", ratio, "x", goal=f">= {GOAL:g}", ok=ratio >= GOAL),
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="How long each run sends to ours.")
    parser.add_argument("--plain-seconds", type=float, default=5, help="How long each run sends to the plain build.")
    parser.add_argument("--times", type=int, default=3, help="How many runs of each.")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--shape", default="gateway", choices=["gateway", "hundreds"])
    options = parser.parse_args(arguments)
    with in_a_folder() as folder:
        found = bench(folder, options)
    results.show(found)
    results.keep("plain", found)
    return 0 if all(row["ok"] is not False for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
