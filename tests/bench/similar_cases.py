"""Whether similar past cases are of the same trouble, on the real work orders of excavators: `make bench-similar`.

Each order asks by its words alone, as a page does, for the most similar of the orders before it, of the newest 2,000. A
hit: one of the first, or of the first three, is of the same system, part, failure mode or action. Only orders count
where that is on record. Beside it: as many drawn by lot, and as many of what came most often so far; the latter names
three different ones, where three cases are often of one.

What is on record was put there by rules over the very texts (column `Rule`), so that words tell more of it than they
would of a technician's verdict. The second half leaves out of the pool what has the text at hand, word by word.
"""

from __future__ import annotations

import csv
import math
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from maintenance import similar, similarity, triage
from maintenance.similarity import Case
from tests.bench import excavators, results
from tests.bench.results import row

FEWEST = 200
"""Orders before the first that asks."""
SHOWN = (1, similar.MOST)
ASKED = {"system": "MajorSystem", "part": "Part", "failure mode": "FM", "action": "Action"}


@dataclass(frozen=True, slots=True)
class Order:
    """``truth``: of each of ``ASKED``, empty where it is not on record."""

    at: datetime
    text: str
    truth: dict[str, str]


@dataclass(slots=True)
class Tally:
    """Of those that asked: hits of so many cases, the chance of a draw, hits of so many of the most frequent."""

    asked: int = 0
    hits: Counter[int] = field(default_factory=Counter)
    drawn: dict[int, float] = field(default_factory=lambda: dict.fromkeys(SHOWN, 0.0))
    frequent: Counter[int] = field(default_factory=Counter)


def read(folder: Path) -> list[Order]:
    """All orders in order of time; those of the unlabelled file have no truth, and are in the pool all the same."""
    found = []
    for file, _ in excavators.FILES:
        with (folder / file).open(encoding="utf-8-sig", newline="") as lines:
            for line in csv.DictReader(lines):
                at = datetime.fromisoformat(line["BscStartDate"].strip())
                truth = {name: line.get(column, "").strip() for name, column in ASKED.items()}
                found.append(Order(at, line["OriginalShorttext"].strip(), truth))
    return sorted(found, key=lambda one: one.at)


def measure(orders: Sequence[Order], *, name: str, distinct: bool, every: int = 1) -> Tally:
    """Only orders of days before count; ``distinct``: of another text. ``every``: of so many one asks."""
    tally, known = Tally(), [one for one in orders if one.truth[name]]
    for number in range(FEWEST, len(known), every):
        asked = known[number]
        pool = [one for one in reversed(known[:number]) if one.at < asked.at]
        if distinct:
            pool = [one for one in pool if one.text.lower() != asked.text.lower()]
        pool = pool[: similar.POOL]
        past = [Case(place, one.text) for place, one in enumerate(pool)]
        best = [pool[one.id].truth[name] for one in similarity.ranked(Case(-1, asked.text), past)[: max(SHOWN)]]
        _count(tally, asked.truth[name], best, Counter(one.truth[name] for one in pool))
    return tally


def _count(tally: Tally, truth: str, best: Sequence[str], pool: Counter[str]) -> None:
    tally.asked += 1
    for shown in SHOWN:
        tally.hits[shown] += truth in best[:shown]
        misses = pool.total() - pool[truth]
        tally.drawn[shown] += 1.0 - math.comb(misses, shown) / math.comb(pool.total(), shown)
        tally.frequent[shown] += truth in [name for name, _ in pool.most_common(shown)]


def bench(folder: Path, *, every: int = 1) -> Iterator[dict[str, Any]]:
    orders = read(folder)
    for distinct in (False, True):
        for name in ASKED:
            tally = measure(orders, name=name, distinct=distinct, every=every)
            for shown in SHOWN:
                drawn, frequent = (100.0 * found[shown] / tally.asked for found in (tally.drawn, tally.frequent))
                low, high = interval(tally.hits[shown], tally.asked)
                yield row(
                    f"same {name}, {shown} shown{', other texts only' if distinct else ''}",
                    100.0 * tally.hits[shown] / tally.asked, "%", baseline=drawn, goal="above both",
                    ok=low > max(drawn, frequent),
                    detail=f"95 %: {low:.1f} to {high:.1f}; by lot {drawn:.1f}, most frequent {frequent:.1f}; "
                    f"{tally.asked} asked",
                )  # fmt: skip


def interval(hits: int, asked: int) -> tuple[float, float]:
    """In percent."""
    low, high = triage.wilson(hits, asked - hits)
    return 100.0 * low, 100.0 * high


def main() -> None:
    if not excavators.FOLDER.is_dir():
        sys.stdout.write(f"{excavators.FOLDER} is not there: nothing to measure.\n")
        return
    rows = []
    for found in bench(excavators.FOLDER):
        results.show([found])
        rows.append(found)
    results.keep("similar-cases", rows)


if __name__ == "__main__":
    main()
