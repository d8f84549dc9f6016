"""How soon a drift that is put into real series is seen, beside Kolmogorov-Smirnov, ADWIN and Page-Hinkley.

It begins with the first window that is checked and stays. Sizes are in deviations of the feature over the reference.
The streams' detectors are given the readings of each feature, those of the reference first; the first signal after the
onset in any of them counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mlops.drift import check, reference, seasons, streams, windows
from mlops.drift.reference import Reference
from mlops.drift.windows import Window
from sensors.columns import Float64
from tests.bench import drift_rivals, results
from tests.bench.drifting_data import Case
from tests.bench.results import row

OURS, RIVALS = "Bellwether", ("KS, p < 0.05", "KS of effective size, BH")
NAMES = (OURS, *RIVALS, *streams.DETECTORS)
SHORT = ("hydsys", "smap")
MOST_FEATURES, EVERY_SHORT = 3, 12
"""A drift is put into so many features of a stretch, one after the other; of the many short stretches of two sets each
twelfth is taken."""
DRIFTS = (
    ("no drift", "none", 0.0),
    ("shift by 0.5 deviations", "shift", 0.5),
    ("shift by 1 deviation", "shift", 1.0),
    ("shift by 2 deviations", "shift", 2.0),
    ("ramp to 1 deviation", "ramp", 1.0),
    ("ramp to 2 deviations", "ramp", 2.0),
    ("spread x 1.5", "spread", 1.5),
    ("spread x 2", "spread", 2.0),
    ("spread x 3", "spread", 3.0),
    ("season x 1.5", "season", 1.5),
    ("season x 2", "season", 2.0),
    ("season x 3", "season", 3.0),
    ("relation to the others lost", "relation", 1.0),
)

Delays = dict[tuple[str, str, str], list[float]]
"""By source, drift and judge, of each case: windows from the drift to the trigger, infinite = not in the stretch."""


def bench(given: Sequence[Case]) -> list[dict[str, Any]]:
    short = [case for case in given if case.stretch.source in SHORT]
    delays: Delays = {}
    for case in [case for case in given if case.stretch.source not in SHORT] + short[::EVERY_SHORT]:
        put_in(case, delays)
    sources = list(dict.fromkeys(source for source, _, _ in delays))
    rows = list(table("all", sources, delays))
    for source in sources:
        rows += table(source, [source], delays)
    return rows


def table(title: str, sources: Sequence[str], delays: Delays) -> Iterator[dict[str, Any]]:
    """A trigger that is there without the drift as well is no credit to whoever gave it: so a drift is seen where one
    comes that is not there, or comes earlier, without it."""
    lines = [[f"{title}: seen, % (delay, windows)", "cases", *NAMES]]
    for drift, kind, _ in DRIFTS:
        there = [source for source in sources if (source, drift, OURS) in delays]
        cells = []
        for name in NAMES if there else ():
            mine = np.concatenate([delays[source, drift, name] for source in there])
            calm = np.concatenate([delays[source, f"without: {drift}", name] for source in there])
            seen = np.isfinite(mine) if kind == "none" else mine < calm
            late = f"{np.median(mine[seen]):.1f}" if seen.any() else ""
            cells.append(f"{100 * seen.mean():.0f}" + (f" ({late})" if late else ""))
            detail = f"after {late} windows (median)" if late else ""
            yield row(f"{name}: {drift}, {title}", 100 * float(seen.mean()), f"% of {len(mine)} cases", detail=detail)
        if there:
            lines.append([drift, str(len(mine)), *cells])
    results.wide(lines)


def put_in(case: Case, delays: Delays) -> None:
    known = reference.freeze(case.given, features=case.stretch.features)
    before, calm = windows.together(case.given), windows.together(case.later)
    quiet = {by: [signal(before, calm, k, by) for k in range(before.value.shape[1])] for by in streams.DETECTORS}
    without = of_windows(case, known, calm) | {by: min(first) / case.rows for by, first in quiet.items()}
    for feature in range(min(MOST_FEATURES, len(case.stretch.features))):
        for drift, kind, size in DRIFTS:
            value = drifted(known, before, calm, feature, kind, size)
            if value is None:
                continue
            whole = Window(calm.at, value)
            found = of_windows(case, known, whole)
            for by, others in quiet.items():
                first = min(others[:feature] + others[feature + 1 :] + [signal(before, whole, feature, by)])
                found[by] = first / case.rows
            for name in NAMES:
                delays.setdefault((case.stretch.source, drift, name), []).append(found[name])
                delays.setdefault((case.stretch.source, f"without: {drift}", name), []).append(without[name])


def of_windows(case: Case, known: Reference, whole: Window) -> dict[str, float]:
    later = windows.cut(whole.at, whole.value, rows=case.rows)
    says = {OURS: [check.check(known, one).drifted for one in later]}
    says |= {name: drift_rivals.JUDGES[name](case.given, later).tolist() for name in RIVALS}
    return {name: mine.index(True) + 1.0 if True in mine else np.inf for name, mine in says.items()}


def signal(before: Window, after: Window, feature: int, by: str) -> float:
    """Readings from the onset to the first signal after it."""
    calm = before.value[:, feature]
    stream = np.concatenate([calm, after.value[:, feature]])
    found = streams.changes(stream, by=by, usual=float(calm.mean()), spread=float(calm.std()))
    return next((float(position - len(calm) + 1) for position in found if position >= len(calm)), np.inf)


def drifted(known: Reference, before: Window, calm: Window, feature: int, kind: str, size: float) -> Float64 | None:
    """(n, features) with a drift in one. None where there is no such thing: no season, or no relation that is known."""
    value, mine, usual = calm.value.copy(), calm.value[:, feature], before.value[:, feature]
    center, deviation = usual.mean(), usual.std()
    season = known.center[:, feature]
    if (kind == "season" and np.ptp(season) < 1e-9 * deviation) or (
        kind == "relation" and feature not in known.related
    ):
        return None
    value[:, feature] = {
        "none": lambda: mine,
        "shift": lambda: mine + size * deviation,
        "ramp": lambda: mine + size * deviation * np.linspace(0, 1, len(mine)),
        "spread": lambda: center + size * (mine - center),
        "season": lambda: mine + (size - 1) * (season - season.mean())[seasons.hours(calm.at)],
        "relation": lambda: np.roll(mine, len(mine) // 2),
    }[kind]()
    return value
