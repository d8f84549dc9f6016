"""The intake while the database is gone, shut, full or slow: later, and nothing half stored; never a fault."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections, transaction
from django.test import Client
from prometheus_client import REGISTRY

from agents import backlog
from config import node
from sensors import directory, problems
from sensors.models import Batch, BatchPart, Membership, Sensor
from tests import factories, servers
from tests.client import JSON, client, problem

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_empty", "_fresh")]

URL = "/api/v1/data/ingest"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def _fresh() -> Iterator[None]:
    """No figures of another test, and a connection of the usual kind for the next one."""
    backlog.gauge.forget()
    yield
    connection.close()
    backlog.gauge.forget()


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


@pytest.fixture
def http(sensor: Sensor) -> Client:
    """Logged in already."""
    return client(factories.user(site=sensor.site, role=Membership.Role.INGEST, password=None))


def post(http: Client, sensor: Sensor, **headers: str) -> Any:
    items = [{"sensor": sensor.pk, "measured_at": "2026-03-01T11:00:00Z", "value": 1.0}]
    return http.post(URL, items, JSON, headers=headers)


def later(answer: Any) -> None:
    problem(answer, status=503, name="unavailable")
    low, high = problems.RETRY_SECONDS
    assert low <= int(answer["Retry-After"]) <= high


def nothing_is_stored() -> bool:
    return not Batch.objects.exists() and not BatchPart.objects.exists()


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextmanager
def fails_at(table: str, *, when: str, body: str) -> Iterator[None]:
    """A trigger in which the database does what it does when it breaks just there."""
    run(
        f"CREATE FUNCTION break_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$",
        f"CREATE CONSTRAINT TRIGGER break_here AFTER INSERT ON {table} DEFERRABLE INITIALLY {when}"
        " FOR EACH ROW EXECUTE FUNCTION break_here()",
    )
    try:
        yield
    finally:
        run("DROP FUNCTION break_here CASCADE")


@contextmanager
def writing_is_blocked() -> Iterator[None]:
    """Another session holds the table of batches, as a migration does."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            run("LOCK TABLE sensors_batch IN EXCLUSIVE MODE")
            held.set()
            release.wait(60)
        connection.close()

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(30)
    try:
        yield
    finally:
        release.set()
        thread.join()


@contextmanager
def database_at(**where: str) -> Iterator[None]:
    """Django's connection leads elsewhere."""
    usual = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict |= where
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict |= usual


@pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout"])
def test_a_database_that_is_too_slow(sensor: Sensor, http: Client, limit: str) -> None:
    with writing_is_blocked():
        run(f"SET {limit} = '200ms'")
        later(post(http, sensor))
    run(f"RESET {limit}")
    assert nothing_is_stored()
    assert post(http, sensor).status_code == 202


def test_a_database_that_is_read_only(sensor: Sensor, http: Client) -> None:
    run("SET default_transaction_read_only = on")
    later(post(http, sensor))
    run("SET default_transaction_read_only = off")
    assert nothing_is_stored()
    assert post(http, sensor).status_code == 202


@pytest.mark.parametrize(
    "code",
    ["53100", "53200", "53300", "58030", "40P01"],
    ids=["disk full", "out of memory", "too many connections", "disk error", "deadlock"],
)
def test_a_database_that_fails_in_the_middle_of_a_batch(sensor: Sensor, http: Client, code: str) -> None:
    with fails_at("sensors_batchpart", when="IMMEDIATE", body=f"RAISE EXCEPTION 'no more' USING ERRCODE = '{code}'"):
        later(post(http, sensor))
        assert nothing_is_stored()
    assert post(http, sensor).status_code == 202


@pytest.mark.parametrize("code", ["22012", "54000", "XX000"], ids=["division by zero", "too large", "internal"])
def test_what_time_does_not_mend_stays_a_fault(sensor: Sensor, http: Client, code: str) -> None:
    http.raise_request_exception = False
    with fails_at("sensors_batchpart", when="IMMEDIATE", body=f"RAISE EXCEPTION 'a bug' USING ERRCODE = '{code}'"):
        problem(post(http, sensor), status=500, name="internal")
    assert nothing_is_stored()


@pytest.mark.parametrize(
    ("code", "status", "name"),
    [("23505", 409, "conflict"), ("23503", 409, "conflict"), ("23P01", 409, "conflict"), ("22003", 400, "invalid"),
     ("22P05", 400, "invalid")],
    ids=["one of that name", "what is referred to is gone", "one at that time", "too large a number", "no character"],
)  # fmt: skip
def test_what_another_request_did_or_a_value_that_cannot_be_kept_is_no_fault(
    sensor: Sensor, http: Client, code: str, status: int, name: str
) -> None:
    with fails_at("sensors_batchpart", when="IMMEDIATE", body=f"RAISE EXCEPTION 'refused' USING ERRCODE = '{code}'"):
        problem(post(http, sensor), status=status, name=name)
        assert nothing_is_stored()
    assert post(http, sensor).status_code == 202


def test_a_connection_that_dies_in_commit(sensor: Sensor, http: Client) -> None:
    with fails_at("sensors_batch", when="DEFERRED", body="PERFORM pg_terminate_backend(pg_backend_pid())"):
        later(post(http, sensor))
        connection.close_if_unusable_or_obsolete()  # as a server does at the end of a request, and this client does not
        assert nothing_is_stored()
    assert post(http, sensor).status_code == 202


def test_a_commit_of_unknown_outcome_is_cleared_up_by_sending_again(sensor: Sensor, http: Client) -> None:
    usual = dict(connection.settings_dict)

    def upstream() -> socket.socket:
        host, port = usual["HOST"], int(usual["PORT"] or 5432)
        if not host.startswith("/"):
            return socket.create_connection((host or "127.0.0.1", port))
        way = socket.socket(socket.AF_UNIX)
        way.connect(f"{host}/.s.PGSQL.{port}")
        return way

    with servers.deaf_after_commit(upstream, commit=b"EXECUTE store_entries") as port, database_at(
        HOST="127.0.0.1", PORT=str(port), OPTIONS=usual["OPTIONS"] | {"sslmode": "disable", "gssencmode": "disable"}
    ):  # fmt: skip
        directory.see(directory.numbers())  # so that the first try stores
        later(post(http, sensor, **{"Idempotency-Key": "k"}))
    stored = Batch.objects.get()
    again = post(http, sensor, **{"Idempotency-Key": "k"})
    assert (again.status_code, again["Idempotent-Replayed"]) == (202, "true")
    assert again.json()["batch"] == str(stored.pk)
    assert Batch.objects.count() == BatchPart.objects.count() == 1


def test_without_a_database_nobody_can_log_in_or_be_known_and_all_are_told_to_come_again(
    sensor: Sensor, http: Client
) -> None:
    before = REGISTRY.get_sample_value("pdm_intake_refused_total", {"reason": "database"}) or 0.0
    nowhere = {"HOST": "127.0.0.1", "PORT": str(node.free_port(0))}
    with database_at(**nowhere):
        later(post(http, sensor))
        later(http.get("/api/v1/sensors/"))
        later(Client().post("/api/v1/auth/token/", {"username": "a", "password": "b"}, JSON))
    assert REGISTRY.get_sample_value("pdm_intake_refused_total", {"reason": "database"}) == before + 1
    assert post(http, sensor).status_code == 202


def test_an_error_before_the_api_is_reached_is_told_alike(sensor: Sensor, http: Client) -> None:
    """A browser's session cookie makes a middleware ask the database."""
    http.raise_request_exception = False
    http.cookies["sessionid"] = "a" * 32
    with database_at(HOST="127.0.0.1", PORT=str(node.free_port(0))):
        later(post(http, sensor))
        assert http.get("/admin/").status_code == 500


def test_postgres_is_stopped_and_started_again_under_a_running_service(tmp_path: Path) -> None:
    """In a process with servers of its own, through WSGI, with the connections Django keeps between requests."""
    connections.close_all()
    given = {k: v for k, v in os.environ.items() if k not in ("DATABASE_URL", "REDIS_URL", "CACHE_URL")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.outage"], cwd=ROOT, env=given | {"BELLWETHER_HOME": str(tmp_path / "home")},
        capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["before"] == [202, None]
    low, high = problems.RETRY_SECONDS
    for status, wait in told["stopped"]:
        assert status == 503
        assert low <= int(wait) <= high
    assert told["back"] == [202, None], "the first request after Postgres is back"
    assert told["batches"] == 2
