"""The whole service under Locust: steady, peak, burst and soak, and what of it was stored, row by row: ``make load``.

Requests arrive at a rate of their own (``tests.load.scenarios``), each authenticated and with readings that are valid;
their times count from the instant at which they arrived. Anything but 2xx is an error; what is refused for now (429,
503) is counted apart as well, and is not sent again. After each scenario, when all is judged, the store is held against
what was accepted. While it runs, memory and connections are looked at; the slope of memory is that of the soak.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench import cpu, plant, results, watching
from tests.bench.results import row
from tests.bench.running import DRAIN, ON_THE_WAY, Sending, Site, in_a_folder, running
from tests.bench.watching import Seen, Slope
from tests.chaos.service import until
from tests.load import bodies, scenarios
from tests.load.scenarios import Books, Order, Readings, Scenario
from tests.load.sender import Said

SHARES = {"steady": 0.2, "peak": 0.2, "burst": 0.2, "soak": 0.4}
"""Of the time, what each scenario gets."""
SECONDS = 270.0
MOST_ERRORS = 0.1
"""Percent."""
MOST_CONNECTIONS, MOST_MIB = 100, 2_048.0
STORED = """
SELECT n.external_id, extract(epoch FROM r.measured_at)::bigint - %s, round(r.value * 100)::bigint
FROM sensors_reading r JOIN sensors_sensor n ON n.id = r.sensor_id
WHERE r.measured_at >= to_timestamp(%s) AND r.measured_at < to_timestamp(%s)
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a scenario. ``found``: an array for each of ``scenarios.COLUMNS``; ``drained``: seconds from
    the last answer until all was judged; ``spent``: processor seconds by group."""

    scenario: Scenario
    said: Said
    found: dict[str, NDArray[Any]]
    books: Books
    drained: float
    spent: dict[str, float]
    seen: Seen


@contextmanager
def sending(order: Order, folder: Path) -> Iterator[Sending]:
    """Locust, which logs in and waits for the word; it is killed where the caller fails."""
    path = folder / f"{order.scenario}.order.json"
    path.write_text(json.dumps(asdict(order)))
    command = [sys.executable, "-m", "tests.load.gateways", str(path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=results.ROOT, text=True, **pipes) as process:
        try:
            yield Sending(process)
        finally:
            process.kill()


def carry_out(site: Site, scenario: Scenario, *, seconds: float, seed: int, every: float = watching.EVERY) -> Outcome:
    """One scenario, until all of it is judged. Raises ``TimeoutError`` where it never is."""
    order = Order(
        url=site.service.url, username=plant.CLIENT, password=site.password, scenario=scenario.name, seconds=seconds,
        seed=seed, begins=site.begins, first=-(-site.step // scenario.instants) * scenario.instants,
        plant=site.machines * bodies.PER_MACHINE, out=str(site.folder / f"{scenario.name}.npz"),
    )  # fmt: skip
    with sending(order, site.folder) as sender, watching.watching(site, every=every) as seen:
        sender.wait_until_ready()
        before = cpu.read(site.groups)
        sender.begin()
        said = sender.result()
        drained = until(lambda: not site.service.sql(ON_THE_WAY)[0][0], limit=DRAIN)
        spent = cpu.split(before, cpu.read(site.groups), load=said.cpu)
    with np.load(order.out) as kept:
        found = {name: kept[name] for name in kept.files}
    turns = -(-len(found["number"]) // (order.plant // scenario.sensors))
    last = order.first + turns * scenario.instants
    site.step = last
    return Outcome(scenario, said, found, reconcile(site, order, scenario, found, last), drained, spent, seen)


def reconcile(site: Site, order: Order, scenario: Scenario, found: dict[str, NDArray[Any]], last: int) -> Books:
    """What was accepted beside what is stored of the steps from the scenario's first until its last."""
    status = found["status"]

    def of(numbers: NDArray[Any]) -> Readings:
        return scenarios.readings(scenario, numbers.astype(np.int64), first=order.first, plant=order.plant)

    rows = site.service.sql(STORED, site.begins, site.begins + order.first, site.begins + last)
    place = {bodies.name_of(number): number for number in range(order.plant)}
    stored = np.array([(place[name], step, value) for name, step, value in rows], np.int64).reshape(-1, 3)
    return scenarios.reconcile(
        of(found["number"][status == scenarios.ACCEPTED]), of(found["number"][status == 0]), Readings(*stored.T)
    )


def rows_of(outcome: Outcome) -> list[dict[str, Any]]:
    """The figures of a scenario, under its name."""
    name, said, found, books = outcome.scenario.name, outcome.said, outcome.found, outcome.books
    count, status = len(found["status"]), found["status"].tolist()
    taken, later, failed = scenarios.split(status)
    ended = float((found["due"] + found["seconds"]).max())
    milliseconds = np.percentile(found["seconds"] * 1_000, (50, 95, 99, 100))
    of = f"{count:,} requests of {outcome.scenario.readings} readings, Poisson arrivals"
    errors = 100.0 * (later + failed) / count
    share = 100.0 * said.cpu / (said.seconds * len(os.sched_getaffinity(0)))
    held = found["accepted"][found["status"] == scenarios.ACCEPTED]
    unheld = int((held != outcome.scenario.readings).sum())
    split = cpu.told(outcome.spent, elapsed=said.seconds + outcome.drained, readings=books.accepted)
    return [
        row(f"{name}: requests", count / ended, "requests/s", detail=f"{of}, {ended:.0f} s"),
        row(f"{name}: stored", books.accepted / ended, "readings/s", detail="answered 202, until the last answer"),
        *(row(f"{name}: {which}", float(value), "ms", detail="from the intended instant")
          for which, value in zip(("p50", "p95", "p99", "longest"), milliseconds, strict=True)),
        row(f"{name}: errors", errors, "%", goal=f"< {MOST_ERRORS:g}", ok=errors < MOST_ERRORS,
            detail=f"{taken:,} answered 2xx" + "".join(f"; {one}" for one in said.problems[:2])),
        row(f"{name}: refused for now (429, 503)", later, "requests"),
        row(f"{name}: failed otherwise", failed, "requests", goal=0, ok=not failed),
        row(f"{name}: accepted in part", unheld, "requests", goal=0, ok=not unheld),
        *(row(f"{name}: {what}", value, "readings", goal=0, ok=not value, detail=f"of {books.accepted:,} accepted")
          for what, value in (("lost", books.lost), ("doubled", books.doubled), ("stored with another value",
                              books.changed), ("stored and never accepted", books.foreign))),
        row(f"{name}: all judged after", outcome.drained, "s"),
        row(f"{name}: Locust's share of the machine", share, "%", detail=split),
    ]  # fmt: skip


def rows_of_memory(outcomes: Sequence[Outcome]) -> Iterator[dict[str, Any]]:
    """Of each service the most at any look; connections; and of the last scenario how memory went."""
    for name in sorted({name for one in outcomes for name in one.seen.together}):
        most = max(size for one in outcomes for _, size in one.seen.together[name])
        yield row(f"memory of {name}, at most", most, "MiB", goal=f"< {MOST_MIB:,.0f}", ok=most < MOST_MIB,
                  detail="all its processes, what they share counted once")  # fmt: skip
    connections = max(max(one.seen.connections, default=0) for one in outcomes)
    yield row("connections to Postgres, at most", connections, "connections", goal=f"< {MOST_CONNECTIONS}",
              ok=connections < MOST_CONNECTIONS)  # fmt: skip
    yield from slopes(outcomes[-1])


def slopes(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """How the memory of each process that was there all the time went, of its own; of Postgres, whose processes come
    and go, all together."""
    if (whole := watching.slope(outcome.seen.together["postgres"])) is not None:
        yield sloping("postgres", whole, outcome.seen.together["postgres"])
    looks = max((len(one) for one in outcome.seen.alone.values()), default=0)
    for (group, pid), seen in sorted(outcome.seen.alone.items()):
        found = watching.slope(seen) if len(seen) == looks and group != "postgres" and seen[-1][1] else None
        if found is not None:
            yield sloping(f"{group} ({pid})", found, seen)


def sloping(name: str, found: Slope, seen: Sequence[tuple[float, float]]) -> dict[str, Any]:
    detail = f"95 %: {found.low:.2f} to {found.high:.2f}; {seen[0][1]:.0f} to {seen[-1][1]:.0f} MiB"
    return row(f"memory slope of {name}", found.middle, "MiB/min", detail=detail)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="For all scenarios together.")
    parser.add_argument("--only", choices=[*SHARES], action="append", default=[], help="May be given several times.")
    parser.add_argument("--seed", type=int, default=1, help="Of the arrivals.")
    parser.add_argument("--machines", type=int, default=100, help="Of ten sensors each.")
    asked = parser.parse_args(arguments)
    wanted = [one for one in scenarios.SCENARIOS if one.name in (asked.only or SHARES)]
    whole, outcomes = sum(SHARES[one.name] for one in wanted), []
    with in_a_folder() as folder, running(folder, machines=asked.machines) as site:
        rows = []
        for scenario in wanted:
            seconds = asked.seconds * SHARES[scenario.name] / whole
            outcomes.append(carry_out(site, scenario, seconds=seconds, seed=asked.seed))
            found = rows_of(outcomes[-1])
            results.show(found)
            rows += found
    more = list(rows_of_memory(outcomes))
    results.show(more)
    results.keep("load", [*rows, *more])
    return int(any(found["ok"] is False for found in [*rows, *more]))


if __name__ == "__main__":
    sys.exit(main())
