"""Bearings that were run until they failed: what was measured, and the questions asked of it. Pure.

``femto``: a file ``Learning_set__BEARING.csv`` for each bearing that failed, ``Test_set__BEARING.csv`` for each that
was stopped before. ``ims``: a file for each test of a shaft with its bearings, until one failed: instants, and the mean
absolute vibration of each sensor.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from mlops.learning.contract import Feature, NotAtHand
from mlops.learning.examples import Examples, Track
from sensors.columns import SECOND_US, Bool, Float64, Int64, from_instant

AXES = ("h", "v")
"""Horizontal, the direction of the load, and vertical."""
OF_AN_AXIS = (
    ("rms", "g"), ("absmax", "g"), ("kurtosis", ""), ("crest", ""),
    ("e_0_1k", ""), ("e_1_3k", ""), ("e_3_6k", ""), ("e_6_12k8", ""),
)  # fmt: skip
"""Root mean square, largest absolute value, kurtosis, crest factor, and shares of the energy by band of frequency."""
FEMTO_VIBRATION = tuple(Feature(f"{axis}_{name}", unit, "VIBRATION") for name, unit in OF_AN_AXIS for axis in AXES)
FEMTO = (Feature("elapsed_s", "s"), *FEMTO_VIBRATION)
FEMTO_PERIOD_US = 10 * SECOND_US
FEMTO_SOURCE = (
    "FEMTO-ST PRONOSTIA bearings (Nectoux et al., PHM 2012 challenge): measured on a test rig, run to failure within "
    "hours by overload; no licence stated, to be cited"
)
IMS = tuple(Feature(f"sensor_{number}", "g", "VIBRATION") for number in range(1, 9))
IMS_SOURCE = (
    "IMS bearings, tests 1 and 2 (Lee et al., University of Cincinnati, NASA prognostics data repository): measured on "
    "a test rig, run to failure; NASA open data"
)
MOST_QUESTIONS = 200
"""Of a bearing, spread evenly over its life, so that a long one does not count for more."""


def columns(features: Sequence[Feature], *names: str) -> Bool:
    """(features,): which have a name that ends with one of these."""
    return np.array([feature.name.endswith(names) for feature in features])


def of_life_used(tracks: Sequence[Track]) -> Examples:
    """``truth``: the share of its life that is used, by count of instants: a rig that stands wears nothing."""
    return spread(tracks, [np.arange(1, len(track.at) + 1) / len(track.at) for track in tracks])


def spread(tracks: Sequence[Track], truths: Sequence[Float64]) -> Examples:
    """At most so many questions of each track, the last at its end. ``truths``: of each track its (t,)."""
    ends = [np.unique(np.linspace(1, len(track.at), MOST_QUESTIONS).round().astype(np.int64)) for track in tracks]
    which = np.repeat(np.arange(len(tracks), dtype=np.int64), [len(end) for end in ends])
    told = [truth[end - 1] for truth, end in zip(truths, ends, strict=True)]
    return Examples(tuple(tracks), which, np.concatenate(ends), np.concatenate(told))


def femto_learning(folder: Path) -> tuple[list[Track], list[Float64]]:
    """Bearings that failed, and of each its (t,) seconds left."""
    found = [_femto(path) for path in _files(folder / "femto", "Learning_set__*.csv")]
    return [track for track, _ in found], [left for _, left in found]


def femto_vibration(folder: Path) -> list[Track]:
    """Bearings that failed, without their age: a clock would pass for wear."""
    return [replace(track, value=track.value[:, 1:]) for track in femto_learning(folder)[0]]


def femto_test(folder: Path) -> list[Track]:
    """Bearings that were stopped before they failed."""
    return [_femto(path)[0] for path in _files(folder / "femto", "Test_set__*.csv")]


def ims_tests(folder: Path) -> list[Track]:
    """Shafts with their bearings; a test of fewer sensors has no number in the last columns."""
    return [_ims(path) for path in _files(folder / "ims", "*.csv")]


def _files(folder: Path, pattern: str) -> list[Path]:
    found = [path for path in sorted(folder.glob(pattern)) if not path.stem.endswith("__temp")]
    if not found:
        raise NotAtHand(folder / pattern)
    return found


def _femto(path: Path) -> tuple[Track, Float64]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    missing = {"elapsed_s", "rul_s", *(feature.name for feature in FEMTO)} - set(rows[0] if rows else ())
    if missing:
        raise ValueError(f"{path}: it has no column {', '.join(sorted(missing))}")
    value = np.array([[_number(row[feature.name]) for feature in FEMTO] for row in rows])
    at = np.array([round(float(row["elapsed_s"]) * SECOND_US) for row in rows], np.int64)
    track = _ascending(path.stem.split("__", 1)[1], at, value)
    return track, np.array([_number(row["rul_s"]) for row in rows])


def _ims(path: Path) -> Track:
    with path.open(newline="", encoding="utf-8") as file:
        _, *rows = list(csv.reader(file)) or [[]]
    if not rows or not 2 <= len(rows[0]) <= len(IMS) + 1:
        raise ValueError(f"{path}: it has no rows of an instant and one to {len(IMS)} sensors")
    value = np.full((len(rows), len(IMS)), np.nan)
    value[:, : len(rows[0]) - 1] = [[_number(cell) for cell in row[1:]] for row in rows]
    at = [from_instant(datetime.fromisoformat(row[0]).replace(tzinfo=UTC)) for row in rows]
    return _ascending(path.stem, np.array(at, np.int64), value)


def _ascending(unit: str, at: Int64, value: Float64) -> Track:
    if (np.diff(at) <= 0).any():
        raise ValueError(f"{unit}: its instants do not ascend")
    return Track(unit, at, value)


def _number(cell: str) -> float:
    return float(cell) if cell else float("nan")


def positions_of_each_track(examples: Examples) -> list[Int64]:
    """Of each track that is asked about the positions of its questions, in the order of time. One whose questions are
    there twice, as where bearings are drawn by lot, is two."""
    order = np.lexsort((examples.end, examples.track))
    track, end = examples.track[order], examples.end[order]
    place = np.arange(len(order))
    new = np.concatenate([[True], (np.diff(track) != 0) | (np.diff(end) != 0)])[: len(order)]
    copy = place - np.maximum.accumulate(np.where(new, place, 0))
    return [order[(track == number) & (copy == which)] for number, which in sorted({*zip(track, copy, strict=True)})]
