"""The load: a process of its own that sends prepared bodies over kept connections, and says what came of each.

Open: request number i is due at i / rate, whatever became of those before, and its latency counts from there, so that
a service that stalls does not hide its stall by holding up the client that measures it. Closed (no rate): each
connection sends its next request as soon as it has its answer. The bodies of one stream always go over one connection,
one after the other: what one gateway sends arrives in order. A request that is refused for now (429, 503) is sent again
after the seconds its answer asks for. The access token is renewed before it expires, beside the sending.

    python -m tests.load.sender order.json

It says ``ready`` when all is prepared and connected, begins when it reads a line, and says in the end what ``Said``
holds; what it found of each request is in the file ``out``.
"""

from __future__ import annotations

import base64
import gc
import heapq
import http.client
import json
import select
import socket
import sys
import threading
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import numpy as np

from tests.load import bodies
from tests.load.bodies import Bodies, Text

LATER = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
NO_ANSWER = 0
RENEW_AT = 2 / 3
"""Part of the token's life after which it is renewed."""
LONGEST_ANSWER = 65_536
SEND_BUFFER = 1_000_000  # a body goes out in one call
PATIENCE = 120.0
"""Seconds that what is on its way may take after the last request was sent."""
COLUMNS = ("stream", "step", "due", "sent", "seconds", "status", "accepted", "refused")


@dataclass(frozen=True, slots=True)
class Order:
    """What to send. ``start``: seconds since 1970 of step 0; ``first``: the first step that is sent, the beginning of a
    round; ``rounds``: how many each stream sends at most.

    ``streams``: the first and one after the last of the shape's that send, None = all. ``accepted``: what a request
    counts for where the answer does not say it.
    """

    host: str
    port: int
    path: str
    shape: str
    machines: int
    form: str
    start: int
    steps: int
    first: int
    rounds: int
    seconds: float
    connections: int
    out: str
    rate: float = 0.0
    streams: tuple[int, int] | None = None
    username: str = ""
    password: str = ""
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """What the process says when it is done. ``began``: seconds since 1970; ``cpu``: seconds of it while it sent."""

    began: float
    seconds: float
    cpu: float
    problems: list[str]


class Token:
    """An access token that is renewed beside the sending; ``head`` is what each request begins with."""

    def __init__(self, order: Order, length: int) -> None:
        self.order, self.length = order, length
        self.head = b""
        self.pair: dict[str, str] = {}
        if order.username:
            self._ask("/api/v1/auth/token/", {"username": order.username, "password": order.password})
            threading.Thread(target=self._renew, daemon=True).start()
        else:
            self._write("")

    def _write(self, authorization: str) -> None:
        order = self.order
        self.head = (
            f"POST {order.path} HTTP/1.1\r\nHost: {order.host}:{order.port}\r\n{authorization}"
            f"Content-Type: {'text/plain' if order.form == 'lines' else 'application/json'}\r\n"
            f"Content-Length: {self.length}\r\n\r\n"
        ).encode()

    def _ask(self, path: str, body: dict[str, str]) -> None:
        link = http.client.HTTPConnection(self.order.host, self.order.port, timeout=30)
        link.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = link.getresponse()
        said = answer.read()
        link.close()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(f"no token: {answer.status} {said[:300]!r}")
        self.pair |= json.loads(said)
        self._write(f"Authorization: Bearer {self.pair['access']}\r\n")

    def _renew(self) -> None:
        while True:
            time.sleep(self._life() * RENEW_AT)
            self._ask("/api/v1/auth/token/refresh/", {"refresh": self.pair["refresh"]})

    def _life(self) -> float:
        payload = self.pair["access"].split(".")[1]
        told = json.loads(base64.urlsafe_b64decode(payload + "=="))
        return float(told["exp"] - told["iat"])


@dataclass(slots=True, eq=False)
class Link:
    """A connection, the request it is at, and what waits for it."""

    number: int
    queue: deque[tuple[int, int, float]] = field(default_factory=deque)
    socket: socket.socket | None = None
    request: tuple[int, int, float] | None = None
    sent: float = 0.0
    refused: int = 0
    left: list[memoryview] = field(default_factory=list)
    got: bytearray = field(default_factory=bytearray)
    writing: bool = False


class Sender:
    """The loop; ``run`` ends when all is answered."""

    def __init__(self, order: Order) -> None:
        self.order = order
        shape = bodies.shape(order.shape, machines=order.machines)
        low, high = order.streams or (0, shape.streams)
        self.streams = list(range(low, high))
        self.bodies: Bodies = bodies.prepare(
            shape, form=bodies.form(order.form, shape), start=order.start, steps=order.steps,
            first=order.first, rounds=order.rounds,
        )  # fmt: skip
        count = min(order.connections, len(self.streams))
        self.links = [Link(number) for number in range(count)]
        self.token = Token(order, self.bodies.table.shape[2])
        self.poll = select.epoll()
        self.by_file: dict[int, Link] = {}
        self.next_step = dict.fromkeys(self.streams, order.first)
        self.later: list[tuple[float, int]] = []
        self.found: list[tuple[int, int, float, float, float, int, int, int]] = []
        self.problems: list[str] = []
        self.total = min(round(order.rate * order.seconds), order.rounds * len(self.streams))
        self.beyond = order.first + order.rounds * shape.instants
        self.issued = self.open = 0
        self.began = self.ends = 0.0

    def connect(self) -> None:
        for link in self.links:
            self._connect(link)

    def _connect(self, link: Link) -> None:
        made = socket.create_connection((self.order.host, self.order.port), timeout=30)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        made.setblocking(False)
        link.socket = made
        self.by_file[made.fileno()] = link
        self.poll.register(made.fileno(), select.EPOLLIN)

    def _drop(self, link: Link) -> None:
        if link.socket is not None:
            self.poll.unregister(link.socket.fileno())
            del self.by_file[link.socket.fileno()]
            link.socket.close()
        link.socket, link.writing = None, False

    def close(self) -> None:
        for link in self.links:
            self._drop(link)
        self.poll.close()

    def run(self) -> Said:
        """Send it all; raises ``TimeoutError`` where answers stay out."""
        spent, wall, self.began = time.process_time(), time.time(), time.monotonic()
        self.ends = self.began + self.order.seconds
        if not self.order.rate:
            for number, stream in enumerate(self.streams):
                self.links[number % len(self.links)].queue.append((stream, self.order.first, 0.0))
            for link in self.links:
                self._next(link)
        while not self._is_over():
            self._look(self._issue())
            while self.later and self.later[0][0] <= time.monotonic():
                self._start(self.links[heapq.heappop(self.later)[1]])
        seconds = time.monotonic() - self.began
        return Said(wall, seconds, time.process_time() - spent, self.problems)

    def _is_over(self) -> bool:
        if time.monotonic() > self.ends + PATIENCE:
            raise TimeoutError(f"{self.open} answers are out {PATIENCE:g} s after the end")
        return not self.open and (self.issued >= self.total if self.order.rate else True)

    def _issue(self) -> float:
        """Give out what is due; the seconds until something is due again."""
        rate, now = self.order.rate, time.monotonic()
        while rate and self.issued < self.total:
            due = self.began + self.issued / rate
            if due > now:
                return min(due - now, 0.5)
            number = self.issued % len(self.streams)
            link = self.links[number % len(self.links)]
            stream = self.streams[number]
            link.queue.append((stream, self.next_step[stream], due))
            self.next_step[stream] += self.bodies.shape.instants
            self.issued += 1
            if link.request is None:
                self._next(link)
        return max(0.0, min(0.05, self.later[0][0] - now)) if self.later else 0.05

    def _next(self, link: Link) -> None:
        """The connection is free: its next request, if it has one."""
        if self.order.rate:
            if not link.queue:
                return
            link.request = link.queue.popleft()
        else:
            now = time.monotonic()
            if now >= self.ends or not link.queue:
                return
            stream, step, _ = link.queue.popleft()
            if step + self.bodies.shape.instants < self.beyond:
                link.queue.append((stream, step + self.bodies.shape.instants, 0.0))
            link.request = (stream, step, now)
        self.open += 1
        link.refused = 0
        self._start(link)

    def _start(self, link: Link) -> None:
        """Send the connection's request, for the first time or again."""
        assert link.request is not None
        stream, step, _ = link.request
        body: Text = self.bodies.body(stream, step)
        link.sent = time.monotonic()
        if link.socket is None:
            self._connect(link)
        link.left = [memoryview(self.token.head), memoryview(body)]  # type: ignore[arg-type]
        link.got.clear()
        self._write(link)

    def _write(self, link: Link) -> None:
        assert link.socket is not None
        try:
            sent = link.socket.sendmsg(link.left)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._fail(link, error)
            return
        while link.left and sent >= len(link.left[0]):
            sent -= len(link.left.pop(0))
        if link.left:
            link.left[0] = link.left[0][sent:]
        if bool(link.left) != link.writing:
            link.writing = bool(link.left)
            self.poll.modify(link.socket.fileno(), select.EPOLLIN | (select.EPOLLOUT if link.writing else 0))

    def _look(self, wait: float) -> None:
        """Wait for sockets: ``select`` on the poll itself, since epoll counts in whole milliseconds."""
        if wait > 0:
            select.select([self.poll.fileno()], [], [], wait)
        for number, events in self.poll.poll(0):
            link = self.by_file.get(number)
            if link is None:
                continue
            if events & select.EPOLLOUT and link.left:
                self._write(link)
            if events & ~select.EPOLLOUT:
                self._read(link)

    def _read(self, link: Link) -> None:
        assert link.socket is not None
        try:
            got = link.socket.recv(LONGEST_ANSWER)
        except BlockingIOError:
            return
        except OSError as error:
            self._fail(link, error)
            return
        if not got:
            self._fail(link, ConnectionResetError("closed by the server"))
            return
        link.got += got
        answer = parse(link.got)
        if answer is not None:
            self._answered(link, *answer)

    def _fail(self, link: Link, error: OSError) -> None:
        """A connection that breaks: idle, it is opened anew when it is needed; in a request, that is lost."""
        self._drop(link)
        if link.request is not None:
            self.problems.append(f"{type(error).__name__}: {error}")
            self._note(link, NO_ANSWER, 0)

    def _answered(self, link: Link, status: int, head: bytes, body: bytes) -> None:
        if status in LATER:
            link.refused += 1
            wait = float(header(head, b"retry-after") or 1)
            heapq.heappush(self.later, (time.monotonic() + wait, link.number))
        if header(head, b"connection") == b"close":
            self._drop(link)
        if status in LATER:
            return
        if status >= HTTPStatus.BAD_REQUEST:
            self.problems.append(f"{status} {body[:300].decode(errors='replace')}")
        self._note(link, status, self._accepted(status, body))

    def _accepted(self, status: int, body: bytes) -> int:
        if status >= HTTPStatus.BAD_REQUEST:
            return 0
        if self.order.accepted:
            return self.order.accepted
        at = body.index(b'"accepted":') + 11
        return int(body[at : at + 12].split(b",", 1)[0].split(b"}", 1)[0])

    def _note(self, link: Link, status: int, accepted: int) -> None:
        assert link.request is not None
        stream, step, due = link.request
        now = time.monotonic()
        row = (stream, step, due - self.began, link.sent - self.began, now - due, status, accepted, link.refused)
        self.found.append(row)
        link.request = None
        self.open -= 1
        self._next(link)


def parse(got: bytearray) -> tuple[int, bytes, bytes] | None:
    """Status, head in lower case and body of an answer; None while it is not whole."""
    end = got.find(b"\r\n\r\n")
    if end < 0:
        return None
    head, body = bytes(got[:end]).lower(), got[end + 4 :]
    length = header(head, b"content-length")
    if length is not None:
        return None if len(body) < int(length) else (int(head[9:12]), head, bytes(body))
    if header(head, b"transfer-encoding") == b"chunked":
        return (int(head[9:12]), head, bytes(body)) if body.endswith(b"0\r\n\r\n") else None
    return int(head[9:12]), head, bytes(body)


def header(head: bytes, name: bytes) -> bytes | None:
    at = head.find(b"\r\n" + name + b":")
    return None if at < 0 else head[at + len(name) + 3 :].split(b"\r\n", 1)[0].strip()


def save(path: str, found: list[tuple[Any, ...]]) -> None:
    columns = list(zip(*found, strict=True)) or [()] * len(COLUMNS)
    arrays: dict[str, Any] = {name: np.array(column) for name, column in zip(COLUMNS, columns, strict=True)}
    np.savez(path, **arrays)


def main() -> int:
    order = Order(**json.loads(Path(sys.argv[1]).read_text()))
    sender = Sender(order)
    sender.connect()
    gc.freeze()
    gc.disable()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    said = sender.run()
    save(order.out, sender.found)
    sys.stdout.write(json.dumps(asdict(said)) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
