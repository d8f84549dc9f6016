"""What a schedule costs, how far from the bound, in what time, with what violations: ``make bench-schedule``.

Made instances (``tests.bench.schedule_made``) of 50, 500 and 2,000 orders, by three methods: CP-SAT
(``agents.schedule``), greedy, and whoever is free. The checker that counts violations shares no code with them. Then a
change: how many visits move when the schedule is made anew, with and without a cost per move. ``--smoke`` runs a short
form.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from agents.schedule import checker, greedy, problem, search
from agents.schedule.problem import Instance, Limits, Solution, Visits
from tests.bench import results, schedule_made
from tests.bench.results import row

SECONDS = {50: 30.0, 500: 60.0, 2_000: 180.0}
SMOKE = {30: 4.0, 120: 8.0}


def bench(sizes: dict[int, float]) -> Iterator[dict[str, Any]]:
    for orders, seconds in sizes.items():
        instance = schedule_made.instance(orders)
        began = time.perf_counter()
        best = search.solve(instance, Limits(seconds))
        took = time.perf_counter() - began
        ways: dict[str, Callable[[Instance], Visits]] = {
            "greedy": greedy.greedy, "whoever is free": greedy.whoever_is_free,
        }  # fmt: skip
        yield from _told(instance, best.method, best.visits, took, best, None)
        for name, make in ways.items():
            began = time.perf_counter()
            visits = make(instance)
            yield from _told(instance, name, visits, time.perf_counter() - began, best, best.cost)


def _told(
    instance: Instance, name: str, visits: Visits, took: float, best: Solution, against: float | None
) -> Iterator[dict[str, Any]]:
    points, wrong = problem.cost(instance, visits), len(checker.violations(instance, visits))
    gap = (points - best.bound) / points if points else 0.0
    late = sum(one.due is not None and visits[one.id].end > one.due for one in instance.orders if one.id in visits)
    what = f"{len(instance.orders)} orders, {len(instance.persons)} people: {name}"
    detail = f"gap {gap:.1%} to {best.bound}, {took:.1f} s, {len(instance.orders) - len(visits)} left out, {late} late"
    yield row(what, points, "points", baseline=against, detail=detail)
    yield row(f"{what}: violations", wrong, "", goal=0, ok=wrong == 0)


def moves(orders: int, seconds: float) -> Iterator[dict[str, Any]]:
    """How many of the visits that people were told are others after a change."""
    first = schedule_made.instance(orders)
    told = dict(search.solve(first, Limits(seconds)).visits)
    then = schedule_made.changed(first, told)
    for name, instance in (
        (f"{then.move_cost} points a move", then),
        ("moves for nothing", replace(then, move_cost=0)),
    ):
        best = search.solve(instance, Limits(seconds))
        moved = sum(best.visits.get(key) != visit for key, visit in then.published.items())
        wrong = len(checker.violations(instance, best.visits))
        points = problem.cost(replace(then, move_cost=0), best.visits)
        yield row(
            f"changed, {orders} orders, {name}", moved, f"of {len(then.published)} moved", ok=wrong == 0,
            detail=f"{points} points without those for moves, gap {best.gap:.1%}",
        )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--smoke", action="store_true", help="Whether it works, in seconds.")
    smoke = parser.parse_args().smoke
    found = []
    for one in bench(SMOKE if smoke else SECONDS):
        results.show([one])
        found.append(one)
    for one in moves(*((30, 3.0) if smoke else (50, 20.0))):
        results.show([one])
        found.append(one)
    results.keep("schedule-smoke" if smoke else "schedule", found)
    return int(any(one["ok"] is False for one in found))


if __name__ == "__main__":
    sys.exit(main())
