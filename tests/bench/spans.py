"""What spans and ids cost an attempt at a stage, switched off and on, beside the same attempt without them.

``python -m tests.bench.spans`` prints microseconds for each attempt: of a statement to Postgres that changes nothing,
which every stage has several of, and of the same within its span. Spans that are recorded go to a collector of the
bench's own.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import django

from config import embedded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
embedded.ensure(redis_server=False)
django.setup()

import structlog  # noqa: E402  (after the set-up, as what follows)
from django.db import connection  # noqa: E402

from agents import causes, tracks  # noqa: E402
from agents.lease import Lease  # noqa: E402
from agents.models import Run  # noqa: E402
from config import otel  # noqa: E402
from sensors import tracing  # noqa: E402
from tests.bench import results  # noqa: E402
from tests.collector import Collector  # noqa: E402

ROUNDS, LOOPS = 15, 400


def statement() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def plain() -> None:
    with structlog.contextvars.bound_contextvars(run_id=7, stage="DETECT"):
        statement()


def told() -> None:
    with tracks.stage("DETECT", TAKEN):
        statement()


GATHERED = causes.gather([causes.Cause("order-4711", "")])
TAKEN = Lease(7, 1, 1, Run(pk=7, gathered=GATHERED))


def microseconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    for _ in range(LOOPS):
        work()
    return (time.perf_counter() - began) / LOOPS * 1e6


@contextmanager
def recorded() -> Iterator[None]:
    with Collector() as collector:
        os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = collector.endpoint
        otel.install()
        try:
            yield
        finally:
            tracing.flush()
            tracing.record_with(None)


def main() -> None:
    without, off, on = [], [], []
    for _ in range(ROUNDS):  # in turns, so that what else the machine does meets all alike
        without.append(microseconds(plain))
        off.append(microseconds(told))
    with recorded():
        for _ in range(ROUNDS):
            on.append(microseconds(told))
    base = statistics.median(without)
    rows = [results.row("attempt, without", base, "us", detail=f"least {min(without):.1f}")]
    for name, found in (("attempt, ids, spans off", off), ("attempt, ids, spans on", on)):
        rows.append(results.row(name, statistics.median(found), "us", baseline=base, detail=f"least {min(found):.1f}"))
    results.show(rows)
    results.keep("spans", rows)


if __name__ == "__main__":
    main()
