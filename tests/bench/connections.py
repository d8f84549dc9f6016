"""A thousand clients at once, each on a connection of its own: single readings, the next once one is answered."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from tests.bench import results
from tests.bench.results import row
from tests.bench.running import MACHINES, Site, in_a_folder, running
from tests.load import bodies

CONNECTIONS = MACHINES * bodies.PER_MACHINE
GOAL_MS = 2_000.0


def rows(site: Site, *, connections: int, seconds: float, times: int = 1) -> list[dict[str, Any]]:
    """Medians of the runs. Raises ``BooksDoNotBalance`` where a request failed or a reading was lost."""
    order = {"seconds": seconds, "connections": connections}
    outcomes = [site.load(site.order("singles", **order)) for _ in range(times)]
    low, middle, high = (
        statistics.median(each) for each in zip(*(o.milliseconds(50, 95, 99) for o in outcomes), strict=True)
    )
    every = [outcome.milliseconds(99)[0] for outcome in outcomes]
    detail = f"{times} x {seconds:g} s, {min(every):.0f} to {max(every):.0f}; p50 {low:.0f}, p95 {middle:.0f} ms"
    errors = sum(len(outcome.said.problems) for outcome in outcomes)
    answered = statistics.median(len(outcome.found["status"]) / outcome.said.seconds for outcome in outcomes)
    name = f"{connections:,} connections"
    return [
        row(f"{name}: p99", high, "ms", goal=f"< {GOAL_MS:g}", ok=high < GOAL_MS, detail=detail),
        row(f"{name}: errors", errors, "requests", goal=0, ok=not errors),
        row(f"{name}: answered", answered, "requests/s", detail=outcomes[0].told()),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--times", type=int, default=3, help="How many runs.")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    options = parser.parse_args(arguments)
    with in_a_folder() as folder, running(folder) as site:
        found = rows(site, connections=options.connections, seconds=options.seconds, times=options.times)
    results.show(found)
    results.keep("connections", found)
    return 0 if all(row["ok"] is not False for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
