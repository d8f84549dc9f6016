"""The scoring of the Numenta Anomaly Benchmark 1.1, from its rules: ``python -m tests.bench.nab_scoring FOLDER``.

Rules (Lavin and Ahmad 2015, "Evaluating real-time anomaly detection algorithms"; NAB 1.1):

- A row is a detection where its score reaches the threshold: one threshold for all series.
- Rows of the probation, the first 15 % of a series and at most 750, do not count.
- s(y) = 2 / (1 + exp(5 y)) - 1, and -1 beyond y = 3.
- In a window only the best-placed detection counts: hit x s(y) / s(-1), y = -(right - i + 1) / width, which is -1 at
  the left edge and next to 0 at the right one. A window without a detection costs ``miss``.
- Each detection outside costs false x |s(y)|, y = (i - right) / (width - 1) by the last window before it; |s| = 1
  where there is none before.
- Normalised = 100 (raw - null) / (perfect - null): null finds nothing, perfect every window at its left edge.
- The threshold is the one with the highest raw score over all series together, each profile its own.

Where instants repeat, a window begins and ends at the first row that has its instant. numpy only, nothing of ours:
the file can be copied.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Float64 = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Int64 = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Bool = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

PROBATION, MOST_PROBATION = 0.15, 750


@dataclass(frozen=True, slots=True)
class Profile:
    """What a hit at the left edge earns, a false detection far from any window costs, and a missed window costs."""

    name: str
    hit: float
    false: float
    miss: float


PROFILES = (
    Profile("standard", 1.0, 0.11, 1.0),
    Profile("reward_low_FP_rate", 1.0, 0.22, 1.0),
    Profile("reward_low_FN_rate", 1.0, 0.11, 2.0),
)


@dataclass(frozen=True, slots=True)
class Series:
    """One file. ``at``: datetime64, length n; ``windows``: first and last row of each labelled window, in order."""

    name: str
    at: np.ndarray[tuple[int], np.dtype[np.datetime64]]
    value: Float64
    windows: tuple[tuple[int, int], ...]

    @property
    def probation(self) -> int:
        return min(int(PROBATION * len(self.value)), MOST_PROBATION)

    @property
    def group(self) -> str:
        return self.name.split("/")[0]


Corpus = Mapping[str, Series]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a profile says of detections. ``score``: normalised, NaN where there is no window at all; ``raw``: not.

    ``hits`` and ``missed``: windows; ``false``: detections outside windows.
    """

    score: float
    raw: float
    threshold: float
    hits: int
    missed: int
    false: int


def load(folder: Path) -> dict[str, Series]:
    """The series below ``folder/data`` that ``folder/labels/combined_windows.json`` knows, by group/file.csv."""
    labels = json.loads((folder / "labels" / "combined_windows.json").read_text())
    return {name: read(folder / "data" / name, name, labels[name]) for name in sorted(labels)}


def read(path: Path, name: str, windows: Iterable[tuple[str, str]]) -> Series:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    at = np.array([row["timestamp"] for row in rows], "datetime64[us]")
    value = np.array([float(row["value"]) for row in rows])
    return Series(name, at, value, tuple((first(at, left), first(at, right)) for left, right in windows))


def first(at: np.ndarray[tuple[int], np.dtype[np.datetime64]], instant: str) -> int:
    found = np.flatnonzero(at == np.datetime64(instant))
    if not len(found):
        raise ValueError(f"No row of the series has the instant {instant} of its window.")
    return int(found[0])


def scores_of(folder: Path, corpus: Corpus) -> dict[str, Float64]:
    """Kept scores, one a line under a header or none: ``folder/group/file.csv.scores.gz``."""
    return {name: column(folder / f"{name}.scores.gz", len(series.value)) for name, series in corpus.items()}


def column(path: Path, rows: int) -> Float64:
    with gzip.open(path, "rt") as file:
        lines = file.read().split()
    return np.array([float(line) for line in lines[len(lines) - rows :]])


# The rules, row by row of a series


def sigmoid(y: Float64) -> Float64:
    return np.asarray(np.where(y > 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(y, 3.0))) - 1.0))


def places(series: Series) -> tuple[Float64, Int64]:
    """Of each row: s(y), scaled to 1 at a window's left edge where it is in one; and its window, -1 = none."""
    n = len(series.value)
    worth, window = np.full(n, -1.0), np.full(n, -1, np.int64)
    for k, (left, right) in enumerate(series.windows):
        width = right - left + 1
        inside, after = np.arange(left, right + 1), np.arange(right + 1, n)
        window[inside] = k
        worth[inside] = sigmoid(-(right - inside + 1) / width) / sigmoid(np.array(-1.0))
        worth[after] = sigmoid((after - right) / max(width - 1, 1))
    return worth, window


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that count, of all series together. ``window``: numbered over all, -1 = outside."""

    score: Float64
    worth: Float64
    window: Int64
    windows: int


def gather(corpus: Corpus, scores: Mapping[str, Float64]) -> Rows:
    parts: list[tuple[Float64, Float64, Int64]] = []
    windows = 0
    for name, series in corpus.items():
        if len(scores[name]) != len(series.value):
            raise ValueError(f"{name} has {len(series.value)} rows and {len(scores[name])} scores.")
        worth, window = places(series)
        counted = slice(series.probation, None)
        score = np.asarray(scores[name], np.float64)[counted]
        parts.append((np.where(np.isnan(score), -np.inf, score), worth[counted],
                      np.where(window < 0, -1, window + windows)[counted]))  # fmt: skip
        windows += len(series.windows)
    score, worth, window = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Rows(score, worth, window, windows)


def best_threshold(rows: Rows, profile: Profile) -> float:
    """The threshold of the highest raw score; of equals the highest. One sort, then the gain of each row in turn."""
    order = np.argsort(-rows.score, kind="stable")
    score, worth, window = rows.score[order], rows.worth[order], rows.window[order]
    gain = np.where(window < 0, profile.false * worth, 0.0)
    for k in range(rows.windows):
        mine = np.flatnonzero(window == k)
        best = np.maximum.accumulate(np.append(-profile.miss, profile.hit * worth[mine]))
        gain[mine] = np.diff(best)
    raw = np.append(0.0, np.cumsum(gain))
    ends = np.flatnonzero(np.append(score[1:] != score[:-1], True) & np.isfinite(score)) + 1
    top = score[0] if len(score) and np.isfinite(score[0]) else 0.0
    candidates = np.append(np.nextafter(top, np.inf), score[ends - 1])
    return float(candidates[np.argmax(raw[np.append(0, ends)])])


def outcome(rows: Rows, profile: Profile, threshold: float) -> Outcome:
    found = rows.score >= threshold
    outside = rows.window < 0
    best = np.full(rows.windows, -np.inf)
    inside = found & ~outside
    np.maximum.at(best, rows.window[inside], rows.worth[inside])
    hits = int(np.isfinite(best).sum())
    missed = rows.windows - hits
    raw = profile.hit * float(best[np.isfinite(best)].sum()) - profile.miss * missed
    raw += profile.false * float(rows.worth[found & outside].sum())
    return Outcome(normalised(raw, rows.windows, profile), raw, threshold, hits, missed, int((found & outside).sum()))


def normalised(raw: float, windows: int, profile: Profile) -> float:
    null, perfect = -profile.miss * windows, profile.hit * windows
    return 100.0 * (raw - null) / (perfect - null) if windows else float("nan")


# What others call


def score(corpus: Corpus, scores: Mapping[str, Float64]) -> dict[str, Outcome]:
    """By profile, each with its best threshold. ``scores``: one array per series, as long as it, NaN = not judged."""
    rows = gather(corpus, scores)
    return {p.name: outcome(rows, p, best_threshold(rows, p)) for p in PROFILES}


def score_at(corpus: Corpus, scores: Mapping[str, Float64], thresholds: Mapping[str, float]) -> dict[str, Outcome]:
    """By profile, at thresholds that were found elsewhere."""
    rows = gather(corpus, scores)
    return {p.name: outcome(rows, p, thresholds[p.name]) for p in PROFILES}


def by_series(
    corpus: Corpus, scores: Mapping[str, Float64], thresholds: Mapping[str, float]
) -> dict[str, dict[str, Outcome]]:
    """By series and profile; the raw scores of a profile add up to that of the whole."""
    return {name: score_at({name: series}, scores, thresholds) for name, series in corpus.items()}


def take(corpus: Corpus, wanted: Callable[[Series], bool]) -> dict[str, Series]:
    return {name: series for name, series in corpus.items() if wanted(series)}


def main() -> int:
    """The published detectors of the folder, and more folders of kept scores."""
    if len(sys.argv) < 2:
        sys.stderr.write("usage: nab_scoring FOLDER [FOLDER OF SCORES ...]\n")
        return 2
    folder, more = Path(sys.argv[1]), map(Path, sys.argv[2:])
    corpus = load(folder)
    for where in (*sorted((folder / "published").iterdir()), *more):
        found = score(corpus, scores_of(where, corpus))
        figures = "".join(f"{found[p.name].score:9.2f} at {found[p.name].threshold:<12.6g}" for p in PROFILES)
        sys.stdout.write(f"{where.name:20}{figures}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
