"""The proxy of the storm passes bytes on, and does each of the harms it is there for."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest

from tests.chaos.proxy import Proxy, Target

SOON = 0.3
LIMIT = 10.0


class Echo(BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """In front of a server that says what it hears."""
    with ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        with Proxy(Target(port=int(server.server_address[1]))) as made:
            yield made
        server.shutdown()
        thread.join()


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=LIMIT)


def say(connection: socket.socket, words: bytes) -> bytes:
    """What comes back; less where the connection ends before."""
    connection.sendall(words)
    heard = b""
    while len(heard) < len(words) and (data := connection.recv(65_536)):
        heard += data
    return heard


def is_broken(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_bytes_pass_in_both_directions(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        assert say(one, b"a" * 300_000) == b"a" * 300_000
        assert say(other, b"b") == b"b"
        assert proxy.connections == 2


def test_a_cut_breaks_every_connection_and_new_ones_pass(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        assert say(one, b"a") + say(other, b"b") == b"ab"
        assert proxy.cut() == 2
        assert is_broken(one)
        assert is_broken(other)
    with connect(proxy) as fresh:
        assert say(fresh, b"c") == b"c"


def test_while_it_stalls_nothing_comes_and_afterwards_everything_does(proxy: Proxy) -> None:
    with connect(proxy) as one:
        assert say(one, b"a") == b"a"
        proxy.stall()
        one.settimeout(SOON)
        with pytest.raises(TimeoutError):
            say(one, b"b")
        one.settimeout(LIMIT)
        proxy.flow()
        assert one.recv(10) == b"b"


def test_an_answer_breaks_off_after_so_many_bytes(proxy: Proxy) -> None:
    with connect(proxy) as one, connect(proxy) as other:
        proxy.cut_after = 7
        assert say(one, b"12345") == b"12345"
        assert say(other, b"12345") == b"12"
        assert is_broken(other)
        assert say(one, b"6") == b"6"
        assert proxy.cuts == 1


def test_a_server_that_is_not_there_is_a_connection_that_ends(proxy: Proxy) -> None:
    with Proxy(Target(port=1)) as nowhere, connect(nowhere) as one:
        assert is_broken(one)
