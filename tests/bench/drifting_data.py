"""Stretches of real series in which nothing is known to have happened, for ``tests.bench.drifting``."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from agents import water_flow
from mlops.drift import reference, windows
from mlops.drift.windows import Window
from sensors.columns import SECOND_US, Bool, Float64, Int64, from_instant
from tests.bench import machines, nab_scoring, results, skab

SHARE = 0.6
MARGIN_US = 12 * 3600 * SECOND_US
"""So close to a documented anomaly of the water flow a row is not counted as normal (as the demo does)."""
IMS_EARLY = 0.5
"""The share of a test to failure that is early life."""
UNSEEN = ("smap", "tep")
"""Sets that were not looked at while the tests and their defaults were chosen."""
HYDSYS = ("TS1", "TS2", "TS3", "TS4", "VS1", "FS1", "FS2", "CE", "CP", "SE")


@dataclass(frozen=True, slots=True)
class Stretch:
    """``at``: (n,) microseconds; ``value``: (n, features); ``rows``: of a window, several lengths to be tried."""

    source: str
    name: str
    features: tuple[str, ...]
    at: Int64
    value: Float64
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A stretch in windows: those of the reference, and those that are checked."""

    stretch: Stretch
    rows: int
    given: list[Window]
    later: list[Window]

    @property
    def name(self) -> str:
        return f"{self.stretch.source}, windows of {self.rows}"


def cases(stretches: Iterable[Stretch]) -> Iterator[Case]:
    """Of every stretch that is long enough, by each of its lengths: the first share of the windows is the reference."""
    for one in stretches:
        for rows in one.rows:
            found = windows.cut(one.at, one.value, rows=rows)
            first = max(reference.LEAST_WINDOWS, int(SHARE * len(found)))
            if len(found) >= first + 2:
                yield Case(one, rows, found[:first], found[first:])


def all_of_them() -> list[Stretch]:
    """Of the data sets that are at hand."""
    return [*of_nab(), *of_skab(), *of_hydsys(), *of_ims(), *of_water(), *of_smap(), *of_tep()]


def of_nab() -> Iterator[Stretch]:
    """The longest stretch of each measured series outside the labelled windows."""
    if (results.DATA / "nab").exists():
        for name, one in nab_scoring.load(results.DATA / "nab").items():
            if name.startswith("real"):
                labelled = np.zeros(len(one.value), np.bool_)
                for left, right in one.windows:
                    labelled[left : right + 1] = True
                part = longest(~labelled)
                at = one.at.astype("datetime64[us]").astype(np.int64)
                rows = (24, 72) if "ambient" in name else (72, 288)
                yield Stretch("nab", name.split("/")[1], ("value",), at[part], one.value[part, None], rows)


def of_skab() -> Iterator[Stretch]:
    path = results.DATA / "skab" / "anomaly-free" / "anomaly-free.csv"
    if path.exists():
        rig = skab.read(path)
        yield Stretch("skab", rig.name, rig.sensors, rig.at, rig.value.T, (150, 300))


def of_hydsys() -> Iterator[Stretch]:
    """Ten or more cycles in a row with the same condition that is marked stable, a row a second."""
    folder = results.DATA / "hydsys"
    if folder.exists():
        profile = np.loadtxt(folder / "profile.txt", np.int64)
        value = np.stack([cycles(folder / f"{name}.txt.gz") for name in HYDSYS], axis=-1)
        changes = np.flatnonzero(np.any(np.diff(profile, axis=0) != 0, axis=1)) + 1
        for part in np.split(np.arange(len(profile)), changes):
            if profile[part[0], 4] == 0 and len(part) >= 10:
                at = (part[0] * 60 + np.arange(60 * len(part))) * SECOND_US
                yield Stretch("hydsys", f"cycle {part[0]}", HYDSYS, at, value[part].reshape(-1, len(HYDSYS)), (60,))


def cycles(path: Path) -> Float64:
    """(cycles, 60): means of each second."""
    with gzip.open(path, "rt") as file:
        value = np.loadtxt(file)
    return np.asarray(value.reshape(len(value), 60, -1).mean(axis=2), np.float64)


def of_ims() -> Iterator[Stretch]:
    for path in sorted((results.DATA / "ims").glob("*.csv")):
        with path.open(newline="") as file:
            head, *rows = list(csv.reader(file))
        at = np.array([row[0] for row in rows], "datetime64[us]").astype(np.int64)
        value = np.array([row[1:] for row in rows], np.float64)
        early = int(IMS_EARLY * len(at))
        yield Stretch("ims", path.stem[-13:], tuple(head[1:]), at[:early], value[:early], (24, 48))


def of_water() -> Iterator[Stretch]:
    """The longest stretch that is half a day or more from what is documented."""
    with water_flow.path().open(newline="") as file:
        rows = list(csv.reader(file))[1:]
    local = np.array([wall_clock(datetime.fromisoformat(row[0])) for row in rows], np.int64)
    value = np.array([[float(row[1])] for row in rows])
    apart = np.ones(len(local), np.bool_)
    for stretch in water_flow.DOCUMENTED:
        start, end = (wall_clock(one) for one in (stretch.start, stretch.end))
        apart &= (local < start - MARGIN_US) | (local > end + MARGIN_US)
    yield Stretch("water flow", "flow", ("flow",), local[apart], value[apart], (24,))


def wall_clock(instant: datetime) -> int:
    """Microseconds of what a clock on the wall shows: people use water by it, whatever the sun says."""
    return from_instant(instant.replace(tzinfo=UTC))


def of_smap() -> Iterator[Stretch]:
    """The channel of each training part, as if a reading a minute."""
    for path in sorted((results.DATA / "smap_msl").glob("*.npz")):
        with np.load(path) as stored:
            value = stored["train"][:, :1].astype(np.float64)
        yield Stretch("smap", path.stem, ("value",), steps(len(value), 60), value, (100,))


def of_tep() -> Iterator[Stretch]:
    """The run without a fault; simulated."""
    path = results.DATA / "tep" / "d00.dat.gz"
    if path.exists():
        value = machines.table(path)[:, : machines.TEP_CALM].T
        names = tuple(str(k) for k in range(value.shape[1]))
        yield Stretch("tep", path.stem, names, steps(len(value), machines.TEP_PERIOD), value, (30,))


def steps(rows: int, seconds: int) -> Int64:
    return np.arange(rows, dtype=np.int64) * seconds * SECOND_US


def longest(good: Bool) -> slice:
    """The longest run of true rows."""
    first, last = max(skab.stretches(good), key=lambda run: run[1] - run[0])
    return slice(first, last + 1)
