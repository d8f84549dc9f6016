"""The whole service as processes: the demonstration, and a replay under kill -9."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agents import water_flow
from config import node

ROOT = Path(__file__).resolve().parents[2]
SEED = 20260301
WORKERS = 6  # Celery workers of one node
KILLS = 6
PATIENCE = 240

EFFECTS = """
import json, sys
from maintenance.models import AlarmTransition, Anomaly, Decision, Notification, WorkOrder
from sensors import store
from sensors.models import BatchPart, Event, Sensor
site = {"site__slug": sys.argv[1]}
def rows(query, *names):
    return sorted([str(value) for value in row] for row in query.values_list(*names))
print(json.dumps({
    "readings": store.count(Sensor.objects.filter(site__slug=sys.argv[1]).values_list("pk", flat=True)),
    "anomalies": rows(
        Anomaly.objects.filter(**site), "detector", "kind", "started_at", "ended_at", "readings", "peak_score"
    ),
    "transitions": rows(AlarmTransition.objects.filter(alarm__site__slug=sys.argv[1]), "action", "at"),
    "orders": rows(WorkOrder.objects.filter(**site), "failure_mode", "maintenance_type", "occurrences"),
    "parts": rows(BatchPart.objects.filter(batch__site__slug=sys.argv[1]), "state", "stored", "already_stored"),
}))
"""
SHELL = "import django; django.setup();"


def environment(home: Path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL", "DJANGO_SETTINGS_MODULE")}
    return clean | {"BELLWETHER_HOME": str(home), "LEASE_SECONDS": "6", "PYTHONWARNINGS": "default"}


def manage(home: Path, *arguments: str, limit: float = PATIENCE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT, env=environment(home), capture_output=True, text=True, timeout=limit, check=False,
    )  # fmt: skip


def until(condition: Callable[[], bool], *, limit: float = PATIENCE) -> None:
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("service") / "home"
    yield folder
    manage(folder, "down")


@pytest.mark.timeout(400)
def test_the_demonstration_finds_all_four_stretches_and_its_books_balance(home: Path) -> None:
    done = manage(home, "demo", "--exit", "--port", str(node.free_port(0)), "--flower-port", str(node.free_port(0)))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sent 1268, stored 1268" in done.stdout
    assert "MISSED" not in done.stdout
    assert "FAIL" not in done.stdout
    assert "MLflow      http://127.0.0.1:" in done.stdout


@contextmanager
def service(home: Path) -> Iterator[int]:
    """``manage.py up``; gives its process id."""
    log = home.parent / "up.log"
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", str(node.free_port(0)), "--flower-port",
             str(node.free_port(0))],
            cwd=ROOT, env=environment(home) | {"MLFLOW_PORT": str(node.free_port(0)), "LIVE_PORT": "0"},
            stdout=out, stderr=out,
        )  # fmt: skip
        try:
            until(lambda: len(workers(process.pid)) == WORKERS and "Flower" in log.read_text())
            yield process.pid
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def workers(parent: int) -> list[int]:
    """Process ids of the Celery workers that ``up`` started."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = []
    for child in map(int, children):
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        except FileNotFoundError:
            continue
        if b"worker" in command and b"celery" in command:
            found.append(child)
    return found


def effects(home: Path, site: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", EFFECTS.replace("sys.argv[1]", repr(site))],
        cwd=ROOT, env=environment(home), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def replayed(home: Path, site: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "manage.py", "replay", str(water_flow.path()), "--site", site, "--machine", "Branch",
         "--batch", "40", "--time-zone", "Europe/Rome", "--kind", "FLOW", "--speed", "600000"],
        cwd=ROOT, env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.mark.timeout(300)
def test_the_service_starts_its_servers_again_when_they_die(home: Path) -> None:
    pid_file = home / "redis" / "redis.pid"
    with service(home):
        for _ in range(2):
            redis, postgres = int(pid_file.read_text()), postmaster(home)
            os.kill(redis, signal.SIGKILL)
            os.kill(postgres, signal.SIGQUIT)  # an immediate shutdown, as a crash leaves it
            until(lambda was=redis: pid_file.exists() and int(pid_file.read_text()) != was)  # type: ignore[misc]
            until(lambda was=postgres: postmaster(home) not in (0, was))  # type: ignore[misc]


def postmaster(home: Path) -> int:
    """Process id of the embedded Postgres, 0 where it does not run."""
    pid_file = home / "postgres" / "postmaster.pid"
    return int(pid_file.read_text().splitlines()[0]) if pid_file.exists() else 0


@pytest.mark.timeout(600)
def test_workers_killed_at_any_moment_change_nothing_of_the_outcome(home: Path) -> None:
    dice = random.Random(SEED)
    with service(home) as parent:
        quiet = replayed(home, "quiet")
        assert quiet.wait(PATIENCE) == 0, quiet.communicate()[0]
        quiet.communicate()
        stormy = replayed(home, "stormy")
        for _ in range(KILLS):
            until(lambda: len(workers(parent)) == WORKERS)
            time.sleep(dice.uniform(0.2, 1.5))  # the moment of a kill is to be any
            os.killpg(dice.choice(workers(parent)), signal.SIGKILL)
        output, _ = stormy.communicate(timeout=PATIENCE)
        assert stormy.returncode == 0, output
    calm, rough = effects(home, "quiet"), effects(home, "stormy")
    assert calm["readings"] == 1268
    assert rough == calm
