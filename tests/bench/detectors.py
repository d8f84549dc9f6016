"""What the adaptive detector finds and what it costs in false alarms, with its defaults: ``make bench-detectors``.

Counts of events, no benchmark's score: an event that overlaps a labelled window is a hit, one that overlaps none is
false. Rows of the probation (NAB: 15 % of a file, at most 750 rows) do not count. Where a real data set is not at hand
its rows are left out, and said to be.
"""

from __future__ import annotations

import csv
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from agents import water_flow as flow
from agents.judge_file import unconfigured
from mlops import state as states
from mlops.detectors import contract, events
from mlops.detectors.adaptive import Adaptive
from sensors import columns
from sensors.columns import Columns, Float64, Int64
from sensors.connectors import csv as files
from tests.bench import results, rivals
from tests.bench.results import row

HOUR_US = 3600 * columns.SECOND_US
WEEK_US = 168 * HOUR_US
BUDGETS = (0.001, 0.01, 0.1, 1.0)
SENSORS, WEEKS = 300, 52
REAL_BUDGETS = (0.05, 0.5)
ENOUGH = 4
"""Events that must have been asked for before their number says anything."""
SEED = 3


def judge(at: Int64, value: Float64, detector: Adaptive | None = None) -> tuple[events.Event, ...]:
    """Events in series that share their instants. ``at``: length n; ``value``: (sensors, n)."""
    detector = detector or Adaptive()
    sensors, n = value.shape
    ids = np.arange(1, sensors + 1)
    readings = Columns(np.repeat(ids, n), np.tile(at, sensors), value.ravel(), np.zeros(sensors * n, np.int32))
    learned = states.cold(ids, detector.fields)
    block = contract.block(readings, learned)
    scores, _ = detector.judge(block, unconfigured(sensors), learned, np.zeros(len(readings), np.bool_))
    return events.form(block, scores, states.cold(ids, events.FIELDS))[0]


def series(path: Path, *, column: str, time_column: str, delimiter: str = ",") -> tuple[Int64, Float64]:
    """Instants and values of a file, in order and each instant once."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [
            (files.parse_instant(r[time_column], zone=UTC), r[column])
            for r in csv.DictReader(file, delimiter=delimiter)
        ]
    at = np.array([columns.from_instant(instant) for instant, _ in rows if instant is not None], np.int64)
    value = np.array([float(text) for instant, text in rows if instant is not None])
    at, first = np.unique(at, return_index=True)
    return at, value[first]


def overlaps(event: events.Event, window: tuple[int, int]) -> bool:
    return event.started_at <= window[1] and event.last_at >= window[0]


def judged(at: Int64, value: Float64, detector: Adaptive, *, after: int) -> list[events.Event]:
    return [event for event in judge(at, value[None, :], detector) if event.started_at > after]


def outside(found: Iterable[events.Event], windows: Sequence[tuple[int, int]]) -> int:
    return sum(not any(overlaps(event, window) for window in windows) for event in found)


def nab() -> Iterator[dict[str, Any]]:
    """Hits and false events on the NAB series at hand."""
    folder = results.DATA / "nab"
    if not folder.exists():
        yield left_out("NAB")
        return
    labels: Mapping[str, list[list[str]]] = json.loads((folder / "labels" / "combined_windows.json").read_text())
    hits = windows = false = rows = paths = 0
    by_budget = dict.fromkeys(REAL_BUDGETS, 0)
    weeks = 0.0
    for path in sorted(folder.glob("data/*/*.csv")):
        at, value = series(path, column="value", time_column="timestamp")
        counts_from = at[min(int(0.15 * len(at)), 750) - 1]
        wanted = [(instant(first), instant(last)) for first, last in labels.get(f"{path.parent.name}/{path.name}", [])]
        found = judged(at, value, Adaptive(), after=counts_from)
        hits += sum(any(overlaps(event, window) for event in found) for window in wanted)
        false += outside(found, wanted)
        for budget in REAL_BUDGETS:
            detector = Adaptive(false_alarms_per_week=budget)
            by_budget[budget] += outside(judged(at, value, detector, after=counts_from), wanted)
        windows, rows, paths = windows + len(wanted), rows + len(at), paths + 1
        weeks += (int(at[-1]) - int(counts_from)) / WEEK_US
    yield row("NAB: windows hit", hits, f"of {windows}", detail=f"{paths} series")
    yield row("NAB: false events", false, "events", detail=f"one in {rows / max(1, false):.0f} rows")
    for budget, count in by_budget.items():
        yield false_rate("NAB", count, weeks, budget)


def instant(text: str) -> int:
    return columns.from_instant(datetime.fromisoformat(text).replace(tzinfo=UTC))


def skab() -> Iterator[dict[str, Any]]:
    """False events on SKAB's file without an anomaly."""
    path = results.DATA / "skab" / "anomaly-free" / "anomaly-free.csv"
    if not path.exists():
        yield left_out("SKAB")
        return
    with path.open(encoding="utf-8-sig") as file:
        names = file.readline().strip().split(";")[1:]
    false, weeks, rows = 0, 0.0, 0
    for name in names:
        at, value = series(path, column=name, time_column="datetime", delimiter=";")
        false += len(judge(at, value[None, :]))
        weeks, rows = weeks + (int(at[-1]) - int(at[0])) / WEEK_US, rows + len(at)
    yield row("SKAB without anomalies: false events", false, "events", detail=f"{len(names)} sensors, {rows} rows")
    yield false_rate("SKAB", false, weeks, Adaptive().false_alarms_per_week)


def false_rate(name: str, events: int, weeks: float, asked: float) -> dict[str, Any]:
    rate = events / weeks
    ok = asked / 2 <= rate <= asked * 2 if asked * weeks >= ENOUGH else None
    detail = f"{events} events in {weeks:.2f} sensor-weeks" + ("" if ok is not None else ": too few weeks to tell")
    return row(
        f"{name}: false events asked for and observed", rate, "a sensor and week", goal=f"{asked / 2} to {asked * 2}",
        ok=ok, baseline=asked, detail=detail,
    )  # fmt: skip


def left_out(name: str) -> dict[str, Any]:
    return row(f"{name}: left out", 0, "series", detail="the data is not at hand")


def water_flow() -> Iterator[dict[str, Any]]:
    """The series of the demonstration. One constant of the detector was chosen with it at hand: no held-out result."""
    zone = ZoneInfo("Europe/Rome")
    path = flow.path()
    layout = files.inspect(path, zone=zone)
    at, value = series(path, column=layout.value_columns[0], time_column=layout.time_column)
    found = judge(at, value[None, :])
    stretches = [(columns.from_instant(s.start), columns.from_instant(s.end)) for s in flow.DOCUMENTED]
    near = [(start - 12 * HOUR_US, end + 12 * HOUR_US) for start, end in stretches]
    hits = [[event for event in found if overlaps(event, stretch)] for stretch in stretches]
    yield row("water flow: stretches hit", sum(map(bool, hits)), "of 4", goal=4, ok=all(hits))
    false = sum(not any(overlaps(event, stretch) for stretch in near) for event in found)
    yield row("water flow: false events", false, "events", goal="<= 2", ok=false <= 2)


def synthetic() -> Iterator[dict[str, Any]]:
    """Asked and observed false alarms on clean made series, hourly."""
    dice = np.random.default_rng(SEED)
    n = 168 * WEEKS
    noise = dice.normal(size=(SENSORS, n))
    smooth = np.zeros_like(noise)
    for i in range(1, n):
        smooth[:, i] = 0.9 * smooth[:, i - 1] + noise[:, i]
    kinds = {
        "white noise": dice.normal(size=(SENSORS, n)),
        "Laplace noise": dice.laplace(size=(SENSORS, n)),
        "autocorrelated with a day": smooth + 5 * np.sin(2 * np.pi * np.arange(n) / 24),
    }
    at = np.arange(n) * HOUR_US
    for name, value in kinds.items():
        for budget in BUDGETS:
            found = judge(at, value, Adaptive(false_alarms_per_week=budget))
            yield false_rate(name, len(found), SENSORS * WEEKS, budget)


def modes() -> Iterator[dict[str, Any]]:
    """Machines that are off (0), idle (30) or under load (80, noise 1), 4 to 30 hours each, and then go wrong in one
    mode, well within the range that they have in all."""
    dice = np.random.default_rng(SEED)
    n, change, sensors = 3_000, 2_000, 40
    mode = np.zeros((sensors, n))
    for one in mode:
        i = 0
        while i < n:
            lasts = int(dice.integers(4, 30))
            one[i : i + lasts] = dice.choice([0.0, 30.0, 80.0])
            i += lasts
    normal = mode + dice.normal(size=mode.shape) * np.where(mode == 0, 0.1, 1.0)
    at = np.arange(n) * HOUR_US
    before = judge(at[:change], normal[:, :change])
    yield false_rate("three modes", len(before), sensors * change / 168, Adaptive().false_alarms_per_week)
    for name, which, by in (("8 more under load", 80.0, 8.0), ("15 more when idle", 30.0, 15.0)):
        value = normal.copy()
        value[:, change:] += np.where(mode[:, change:] == which, by, 0.0)
        yield found_in_a_week(f"three modes, {name}", judge(at, value), int(at[change]), sensors)


def found_in_a_week(name: str, found: Iterable[events.Event], change: int, sensors: int) -> dict[str, Any]:
    """How many sensors have an event in the week after a change, and how fast it came."""
    first: dict[int, int] = {}
    for event in found:
        if 0 <= event.started_at - change < WEEK_US:
            first.setdefault(event.sensor, (event.started_at - change) // HOUR_US)
    detail = f"median delay {np.median(list(first.values())):.0f} hours" if first else ""
    return row(f"{name}: sensors found in a week", len(first), f"of {sensors}", detail=detail)


def swings() -> Iterator[dict[str, Any]]:
    """Sensors that swing by less or by more from some reading on, hourly: how many are found in a week, how fast."""
    n, change = 2_000, 1_500
    noise = np.random.default_rng(SEED).normal(size=(40, n))
    at = np.arange(n) * HOUR_US
    for factor in (0.2, 0.5, 2.0, 3.0):
        value = noise.copy()
        value[:, change:] *= factor
        yield found_in_a_week(f"noise times {factor}", judge(at, value), int(at[change]), 40)


def speed() -> Iterator[dict[str, Any]]:
    """Readings a second of the detector alone, in this process."""
    dice = np.random.default_rng(SEED)
    for sensors, readings in ((1000, 100), (100, 1000), (1, 10_000)):
        value = dice.normal(size=(sensors, readings))
        began = time.perf_counter()
        judge(np.arange(readings) * 60 * columns.SECOND_US, value)
        rate = sensors * readings / (time.perf_counter() - began)
        yield row(f"speed: {sensors} sensors x {readings} in a block", rate, "readings/s", goal=500_000,
                  ok=rate >= 500_000)  # fmt: skip


def libraries() -> Iterator[dict[str, Any]]:
    """Readings a second beside what a user would take from a library, on the same readings in the same process."""
    value = np.random.default_rng(SEED).normal(size=(10, 2_000))
    at = np.arange(value.shape[1]) * 60 * columns.SECOND_US
    judge(at, value)
    began = time.perf_counter()
    judge(at, value)
    ours = value.size / (time.perf_counter() - began)
    for name, rival in rivals.RIVALS.items():
        theirs = rivals.rate(rival, value, past=300)
        yield row(f"speed beside {name}", ours, "readings/s", baseline=theirs)


def main() -> int:
    found: list[dict[str, Any]] = []
    for part in (water_flow, nab, skab, synthetic, swings, modes, speed, libraries):
        rows = list(part())
        results.show(rows)
        found += rows
    results.keep("detectors", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
