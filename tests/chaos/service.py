"""The real service, ``manage.py up``, on embedded servers in a home of its own: what the storm strikes at."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import psycopg2
import redis
import requests

from config import node, supervisor

ROOT = Path(__file__).resolve().parents[2]
SITES = ("north", "south")
START_SECONDS = 120.0
STOP_SECONDS = 60.0
NOT_PASSED_ON = ("DATABASE_URL", "REDIS_URL", "BELLWETHER_POISON", "BELLWETHER_FAILPOINT")

SETUP = """
import json
from django.core.management import call_command
from maintenance.models import Channel
from sensors import fleet, onboarding
from sensors.models import Equipment, Sensor
call_command("migrate", verbosity=0)
wanted = json.loads({wanted!r})
passwords = {{}}
for slug in wanted["sites"]:
    site, _ = onboarding.site(slug=slug, name=slug.title())
    passwords[slug] = onboarding.new_password(onboarding.member(slug, site=site, role="INGEST").user).password
    Channel.objects.create(site=site, kind="EMAIL", name="Mail", target=slug + "@plant.example")
    if wanted["hook"]:
        Channel.objects.create(
            site=site, kind="WEBHOOK", name="Hook", target=wanted["hook"] + "/" + slug, secret="signs the storm"
        )
    for name in wanted["machines"]:
        machine = fleet.save_equipment(Equipment(site=site, tag=name, name=name, criticality="CRITICAL"))
        fleet.save_sensor(Sensor(site=site, equipment=machine, external_id=name, name=name, high=wanted["high"]))
print(json.dumps(passwords))
"""


NODE = supervisor.service(port=0, flower_port=0, beat_file=Path("beat"), concurrency=1)
WORKERS = sum("worker" in child.command for child in NODE)


class Service:
    """Started with ``prepare`` and ``start``, ended with ``stop``; ``sql`` and ``redis`` go past any proxy."""

    def __init__(self, home: Path, *, lease_seconds: int, environment: Mapping[str, str] | None = None) -> None:
        self.home = home
        self.environment = {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON} | {
            "BELLWETHER_HOME": str(home),
            "LEASE_SECONDS": str(lease_seconds),
            "JWT_ACCESS_MINUTES": "600",
            "MLFLOW_PORT": "0",  # no training is asked for
            "LIVE_PORT": "0",  # nobody listens
            "LOGIN_RATE": "1000/m",  # one client logs in anew for each load
            "READINGS_COMPACT_AFTER_DAYS": "36500",  # what is stored is looked at through the view of chunks
            **(environment or {}),
        }
        self.port, self.flower_port = node.free_port(0), node.free_port(0)
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = home.parent / "up.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._in_use: IO[str] | None = None

    def run(self, *arguments: str) -> str:
        """Run Python beside the service; what it printed. Raises ``RuntimeError``."""
        done = subprocess.run(
            [sys.executable, *arguments], cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{arguments}: {done.stdout[-2000:]} {done.stderr[-2000:]}")
        return done.stdout

    def prepare(self) -> None:
        """Start the servers, and keep them until ``stop``."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._in_use = (self.home / "users.lock").open("w")  # as config.embedded does: whoever leaves last stops them
        fcntl.flock(self._in_use, fcntl.LOCK_SH)
        said = self.run("-c", "from config import embedded; embedded.ensure(); print(embedded._socket_dir())")
        self.sockets = Path(said.strip())

    def set_up(self, *, machines: tuple[str, ...], high: float, hook: str = "") -> dict[str, str]:
        """The tables, and in them the sites, each with machines, a sensor of the same name on each, and channels.

        Returns a password by site, of a client called like the site.
        """
        wanted = json.dumps({"sites": SITES, "machines": machines, "high": high, "hook": hook})
        said = self.run("manage.py", "shell", "--no-imports", "-c", SETUP.format(wanted=wanted))
        passwords: dict[str, str] = json.loads(said.splitlines()[-1])
        return passwords

    def start(self, environment: Mapping[str, str] | None = None) -> float:
        """Start all processes, with more in their environment; seconds until the service said that it is ready."""
        command = [
            sys.executable,
            "manage.py",
            "up",
            "--port",
            str(self.port),
            "--flower-port",
            str(self.flower_port),
            "--metrics-port",
            "0",
        ]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment | dict(environment or {}), stdout=log, stderr=log
            )
        return until(self.is_ready, limit=START_SECONDS)

    def is_ready(self) -> bool:
        try:
            return session().get(f"{self.url}/health/ready", timeout=10).status_code == requests.codes.ok
        except requests.RequestException:
            return False

    def kill(self) -> None:
        """End all processes at once, without a word to them, and leave the servers running."""
        if self.process is None:
            return
        groups = children(self.process.pid)
        self.process.kill()  # first, or it would start the others again
        self.process.wait(STOP_SECONDS)
        self.process = None
        for group in groups:
            kill_group(group)

    def stop(self) -> None:
        """End everything: nothing of it is needed any more."""
        self.kill()
        if self._in_use is not None:
            self._in_use.close()
        self.run("-c", "from config import embedded; embedded.stop()")

    def ensure_servers(self) -> None:
        """Start again what a fault has killed."""
        self.run("-c", "from config import embedded; embedded.ensure()")

    def processes(self, word: str) -> list[int]:
        """Ids of the service's processes that have this word in their command: worker, sweep, granian."""
        assert self.process is not None
        return [child for child in children(self.process.pid) if word in command_of(child)]

    def redis(self) -> redis.Redis:
        return redis.Redis(unix_socket_path=str(self.redis_socket), socket_timeout=2)

    @property
    def redis_socket(self) -> Path:
        return self.sockets / "redis.sock"

    @property
    def postgres_socket(self) -> Path:
        return self.sockets / ".s.PGSQL.5432"

    def redis_pid(self) -> int:
        return int((self.home / "redis" / "redis.pid").read_text())

    def postgres_pid(self) -> int:
        return int((self.home / "postgres" / "postmaster.pid").read_text().split("\n", 1)[0])

    def sql(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows of a query, over a connection of its own that no fault but a crash of Postgres can hit."""
        connection = psycopg2.connect(host=str(self.sockets), user="postgres", dbname="bellwether")
        try:
            with connection.cursor() as cursor:
                cursor.execute(query, values or None)
                return cursor.fetchall()
        finally:
            connection.close()

    def execute(self, statements: str) -> None:
        connection = psycopg2.connect(host=str(self.sockets), user="postgres", dbname="bellwether")
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statements)
        finally:
            connection.close()

    def number(self, query: str, *values: Any) -> int:
        return int(self.sql(query, *values)[0][0] or 0)


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except FileNotFoundError:
        return ""


def children(parent: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except FileNotFoundError:
        return []


def kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return  # it has just ended by itself


def session() -> requests.Session:
    """Without a look at proxy variables."""
    made = requests.Session()
    made.trust_env = False
    return made


def until(condition: Callable[[], bool], *, limit: float) -> float:
    """Wait for a condition; how long it took. Raises ``TimeoutError``."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit:
            raise TimeoutError(f"not true after {limit:g} s")
        time.sleep(0.05)
    return time.monotonic() - began
