"""Faults that are brought about for real, each with what it is that was broken."""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import smtplib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psycopg2
import redis
import requests
from billiard.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.template import Template
from redis.backoff import NoBackoff
from redis.retry import Retry

from agents import failpoints, pipeline, quarantine, releases
from agents.doorbell import Bell
from agents.models import Run, StageAttempt
from agents.stages import Finish, Units
from maintenance.models import Anomaly
from sensors.models import BatchPart, Sensor
from tests import faults, workers

Strike = Callable[[list[Sensor]], None]
POISON = 66.125
NOWHERE = "http://127.0.0.1:9"


@dataclass(frozen=True, slots=True)
class Fault:
    """``strike`` takes sensors of four machines in lanes of their own, which have worked well so far."""

    name: str
    label: str
    strike: Strike


# How a fault meets the pipeline


def everywhere(fault: Callable[[], object], *, stage: str = "VALIDATE") -> Strike:
    """Whatever comes to a stage meets the fault."""

    def strike(plant: list[Sensor]) -> None:
        for sensor in plant:
            faults.send(sensor, [3.0, 4.0], first=100)
        with faults.stage(stage, faults.before(stage, fault)):
            workers.recover()

    return strike


def one_of_many(fault: Callable[[], object], *, stage: str = "VALIDATE") -> Strike:
    """One sender's payload meets the fault, again and again; the others' pass."""

    def strike(plant: list[Sensor]) -> None:
        for sensor in plant:
            faults.send(sensor, [POISON if sensor is plant[0] else 3.0, 4.0], first=100)

        def step(run: Run, attempt: int, only: Units) -> Finish:
            parts = BatchPart.objects.filter(run_id=run.pk, lane=plant[0].machine.lane)
            if parts.exists():
                fault()
            return faults.OURS[stage](run, attempt, only)

        for sensor in plant:
            sensor.machine.refresh_from_db()
        with faults.stage(stage, step):
            workers.recover()

    return strike


def poison(stage: str, effect: str = "raise") -> Strike:
    def strike(plant: list[Sensor]) -> None:
        for sensor in plant:
            faults.send(sensor, [POISON if sensor is plant[0] else 3.0, 4.0], first=100)
        workers.recover(environment={failpoints.POISON: f"{stage}:{effect}:{POISON}"})

    return strike


def in_a_trial(fault: Callable[[], object]) -> Strike:
    """A run that comes to quarantine meets the fault there: what would also take the worker of its lane with it."""

    def strike(plant: list[Sensor]) -> None:
        lane = faults.send(plant[0], [3.0, 4.0], first=100)
        (bell,) = pipeline.begin(lane).bells
        Run.objects.filter(pk=bell.id).update(status="QUARANTINE", quarantines=1)
        quarantine.search(bell.id, steps={"VALIDATE": faults.before("VALIDATE", fault)})

    return strike


def in_the_lane_only(fault: Callable[[], object], *, stage: str = "VALIDATE") -> Strike:
    """It strikes while a run is in its lane and is over when quarantine tries it: something comes and goes."""

    def strike(plant: list[Sensor]) -> None:
        faults.send(plant[0], [3.0, 4.0], first=100)
        with faults.stage(stage, faults.in_its_lane(stage, fault)):
            workers.recover()

    return strike


def statement(sql: str) -> Callable[[], object]:
    """What Postgres makes of a statement of the stage's."""

    def fault() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(sql)

    return fault


def schema(*changes: str) -> Strike:
    """The database is changed below the stages, which then do what they always do."""

    def strike(plant: list[Sensor]) -> None:
        with changed(changes):
            for sensor in plant:
                faults.send(sensor, [3.0, 9_999.0], first=100)
            workers.recover()

    return strike


@contextmanager
def changed(changes: Sequence[str]) -> Iterator[None]:
    """Statements in pairs: what is done before and what takes it back."""
    done, undone = changes[::2], changes[1::2]
    for sql in done:
        statement(sql)()
    try:
        yield
    finally:
        for sql in undone[::-1]:
            statement(sql)()


def while_migrations_wait(strike: Strike) -> Strike:
    def struck(plant: list[Sensor]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM django_migrations WHERE app = 'mlops' RETURNING name, applied")
            taken = cursor.fetchall()
        taken_out.append(taken)
        strike(plant)

    return struck


taken_out: list[list[tuple[Any, ...]]] = []
"""Rows of django_migrations that a fault has taken out; put back after the doctor looked."""


def put_back_migrations() -> None:
    with connection.cursor() as cursor:
        while taken_out:
            rows = taken_out.pop()
            cursor.executemany("INSERT INTO django_migrations (app, name, applied) VALUES ('mlops', %s, %s)", rows)


def after_a_deployment(strike: Strike) -> Strike:
    def struck(plant: list[Sensor]) -> None:
        releases.current = lambda: "new-version"  # type: ignore[assignment]
        releases.note("new-version")
        strike(plant)

    return struck


# Dependencies


@contextmanager
def server(answer: bytes | None) -> Iterator[int]:
    """Takes one connection after the other, says its word (None: nothing, ever) and closes; its port."""
    listening = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        while True:
            try:
                taken, _ = listening.accept()
            except OSError:
                return
            held.append(taken)
            if answer is not None:
                taken.recv(1_000)
                taken.sendall(answer)
                taken.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join(5)
        for taken in held:
            taken.close()


def asks(answer: bytes | None, ask: Callable[[int], object]) -> Callable[[], object]:
    def fault() -> None:
        with server(answer) as port:
            ask(port)

    return fault


def fetch(port: int) -> object:
    found = requests.get(f"http://127.0.0.1:{port}/model", timeout=0.3)
    found.raise_for_status()
    return found


def speak_tls(port: int) -> object:
    raw = socket.create_connection(("127.0.0.1", port), timeout=1)
    return ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")


def locked() -> None:
    """Somebody holds the table; we wait a moment."""
    other = psycopg2.connect(**connection.get_connection_params())
    try:
        other.cursor().execute("LOCK TABLE mlops_machinestate IN ACCESS EXCLUSIVE MODE")
        statement("SET LOCAL lock_timeout = 50; SELECT count(*) FROM mlops_machinestate")()
    finally:
        other.close()


def read_only() -> None:
    """As after a failover, by way of a connection that still leads to the old server."""
    statement("SET TRANSACTION READ ONLY; DELETE FROM sensors_event WHERE false")()


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# Resources


def limit_memory(more: int) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + more, resource.getrlimit(resource.RLIMIT_AS)[1]))


def eat_bytes() -> None:
    limit_memory(100 << 20)
    bytearray(1 << 30)


def eat_arrays() -> None:
    limit_memory(100 << 20)
    np.ones(1 << 28)


def fill_disk() -> None:
    Path("/dev/full").write_text("x" * 100_000)


def open_files() -> None:
    open_now = len(list(Path("/proc/self/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    held = [Path(os.devnull).open() for _ in range(20)]  # noqa: SIM115 - they stay open
    raise AssertionError(f"{len(held)} files could be opened")


def hang() -> None:
    time.sleep(60)


def run_out_of_time() -> None:
    """As a Celery worker ends a task that takes too long."""

    def stop(*_: object) -> None:
        raise SoftTimeLimitExceeded

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    time.sleep(10)


def hanging(strike: Strike) -> Strike:
    def struck(plant: list[Sensor]) -> None:
        kept, settings.CELERY_TASK_SOFT_TIME_LIMIT = settings.CELERY_TASK_SOFT_TIME_LIMIT, 1
        try:
            strike(plant)
        finally:
            settings.CELERY_TASK_SOFT_TIME_LIMIT = kept

    return struck


def search_dies(plant: list[Sensor]) -> None:
    lane = faults.send(plant[0], [3.0, 4.0], first=100)
    (bell,) = pipeline.begin(lane).bells
    Run.objects.filter(pk=bell.id).update(status="QUARANTINE", quarantines=1)
    for _ in range(quarantine.MOST_DEATHS + 1):
        workers.let_time_pass()
        with faults.stage("VALIDATE", faults.before("VALIDATE", kill_parent)):
            workers.work([Bell("quarantine", bell.id)])


def kill_parent() -> None:
    """The process that searches is killed with its trial, as when a whole container runs out of memory."""
    os.kill(os.getppid(), signal.SIGKILL)
    killed()


# Payloads


def cut(part: Callable[[bytes], bytes]) -> Strike:
    def strike(plant: list[Sensor]) -> None:
        for sensor in plant:
            faults.send(sensor, [3.0, 4.0], first=100)
        found = BatchPart.objects.filter(state="WAITING").order_by("id")[0]
        BatchPart.objects.filter(pk=found.pk).update(columns=part(bytes(found.columns)))
        workers.recover()

    return strike


def sensor_is_gone(plant: list[Sensor]) -> None:
    for sensor in plant:
        faults.send(sensor, [3.0, 4.0], first=100)
    statement(f"DELETE FROM sensors_sensor WHERE id = {plant[0].pk}")()
    workers.recover()


# Mistakes


def undefined_name() -> object:
    return median_of_nothing  # type: ignore[name-defined]  # noqa: F821


def none_has_none() -> object:
    return Run.objects.filter(pk=-1).first().stage  # type: ignore[union-attr]


def adds_text() -> object:
    return 1 + "1"  # type: ignore[operator]


def claims() -> None:
    assert StageAttempt.objects.filter(stage="NONE").exists(), "there is always one"


def unbound() -> object:
    if Run.objects.filter(pk=-1).exists():
        found = 1
    return found


def deep(n: int = 0) -> int:
    return deep(n + 1)


def breaks_a_key() -> None:
    statement("INSERT INTO agents_stageattempt (run_id, stage, lease_token, worker, started_at, ended_at, outcome,"
              " error_class, error) SELECT run_id, stage, lease_token, worker, started_at, ended_at, outcome, '', ''"
              " FROM agents_stageattempt LIMIT 1")()  # fmt: skip


def divides() -> object:
    return 1 / 0


STATE = "ALTER TABLE mlops_machinestate"
D, P, S, R, B = "DEPENDENCY", "PAYLOAD", "SCHEMA", "RESOURCE", "BUG"

FAULTS: tuple[Fault, ...] = (
    Fault("Redis refuses", D, everywhere(lambda: redis.Redis(port=9, retry=Retry(NoBackoff(), 0)).ping())),
    Fault("the model store refuses", D, everywhere(lambda: requests.get(NOWHERE, timeout=1))),
    Fault("the model store is silent", D, everywhere(asks(None, fetch))),
    Fault("the model store hangs up", D, everywhere(asks(b"", fetch))),
    Fault("the model store answers 503", D, everywhere(asks(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", fetch))),
    Fault("a name does not resolve", D, everywhere(lambda: requests.get("http://store.invalid/", timeout=2))),
    Fault("a socket is refused", D, everywhere(lambda: socket.create_connection(("127.0.0.1", 9)), stage="DETECT")),
    Fault("the mail server refuses", D, everywhere(lambda: smtplib.SMTP("127.0.0.1", 9), stage="NOTIFY")),
    Fault("TLS meets no TLS", D, everywhere(asks(b"plain", speak_tls))),
    Fault("another database refuses", D, everywhere(lambda: psycopg2.connect(host="127.0.0.1", port=9))),
    Fault("the database is read-only", D, everywhere(read_only)),
    Fault("a table is locked", D, in_the_lane_only(locked)),
    Fault("statements take too long", D, in_the_lane_only(
        statement("SET LOCAL statement_timeout = 50; SELECT pg_sleep(2)"))),
    Fault("workers are killed now and then", D, in_the_lane_only(killed)),
    Fault("a column is missing", S, schema(
        f"{STATE} RENAME COLUMN memory TO was", f"{STATE} RENAME COLUMN was TO memory")),
    Fault("a column is missing at detect", S, schema(
        f"{STATE} RENAME COLUMN learned TO was", f"{STATE} RENAME COLUMN was TO learned")),
    Fault("a table is missing", S, schema(
        f"{STATE} RENAME TO was", "ALTER TABLE was RENAME TO mlops_machinestate")),
    Fault("a column has another type", S, schema(
        f"{STATE} ALTER COLUMN memory_run_id TYPE boolean USING false",
        f"{STATE} ALTER COLUMN memory_run_id TYPE bigint USING 0")),
    Fault("a function is missing", S, everywhere(statement("SELECT rollup_of_readings(1)"))),
    Fault("a column more that must be filled", S, schema(
        "TRUNCATE mlops_machinestate", "SELECT 1",
        f"{STATE} ADD COLUMN more integer NOT NULL", f"{STATE} DROP COLUMN more")),
    Fault("a column more that must be filled, migrations wait", S, while_migrations_wait(schema(
        "TRUNCATE mlops_machinestate", "SELECT 1",
        f"{STATE} ADD COLUMN more integer NOT NULL", f"{STATE} DROP COLUMN more"))),
    Fault("a constraint of ON CONFLICT is missing", S, schema(
        f"{STATE} DROP CONSTRAINT mlops_machinestate_pkey",
        f"{STATE} ADD PRIMARY KEY (machine_id)")),
    Fault("memory runs out", R, everywhere(eat_bytes)),
    Fault("memory runs out in an array", R, everywhere(eat_arrays, stage="DETECT")),
    Fault("the disk is full", R, everywhere(fill_disk)),
    Fault("file handles run out", R, everywhere(open_files)),
    Fault("a trial does not end", R, hanging(in_a_trial(hang))),
    Fault("a task does not end", R, everywhere(run_out_of_time)),
    Fault("trials are killed", R, in_a_trial(killed)),
    Fault("workers and trials are killed", R, everywhere(killed)),
    Fault("searches are killed", R, search_dies),
    Fault("a part cannot be decoded", P, cut(lambda data: b"nonsense")),
    Fault("a part is cut off", P, cut(lambda data: data[: len(data) // 2])),
    Fault("a sensor is gone", P, sensor_is_gone),
    Fault("a value raises at ingest", P, poison("INGEST")),
    Fault("a value raises at validate", P, poison("VALIDATE")),
    Fault("a value raises at detect", P, poison("DETECT")),
    Fault("a value is too large for its column", P, one_of_many(statement("SELECT 99999::smallint"))),
    Fault("a payload divides by zero", P, one_of_many(divides)),
    Fault("a payload names what is not there", P, one_of_many(lambda: {}["flow"])),
    Fault("a payload is not UTF-8", P, one_of_many(lambda: b"\xff".decode())),
    Fault("a name is not defined", B, everywhere(undefined_name)),
    Fault("None has no attributes", B, everywhere(none_has_none)),
    Fault("text is added to a number", B, everywhere(adds_text, stage="DECIDE")),
    Fault("what is claimed is not so", B, everywhere(claims, stage="NOTIFY")),
    Fault("a module is not there", B, everywhere(lambda: importlib.import_module("numpy.nothing"))),
    Fault("a variable is not bound", B, everywhere(unbound)),
    Fault("endless recursion", B, everywhere(deep)),
    Fault("a statement is misspelt", B, everywhere(statement("SELEC 1"))),
    Fault("a key is broken", B, everywhere(breaks_a_key)),
    Fault("a field does not exist", B, everywhere(lambda: Anomaly.objects.filter(nothing=F("more")).exists())),
    Fault("a template is broken", B, everywhere(lambda: Template("{% if %}"))),
    Fault("the process crashes", B, in_a_trial(lambda: ctypes.string_at(0))),
    Fault("the process leaves", B, in_a_trial(lambda: os._exit(3))),
    Fault("a new version divides by zero", B, after_a_deployment(everywhere(divides))),
    Fault("a new version misses a key", B, after_a_deployment(everywhere(lambda: {}["flow"], stage="DETECT"))),
    Fault("a new version fails for one machine", B, after_a_deployment(one_of_many(divides))),
    Fault("everything divides by zero, no new version", B, everywhere(divides)),
)  # fmt: skip
