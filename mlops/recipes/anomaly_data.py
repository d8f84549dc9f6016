"""Rows of machines of which it is known when something was wrong, read from the files of four data sets."""

from __future__ import annotations

import ast
import csv
import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mlops.learning.contract import NotAtHand
from mlops.learning.examples import Track
from sensors.columns import SECOND_US, Float64, Int64

RIG = ("Accelerometer1RMS", "Accelerometer2RMS", "Current", "Pressure", "Temperature", "Thermocouple", "Voltage",
       "Volume Flow RateRMS")  # fmt: skip
PLANT = tuple([f"XMEAS({k})" for k in range(1, 42)] + [f"XMV({k})" for k in range(1, 12)])
HYDRAULIC = ("TS1", "TS2", "TS3", "TS4", "VS1", "FS1", "FS2", "CE", "CP", "SE")
CYCLE_PARTS = 12
CYCLE, PLANT_PERIOD, TELEMETRY_PERIOD = 60, 180, 60
"""Seconds. That of telemetry is made up: the data has no clock."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Tracks, and of each its (t,) truths: 1 = something is wrong, 0 = nothing is."""

    tracks: list[Track]
    truths: list[Float64]

    def add(self, unit: str, at: Int64, value: Float64, truth: Float64) -> None:
        self.tracks.append(Track(unit, at, value))
        self.truths.append(truth)


def found(folder: Path, pattern: str) -> list[Path]:
    """Files in order; raises ``NotAtHand`` where there is none."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise NotAtHand(f"there is no {folder / pattern}")
    return paths


def rig(folder: Path) -> Judged:
    """SKAB: of every folder below the files that say which of their rows are anomalous."""
    out = Judged([], [])
    for path in found(folder / "skab", "*/*.csv"):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file, delimiter=";"))
        if not rows or "anomaly" not in rows[0]:
            continue
        if missing := [name for name in RIG if name not in rows[0]]:
            raise NotAtHand(f"{path} has no column {missing[0]}")
        at = np.array([row["datetime"] for row in rows], "datetime64[us]").astype(np.int64)
        value = np.array([[float(row[name] or "nan") for name in RIG] for row in rows])
        truth = np.array([float(float(row["anomaly"]) > 0) for row in rows])
        out.add(f"{path.parent.name}/{path.stem}", at, value, truth)
    if not out.tracks:
        raise NotAtHand(f"no file in {folder / 'skab'} has a column anomaly")
    return out


def plant(folder: Path) -> Judged:
    """Tennessee Eastman: d00 is normal throughout, every other file is in its fault throughout."""
    found(folder / "tep", "d00.dat*")
    out = Judged([], [])
    for path in found(folder / "tep", "d[0-9][0-9].dat*"):
        value = numbers(path)
        value = value if value.shape[1] == len(PLANT) else value.T
        unit = path.name.split(".")[0]
        at = np.arange(1, len(value) + 1) * PLANT_PERIOD * SECOND_US
        out.add(unit, at, value, np.full(len(value), float(unit != "d00")))
    return out


def spacecraft(folder: Path) -> Judged:
    """SMAP and MSL: of each channel the telemetered value, a stretch without an anomaly and a later one."""
    labels = found(folder / "smap_msl", "labeled_anomalies.csv")[0]
    spans: dict[str, list[tuple[int, int]]] = {}
    with labels.open(newline="") as file:
        for row in csv.DictReader(file):
            spans.setdefault(row["chan_id"], []).extend(ast.literal_eval(row["anomaly_sequences"]))
    out = Judged([], [])
    for path in found(folder / "smap_msl", "*.npz"):
        with np.load(path) as stored:
            calm, later = stored["train"][:, :1].astype(np.float64), stored["test"][:, :1].astype(np.float64)
        truth = np.zeros(len(later))
        for first, last in spans.get(path.stem, []):
            truth[first : last + 1] = 1.0
        at = np.arange(1, len(calm) + len(later) + 1) * TELEMETRY_PERIOD * SECOND_US
        out.add(path.stem, at[: len(calm)], calm, np.zeros(len(calm)))
        out.add(path.stem, at[len(calm) :], later, truth)
    return out


def hydraulic(folder: Path) -> Judged:
    """The hydraulic rig: a row is a cycle, its features the means of each sensor over twelfths of it.

    Wrong is a valve, a pump or an accumulator that is not as new. The cooler only tells how warm the rig runs.
    """
    profile = numbers(found(folder / "hydsys", "profile.txt*")[0])
    columns = []
    for sensor in HYDRAULIC:
        path = found(folder / "hydsys", f"{sensor}.txt*")[0]
        value = numbers(path)
        if len(value) != len(profile) or value.shape[1] % CYCLE_PARTS:
            raise NotAtHand(f"{path} has not {len(profile)} cycles of {CYCLE_PARTS} equal parts")
        columns.append(value.reshape(len(value), CYCLE_PARTS, -1).mean(axis=2))
    at = np.arange(1, len(profile) + 1) * CYCLE * SECOND_US
    healthy = (profile[:, 1] == 100) & (profile[:, 2] == 0) & (profile[:, 3] == 130)
    out = Judged([], [])
    out.add("hydraulic rig", at, np.concatenate(columns, axis=1), (~healthy).astype(np.float64))
    return out


def numbers(path: Path) -> Float64:
    """A table of numbers, compressed or not."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        return np.loadtxt(file, ndmin=2)
