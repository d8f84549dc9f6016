"""How long it takes: from the instant a request is due until its answer, and until the alarm it raises is committed.

To the alarm: probes are requests of twenty readings of each of a machine's ten sensors, the last one of which is above
the limit, so that with each request its alarm opens anew. The clock starts when the probe is due, and stops when the
transition of the alarm was committed, as Postgres keeps it (``track_commit_timestamp``): client and server read the
same clock. Measured idle (an alarm now and then), at twenty alarms a second, and at that rate beside a load of half of
what the service was found to judge, from other machines.

To the answer: single readings, open loop, at steady rates.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench import results
from tests.bench.results import row
from tests.bench.running import Outcome, Site, in_a_folder, running
from tests.load import bodies

PROBES = 10
"""Machines that probe while the others make the load."""
IDLE_RATE, PROBE_RATE = 2.0, 20.0
OPENED = 0.99
"""Of the probes, those that must open an alarm."""
ACCEPT_RATES = ((103.0, 3.0), (1_000.0, 25.0))
"""Requests a second, and the milliseconds below which 95 of 100 answers are to come."""
GOALS = {"idle": (40.0, 150.0), "at half load": (200.0, 1_000.0)}
COMMITTED = """
SELECT n.external_id, extract(epoch FROM t.at), extract(epoch FROM pg_xact_commit_timestamp(t.xmin))
FROM maintenance_alarmtransition t JOIN maintenance_decision d ON d.key = t.key
JOIN maintenance_anomaly a ON a.id = d.anomaly_id JOIN sensors_sensor n ON n.id = a.sensor_id
WHERE t.action IN ('OPENED', 'REOPENED') AND t.at >= to_timestamp(%s)
"""
STORED = "SELECT count(*) FROM sensors_reading"
STAGES = """
SELECT stage, percentile_cont(0.5) WITHIN GROUP (ORDER BY waited) * 1000,
percentile_cont(0.5) WITHIN GROUP (ORDER BY worked) * 1000 FROM (
    SELECT a.stage, extract(epoch FROM a.ended_at - a.started_at) AS worked, extract(epoch FROM a.started_at
    - coalesce(lag(a.ended_at) OVER (PARTITION BY a.run_id ORDER BY a.started_at), r.created_at)) AS waited
    FROM agents_stageattempt a JOIN agents_run r ON r.id = a.run_id
    WHERE a.outcome = 'DONE' AND r.created_at >= to_timestamp(%s)) AS each
GROUP BY stage ORDER BY array_position(ARRAY['INGEST', 'VALIDATE', 'DETECT', 'DECIDE', 'NOTIFY'], stage::text)
"""


def to_alarm(site: Site, outcome: Outcome, *, first: int) -> NDArray[np.float64]:
    """Milliseconds from the instant each probe was due until the alarm it opened was committed.

    A probe on a machine whose alarm stands for another reason opens none; raises ``AssertionError`` where these are
    more than one in a hundred.
    """
    begun = {(name, int(at)): float(when) for name, at, when in site.service.sql(COMMITTED, site.begins + first)}
    found = outcome.found
    last = (site.begins + found["step"] + bodies.shape("probe", machines=1).instants - 1).tolist()
    names = [bodies.name_of(int(stream) * bodies.PER_MACHINE) for stream in found["stream"]]
    ended = np.array([begun.get(key, np.nan) for key in zip(names, last, strict=True)])
    opened = ~np.isnan(ended)
    assert opened.mean() >= OPENED, f"{opened.sum()} of {len(opened)} probes opened an alarm"
    return np.asarray((ended - outcome.said.began - found["due"])[opened] * 1000)


def by_stage(site: Site, since: float) -> list[dict[str, Any]]:
    """How long the runs made since then waited for each stage, and how long it took: medians."""
    told = [f"{stage.lower()} {waited:.0f} + {worked:.0f}" for stage, waited, worked in site.service.sql(STAGES, since)]
    total = sum(waited + worked for _, waited, worked in site.service.sql(STAGES, since))
    return [row("stages of a run, idle: waited + worked", total, "ms", detail=", ".join(told))]


def probe(site: Site, *, seconds: float, rate: float = PROBE_RATE, load: float = 0.0) -> NDArray[np.float64]:
    """Latencies of probes, beside so many readings a second of other machines."""
    if not load:
        order = site.order("probe", seconds=seconds, rate=rate, connections=16)
        return to_alarm(site, site.load(order), first=order.first)
    loading = site.machines - PROBES
    order = site.order("probe", seconds=seconds, rate=rate, connections=PROBES, streams=(loading, site.machines))
    behind = site.order(
        "gateway", seconds=seconds, rate=load / 1_000, connections=8, streams=(0, loading), first=order.first
    )
    return to_alarm(site, site.load(order, behind), first=order.first)


def alarm_rows(name: str, found: NDArray[np.float64]) -> list[dict[str, Any]]:
    middle, most = (float(value) for value in np.percentile(found, (50, 99)))
    detail = f"n = {len(found)}, {found.min():.0f} to {found.max():.0f} ms"
    named = [(f"accept to committed alarm, {name}: p{of}", value) for of, value in ((50, middle), (99, most))]
    if name not in GOALS:
        return [row(each, value, "ms", detail=detail) for each, value in named]
    return [
        row(each, value, "ms", goal=f"< {goal:g}", ok=value < goal, detail=detail)
        for (each, value), goal in zip(named, GOALS[name], strict=True)
    ]


def accept_rows(site: Site, *, rate: float, goal: float, seconds: float, times: int) -> list[dict[str, Any]]:
    """Single readings at a steady rate: medians of the runs' percentiles; requests that were not taken at once, and
    readings that are not in the store exactly once."""
    runs = [site.load(site.order("singles", seconds=seconds, rate=rate, connections=32)) for _ in range(times)]
    found = np.array([outcome.milliseconds(50, 95, 99) for outcome in runs])
    low, middle, high = (float(value) for value in np.median(found, axis=0))
    spread = f"{found[:, 1].min():.1f} to {found[:, 1].max():.1f}"
    detail = f"{times} x {len(runs[0].found['due'])} requests, {spread}; p50 {low:.2f}, p99 {high:.2f} ms"
    name = f"answer to a single reading, {rate:,.0f}/s"
    late = sum(outcome.refused + int((outcome.found["status"] // 100 != 2).sum()) for outcome in runs)
    stored = site.service.number(STORED)
    return [
        row(f"{name}: p95", middle, "ms", goal=f"< {goal:g}", ok=middle < goal, detail=detail),
        row(f"{name}: not 2xx at once", late, "requests", goal=0, ok=not late),
        row(f"{name}: sent and not stored once", abs(stored - site.accepted), "readings", goal=0,
            ok=stored == site.accepted, detail=f"of {site.accepted:,} sent so far"),
    ]  # fmt: skip


def bench(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    with running(folder, postgres="ALTER SYSTEM SET track_commit_timestamp = on") as site:
        since = time.time()
        rows = alarm_rows("idle", probe(site, seconds=options.seconds, rate=IDLE_RATE))
        rows += by_stage(site, since)
        often = probe(site, seconds=options.seconds, rate=options.probe_rate)
        rows += alarm_rows(f"{options.probe_rate:g} alarms a second", often)
        for rate, goal in ACCEPT_RATES:
            rows += accept_rows(site, rate=rate, goal=goal, seconds=options.accept_seconds, times=options.times)
        capacity = (
            options.capacity or site.load(site.order("gateway", seconds=options.accept_seconds, connections=4)).rate
        )
        found = alarm_rows(
            "at half load", probe(site, seconds=options.seconds, rate=options.probe_rate, load=capacity / 2)
        )
        return [*rows, row("half load", capacity / 2, "readings/s"), *found]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="How long probes are sent, each time.")
    parser.add_argument("--probe-rate", type=float, default=PROBE_RATE, help="Probes a second.")
    parser.add_argument("--accept-seconds", type=float, default=10, help="How long single readings are sent.")
    parser.add_argument("--times", type=int, default=3, help="How often single readings are sent at each rate.")
    parser.add_argument("--capacity", type=float, default=0, help="Readings/s judged; measured where it is not given.")
    options = parser.parse_args(arguments)
    with in_a_folder() as folder:
        rows = bench(folder, options)
    results.show(rows)
    results.keep("latency", rows)
    return 0 if all(found["ok"] is not False for found in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
