"""A thousand clients at once, each on a connection of its own: single readings, the next once one is answered."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from tests.bench import results
from tests.bench.results import row
from tests.bench.running import MACHINES, Site, in_a_folder, running
from tests.load import bodies

CONNECTIONS = MACHINES * bodies.PER_MACHINE
GOAL_MS = 2_000.0


def rows(site: Site, *, connections: int, seconds: float) -> list[dict[str, Any]]:
    """Raises ``BooksDoNotBalance`` where a request failed or a reading was lost."""
    outcome = site.load(site.order("singles", seconds=seconds, connections=connections))
    low, middle, high = outcome.milliseconds(50, 95, 99)
    name = f"{connections:,} connections"
    return [
        row(f"{name}: p99", high, "ms", goal=f"< {GOAL_MS:g}", ok=high < GOAL_MS,
            detail=f"p50 {low:.0f}, p95 {middle:.0f} ms; {outcome.told()}"),
        row(f"{name}: errors", len(outcome.said.problems), "requests", goal=0, ok=not outcome.said.problems),
        row(f"{name}: answered", len(outcome.found["status"]) / outcome.said.seconds, "requests/s"),
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    options = parser.parse_args(arguments)
    with in_a_folder() as folder, running(folder) as site:
        found = rows(site, connections=options.connections, seconds=options.seconds)
    results.show(found)
    results.keep("connections", found)
    return 0 if all(row["ok"] is not False for row in found) else 1


if __name__ == "__main__":
    sys.exit(main())
