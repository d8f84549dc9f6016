"""Bodies that never come, at the real web server."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from config import node, supervisor

ROOT = Path(__file__).resolve().parents[2]
SLOW = (
    b"POST /api/v1/auth/token/ HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{"
)
MANY = 40


@pytest.fixture
def port() -> Iterator[int]:
    """The web server as ``manage.py up`` starts it, alone."""
    number = node.free_port(0)
    web = next(
        child
        for child in supervisor.service(port=number, flower_port=1, beat_file=Path("beat"), concurrency=1)
        if child.name == "web"
    )
    process = subprocess.Popen(list(web.command), cwd=ROOT, env=dict(os.environ) | dict(web.told))
    try:
        node._wait_for(f"http://127.0.0.1:{number}/health/live")
        yield number
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.timeout(200)
def test_forty_bodies_that_never_come_keep_nobody_else_out(port: int) -> None:
    with ExitStack() as held:
        for _ in range(MANY):
            link = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            link.sendall(SLOW)
        for _ in range(3):
            assert requests.get(f"http://127.0.0.1:{port}/health/live", timeout=30).ok
        other = requests.post(f"http://127.0.0.1:{port}/api/v1/auth/token/", json={"username": "x"}, timeout=30)
        assert other.status_code == 503
        assert int(other.headers["Retry-After"]) > 0
    answer = None
    for _ in range(30):
        answer = requests.post(f"http://127.0.0.1:{port}/api/v1/auth/token/", json={"username": "x"}, timeout=30)
        if answer.status_code == 400:
            break
    assert answer is not None
    assert answer.status_code == 400, "the threads are free again when the bodies are given up"
