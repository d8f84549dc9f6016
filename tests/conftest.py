"""Tests run on a real Postgres and a real Redis: the ones the URLs point to, else the embedded ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django_redis import get_redis_connection

from config import embedded


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


@pytest.fixture(scope="session")
def django_db_setup(_servers: None, django_db_setup: None) -> None:
    """The servers first, then pytest-django's own set-up."""


@pytest.fixture
def redis_empty(_servers: None) -> Iterator[None]:
    """A Redis that holds nothing of another test."""
    get_redis_connection("default").flushdb()
    yield
    get_redis_connection("default").flushdb()
