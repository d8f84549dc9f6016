"""Requests at a steady rate, whatever becomes of those before: an open loop.

Each request has an instant at which it is due, and its latency counts from there, so that a service that stalls does
not hide its stall by holding up the client that measures it.
"""

from __future__ import annotations

import http.client
import itertools
import json
import math
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

START = datetime(2026, 1, 1, tzinfo=UTC)
TIMEOUT = 30.0
NO_ANSWER = 0
HIGH = 100.0
EXCURSION_EVERY = 33
ON_THE_WAY = (
    "SELECT count(*) FROM sensors_batchpart WHERE state IN ('WAITING', 'TAKEN')",
    "SELECT count(*) FROM agents_run WHERE status <> 'DONE'",
    "SELECT count(*) FROM maintenance_notification WHERE status = 'PENDING'",
)
"""Queries that are all zero when nothing moves any more."""
STORED = "SELECT count(*) FROM sensors_reading"
STAGES_TWICE = (
    "SELECT count(*) FROM (SELECT FROM agents_stageattempt WHERE outcome = 'DONE'"
    " GROUP BY run_id, stage HAVING count(*) > 1) AS twice"
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: when it was due (monotonic), how long after that its answer came, and what it said."""

    due: float
    seconds: float
    status: int
    retry_after: str = ""
    readings: int = 0
    problem: str = ""


@dataclass(slots=True)
class Load:
    """Threads that send what ``body`` makes of 0, 1, 2, ... to the intake, ``rate`` a second, until ``end``."""

    url: str
    token: str
    rate: float
    body: Callable[[int], bytes]
    threads: int = 16
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _running: list[threading.Thread] = field(default_factory=list)

    def begin(self) -> None:
        numbers, began = itertools.count(), time.monotonic()
        for _ in range(self.threads):
            thread = threading.Thread(target=self._send, args=(numbers, began), daemon=True)
            thread.start()
            self._running.append(thread)

    def end(self) -> list[Answer]:
        """Let what is on its way finish; all answers, by the instants they were due."""
        self._stop.set()
        for thread in self._running:
            thread.join(TIMEOUT * 2)
        return sorted(self.answers, key=lambda answer: answer.due)

    def _send(self, numbers: itertools.count[int], began: float) -> None:
        host = urlsplit(self.url)
        link = http.client.HTTPConnection(host.hostname or "", host.port, timeout=TIMEOUT)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        while True:
            number = next(numbers)
            due = began + number / self.rate
            if self._stop.wait(max(0.0, due - time.monotonic())):
                link.close()
                return
            self.answers.append(ask(link, self.body(number), headers, due=due))


def ask(link: http.client.HTTPConnection, body: bytes, headers: dict[str, str], *, due: float) -> Answer:
    """One request; a connection that breaks is an answer too, and is opened anew by the next one."""
    try:
        link.request("POST", "/api/v1/data/ingest", body, headers)
        got = link.getresponse()
        said = json.loads(got.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        link.close()
        return Answer(due, time.monotonic() - due, NO_ANSWER, problem=f"{type(error).__name__}: {error}")
    took = time.monotonic() - due
    if got.status == HTTPStatus.ACCEPTED:
        return Answer(due, took, got.status, readings=said["accepted"])
    return Answer(due, took, got.status, got.headers.get("Retry-After", ""), problem=str(said.get("detail", "")))


def readings(number: int, *, sensors: Sequence[str], size: int, first: int = 0) -> bytes:
    """The body of that number, counted from ``first``: so many readings of one sensor, a second apart, each sensor in
    its turn and never twice at one instant; in every ``EXCURSION_EVERY``-th body two of them are above ``HIGH``."""
    number += first
    sensor, step = sensors[number % len(sensors)], number // len(sensors)
    values = [50.0 + math.sin(step * size + n) for n in range(size)]
    if number % EXCURSION_EVERY == 0:
        values[3] = values[4] = HIGH + 50
    items = [
        {"sensor": sensor, "measured_at": (START + timedelta(seconds=step * size + n)).isoformat(), "value": value}
        for n, value in enumerate(values)
    ]
    return json.dumps(items).encode()


def excursions(bodies: int) -> int:
    """How many excursions the first so many bodies have."""
    return -(-bodies // EXCURSION_EVERY)


def percentile(answers: Sequence[Answer], *, of: int) -> float:
    """In milliseconds; of two answers or more."""
    return statistics.quantiles((answer.seconds * 1000 for answer in answers), n=100)[of - 1]


def accepted(answers: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.status == HTTPStatus.ACCEPTED]


def summary(answers: Sequence[Answer]) -> dict[str, Any]:
    """How many answers of each status, as text."""
    counts: dict[str, int] = {}
    for answer in answers:
        name = str(answer.status) if answer.status else "no answer"
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))
