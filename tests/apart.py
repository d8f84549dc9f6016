"""Processes of tests that run side by side (``pytest -n``) each get servers of their own.

Loaded by ``-p tests.apart`` (pyproject.toml), because it must be in force before the settings are read. Where a URL
names the servers, the databases of Postgres are told apart by pytest-django, and those of Redis by their number.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")  # gw0, gw1, ...


def redis_of(url: str, number: int) -> str:
    """The same server, another of its (usually 16) databases.

    >>> redis_of("redis://localhost:6379/0", 2), redis_of("unix:///run/redis.sock?db=0", 2)
    ('redis://localhost:6379/2', 'unix:///run/redis.sock?db=2')
    """
    parts = urlsplit(url)
    changed = parts._replace(query=f"db={number}") if parts.scheme == "unix" else parts._replace(path=f"/{number}")
    return changed.geturl()


if WORKER:
    home = Path(os.environ.get("BELLWETHER_HOME") or Path(__file__).resolve().parent.parent / ".bellwether")
    os.environ["BELLWETHER_HOME"] = str(home / WORKER)
    if given := os.environ.get("REDIS_URL"):
        os.environ["REDIS_URL"] = redis_of(given, 1 + int(WORKER.removeprefix("gw")))
