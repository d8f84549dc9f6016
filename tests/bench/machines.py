"""What the detector of a machine's sensors finds beside ``bench-skab``, and what it costs: ``make bench-machines``.

With its defaults, but for the false alarms asked for. Where a real data set is not at hand its rows are left out.
"""

from __future__ import annotations

import ast
import csv
import gzip
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mlops import state as states
from mlops.detectors import contract
from mlops.detectors.adaptive import Adaptive
from mlops.detectors.contract import Detector
from mlops.detectors.relation import Relation
from mlops.detectors.residuals import WARM_UP
from sensors.columns import SECOND_US, Bool, Columns, Float64
from tests.bench import judging, results, skab
from tests.bench.results import row

WEEK = 604_800
BUDGETS = (0.1, 1.0, 10.0)
MACHINES, SENSORS, ROWS, PERIOD = 120, 5, 2000, 60
SEED = 3
TEP_PERIOD, TEP_CALM = 180, 500
SMAP_PERIOD, SMAP_SENSORS = 60, 25


def abnormal(value: Float64, *, period: int, detector: Detector | None = None) -> Bool:
    """Rows in which a machine is abnormal. ``value``: (machines, sensors, n), NaN = none; ``period``: seconds."""
    machines, sensors, n = value.shape
    at = np.arange(1, n + 1) * period * SECOND_US
    there = ~np.isnan(value)
    series = [
        judging.Series(m, at[there[m, k]], value[m, k, there[m, k]]) for m in range(machines) for k in range(sensors)
    ]
    judged = judging.judge(series, using={"relation": detector or Relation()})
    found = np.zeros((machines, n), np.bool_)
    for place, one in enumerate(judged):
        m, k = divmod(place, sensors)
        found[m, there[m, k]] |= one.abnormal
        for event in one.events:
            found[m] |= (at >= event.started_at) & (at <= event.last_at)
    return found


def noise() -> Iterator[dict[str, Any]]:
    """Asked and observed false alarms on clean made machines."""
    dice = np.random.default_rng(SEED)
    shape = (MACHINES, SENSORS, ROWS)
    shared = dice.normal(size=(MACHINES, 1, ROWS))
    kinds = {
        "white noise": dice.normal(size=shape),
        "white noise, half of it shared": shared + dice.normal(size=shape),
        "heavy tails (t, 4 degrees of freedom)": dice.standard_t(4, size=shape),
        "autocorrelated (0.9)": smooth(dice.normal(size=shape), 0.9),
        "random walks": np.cumsum(dice.normal(size=shape), axis=2),
    }
    weeks = MACHINES * (ROWS - WARM_UP) * PERIOD / WEEK
    for name, value in kinds.items():
        for asked in BUDGETS:
            found = abnormal(value, period=PERIOD, detector=Relation(false_alarms_per_week=asked))
            rate = sum(len(skab.stretches(one)) for one in found) / weeks
            yield row(f"{name}: false alarms", rate, "a machine and week", goal=f"{asked / 2:g} to {asked * 2:g}",
                      ok=asked / 2 <= rate <= asked * 2, baseline=asked)  # fmt: skip


def smooth(value: Float64, share: float) -> Float64:
    out = np.zeros_like(value)
    for i in range(1, value.shape[2]):
        out[:, :, i] = share * out[:, :, i - 1] + value[:, :, i]
    return out


def tennessee() -> Iterator[dict[str, Any]]:
    """Tennessee Eastman: 500 rows of normal operation, then a fault. 52 variables in the order of the file."""
    folder = results.DATA / "tep"
    if not folder.exists():
        yield row("TEP: left out", 0, "faults", detail="the data is not at hand")
        return
    calm = table(folder / "d00.dat.gz")[:, :TEP_CALM]
    faults = [np.hstack([calm, table(folder / f"d{k:02d}.dat.gz")]) for k in range(1, 11)]
    found = abnormal(np.stack(faults), period=TEP_PERIOD)
    yield row("TEP: false alarms before the faults", len(skab.stretches(found[0, WARM_UP:TEP_CALM])), "alarms",
              detail=f"{TEP_CALM - WARM_UP} rows")  # fmt: skip
    for k, one in enumerate(found, start=1):
        after = one[TEP_CALM:]
        onset = f"after {int(after.argmax())} rows" if after.any() else "not found"
        yield row(f"TEP, fault {k}: abnormal", 100 * float(after.mean()), "% of its rows", detail=onset)


def table(path: Any) -> Float64:
    """(variables, rows) of a file that may lie on its side."""
    with gzip.open(path) as file:
        value = np.loadtxt(file)
    return value if value.shape[0] == 52 else value.T


def spacecraft() -> Iterator[dict[str, Any]]:
    """SMAP and MSL: a channel with the commands that were sent, trained on one stretch and judged on another."""
    folder = results.DATA / "smap_msl"
    if not folder.exists():
        yield row("SMAP and MSL: left out", 0, "channels", detail="the data is not at hand")
        return
    with (folder / "labeled_anomalies.csv").open(newline="") as file:
        labels: Mapping[str, Any] = {
            one["chan_id"]: ast.literal_eval(one["anomaly_sequences"]) for one in csv.DictReader(file)
        }
    hits = windows = false = calm = 0
    for path in sorted(folder.glob("*.npz")):
        stored = np.load(path)
        value = np.concatenate([stored["train"], stored["test"]])[:, :SMAP_SENSORS].T
        trained, n = len(stored["train"]), len(stored["test"])
        said = abnormal(value[None].astype(np.float64), period=SMAP_PERIOD)[0, trained:]
        truth = np.zeros(n, np.bool_)
        for first, last in labels.get(path.stem, []):
            truth[first : last + 1] = True
        onsets = np.array([first for first, _ in skab.stretches(said)], np.int64)
        spans = skab.stretches(truth)
        hits += sum(bool(((onsets >= first) & (onsets <= last)).any()) for first, last in spans)
        windows, false, calm = windows + len(spans), false + int((~truth[onsets]).sum()), calm + int((~truth).sum())
    yield row("SMAP and MSL: windows in which an alarm begins", hits, f"of {windows}")
    yield row("SMAP and MSL: false alarms", false * WEEK / (calm * SMAP_PERIOD), "a channel and week", baseline=1.0)


def speed() -> Iterator[dict[str, Any]]:
    """Readings a second of each detector alone, on the same readings in this process; all it does is repeated."""
    dice = np.random.default_rng(SEED)
    for machines, sensors, rows in ((100, 10, 100), (100, 10, 1), (1000, 10, 10), (1, 10, 10_000)):
        value = dice.normal(size=(machines * sensors, rows * 4 if rows < 10_000 else rows))
        for detector in (Adaptive(), Relation()):
            rate = fastest(detector, value, machines=machines, rows=rows)
            wanted = detector.by_machine and (machines, rows) == (100, 100)
            yield row(
                f"{detector.name}: {machines} machines x {sensors} sensors, {rows} rows a block", rate, "readings/s",
                goal=300_000 if wanted else None, ok=rate >= 300_000 if wanted else None,
            )  # fmt: skip


def fastest(detector: Detector, value: Float64, *, machines: int, rows: int, times: int = 3) -> float:
    """The best of some: other things run on the machine."""
    sensors, n = value.shape
    ids = np.arange(1, sensors + 1)
    whole = judging.table(np.repeat(np.arange(machines), sensors // machines).tolist())
    best = 0.0
    for _ in range(times):
        learned, spent = states.cold(ids, detector.fields), 0.0
        for first in range(0, n, rows):
            at = np.arange(first + 1, first + rows + 1) * SECOND_US
            part = value[:, first : first + rows]
            readings = Columns(np.repeat(ids, rows), np.tile(at, sensors), part.ravel(), np.zeros(part.size, np.int32))
            began = time.perf_counter()
            block = contract.block(readings, learned)
            _, learned = detector.judge(block, whole, learned, np.zeros(len(readings), np.bool_))
            spent += time.perf_counter() - began
        best = max(best, value.size / spent)
    return best


def main(arguments: Sequence[str] = ()) -> int:
    found: list[dict[str, Any]] = []
    for part in (noise, tennessee, spacecraft, speed):
        rows = list(part()) if not arguments or part.__name__ in arguments else []
        results.show(rows)
        found += rows
    results.keep("machines", found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
