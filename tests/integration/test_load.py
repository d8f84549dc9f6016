"""The generator of the benchmarks against a server that does as it is told."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.load import bodies
from tests.load.sender import Order, Sender

ANSWERED = 202
LATER = 503


class Handler(BaseHTTPRequestHandler):
    """Answers with what the server's list of statuses says next, and with 202 when that is used up."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append([(item["sensor"], item["measured_at"]) for item in body])
        status = self.server.statuses.pop(0) if self.server.statuses else ANSWERED
        if status == 0:
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        said = json.dumps({"accepted": len(body)}, separators=(",", ":")).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, statuses: list[int]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = statuses
        self.received: list[list[tuple[str, str]]] = []


@contextmanager
def server(*statuses: int) -> Iterator[Server]:
    made = Server(list(statuses))
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


@contextmanager
def sender(made: Server, tmp_path: Path, **changes: Any) -> Iterator[Sender]:
    given: dict[str, Any] = {
        "host": "127.0.0.1", "port": made.server_port, "path": "/", "shape": "hundreds", "machines": 4, "form": "json",
        "start": 1_767_225_600, "steps": 1_000, "first": 0, "rounds": 5, "seconds": 5.0, "connections": 2,
        "out": str(tmp_path / "out.npz"),
    }  # fmt: skip
    load = Sender(Order(**(given | changes)))
    try:
        load.connect()
        yield load
    finally:
        load.close()


def test_a_closed_loop_sends_all_rounds_of_each_stream_in_order(tmp_path: Path) -> None:
    with server() as made, sender(made, tmp_path) as load:
        said = load.run()
    assert said.problems == []
    assert len(load.found) == len(made.received) == 4 * 5
    for machine in range(4):
        instants = [body[0][1] for body in made.received if body[0][0] == bodies.name_of(machine * 10)]
        assert instants == sorted(instants)
        assert len(set(instants)) == 5


def test_an_open_loop_counts_from_the_instant_a_request_is_due(tmp_path: Path) -> None:
    with server(LATER) as made, sender(made, tmp_path, rate=50.0, seconds=0.2, connections=1) as load:
        said = load.run()
    assert said.problems == []
    due = [row[2] for row in load.found]
    assert due == pytest.approx([n / 50 for n in range(10)])
    assert min(row[4] for row in load.found) >= 1.0 - 0.2  # all of them waited for the one that was refused
    assert [row[7] for row in load.found] == [1] + [0] * 9
    assert sum(row[6] for row in load.found) == 10 * 100


def test_what_fails_is_told_and_counts_for_nothing(tmp_path: Path) -> None:
    with server(ANSWERED, 500, 0) as made, sender(made, tmp_path, rate=50.0, seconds=0.1, connections=1) as load:
        said = load.run()
    assert len(said.problems) == 2
    assert [row[5] for row in load.found] == [ANSWERED, 500, 0, ANSWERED, ANSWERED]
    assert [row[6] for row in load.found] == [100, 0, 0, 100, 100]


def test_an_idle_connection_that_the_server_closed_is_opened_anew(tmp_path: Path) -> None:
    with server() as made, sender(made, tmp_path, rate=10.0, seconds=0.5, connections=1) as load:
        link = load.links[0]
        assert link.socket is not None
        link.socket.shutdown(socket.SHUT_RDWR)
        time.sleep(0.01)
        load._look(0.01)
        assert link.socket is None
        said = load.run()
    assert said.problems == []
    assert len(load.found) == 5
