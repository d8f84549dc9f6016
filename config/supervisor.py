"""Run the service's processes as children: prefixed logs, restart of one that dies, an orderly stop of all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from config import logging

STOP_SECONDS = 20
FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
TEND_SECONDS = 5.0
STEADY_SECONDS = 30  # a child that lived so long starts with a short wait again


@dataclass(slots=True)
class Child:
    """One process that is to be running, and what is known of it. ``told``: variables of its own."""

    name: str
    command: Sequence[str]
    metrics_port: int = 0
    counts: Path | None = None  # the folder in which the processes it forks keep what they count
    told: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    started_at: float = 0.0
    wait: float = FIRST_WAIT
    restart_at: float = 0.0
    restarts: int = 0


@dataclass(slots=True)
class Supervisor:
    """Children of one folder and environment; their output goes to ``out``, each line behind the child's name."""

    children: list[Child]
    folder: Path
    environment: Mapping[str, str]
    out: TextIO = field(default_factory=lambda: sys.stderr)
    stopping: threading.Event = field(default_factory=threading.Event)
    json: bool = False
    """Lines are JSON, the child's name a field of each; else text behind its name."""
    tend: Callable[[], None] | None = None
    """Called every few seconds: starts again what the children stand on. May raise; that is said, and tried again."""

    def start(self) -> None:
        for child in self.children:
            self._launch(child)

    def watch(self) -> None:
        """Restart what dies until ``stopping`` is set, then stop all."""
        tended_at = time.monotonic()
        while not self.stopping.wait(0.2):
            self.check()
            if self.tend is not None and time.monotonic() - tended_at > TEND_SECONDS:
                self._tend(self.tend)
                tended_at = time.monotonic()
        self.stop()

    def _tend(self, tend: Callable[[], None]) -> None:
        try:
            tend()
        except Exception as error:
            self._say("servers", f"{type(error).__name__}: {error}")

    def check(self) -> None:
        """One look: note the dead, and start again those whose wait is over."""
        now = time.monotonic()
        for child in self.children:
            if child.process is not None and child.process.poll() is not None:
                child.wait = (
                    FIRST_WAIT if now - child.started_at > STEADY_SECONDS else min(LONGEST_WAIT, child.wait * 2)
                )
                child.restart_at = now + child.wait
                _signal(child, signal.SIGKILL)  # what a killed Celery parent has left of its pool
                self._say(child.name, f"ended with {child.process.returncode}; again in {child.wait:g} s")
                child.process = None
            elif child.process is None and now >= child.restart_at and not self.stopping.is_set():
                child.restarts += 1
                self._launch(child)

    def stop(self) -> None:
        """TERM to all, so that they finish or give back what they hold; KILL to those that do not end in time."""
        self.stopping.set()
        running = [child for child in self.children if child.process is not None]
        for child in running:
            _signal(child, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for child in running:
            assert child.process is not None
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self._say(child.name, "did not end in time; killed")
                _signal(child, signal.SIGKILL)
                child.process.wait()

    def _launch(self, child: Child) -> None:
        child.started_at = time.monotonic()
        own = {"METRICS_PORT": str(child.metrics_port)}
        if child.counts is not None:
            shutil.rmtree(child.counts, ignore_errors=True)
            child.counts.mkdir(parents=True, mode=0o700)
            own["PROMETHEUS_MULTIPROC_DIR"] = str(child.counts)  # looked at once, by what is imported first
        child.process = subprocess.Popen(
            child.command,
            cwd=self.folder,
            env=dict(self.environment) | dict(child.told) | own,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops the rest in order
        )
        threading.Thread(target=self._forward, args=(child.name, child.process.stdout), daemon=True).start()

    def _forward(self, name: str, lines: TextIO) -> None:
        with lines:
            for line in lines:
                self._say(name, line.rstrip())

    def _say(self, name: str, line: str) -> None:
        self.out.write(f"{_with_name(name, line) if self.json else f'{name:>8} | {line}'}\n")
        self.out.flush()


def _with_name(name: str, line: str) -> str:
    """A line of JSON with the name of its process; what is no JSON (a library's own words) becomes the event of one."""
    if line.startswith('{"') and line.endswith("}"):
        return f'{{"process":"{name}",{line[1:]}'
    said = {"process": name, "event": logging.redactor.text(line), "level": "info", "logger": "output"}
    return json.dumps(said | {"timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z")})


def _signal(child: Child, number: int) -> None:
    """To the child's whole group: a killed Celery parent must not leave its pool behind."""
    assert child.process is not None
    try:
        if number == signal.SIGKILL:
            os.killpg(child.process.pid, number)
        else:
            child.process.send_signal(number)
    except ProcessLookupError:
        return


QUIET = ("-l", "WARNING", "--without-gossip", "--without-mingle")


LONG = "backtest,schedule,train,export,report"
BACKUP = ("manage.py", "backup", "--keep")
MEASURED = ("intake", "judge", "outbox", "aside", "models", "long", "sweep")
"""The processes that have figures of their own; beat and Flower have none, and web and MLflow a page."""
LINES = ("--log-level", "warning", "--log-config", "deploy/server-log.json")
"""Of Granian itself: its requests are told by the service, which knows their ids."""
WEB = (
    "--interface", "wsgi", "--http", "1", "--no-ws", *LINES,
    "--workers", "1",  # the counters of /metrics are those of one process
    "--backlog", "2048",  # connections that may wait to be taken: a thousand clients may come at once
    "--blocking-threads-idle-timeout", "600",  # as long as a thread's connection to the database may be kept
    "--workers-kill-timeout", "15",  # requests in hand end before; the supervisor itself waits for 20 s
)  # fmt: skip
LIVE = (
    "--interface", "asgi", "--http", "1", "--no-ws", *LINES,
    "--workers", "1",  # one reader of the journal
    "--backlog", "2048", "--workers-kill-timeout", "5",
)  # fmt: skip
TRACKING = (
    "--interface", "wsgi", "--http", "1", "--no-ws", *LINES,
    "--workers", "1",
    "--blocking-threads", "4", "--workers-kill-timeout", "15",
)  # fmt: skip
WEB_THREADS = 16
"""Requests in hand at once. Most of the time they wait for a commit, which they share: 16 share it better than 8."""


def _measured(children: list[Child], *, first_port: int, folder: Path) -> list[Child]:
    """A port and a folder for each process that counts, where there are ports."""
    counting = [child for child in children if child.name in MEASURED]
    for port, child in enumerate(counting if first_port else (), start=first_port):
        child.metrics_port, child.counts = port, folder / child.name
    return children


def _web(*, port: int, threads: int) -> Child:
    place = ("--host", "127.0.0.1", "--port", str(port))
    program = [sys.executable, "-m", "granian", "config.wsgi:application"]
    command = [*program, *place, "--blocking-threads", str(threads), *WEB]
    return Child("web", command, told={"BELLWETHER_ROLE": "web"})


def service(
    *,
    port: int,
    flower_port: int,
    beat_file: Path,
    concurrency: int,
    mlflow_port: int = 0,
    live_port: int = 0,
    metrics_port: int = 0,
    backup: bool = False,
    web_threads: int = WEB_THREADS,
) -> list[Child]:
    """The processes of one node: web, a worker for each group of stages, beat, sweep, Flower, and MLflow and the live
    streams where they have a port.

    ``metrics_port``: the first of those at which workers and sweep show their figures; 0: they show none.
    """
    python = sys.executable
    celery = [python, "-m", "celery", "-A", "config"]

    def worker(name: str, queues: str) -> Child:
        options = ["-n", f"{name}@%h", "-Q", queues, "--concurrency", str(concurrency), *QUIET]
        return Child(name, [*celery, "worker", *options])

    children = [
        _web(port=port, threads=web_threads),
        worker("intake", "ingest,validate"),
        worker("judge", "detect,decide,notify"),
        worker("outbox", "deliver,housekeeping"),  # no stage: it waits for targets that may hang
        # One at a time and in the process itself: what is quarantined is tried in children of its own (agents.probe),
        # and webhooks, which may hang, take short turns.
        Child("aside", [*celery, "worker", "-n", "aside@%h", "-Q", "quarantine,webhook", "--pool", "solo", *QUIET]),
        # Answers of models: apart from what is long, since somebody waits for them.
        Child("models", [*celery, "worker", "-n", "models@%h", "-Q", "answer", "--concurrency", "1", *QUIET]),
        # One at a time: each takes a processor for as long as it may.
        Child("long", [*celery, "worker", "-n", "long@%h", "-Q", LONG, "--concurrency", "1", *QUIET]),
        Child("beat", [*celery, "beat", "-s", str(beat_file), "-l", "WARNING"]),
        Child("sweep", [python, "manage.py", "sweep"]),
        Child(
            "flower",
            [
                *celery, "flower", "--address=127.0.0.1", f"--port={flower_port}", "--logging=warning",
                f"--db={beat_file.with_name('flower')}", *REMEMBERS,
            ],
        ),
        *([tracking(port=mlflow_port)] if mlflow_port else []),
        *([Child("backup", [python, *BACKUP])] if backup else []),
        *([live(port=live_port)] if live_port else []),
    ]  # fmt: skip
    return _measured(children, first_port=metrics_port, folder=beat_file.parent / "metrics")


REMEMBERS = ["--persistent=True", "--state_save_interval=60000", "--max_tasks=10000", "--purge_offline_workers=60"]
"""What Flower has seen of tasks outlives it."""


def tracking(*, port: int) -> Child:
    """The MLflow server. Nothing but trainings asks it; while it is away they wait, and the rest goes on."""
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return Child("mlflow", [sys.executable, "-m", "granian", "config.tracking_wsgi:application", *address, *TRACKING])


def live(*, port: int) -> Child:
    """The live streams, which would hold a thread of the web server each."""
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return Child("live", [sys.executable, "-m", "granian", "config.live:application", *address, *LIVE])
