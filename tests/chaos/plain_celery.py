"""A pipeline of five stages as Celery's own documentation would have it built: tasks in a chain, on Redis.

What ``tests.chaos.baseline`` breaks beside ours. It is meant to be the best that a careful user makes of the broker
alone, so every setting that guards against loss is on, and each says why. What it does not have is a record outside
the broker of what was promised. Nothing of Bellwether is imported here.

    celery -A tests.chaos.plain_celery worker            a worker
    python -m tests.chaos.plain_celery --rate 20         a producer, until SIGTERM; prints how many it has sent
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import signal
import sys
import threading
import time

import psycopg2
from celery import Celery, chain
from celery.signals import worker_process_init

STAGES = ("ingest", "validate", "detect", "decide", "notify")
READINGS = 20
LIMIT = 100.0
VISIBILITY_SECONDS = 10
TABLE = "CREATE TABLE IF NOT EXISTS effect (batch bigint NOT NULL, stage text NOT NULL, at timestamptz DEFAULT now())"

app = Celery("plain", broker=os.environ.get("PLAIN_BROKER_URL", "redis://"))
app.conf.update(
    task_acks_late=True,  # a task that dies with its worker is delivered again
    task_reject_on_worker_lost=True,  # also where only the pool's process dies
    task_ignore_result=True,
    worker_prefetch_multiplier=1,  # a worker that dies holds one message, not a handful
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=True,
    broker_transport_options={
        "visibility_timeout": VISIBILITY_SECONDS,  # a thousand times what a task takes
        "unacked_restore_interval": 1,  # look every second for what was not acknowledged; by default every 100
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 10,  # a worker that dies while it looks keeps the others from it so long; default 300
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
)


class Effects:
    """What each task has done, as rows of a table WITHOUT a unique key, so that what was done twice shows."""

    def __init__(self) -> None:
        self.connection: psycopg2.extensions.connection | None = None

    def open(self) -> None:
        self.connection = psycopg2.connect(os.environ["PLAIN_DATABASE"])
        self.connection.autocommit = True

    def record(self, batch: int, stage: str) -> None:
        assert self.connection is not None
        with self.connection.cursor() as cursor:
            cursor.execute("INSERT INTO effect (batch, stage) VALUES (%s, %s)", [batch, stage])


effects = Effects()


@worker_process_init.connect
def open_the_database(**_: object) -> None:
    effects.open()


@app.task(name="plain.ingest")
def ingest(batch: int, values: list[float]) -> list[float]:
    effects.record(batch, "ingest")
    return sorted(values)


@app.task(name="plain.validate")
def validate(values: list[float], batch: int) -> list[float]:
    effects.record(batch, "validate")
    return [value for value in values if math.isfinite(value)]


@app.task(name="plain.detect")
def detect(values: list[float], batch: int) -> list[float]:
    effects.record(batch, "detect")
    return [value for value in values if value > LIMIT]


@app.task(name="plain.decide")
def decide(found: list[float], batch: int) -> bool:
    effects.record(batch, "decide")
    return bool(found)


@app.task(name="plain.notify")
def notify(alarm: bool, batch: int) -> None:
    effects.record(batch, "notify")


def send(batch: int) -> None:
    values = [50.0 + (batch * 7 + n) % 60 for n in range(READINGS)]
    steps = [ingest.s(batch, values), *(task.s(batch) for task in (validate, detect, decide, notify))]
    chain(*steps).apply_async()  # publishing is tried again by default, three times


def main() -> int:
    parser = argparse.ArgumentParser(description="Send batches at a steady rate until SIGTERM; print how many.")
    parser.add_argument("--first", type=int, default=0, help="Number of the first batch.")
    parser.add_argument("--rate", type=float, default=20, help="Batches a second.")
    options = parser.parse_args()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    began = time.monotonic()
    for number in itertools.count():
        if stop.wait(max(0.0, began + number / options.rate - time.monotonic())):
            sys.stdout.write(f"{number}\n")
            return 0
        send(options.first + number)
    raise AssertionError("the count has no end")


if __name__ == "__main__":
    sys.exit(main())
