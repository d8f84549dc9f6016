"""Drift: false triggers, how soon it is seen, and performance without labels: ``make bench-drift``.

(a) Windows of stretches of real series in which nothing is known to have happened: the first 60 % (eight at least) are
the reference, the others are checked. (b) The same with a drift put in: ``tests.bench.drifting_injected``. (c) Both as
the agent decides on live machines: ``tests.bench.drifting_agent``. (d) Models: ``tests.bench.drifting_models``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from mlops.drift import check, reference, windows
from mlops.drift.check import Criteria
from mlops.drift.windows import Window
from sensors.columns import SECOND_US, Bool
from tests.bench import drift_rivals, drifting_agent, drifting_data, drifting_injected, drifting_models, results
from tests.bench.drift_rivals import LEVEL, Judge
from tests.bench.drifting_data import Case
from tests.bench.results import row

OURS, NAIVE = "Bellwether", "KS, p < 0.05"
ROWS, FEATURES, SEED = 3000, 50, 1


def ours(given: Sequence[Window], later: Sequence[Window], criteria: Criteria = check.USUAL) -> Bool:
    known = reference.freeze(given, features=[str(k) for k in range(given[0].value.shape[1])])
    return np.array([check.check(known, one, criteria).drifted for one in later])


JUDGES: dict[str, Judge] = {
    OURS: ours,
    f"{OURS}, BY": partial(ours, criteria=Criteria(any_dependence=True)),
    f"{OURS}, p alone": partial(ours, criteria=Criteria(least_effect=0.0)),
    **drift_rivals.JUDGES,
}


def calm(given: Sequence[Case]) -> list[dict[str, Any]]:
    """Share of the checks that trigger where nothing is known to have happened, by data set and length, and of all."""
    said: dict[str, dict[str, list[Bool]]] = {}
    for case in given:
        for name, judge in JUDGES.items():
            said.setdefault(case.name, {}).setdefault(name, []).append(judge(case.given, case.later))
    table = {place: {name: np.concatenate(mine) for name, mine in by.items()} for place, by in said.items()}
    unseen = [place for place in table if place.startswith(drifting_data.UNSEEN)]
    seen = [place for place in table if place not in unseen]
    for title, places in (("chosen on", seen), ("not chosen on", unseen), ("all checks", seen + unseen)):
        if places:
            table[title] = {name: np.concatenate([table[place][name] for place in places]) for name in JUDGES}
    lines = [["checks that trigger, %", "checks", *JUDGES]]
    for place, by in table.items():
        lines.append([place, str(len(by[OURS])), *(f"{100 * by[name].mean():.1f}" for name in JUDGES)])
    results.wide(lines)
    return [one for place, by in table.items() for one in false_triggers(place, by)]


def false_triggers(place: str, by: dict[str, Bool]) -> Iterator[dict[str, Any]]:
    rates = {name: 100 * float(mine.mean()) for name, mine in by.items()}
    most = 100 * LEVEL
    for name, rate in rates.items():
        mine = name == OURS
        yield row(
            f"{name}: false triggers, {place}", rate, "% of the checks", detail=f"{len(by[name])} checks",
            goal=f"<= {most:g} %" if mine else None, ok=rate <= most if mine else None,
            baseline=rates[NAIVE] if mine else None,
        )  # fmt: skip


def speed() -> Iterator[dict[str, Any]]:
    """Made readings: what a check takes, and what it takes to make its reference."""
    value = np.random.default_rng(SEED).normal(size=(ROWS * (reference.LEAST_WINDOWS + 1), FEATURES))
    *given, last = windows.cut(np.arange(len(value)) * 60 * SECOND_US, value, rows=ROWS)
    began = time.perf_counter()
    known = reference.freeze(given, features=[str(k) for k in range(FEATURES)])
    made = time.perf_counter()
    check.check(known, last)
    took = time.perf_counter() - made
    name = f"{ROWS} readings x {FEATURES} features"
    yield row(f"a check of {name}", took, "s", goal="< 1 s", ok=took < 1)
    yield row(f"its reference, {len(given)} windows", made - began, "s")


def main() -> int:
    given = list(drifting_data.cases(drifting_data.all_of_them()))
    sys.stdout.write(f"Drift: {len(given)} references of real series\n\n")
    rows = [*calm(given), *drifting_agent.bench(given), *drifting_injected.bench(given), *speed()]
    if drifting_models.FOLDER.exists():
        rows += drifting_models.bench()
    else:
        sys.stdout.write(f"Left out: AI4I is not at hand ({drifting_models.FOLDER}).\n")
    results.show([one for one in rows if one["ok"] is not None])
    results.keep("drift", rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
