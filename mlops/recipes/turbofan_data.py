"""Turbofans that were flown until they failed, and others that were stopped before. Pure.

``train_SET.txt`` and ``test_SET.txt``, as they are or ``.gz``: a line a flight of unit, cycle, three settings and 21
sensors. ``RUL_SET.txt``: a line a unit of the test with the cycles it had left.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from mlops.learning.contract import Feature, NotAtHand
from mlops.learning.examples import Examples, Track
from sensors.columns import SECOND_US, Float64

SETTINGS = (Feature("altitude", "kft"), Feature("mach"), Feature("TRA", "%"))
SENSORS = (
    Feature("T2", "degR", "TEMPERATURE"), Feature("T24", "degR", "TEMPERATURE"), Feature("T30", "degR", "TEMPERATURE"),
    Feature("T50", "degR", "TEMPERATURE"), Feature("P2", "psia", "PRESSURE"), Feature("P15", "psia", "PRESSURE"),
    Feature("P30", "psia", "PRESSURE"), Feature("Nf", "rpm", "SPEED"), Feature("Nc", "rpm", "SPEED"),
    Feature("epr"), Feature("Ps30", "psia", "PRESSURE"), Feature("phi", "pps/psi"), Feature("NRf", "rpm", "SPEED"),
    Feature("NRc", "rpm", "SPEED"), Feature("BPR"), Feature("farB"), Feature("htBleed"),
    Feature("Nf_dmd", "rpm", "SPEED"), Feature("PCNfR_dmd", "rpm", "SPEED"), Feature("W31", "lbm/s", "FLOW"),
    Feature("W32", "lbm/s", "FLOW"),
)  # fmt: skip
"""As in Saxena et al., 2008: total temperatures, pressures, speeds, flows of bleed air at the places of an engine."""
FEATURES = (*SETTINGS, *SENSORS)
PERIOD_US = 3600 * SECOND_US
"""A flight is taken as an hour: the data has no clock."""


def failed(folder: Path, name: str) -> list[Track]:
    return _tracks(folder / "cmapss" / f"train_{name}.txt")


def stopped(folder: Path, name: str) -> list[Track]:
    return _tracks(folder / "cmapss" / f"test_{name}.txt")


def left_of_stopped(folder: Path, name: str) -> Float64:
    """(units,): cycles that were left of each when it was stopped. Raises ``NotAtHand``."""
    return _table(folder / "cmapss" / f"RUL_{name}.txt", 1)[:, 0]


def at_every(tracks: list[Track], *, rows: int, least: int) -> Examples:
    """A question about each at every so many ``rows``, counted back from its last, from ``least`` on."""
    ends = [np.arange(len(track.at), least - 1, -rows, dtype=np.int64)[::-1] for track in tracks]
    which = np.repeat(np.arange(len(tracks), dtype=np.int64), [len(end) for end in ends])
    left = [len(track.at) - end for track, end in zip(tracks, ends, strict=True)]
    return Examples(tuple(tracks), which, np.concatenate(ends), np.concatenate(left).astype(np.float64))


def _tracks(path: Path) -> list[Track]:
    table = _table(path, 2 + len(FEATURES))
    heads = np.flatnonzero(np.diff(table[:, 0])) + 1
    found = []
    for rows in np.split(table, heads):
        at = (rows[:, 1] * PERIOD_US).astype(np.int64)
        if (np.diff(at) <= 0).any():
            raise ValueError(f"{path}: the cycles of unit {rows[0, 0]:g} do not ascend")
        found.append(Track(f"{rows[0, 0]:g}", at, rows[:, 2:].astype(np.float64)))
    return found


def _table(path: Path, columns: int) -> Float64:
    packed = path.with_name(f"{path.name}.gz")
    if not path.exists() and not packed.exists():
        raise NotAtHand(packed)
    data = path.read_bytes() if path.exists() else gzip.decompress(packed.read_bytes())
    table = np.loadtxt(data.decode("ascii").splitlines(), ndmin=2)
    if table.shape[1] != columns:
        raise ValueError(f"{path}: it has {table.shape[1]} columns, not {columns}")
    return np.asarray(table, np.float64)
