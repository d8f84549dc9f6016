"""Tests run on a real Postgres and a real Redis: the ones the URLs point to, else the embedded ones."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection
from django.test import Client
from django_redis import get_redis_connection

from config import embedded
from sensors import audit_bound, audit_requests, sessions, store
from tests import model_servers
from tests.model_servers import Server

LEAVE_SECONDS = 20.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Cheap tests first."""
    order = {"unit": 0, "integration": 1, "e2e": 2, "chaos": 3, "bench": 4}
    items.sort(key=lambda item: order.get(Path(item.path).parent.name, 9))


@pytest.fixture(scope="session", autouse=True)
def _servers(request: pytest.FixtureRequest) -> None:
    """Start the embedded servers where a collected test needs them."""
    if all(Path(item.path).parent.name == "unit" for item in request.session.items):
        return
    embedded.ensure_needed()


@pytest.fixture(scope="session", autouse=True)
def _passwords_hashed_once() -> Iterator[None]:
    """As in production, but in one round: a million take most of a second, and so many tests have people."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PBKDF2PasswordHasher, "iterations", 1)
        yield


@pytest.fixture(scope="session")
def django_db_setup(_servers: None, django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """The servers first, then pytest-django's own set-up. A database that somebody still uses can't be dropped at the
    end: who has not gone by then is ended, and what they did last is said."""
    yield
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        ends = time.monotonic() + LEAVE_SECONDS
        while (left := _of_others(cursor, "left(query, 300)")) and time.monotonic() < ends:
            time.sleep(0.2)
        if left and sys.__stderr__ is not None:
            sys.__stderr__.write(f"Sessions that tests left open: {left}\n")
            _of_others(cursor, "pg_terminate_backend(pid)")


def _of_others(cursor: Any, asked: str) -> list[Any]:
    cursor.execute(
        f"SELECT {asked} FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend'"
    )
    return [value for (value,) in cursor.fetchall()]


@pytest.fixture(autouse=True)
def _readings_emptied(request: pytest.FixtureRequest) -> Iterator[None]:
    """What tests commit is flushed after them, but for readings and their partitions: these are none of Django's."""
    yield
    marker = request.node.get_closest_marker("django_db")
    if marker is not None and marker.kwargs.get("transaction"):
        with request.getfixturevalue("django_db_blocker").unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = ANY(%s::regclass[])",
                [list(store.TABLES)],
            )
            for (partition,) in cursor.fetchall():
                cursor.execute(f"DROP TABLE {partition}")
            cursor.execute(f"TRUNCATE {', '.join(store.TABLES)}")
            emptied_audit_trail(cursor)


def emptied_audit_trail(cursor: Any) -> None:
    """As only who owns its tables can: with their triggers off."""
    for table in ("sensors_auditentry", "sensors_audithead"):
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    cursor.execute("TRUNCATE sensors_auditentry; UPDATE sensors_audithead SET number = 0, hash = ''")
    for table in ("sensors_auditentry", "sensors_audithead"):
        cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture(autouse=True)
def _as_web(request: pytest.FixtureRequest) -> None:
    """With BELLWETHER_TEST_WALLS set, requests of Django's client are held to the web server's role."""
    if os.environ.get("BELLWETHER_TEST_WALLS"):
        given = request.getfixturevalue("settings")
        given.MIDDLEWARE = ["tests.walled.AsWeb", *given.MIDDLEWARE]


@pytest.fixture(autouse=True)
def _sessions_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is logged in without the page of log-in has been seen: what the first page would write is there."""
    log_in = Client.force_login

    def force_login(self: Client, user: Any, backend: str | None = None) -> None:
        log_in(self, user, backend)
        session, now = self.session, time.time()
        session.update({sessions.BEGAN: now, sessions.SEEN: now, sessions.ADDRESS: "127.0.0.1", sessions.AGENT: ""})
        session.save()

    monkeypatch.setattr(Client, "force_login", force_login)


@pytest.fixture(autouse=True)
def _requests_not_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """All tests come from one address; those of the limits set their own."""
    monkeypatch.setattr(settings, "REQUEST_RATES", dict.fromkeys(settings.REQUEST_RATES))


@pytest.fixture(autouse=True)
def _no_refusal_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was refused a minute ago, in another test, is written by no request of this one."""
    monkeypatch.setattr(audit_requests, "bound", audit_bound.Bound())


@pytest.fixture
def redis_empty(_servers: None) -> Iterator[None]:
    """A Redis that holds nothing of another test."""
    get_redis_connection("default").flushdb()
    yield
    get_redis_connection("default").flushdb()


@pytest.fixture(scope="session")
def mlflow_server(_servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One MLflow server for all tests, with a database of its own beside the embedded one."""
    with model_servers.mlflow(tmp_path_factory.mktemp("mlflow") / "log") as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One store that speaks like S3 for all tests."""
    with model_servers.s3(tmp_path_factory.mktemp("s3") / "log") as server:
        yield server
