"""The shipped detector on SKAB, a test rig of pump and valves with eight sensors: ``make bench-skab``.

The published protocol: the first 400 rows of a file are training, the others are judged; F1, false alarm rate and
missed alarm rate over the rows of all files together. F1 alone says nothing here, since more than half of the rows are
anomalous: so events are counted too. Every file is a machine of its own that starts cold.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sensors.columns import SECOND_US, Bool, Float64, Int64
from tests.bench import judging, results
from tests.bench.results import row

FOLDER = results.DATA / "skab"
TRAINING = 400
SHIPPED = "Bellwether"
SEED = 1
WINDOW = 60
PUBLISHED = {
    "Conv-AE": (0.78, 13.6, 28.0),
    "MSET": (0.78, 39.7, 14.1),
    "T2+Q PCA": (0.76, 26.6, 24.9),
    "LSTM-AE": (0.74, 30.0, 25.9),
    "T2": (0.66, 19.2, 42.6),
    "IForest": (0.29, 2.6, 82.9),
}
"""F1, false alarms and missed alarms in percent: over all 34 files, of which 16 are at hand."""
HINDSIGHT = PUBLISHED["Conv-AE"][1]


@dataclass(frozen=True, slots=True)
class Rig:
    """One file of n rows. ``at``: microseconds; ``value``: (sensors, n); ``truth``: whether a row is anomalous."""

    name: str
    sensors: tuple[str, ...]
    at: Int64
    value: Float64
    truth: Bool


@dataclass(frozen=True, slots=True)
class Found:
    """Rows right and wrong, and events. ``late``: seconds from the onset of each event that was hit to its alarm."""

    hit: int
    false: int
    missed: int
    quiet: int
    events: int
    events_hit: int
    events_false: int
    late: tuple[float, ...]

    @property
    def f1(self) -> float:
        return 2 * self.hit / max(1, 2 * self.hit + self.false + self.missed)

    @property
    def false_rate(self) -> float:
        return 100 * self.false / max(1, self.false + self.quiet)

    @property
    def missed_rate(self) -> float:
        return 100 * self.missed / max(1, self.hit + self.missed)


Verdicts = Sequence[Bool]
"""Of each rig the rows that are called anomalous."""


def load(paths: Sequence[Path]) -> list[Rig]:
    return [read(path) for path in paths]


def read(path: Path) -> Rig:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file, delimiter=";"))
    sensors = tuple(name for name in rows[0] if name not in {"datetime", "anomaly", "changepoint"})
    at = np.array([one["datetime"] for one in rows], "datetime64[us]").astype(np.int64)
    value = np.array([[float(one[name]) for one in rows] for name in sensors])
    truth = np.array([float(one.get("anomaly") or 0) > 0 for one in rows])
    return Rig(path.name, sensors, at, value, truth)


# Who judges


def shipped(rigs: Sequence[Rig]) -> dict[str, list[Bool]]:
    """A row is anomalous where an event of any sensor covers it, or where the verdict on any of its readings is.

    Normal readings between two abnormal ones of an event are covered in retrospect.
    """
    series = [judging.Series(k + 1, rig.at, value) for k, rig in enumerate(rigs) for value in rig.value]
    judged = iter(judging.judge(series))
    covered, abnormal, scores = [], [], []
    for rig in rigs:
        mine = [next(judged) for _ in rig.sensors]
        spans = np.zeros(len(rig.at), np.bool_)
        for event in (event for one in mine for event in one.events):
            spans |= (rig.at >= event.started_at) & (rig.at <= event.last_at)
        covered.append(spans)
        abnormal.append(np.any([one.abnormal for one in mine], axis=0))
        scores.append(np.max([np.nan_to_num(one.score) for one in mine], axis=0))
    return {
        SHIPPED: covered,
        f"{SHIPPED}, single rows": abnormal,
        f"{SHIPPED}, threshold in hindsight": hindsight(rigs, scores),
    }


def hindsight(rigs: Sequence[Rig], scores: Sequence[Float64]) -> list[Bool]:
    """The rows at the threshold of the best F1 with no more false alarms than the best published detector: what is in
    the score, not what anybody would have been told."""
    score = np.concatenate([one[TRAINING:] for one in scores])
    truth = np.concatenate([rig.truth[TRAINING:] for rig in rigs])
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(truth[order])
    said = np.arange(1, len(score) + 1)
    f1 = 2 * hits / (said + truth.sum())
    f1[100 * (said - hits) > HINDSIGHT * (~truth).sum()] = 0.0
    f1[np.append(np.diff(score[order]) == 0, False)] = 0.0
    threshold = score[order][np.argmax(f1)] if f1.any() else np.inf
    return [np.asarray(one >= threshold, np.bool_) for one in scores]


def trivial(rigs: Sequence[Rig]) -> dict[str, list[Bool]]:
    dice = np.random.default_rng(SEED)
    return {
        "everything": [np.ones(len(rig.at), np.bool_) for rig in rigs],
        "nothing": [np.zeros(len(rig.at), np.bool_) for rig in rigs],
        "random, every second row": [dice.random(len(rig.at)) < 0.5 for rig in rigs],
        "3 sigma of the training rows": [beyond(rig, trained_sigmas) for rig in rigs],
        "3 sigma of the last minute": [beyond(rig, lambda v: judging.trailing_sigmas(v, WINDOW)) for rig in rigs],
        "persistence, 3 sigma": [beyond(rig, lambda v: judging.trailing_steps(v, WINDOW)) for rig in rigs],
    }


def beyond(rig: Rig, sigmas: Callable[[Float64], Float64]) -> Bool:
    """Rows in which any sensor is more than three sigmas away."""
    return np.asarray(np.any([sigmas(value) > 3.0 for value in rig.value], axis=0), np.bool_)


def trained_sigmas(value: Float64) -> Float64:
    known = value[:TRAINING]
    return np.asarray(np.abs(value - known.mean()) / max(float(known.std()), 1e-12))


# What is counted


def compare(rigs: Sequence[Rig], verdicts: Verdicts) -> Found:
    """Rows after the training, over all files. A run of such rows is one alarm.

    An event is hit where an alarm begins in it, and an alarm is false where it begins outside: one that is always on
    hits nothing.
    """
    counts, events, late = np.zeros(4, np.int64), np.zeros(3, np.int64), []
    for rig, verdict in zip(rigs, verdicts, strict=True):
        truth, said, at = rig.truth[TRAINING:], verdict[TRAINING:], rig.at[TRAINING:]
        counts += [(truth & said).sum(), (~truth & said).sum(), (truth & ~said).sum(), (~truth & ~said).sum()]
        wanted, onsets = stretches(truth), np.array([first for first, _ in stretches(said)], np.int64)
        hits = [onsets[(onsets >= first) & (onsets <= last)] for first, last in wanted]
        late += [
            (at[mine[0]] - at[first]) / SECOND_US for (first, _), mine in zip(wanted, hits, strict=True) if len(mine)
        ]
        events += [len(wanted), sum(len(mine) > 0 for mine in hits), (~truth[onsets]).sum()]
    hit, false, missed, calm = map(int, counts)
    there, seen, wrong = map(int, events)
    return Found(hit, false, missed, calm, there, seen, wrong, tuple(map(float, late)))


def stretches(rows: Bool) -> list[tuple[int, int]]:
    """First and last position of each run of true rows."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], rows.astype(np.int8), [0]])))
    return [(int(first), int(end) - 1) for first, end in zip(edges[::2], edges[1::2], strict=True)]


# Rows, which are kept, and the table, which is printed


def figures(name: str, found: Found) -> Iterator[dict[str, Any]]:
    best = max(f1 for f1, _, _ in PUBLISHED.values())
    yield row(f"{name}: F1 of rows", found.f1, "", baseline=best if name == SHIPPED else None)
    yield row(f"{name}: false alarm rate", found.false_rate, "% of the normal rows")
    yield row(f"{name}: missed alarm rate", found.missed_rate, "% of the anomalous rows")
    yield row(f"{name}: events hit", found.events_hit, f"of {found.events}", detail=delay(found))
    yield row(f"{name}: false alarms", found.events_false, "alarms")


def delay(found: Found) -> str:
    return f"after {np.median(found.late):.0f} s (median)" if found.late else ""


def overview(found: Mapping[str, Found], windows: str) -> Iterator[list[str]]:
    yield [
        "detector",
        "files",
        "F1",
        "false alarm rate, %",
        "missed alarm rate, %",
        "events hit",
        "false alarms",
        "median delay, s",
    ]
    for name, one in found.items():
        late = f"{np.median(one.late):.0f}" if one.late else ""
        yield [name, windows, f"{one.f1:.3f}", f"{one.false_rate:.1f}", f"{one.missed_rate:.1f}",
               f"{one.events_hit} of {one.events}", str(one.events_false), late]  # fmt: skip
    for name, (f1, false, missed) in PUBLISHED.items():
        yield [f"{name} (published)", "34", f"{f1:.2f}", f"{false:.1f}", f"{missed:.1f}", "", "", ""]


def quiet(rig: Rig) -> Iterator[dict[str, Any]]:
    """The file without an anomaly, all rows after the training."""
    for name, verdicts in list(shipped([rig]).items())[:2]:
        said = verdicts[0][TRAINING:]
        yield row(f"{name}: anomaly-free, rows", 100 * float(said.mean()), "% of the rows", detail=f"{len(said)} rows")
        yield row(f"{name}: anomaly-free, alarms", len(stretches(said)), "alarms")


def bench(rigs: Sequence[Rig]) -> list[dict[str, Any]]:
    found = {name: compare(rigs, verdicts) for name, verdicts in {**shipped(rigs), **trivial(rigs)}.items()}
    results.wide(overview(found, str(len(rigs))))
    rows = [one for name, mine in found.items() for one in figures(name, mine)]
    results.show([one for one in rows if one["name"].startswith(SHIPPED)])
    return rows


def main() -> int:
    if not FOLDER.exists():
        sys.stdout.write(f"Left out: SKAB is not at hand ({FOLDER}).\n")
        return 0
    rigs = load(sorted(FOLDER.glob("valve*/*.csv")))
    sys.stdout.write(f"SKAB: {len(rigs)} files; {SHIPPED} = {judging.VERSIONS}\n\n")
    rows = bench(rigs)
    calm = list(quiet(read(FOLDER / "anomaly-free" / "anomaly-free.csv")))
    results.show(calm)
    results.keep("skab", [*rows, *calm])
    return 0


if __name__ == "__main__":
    sys.exit(main())
