"""Readers of the data sets that forecasts are taught from: a folder in, tracks of one quantity on an even grid out."""

from __future__ import annotations

import csv
import gzip
import io
import tarfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from mlops.learning.contract import NotAtHand
from mlops.learning.examples import Track
from sensors.columns import SECOND_US, Float64, Int64, from_instant

HOUR_US = 3600 * SECOND_US
CUT_OFF_V = 2.7
"""A discharge of the battery set ends where the cell's voltage falls to this."""


def present(path: Path) -> Path:
    """Raises ``NotAtHand``."""
    if not path.is_file():
        raise NotAtHand(f"{path} is missing.")
    return path


def evenly(unit: str, at: Int64, value: Float64, *, period_us: int) -> Track:
    """Means of whole periods, NaN where there is none; the instant is the period's first."""
    slot = at // period_us
    rows, place = np.unique(slot[np.isfinite(value)], return_inverse=True)
    means = np.bincount(place, weights=value[np.isfinite(value)]) / np.bincount(place)
    every = np.arange(slot.min(), slot.max() + 1)
    filled = np.full(len(every), np.nan)
    filled[rows - every[0]] = means
    return Track(unit, every * period_us, filled[:, None])


def water_flow(folder: Path) -> tuple[Track, ...]:
    """Flow of a water main by the hour in l/s: ``water_flow/water-flow.csv``, or else as it comes with river."""
    path = folder / "water_flow" / "water-flow.csv"
    if not path.is_file():
        river = find_spec("river")
        if river is None or not river.submodule_search_locations:
            raise NotAtHand(f"{path} is missing, and so is the package river.")
        path = present(Path(river.submodule_search_locations[0]) / "datasets" / "water-flow.csv")
    at, value = _rows(path)
    return (evenly("water-flow", at, value, period_us=HOUR_US),)


def nab(folder: Path, patterns: Sequence[str], *, period_us: int) -> tuple[Track, ...]:
    """The series of the Numenta Anomaly Benchmark whose names below ``nab/data`` fit, in the order of their names."""
    data = folder / "nab" / "data"
    paths = sorted({path for pattern in patterns for path in data.glob(pattern)})
    if not paths:
        raise NotAtHand(f"{data} has no series {' or '.join(patterns)}.")
    return tuple(evenly(path.stem, *_rows(path), period_us=period_us) for path in paths)


def hydraulic_temperature(folder: Path) -> tuple[Track, ...]:
    """Mean TS1 of each cycle of a minute, in degC: the rig ran one cycle after the other."""
    with gzip.open(present(folder / "hydsys" / "TS1.txt.gz"), "rt") as file:
        value = np.loadtxt(file).mean(axis=1)
    return (Track("rig", np.arange(len(value), dtype=np.int64) * 60 * SECOND_US, value[:, None]),)


def capacities(folder: Path) -> tuple[Track, ...]:
    """Of each cell the charge in Ah that it gave in each discharge, by the number of the discharge."""
    paths = sorted((folder / "nasa_battery").glob("*_discharge.tar.gz"))
    if not paths:
        raise NotAtHand(f"{folder / 'nasa_battery'} has no CELL_discharge.tar.gz.")
    return tuple(_capacity(path) for path in paths)


def _capacity(path: Path) -> Track:
    with tarfile.open(path) as archive:
        tables = [file for member in archive if (file := archive.extractfile(member)) is not None]
        rows = [row for table in tables for row in csv.DictReader(io.TextIOWrapper(table, "utf-8"))]
    names = ("cycle_num", "Time", "Voltage_measured", "Current_measured")
    cycle, time, voltage, current = (np.array([float(row[name]) for row in rows]) for name in names)
    numbers = np.unique(cycle)
    charge = [_charge(time[cycle == k], voltage[cycle == k], current[cycle == k]) for k in numbers]
    return Track(path.name.removesuffix("_discharge.tar.gz"), numbers.astype(np.int64), np.array(charge)[:, None])


def _charge(time: Float64, voltage: Float64, current: Float64) -> float:
    """Ah from the start until the voltage is cut off; discharging currents are below zero."""
    low = np.flatnonzero(voltage <= CUT_OFF_V)
    last = int(low[0]) + 1 if len(low) else len(time)
    return float(np.trapezoid(np.maximum(-current[:last], 0.0), time[:last]) / 3600)


def _rows(path: Path) -> tuple[Int64, Float64]:
    """Instants (UTC where the file names no offset) and values of a CSV of two columns with a head."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    instants = [datetime.fromisoformat(row[0]) for row in rows]
    aware = [instant if instant.tzinfo else instant.replace(tzinfo=UTC) for instant in instants]
    return np.array([from_instant(one) for one in aware], np.int64), np.array([float(row[1]) for row in rows])
