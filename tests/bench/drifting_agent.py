"""Drift as the agent decides on live machines: false triggers, and how soon a drift is seen.

A reference as a training makes it of the first part of a stretch, then check after check of what comes next, at the
agent's criteria. Every other stretch was looked at while these were chosen; the others are the judges.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops.drift import check, windows
from mlops.drift.reference import Reference, TooLittle
from mlops.drift.windows import Window
from mlops.learning import frozen
from mlops.learning.contract import Feature, Signature
from mlops.learning.examples import Track, everywhere
from tests.bench import drifting_data, results
from tests.bench.drifting_data import Case, Stretch
from tests.bench.drifting_injected import DRIFTS, EVERY_SHORT, MOST_FEATURES, SHORT, drifted
from tests.bench.results import row

AGENT = "Bellwether, as the agent decides"
HALVES = ("chosen on", "not chosen on")
ALL = "all checks"


@dataclass(frozen=True, slots=True)
class Watched:
    """``number``: of the stretch. ``before``: what the reference was made of; ``after``: what comes later."""

    number: int
    stretch: Stretch
    known: Reference
    before: Window
    after: Window

    @property
    def half(self) -> str:
        return HALVES[self.number % 2]

    def says(self, after: Window) -> list[bool | None]:
        """Of each check whether it drifted, None = it could not be judged."""
        later = windows.cut(after.at, after.value, rows=check.LIVE.in_a_row * self.known.rows)
        found = [check.check(self.known, one, check.LIVE) for one in later]
        return [one.drifted if one.judged else None for one in found]


def bench(given: Sequence[Case]) -> list[dict[str, Any]]:
    each = list(watched(given))
    return [*false_triggers(each), *delays(each)]


def watched(given: Sequence[Case]) -> Iterator[Watched]:
    """Every stretch once."""
    for number, stretch in enumerate({id(case.stretch): case.stretch for case in given}.values()):
        first = int(drifting_data.SHARE * len(stretch.at))
        before, after = (Window(stretch.at[part], stretch.value[part]) for part in (slice(first), slice(first, None)))
        learned = everywhere([Track(stretch.name, before.at, before.value)], [np.zeros(first)])
        try:
            known = frozen.reference_of(learned, Signature(tuple(Feature(name) for name in stretch.features), ()))
        except TooLittle:
            continue
        yield Watched(number, stretch, known, before, after)


def false_triggers(each: Sequence[Watched]) -> Iterator[dict[str, Any]]:
    said: dict[str, list[bool | None]] = {}
    for one in each:
        found = one.says(one.after)
        for place in (one.stretch.source, one.half, ALL):
            said.setdefault(place, []).extend(found)
    said |= {place: said.pop(place) for place in (*HALVES, ALL) if place in said}  # last
    most = 100 * check.LIVE.false_share
    lines = [[f"checks that trigger, %, {AGENT}", "checks", "not judged, %", f"q <= {check.LIVE.false_share:g}"]]
    for place, found in said.items():
        rate, unjudged = 100 * found.count(True) / max(1, len(found)), 100 * found.count(None) / max(1, len(found))
        is_goal = place in (HALVES[1], ALL)
        lines.append([place, str(len(found)), f"{unjudged:.1f}", f"{rate:.1f}"])
        yield row(
            f"{AGENT}: false triggers, {place}", rate, "% of the checks",
            detail=f"{len(found)} checks, {unjudged:.1f} % not judged",
            goal=f"<= {most:g} %" if is_goal else None, ok=rate <= most if is_goal else None,
        )  # fmt: skip
    results.wide(lines)


def delays(each: Sequence[Watched]) -> Iterator[dict[str, Any]]:
    """A drift is seen where a trigger comes that is not there, or comes earlier, without it."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for one in each:
        if one.stretch.source not in SHORT or one.number % EVERY_SHORT < len(HALVES):
            for drift, late, calm in put_in(one):
                found.setdefault((drift, one.half), []).append((late, calm))
    lines = [["seen, % (delay, checks)", *HALVES]]
    for drift, kind, _ in DRIFTS:
        cells = []
        for half in HALVES:
            late, calm = np.array(found.get((drift, half), np.empty((0, 2)))).reshape(-1, 2).T
            seen = np.isfinite(late) if kind == "none" else late < calm
            share = 100 * float(seen.mean()) if len(seen) else 0.0
            when = f" ({np.median(late[seen]):.1f})" if seen.any() else ""
            cells.append(f"{share:.0f}{when} of {len(seen)}")
            yield row(f"{AGENT}: {drift}, {half}", share, f"% of {len(seen)} cases", detail=f"delay{when}")
        lines.append([drift, *cells])
    results.wide(lines)


def put_in(one: Watched) -> Iterator[tuple[str, float, float]]:
    """Of each drift its name, and checks until a trigger with it and without it; infinite = there is none."""
    calm = first(one.says(one.after))
    for feature in range(min(MOST_FEATURES, len(one.stretch.features))):
        for drift, kind, size in DRIFTS:
            value = drifted(one.known, one.before, one.after, feature, kind, size)
            if value is not None:
                yield drift, first(one.says(Window(one.after.at, value))), calm


def first(said: Sequence[bool | None]) -> float:
    return said.index(True) + 1.0 if True in said else np.inf
