"""Connections to Postgres that are kept from request to request."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from django.db import DatabaseError, connection

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other() -> Iterator[psycopg2.extensions.cursor]:
    """Somebody else's connection."""
    parameters = {name: value for name, value in connection.get_connection_params().items() if name != "cursor_factory"}
    with closing(psycopg2.connect(**parameters)) as link:
        link.autocommit = True
        yield link.cursor()


def backend() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def begin_a_request() -> None:
    connection.health_check_done = False
    connection.health_check_enabled = True


def test_a_good_connection_is_kept_and_the_server_not_asked(other: psycopg2.extensions.cursor) -> None:
    pid = backend()
    begin_a_request()
    connection.close_if_health_check_failed()
    other.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [pid])
    assert other.fetchone() == ("SELECT pg_backend_pid()",)
    assert backend() == pid


def test_a_connection_that_the_server_has_ended_is_replaced(other: psycopg2.extensions.cursor) -> None:
    pid = backend()
    other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    begin_a_request()
    assert backend() != pid


def test_after_an_error_the_server_is_asked(other: psycopg2.extensions.cursor) -> None:
    pid = backend()
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT FROM nowhere")
    assert connection.errors_occurred
    assert connection.is_usable()
    other.execute("SELECT query FROM pg_stat_activity WHERE pid = %s", [pid])
    assert other.fetchone() == ("SELECT 1",)
