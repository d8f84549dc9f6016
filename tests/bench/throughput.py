"""Readings a second from request to judgement, with everything on this machine: the service, its servers and the load.

Each figure is the median of runs on the same service, one after the other in event time. The clock runs from the first
request until the last run is done, and a run counts only if its books balance (``tests.bench.running``): what was
accepted is stored once and judged, and each excursion that was sent was found. Nobody is subscribed to messages.

The baselines come from the same Postgres, in a database of its own, before and after, while the service stands still.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench import copying, results
from tests.bench.results import row
from tests.bench.running import Outcome, Site, in_a_folder, running


@dataclass(frozen=True, slots=True)
class Series:
    """Runs of one shape. ``goal``: of ``unit`` a second."""

    name: str
    shape: str
    connections: int
    goal: float | None
    unit: str = "readings/s"
    form: str = "json"


SERIES = (
    Series("batches of 1,000, by machine", "gateway", 4, 250_000),
    Series("batches of 1,000, as series of each sensor", "gateway", 4, None, form="series"),
    Series("batches of 1,000, all sensors at once", "plant", 1, None),
    Series("batches of 100", "hundreds", 8, 60_000),
    Series("single readings", "singles", 32, 1_500, "requests/s"),
)
COPY_GOAL = 0.6


def measure(site: Site, wanted: Series, *, seconds: float, times: int, connections: int | None) -> list[Outcome]:
    order = {"seconds": seconds, "connections": connections or wanted.connections, "form": wanted.form}
    return [site.load(site.order(wanted.shape, **order)) for _ in range(times)]


def show(wanted: Series, outcomes: Sequence[Outcome], *, seconds: float) -> list[dict[str, Any]]:
    """The series' figure, and beneath it what it cost."""
    rates = [outcome.rate for outcome in outcomes]
    middle = statistics.median(rates)
    typical = min(outcomes, key=lambda outcome: abs(outcome.rate - middle))
    low, mid, high = typical.milliseconds(50, 95, 99)
    detail = (
        f"{len(rates)} x {seconds:g} s, {min(rates):,.0f} to {max(rates):,.0f}; "
        f"accepted at {typical.accept_rate:,.0f}; {typical.told()}; "
        f"answers p50/p95/p99 {low:.1f}/{mid:.1f}/{high:.1f} ms"
    )
    goal = None if wanted.goal is None else f">= {wanted.goal:,.0f}"
    ok = None if wanted.goal is None else middle >= wanted.goal
    return [row(wanted.name, middle, wanted.unit, goal=goal, ok=ok, detail=detail)]


def memory(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    largest: dict[str, float] = {}
    for outcome in outcomes:
        for name, size in outcome.memory.items():
            largest[name] = max(size, largest.get(name, 0.0))
    return [
        row(f"memory of the largest process: {name}", size, "MiB", goal="< 400", ok=size < 400)
        for name, size in sorted(largest.items())
    ]


def baselines(site: Site, *, readings: int, times: int) -> dict[str, list[float]]:
    """What COPY alone takes, with the service's processes stopped, its servers left."""
    return {
        way.name: copying.rates(site.service, way, readings=readings, times=times)
        for way in (copying.ROWS, copying.ARRAYS)
    }


def bench(folder: Path, wanted: Sequence[Series], options: argparse.Namespace) -> list[dict[str, Any]]:
    rows, every = [], []
    figures: dict[str, float] = {}
    with running(folder) as site:
        for series in wanted:
            outcomes = measure(
                site, series, seconds=options.seconds, times=options.times, connections=options.connections
            )
            every += outcomes
            rows += show(series, outcomes, seconds=options.seconds)
            figures.setdefault(series.shape, rows[-1]["value"])
            results.show(rows[-1:])
        site.service.kill()
        copied = baselines(site, readings=options.copied, times=options.times)
    rows += against(figures, copied, readings=options.copied)
    return rows + memory(every)


def against(figures: dict[str, float], copied: dict[str, list[float]], *, readings: int) -> list[dict[str, Any]]:
    """The main figure beside what COPY alone takes."""
    made = []
    for name, rates in copied.items():
        middle = copying.median(rates)
        detail = f"{len(rates)} x {readings:,} readings, {min(rates):,.0f} to {max(rates):,.0f}"
        made.append(row(f"binary COPY alone: {name}", middle, "readings/s", detail=detail))
        ours = figures.get("gateway")
        if ours is not None:
            goal = f">= {COPY_GOAL}" if name == "rows" else None
            ok = ours / middle >= COPY_GOAL if goal else None
            made.append(row(f"ours, of COPY alone: {name}", ours / middle, "x", goal=goal, ok=ok))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="How long each run sends.")
    parser.add_argument("--times", type=int, default=3, help="How many runs of each shape.")
    parser.add_argument("--connections", type=int, help="Other than each shape's own number.")
    parser.add_argument("--copied", type=int, default=2_000_000, help="Readings of each baseline.")
    parser.add_argument("--shapes", nargs="*", default=sorted({series.shape for series in SERIES}))
    options = parser.parse_args()
    with in_a_folder() as folder:
        rows = bench(folder, [series for series in SERIES if series.shape in options.shapes], options)
    results.show(rows)
    results.keep("throughput", rows)
    return 0 if all(found["ok"] is not False for found in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
