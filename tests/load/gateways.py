"""The gateways of a plant, in Locust: a process of its own that starts each request at the instant at which it arrives.

Open: no arrival waits for the answer to another, and response times, in Locust's own statistics too, count from the
intended instant, so that a service that stalls does not hide it. A request is sent once: what is refused stays refused.

    python -m tests.load.gateways order.json

It says ``ready`` when it is logged in, begins when it reads a line, and says in the end what ``sender.Said`` holds;
what came of each request is in the file ``out``.
"""

from __future__ import annotations

import base64
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any, ClassVar

import gevent
import numpy as np
from gevent.pool import Pool
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

from tests.load import scenarios
from tests.load.scenarios import COLUMNS, PATIENCE, Order, Scenario

INGEST, LOG_IN, RENEW = "/api/v1/data/ingest", "/api/v1/auth/token/", "/api/v1/auth/token/refresh/"
RENEW_AT = 2 / 3


class Gateways(FastHttpUser):
    """All of them: one user that starts what arrives, each request in a greenlet of its own."""

    order: ClassVar[Order]
    network_timeout = PATIENCE

    def on_start(self) -> None:
        order = self.order
        self.scenario: Scenario = next(one for one in scenarios.SCENARIOS if one.name == order.scenario)
        self.due = scenarios.arrivals(self.scenario, seconds=order.seconds, seed=order.seed).tolist()
        self.found: list[tuple[int, float, float, float, int, int]] = []
        self.problems: list[str] = []
        self.pair: dict[str, str] = {}
        self.ask(LOG_IN, {"username": order.username, "password": order.password})
        gevent.spawn(self.renew)

    def ask(self, path: str, body: dict[str, str]) -> None:
        """A pair of tokens. Raises ``RuntimeError`` where there is none."""
        with self.client.post(path, json=body, catch_response=True) as answer:
            if answer.status_code != 200:
                raise RuntimeError(f"no token: {answer.status_code} {answer.text}")
            self.pair |= answer.json()

    def renew(self) -> None:
        """The access token, before it expires."""
        while True:
            payload = json.loads(base64.urlsafe_b64decode(self.pair["access"].split(".")[1] + "=="))
            gevent.sleep((payload["exp"] - payload["iat"]) * RENEW_AT)
            self.ask(RENEW, {"refresh": self.pair["refresh"]})

    @task
    def work(self) -> None:
        """Wait for the word, then start each request when it arrives; the runner ends with the last answer."""
        say("ready")
        sys.stdin.readline()
        gc.freeze()
        gc.disable()
        spent, wall, self.began = time.process_time(), time.time(), time.monotonic()
        flying = Pool()
        for number, due in enumerate(self.due):
            gevent.sleep(max(0.0, self.began + due - time.monotonic()))
            flying.spawn(self.send, number, due)
        flying.join(PATIENCE)
        seconds = time.monotonic() - self.began
        self.save()
        said = {"began": wall, "seconds": seconds, "cpu": time.process_time() - spent, "problems": self.problems[:20]}
        say(json.dumps(said))
        raise StopUser

    def send(self, number: int, due: float) -> None:
        order = self.order
        body = scenarios.body(self.scenario, number, first=order.first, begins=order.begins, plant=order.plant)
        headers = {"Authorization": f"Bearer {self.pair['access']}", "Content-Type": "application/json"}
        sent = time.monotonic() - self.began
        with self.client.post(
            INGEST, data=body, headers=headers, name=self.scenario.name, catch_response=True
        ) as answer:
            took = time.monotonic() - self.began - due
            answer.request_meta["response_time"] = took * 1_000
            status = answer.status_code
            accepted = answer.json()["accepted"] if status == scenarios.ACCEPTED else 0
            if status != scenarios.ACCEPTED:
                self.problems.append(f"{status} {(answer.text or '')[:200]} {answer.error or ''}")
        self.found.append((number, due, sent, took, status, accepted))

    def save(self) -> None:
        """What is out after all patience has no answer either."""
        answered = {row[0] for row in self.found}
        out = [(n, due, due, PATIENCE, 0, 0) for n, due in enumerate(self.due) if n not in answered]
        columns: list[Any] = list(zip(*[*self.found, *out], strict=True)) or [()] * len(COLUMNS)
        np.savez(self.order.out, **{name: np.array(one) for name, one in zip(COLUMNS, columns, strict=True)})


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    Gateways.order = order = Order(**json.loads(Path(sys.argv[1]).read_text()))
    Gateways.concurrency = order.connections
    environment = Environment(user_classes=[Gateways], host=order.url, catch_exceptions=False)
    runner = environment.create_local_runner()
    runner.start(1, spawn_rate=1)
    runner.spawning_greenlet.join()
    runner.user_greenlets.join()  # also where the user failed: it has said why
    return 0


if __name__ == "__main__":
    sys.exit(main())
