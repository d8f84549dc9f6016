"""Random faults on the whole service, from a printed seed, and what was lost or doubled: ``make chaos``.

A client sends readings over HTTP, at a steady rate and open loop, while workers are killed, Redis is emptied, frozen
and killed, Postgres is crashed, and bells are rung twice. Whatever was answered with 202 must be stored exactly once,
every stage of every run must have been done exactly once, and every message must have reached the mail server.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import redis
import requests

from agents.channels.sink import SmtpSink
from config import node
from tests.bench import results
from tests.bench.results import row

ROOT = Path(__file__).resolve().parents[2]
READINGS = 20
MACHINES = 8
EXCURSIONS = 0.03
LEASE = 6
PATIENCE = 120.0
START = datetime(2026, 1, 1, tzinfo=UTC)


SETUP = """
from sensors import fleet, onboarding
from sensors.models import Equipment, Sensor
from maintenance.models import Channel
site, _ = onboarding.site(slug="storm", name="Storm")
client = onboarding.new_password(onboarding.member("storm", site=site, role="INGEST").user)
Channel.objects.create(site=site, kind="EMAIL", name="Mail", target="shift@plant.example")
for n in range({machines}):
    machine = fleet.save_equipment(Equipment(site=site, tag=f"M{{n}}", name=f"M{{n}}", criticality="CRITICAL"))
    fleet.save_sensor(Sensor(site=site, equipment=machine, external_id=f"s{{n}}", name=f"s{{n}}", high=100.0))
print(client.password)
"""
COUNTS = {
    "stored": "SELECT count(*) FROM sensors_reading",
    "parts not stored": "SELECT count(*) FROM sensors_batchpart WHERE state <> 'STORED'",
    "runs not done": "SELECT count(*) FROM agents_run WHERE status <> 'DONE'",
    "runs": "SELECT count(*) FROM agents_run",
    "stages not done once": "SELECT count(*) FROM (SELECT run_id FROM agents_stageattempt WHERE outcome = 'DONE'"
    " GROUP BY run_id HAVING count(*) <> 5 OR count(DISTINCT stage) <> 5) AS wrong",
    "excursions found": "SELECT count(*) FROM maintenance_anomaly WHERE detector = 'limits' AND NOT retrospective",
    "open orders": "SELECT count(*) FROM maintenance_workorder",
    "messages": "SELECT count(*) FROM maintenance_notification",
    "messages not sent": "SELECT count(*) FROM maintenance_notification WHERE status <> 'SENT'",
    "attempts fenced": "SELECT count(*) FROM agents_stageattempt WHERE outcome = 'FENCED'",
}


class Service:
    """``manage.py up`` on embedded servers in a home of its own."""

    def __init__(self, home: Path, sink: SmtpSink) -> None:
        self.home = home
        self.environment = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL")} | {
            "BELLWETHER_HOME": str(home),
            "LEASE_SECONDS": str(LEASE),
            "EMAIL_HOST": sink.host,
            "EMAIL_PORT": str(sink.port),
            "EMAIL_USE_TLS": "0",
            "JWT_ACCESS_MINUTES": "600",
        }
        self.port = node.free_port(0)
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        return done.stdout

    def start(self) -> None:
        command = [sys.executable, "manage.py", "up", "--port", str(self.port), "--flower-port", str(node.free_port(0))]
        with (self.home.parent / "up.log").open("w") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=log, stderr=log)
        until(self.is_ready, limit=120)
        self.sockets = Path(self.run("-c", "from config import embedded; print(embedded._socket_dir())").strip())

    def is_ready(self) -> bool:
        try:
            return bool(session().get(f"{self.url}/health/ready", timeout=10).status_code == requests.codes.ok)
        except requests.RequestException:
            return False

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)
        self.run("manage.py", "down")

    def ensure_servers(self) -> None:
        """Start again what a fault has killed."""
        self.run("-c", "from config import embedded; embedded.ensure()")

    def workers(self) -> list[int]:
        assert self.process is not None
        return [child for child in children(self.process.pid) if b"worker" in command_of(child)]

    def redis(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.sockets / "redis.sock"), socket_timeout=2)

    def redis_pid(self) -> int:
        return int((self.home / "redis" / "redis.pid").read_text())

    def count(self, what: str) -> int:
        connection = psycopg2.connect(host=str(self.sockets), user="postgres", dbname="bellwether")
        try:
            with connection.cursor() as cursor:
                cursor.execute(COUNTS[what])
                return int(cursor.fetchone()[0])
        finally:
            connection.close()


def command_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except FileNotFoundError:
        return []


def children(parent: int) -> list[int]:
    try:
        return [int(c) for c in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except FileNotFoundError:
        return []


def session() -> requests.Session:
    made = requests.Session()
    made.trust_env = False
    return made


def until(condition: Callable[[], bool], *, limit: float) -> float:
    """Wait for a condition; how long it took."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit:
            raise TimeoutError(f"not true after {limit} s")
        time.sleep(0.1)
    return time.monotonic() - began


@dataclass(slots=True)
class Client:
    """Sends one request after the other, each until it is accepted, as a client that must not lose anything does."""

    service: Service
    password: str
    dice: random.Random
    rate: float
    stop: threading.Event = field(default_factory=threading.Event)
    requests: int = 0
    excursions: int = 0
    retries: int = 0
    seconds: list[float] = field(default_factory=list)

    def send_until_stopped(self) -> None:
        http = session()
        token = http.post(
            f"{self.service.url}/api/v1/auth/token/",
            json={"username": "storm", "password": self.password},
            timeout=30,
        )
        http.headers["Authorization"] = f"Bearer {token.json()['access']}"
        began = time.monotonic()
        for number in itertools.count():
            if self.stop.is_set():
                return
            time.sleep(max(0.0, began + number / self.rate - time.monotonic()))
            self._send(http, machine=number % MACHINES, step=number // MACHINES)

    def _send(self, http: requests.Session, *, machine: int, step: int) -> None:
        excursion = self.dice.random() < EXCURSIONS
        items = [
            {
                "sensor": f"s{machine}",
                "measured_at": (START + timedelta(minutes=step * READINGS + n)).isoformat(),
                "value": 150.0 if excursion and n in (3, 4) else 50.0 + self.dice.random(),
            }
            for n in range(READINGS)
        ]
        headers = {"Idempotency-Key": f'"{machine}-{step}"'}
        while True:
            began = time.monotonic()
            try:
                answer = http.post(f"{self.service.url}/api/v1/data/ingest", json=items, headers=headers, timeout=10)
                if answer.status_code == requests.codes.accepted:
                    break
            except requests.RequestException as error:
                answer = error.response
            self.retries += 1
            time.sleep(0.3)
        self.seconds.append(time.monotonic() - began)
        self.requests += 1
        self.excursions += excursion


class Faults:
    """What can be done to the service. Each returns when its harm is over and what it killed runs again."""

    def __init__(self, service: Service, dice: random.Random) -> None:
        self.service, self.dice = service, dice
        self.done: Counter[str] = Counter()
        self.recovery: dict[str, list[float]] = {}
        self.kinds: dict[str, Callable[[], None]] = {
            "worker killed": self.kill_worker,
            "pool process killed": self.kill_pool_process,
            "worker frozen beyond its lease": self.freeze_worker,
            "Redis emptied": lambda: self.service.redis().flushall(),
            "Redis killed": self.kill_redis,
            "Redis frozen": self.freeze_redis,
            "bells rung twice": self.ring_twice,
            "Postgres crashed": self.crash_postgres,
        }

    def strike(self) -> None:
        kind = self.dice.choice(sorted(self.kinds))
        try:
            self.kinds[kind]()
        except redis.RedisError as error:
            raise RuntimeError(f"{kind}: {error}") from error
        self.done[kind] += 1
        before = self.service.count("runs")
        try:
            took = until(lambda: self.service.count("runs") > before, limit=PATIENCE)
        except TimeoutError as error:
            raise TimeoutError(f"no run began after: {kind}") from error
        self.recovery.setdefault(kind, []).append(took)

    def _worker(self) -> int:
        until(lambda: len(self.service.workers()) == 4, limit=PATIENCE)
        return self.dice.choice(self.service.workers())

    def kill_worker(self) -> None:
        os.killpg(self._worker(), signal.SIGKILL)

    def kill_pool_process(self) -> None:
        until(lambda: bool(children(self._worker())), limit=PATIENCE)
        for child in children(self._worker())[:1]:
            os.kill(child, signal.SIGKILL)

    def freeze_worker(self) -> None:
        group = self._worker()
        os.killpg(group, signal.SIGSTOP)
        time.sleep(LEASE + 2)
        os.killpg(group, signal.SIGCONT)

    def kill_redis(self) -> None:
        os.kill(self.service.redis_pid(), signal.SIGKILL)
        time.sleep(self.dice.uniform(0.5, 4))
        self.service.ensure_servers()

    def freeze_redis(self) -> None:
        os.kill(self.service.redis_pid(), signal.SIGSTOP)
        time.sleep(4)
        os.kill(self.service.redis_pid(), signal.SIGCONT)

    def ring_twice(self) -> None:
        store = self.service.redis()
        for queue in ("ingest", "validate", "detect", "decide", "notify", "deliver"):
            for message in store.lrange(f"bw:{queue}", 0, -1):
                store.lpush(f"bw:{queue}", message)

    def crash_postgres(self) -> None:
        self.service.run(
            "-c",
            "from config import embedded;"
            "embedded._pg('pg_ctl', '-m', 'immediate', '-D', str(embedded._data()), 'stop')",
        )
        self.service.ensure_servers()


def storm(*, seed: int, seconds: float, rate: float, home: Path) -> list[dict[str, Any]]:
    """One run under faults; a row for each figure."""
    dice = random.Random(seed)
    with SmtpSink(port=0) as sink:
        service = Service(home, sink)
        service.run("manage.py", "migrate", "-v", "0")
        password = service.run("manage.py", "shell", "--no-imports", "-c", SETUP.format(machines=MACHINES)).split()[-1]
        try:
            service.start()
            client = Client(service, password, random.Random(seed + 1), rate)
            faults = Faults(service, dice)
            sending = threading.Thread(target=client.send_until_stopped)
            sending.start()
            ends = time.monotonic() + seconds
            while time.monotonic() < ends and sending.is_alive():
                time.sleep(dice.uniform(0.5, 2))
                faults.strike()
            client.stop.set()
            sending.join()
            drained = until(lambda: is_quiet(service), limit=PATIENCE)
            return rows(service, client, faults, sink, drained=drained, seed=seed)
        finally:
            service.stop()


def is_quiet(service: Service) -> bool:
    return not any(service.count(what) for what in ("parts not stored", "runs not done", "messages not sent"))


def rows(
    service: Service, client: Client, faults: Faults, sink: SmtpSink, *, drained: float, seed: int
) -> list[dict[str, Any]]:
    found = {what: service.count(what) for what in COUNTS}
    sent = client.requests * READINGS
    unique = len({mail.message_id for mail in sink.received})
    crashes = sum(count for kind, count in faults.done.items() if "bells" not in kind and "emptied" not in kind)
    cuts = statistics.quantiles(client.seconds, n=100)

    kinds = ", ".join(f"{count} x {kind}" for kind, count in sorted(faults.done.items()))
    lost, missed = sent - found["stored"], client.excursions - found["excursions found"]
    undelivered = found["messages"] - unique
    return [
        row("faults", faults.done.total(), "faults", detail=f"seed {seed}: {kinds}"),
        row("readings accepted", sent, "readings", detail=f"{client.requests} requests, {client.retries} retried"),
        row("readings lost", max(0, lost), "readings", goal=0, ok=lost <= 0),
        row("readings doubled", max(0, -lost), "readings", goal=0, ok=lost >= 0),
        row("stages not done exactly once", found["stages not done once"], "runs", goal=0,
            ok=found["stages not done once"] == 0, detail=f"{found['runs']} runs"),
        row("excursions lost", max(0, missed), "anomalies", goal=0, ok=missed <= 0, detail=f"{client.excursions} sent"),
        row("excursions doubled", max(0, -missed), "anomalies", goal=0, ok=missed >= 0),
        row("messages lost", max(0, undelivered), "messages", goal=0, ok=undelivered == 0,
            detail=f"{found['messages']} messages"),
        row("messages sent twice", len(sink.received) - unique, "messages", goal=f"<= {crashes} crashes",
            ok=len(sink.received) - unique <= crashes, detail="under the same Message-ID"),
        row("attempts fenced", found["attempts fenced"], "attempts"),
        row("accept p50", cuts[49] * 1000, "ms"),
        row("accept p95", cuts[94] * 1000, "ms"),
        row("drained after", drained, "s"),
        *(row(f"recovery: {kind}", max(took), "s", detail=f"longest of {len(took)}, to the first new run")
          for kind, took in sorted(faults.recovery.items())),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1, help="How many runs, each of another seed.")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=75, help="Of faults in each run.")
    parser.add_argument("--rate", type=float, default=15, help="Requests a second.")
    options = parser.parse_args()
    everything: list[dict[str, Any]] = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        with tempfile.TemporaryDirectory(prefix="bellwether-storm-") as folder:
            found = storm(seed=seed, seconds=options.seconds, rate=options.rate, home=Path(folder) / "home")
        results.show(found)
        everything += found
    results.keep("chaos", everything)
    return 0 if all(row["ok"] is not False for row in everything) else 1


if __name__ == "__main__":
    sys.exit(main())
