"""Clients that must not lose anything: each request is sent when it is due and repeated until it is accepted.

One thread for each machine, since readings of one machine have an order; the machines do not wait for each other, so
the load is open loop. Now and then a request that was accepted is sent once more, with its key or without any.
"""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import requests

from tests.chaos import service

READINGS = 20
STEP = timedelta(minutes=1)
HIGH = 100.0
MACHINES = ("m0", "m1", "m2", "m3")
POISONED = "p0"
"""The machine that poison comes from: nothing else is asked of it, for what is behind poison is judged late."""
POISON = {"VALIDATE:raise": 66.125, "DETECT:kill": 66.25}
"""What a batch does to its stage (as ``BELLWETHER_POISON`` says it) and the value that makes it do so."""
EXCURSION_SHARE = 0.03
POISON_SHARE = 0.05  # of the poisoned machine's requests, which are a fifth of all: 1 in 100
DUPLICATE_SHARE = 0.10
AGAIN_SECONDS = 0.3
TIMEOUT_SECONDS = 10.0
START = (datetime.now(UTC) - timedelta(days=60)).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True, slots=True)
class Request:
    """A body that is to be accepted once, whatever happens: readings of one machine's sensor."""

    site: str
    machine: str
    number: int
    readings: tuple[tuple[datetime, float], ...]
    poison: str = ""

    @property
    def key(self) -> str:
        return f"{self.machine}-{self.number}"

    @property
    def body(self) -> bytes:
        return json.dumps(
            [{"sensor": self.machine, "measured_at": at.isoformat(), "value": value} for at, value in self.readings]
        ).encode()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A request with the batch it became. ``seconds``: from when it was due until it was accepted."""

    request: Request
    batch: str
    due_at: float
    seconds: float
    repeats: int
    keyed: bool = True
    duplicate: bool = False


@dataclass(slots=True)
class Ledger:
    """What the clients were promised."""

    accepted: list[Accepted] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Answers that no client should get: the request is given up."""
    answers: Counter[str] = field(default_factory=Counter)
    """What was said to whoever asked, by status; ``none``: the connection failed or time ran out."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, answer: str) -> None:
        with self.lock:
            self.answers[answer] += 1

    def add(self, accepted: Accepted) -> None:
        with self.lock:
            self.accepted.append(accepted)

    def refuse(self, answer: str) -> None:
        with self.lock:
            self.refused.append(answer)


def request(dice: random.Random, *, site: str, machine: str, number: int, poison: bool) -> Request:
    """The next readings of a machine: around 50, sometimes two of them above the limit, sometimes one poisoned."""
    values = [50.0 + round(dice.random(), 3) for _ in range(READINGS)]
    kind = ""
    if machine == POISONED:
        kinds = sorted(POISON)
        first = dict(zip((2, 5), kinds, strict=True)).get(number, "")  # one of each comes early, also in a short run
        kind = first or (dice.choice(kinds) if dice.random() < POISON_SHARE else "")
        kind = kind if poison else ""
        if kind:
            values[dice.randrange(READINGS)] = POISON[kind]
    elif dice.random() < EXCURSION_SHARE:
        place = dice.randrange(3, 9)
        values[place] = values[place + 1] = HIGH + 50
    began = START + STEP * READINGS * number
    return Request(site, machine, number, tuple((began + STEP * n, value) for n, value in enumerate(values)), kind)


class Sender(threading.Thread):
    """Sends the requests of one machine, each when it is due, until ``stop`` is set."""

    def __init__(
        self, *, url: str, site: str, token: str, machine: str, seconds: float, phase: float, seed: str, poison: bool,
        ledger: Ledger, stop: threading.Event,
    ) -> None:  # fmt: skip
        super().__init__(name=f"client {site}/{machine}", daemon=True)
        self.url, self.site, self.machine = url, site, machine
        self.seconds, self.phase, self.poison = seconds, phase, poison
        self.dice = random.Random(seed)
        self.ledger = ledger
        self.stop = stop
        self.http = service.session()
        self.http.headers["Authorization"] = f"Bearer {token}"
        self.sent: list[Request] = []

    def run(self) -> None:
        began = time.time() + self.phase
        number = 0
        while not self.stop.is_set():
            due = began + number * self.seconds
            if self.stop.wait(max(0.0, due - time.time())):
                return
            new = request(self.dice, site=self.site, machine=self.machine, number=number, poison=self.poison)
            self.deliver(new, due_at=due)
            self.sent.append(new)
            if self.dice.random() < DUPLICATE_SHARE:
                self.send_again()
            number += 1

    def send_again(self) -> None:
        """One of the last requests once more. Poison only under its key: without one it is a poison of its own."""
        again = self.dice.choice(self.sent[-20:])
        keyed = bool(again.poison) or self.dice.random() < 0.5
        self.deliver(again, due_at=time.time(), keyed=keyed, duplicate=True)

    def deliver(self, wanted: Request, *, due_at: float, keyed: bool = True, duplicate: bool = False) -> None:
        repeats = 0
        while (batch := self.post(wanted, keyed=keyed)) is None:
            repeats += 1
            time.sleep(AGAIN_SECONDS)
        if batch:
            self.ledger.add(Accepted(wanted, batch, due_at, time.time() - due_at, repeats, keyed, duplicate))

    def post(self, wanted: Request, *, keyed: bool) -> str | None:
        """The batch it became; None where it has to be sent again; empty where it was refused for good."""
        headers = {"Content-Type": "application/json"} | ({"Idempotency-Key": f'"{wanted.key}"'} if keyed else {})
        try:
            answer = self.http.post(
                f"{self.url}/api/v1/data/ingest", data=wanted.body, headers=headers, timeout=TIMEOUT_SECONDS
            )
        except requests.RequestException:
            self.ledger.note("none")
            return None
        self.ledger.note(str(answer.status_code))
        if answer.status_code == requests.codes.accepted:
            return str(answer.json()["batch"])
        if answer.status_code < 500 and answer.status_code not in (requests.codes.conflict, requests.codes.too_many):
            self.ledger.refuse(f"{answer.status_code} for {wanted.site}/{wanted.key}: {answer.text[:300]}")
            return ""
        return None


class Clients:
    """All senders: ``rate`` requests a second in all, from every machine of every site."""

    def __init__(self, url: str, passwords: Mapping[str, str], *, rate: float, seed: int, poison: bool) -> None:
        self.ledger = Ledger()
        self.stopping = threading.Event()
        streams = [(site, machine) for site in sorted(passwords) for machine in (*MACHINES, POISONED)]
        tokens = {site: token(url, site, password) for site, password in passwords.items()}
        self.senders = [
            Sender(
                url=url, site=site, token=tokens[site], machine=machine, seconds=len(streams) / rate,
                phase=place / rate, seed=f"{seed}/{site}/{machine}", poison=poison, ledger=self.ledger,
                stop=self.stopping,
            )
            for place, (site, machine) in enumerate(streams)
        ]  # fmt: skip

    def start(self) -> None:
        for sender in self.senders:
            sender.start()

    def are_sending(self) -> bool:
        return all(sender.is_alive() for sender in self.senders)

    def stop(self) -> None:
        """Let each finish the request it is at."""
        self.stopping.set()
        for sender in self.senders:
            sender.join()


def token(url: str, username: str, password: str) -> str:
    """An access token. Raises ``requests.RequestException``."""
    answer = service.session().post(
        f"{url}/api/v1/auth/token/", json={"username": username, "password": password}, timeout=30
    )
    answer.raise_for_status()
    return str(answer.json()["access"])
