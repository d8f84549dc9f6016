"""What a 60 s cycle of the hydraulic test rig says in a few figures. Pure.

The rig repeats one load cycle: a valve opens after 9 s, and the load steps at 29, 39 and 49 s. How the flow follows
tells of the valve (when it begins), and of the accumulator (how much it takes, and for how long).
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlops.learning.contract import Feature, NotAtHand
from sensors.columns import Float64

FAST, SLOW = 600, 60
"""Samples of a cycle: of flow (10 Hz) and of all else (1 Hz)."""
OPENS, STEPS = 90, (290, 390, 490)
"""When the valve opens and the load steps, in samples of flow."""
PARTS = 12


def flow(cycles: Float64) -> dict[Feature, Float64]:
    """Of (n, 600) flow in l/min. What comes down as fast as it is high has its logarithm beside it."""
    found = opening(cycles)
    for step in STEPS:
        found |= _step(cycles, step)
    decays = {key: value for key, value in found.items() if " volume " in key.name or " fall" in key.name}
    logs = {Feature(f"{key.name}, log"): np.log(np.maximum(np.abs(value), 1e-4)) for key, value in decays.items()}
    return {**found, **logs}


def opening(cycles: Float64) -> dict[Feature, Float64]:
    """How the flow begins once the valve opens, overshoots, and comes down to where it stays."""
    seen = cycles[:, OPENS - 10 : OPENS + 80]
    stays = np.median(cycles[:, OPENS + 60 : OPENS + 100], axis=1)
    peak = seen[:, 10:30].argmax(axis=1) + 10
    found = {
        Feature("opening stays", "l/min", "FLOW"): stays,
        Feature("opening peak", "l/min", "FLOW"): seen.max(axis=1),
    }
    for level in (2, 5, 10, 15):
        rises = crossing(seen, np.full(len(seen), float(level)), first=np.zeros_like(peak), rising=True)
        found[Feature(f"opening rises to {level}", "s")] = rises / 10 - 1
    for times in (2, 1.5, 1.25, 1.15, 1.1, 1.05):
        falls = crossing(seen, times * stays, first=peak, rising=False)
        found[Feature(f"opening falls to {times:g} times", "s")] = falls / 10 - 1
    for first, last in ((10, 20), (16, 24), (20, 28), (24, 34), (30, 44)):
        volume = (seen[:, first:last] - stays[:, None]).sum(axis=1) / 10 / 60
        found[Feature(f"opening volume {first / 10 - 1:.1f} to {last / 10 - 1:.1f} s", "l")] = volume
    found[Feature("opening fastest fall", "l/min", "FLOW")] = -np.diff(seen[:, 18:50], axis=1).min(axis=1)
    found[Feature("opening fastest late fall", "l/min", "FLOW")] = -np.diff(seen[:, 26:50], axis=1).min(axis=1)
    return found


def _step(cycles: Float64, at: int) -> dict[Feature, Float64]:
    """How the flow answers a step of the load, beside where it stays afterwards."""
    name = f"{at / 10:.0f} s"
    stays = np.median(cycles[:, at + 30 : at + 80], axis=1)
    off = cycles[:, at - 3 : at + 30] - stays[:, None]
    found = {
        Feature(f"{name} stays", "l/min", "FLOW"): stays,
        Feature(f"{name} before", "l/min", "FLOW"): np.median(cycles[:, at - 30 : at - 2], axis=1) - stays,
        Feature(f"{name} most", "l/min", "FLOW"): off.max(axis=1),
        Feature(f"{name} least", "l/min", "FLOW"): off.min(axis=1),
        Feature(f"{name} fastest fall", "l/min", "FLOW"): -np.diff(off[:, 3:16], axis=1).min(axis=1),
    }
    for first, last in ((2, 6), (5, 8), (6, 10), (8, 14), (12, 24)):
        volume = off[:, first:last].sum(axis=1) / 10 / 60
        found[Feature(f"{name} volume {first / 10 - 0.3:.1f} to {last / 10 - 0.3:.1f} s", "l")] = volume
    size = np.abs(off[:, 2:24])
    lag = (size @ np.arange(size.shape[1])) / np.maximum(size.sum(axis=1), 1e-9) / 10
    found[Feature(f"{name} lag", "s")] = lag
    for place in (6, 7, 8):
        found[Feature(f"{name} left after {place / 10 - 0.3:.1f} s")] = off[:, place] / (np.abs(off[:, 5]) + 0.2)
    return found


def crossing(cycles: Float64, level: Float64, *, first: np.ndarray, rising: bool) -> Float64:
    """(n,): where each cycle first comes to its level, not before ``first``, in samples with a straight line between
    two of them; the number of samples where it never does."""
    met = cycles >= level[:, None] if rising else cycles <= level[:, None]
    met &= np.arange(cycles.shape[1]) >= first[:, None]
    row, at = np.arange(len(cycles)), np.maximum(met.argmax(axis=1), 1)
    before, here = cycles[row, at - 1], cycles[row, at]
    share = np.divide(level - before, here - before, out=np.ones(len(cycles)), where=here != before)
    return np.where(met.any(axis=1), at - 1 + np.clip(share, 0.0, 1.0), float(cycles.shape[1]))


def parts(name: str, unit: str, kind: str, cycles: Float64, *, count: int = PARTS) -> dict[Feature, Float64]:
    """Means of equal parts of the cycle."""
    width, means = SLOW // count, cycles.reshape(len(cycles), count, -1).mean(axis=2)
    return {Feature(f"{name} {k * width} to {(k + 1) * width} s", unit, kind): means[:, k] for k in range(count)}


def read(folder: Path, names: Mapping[str, int]) -> dict[str, Float64]:
    """(cycles, samples) of each sensor, a line a cycle, from ``NAME.txt`` or ``NAME.txt.gz``; ``names``: with how many
    samples. Raises ``NotAtHand``, and ``ValueError`` where the numbers of samples or of cycles are other ones."""
    found = {}
    for name, samples in names.items():
        plain, packed = folder / f"{name}.txt", folder / f"{name}.txt.gz"
        path = plain if plain.is_file() else packed
        if not path.is_file():
            raise NotAtHand(packed)
        with gzip.open(path, "rt") if path == packed else path.open() as file:
            found[name] = np.loadtxt(file, ndmin=2)
        if found[name].shape[1] != samples:
            raise ValueError(f"{path}: {found[name].shape[1]} values a line; {samples} are expected")
    if len({len(cycles) for cycles in found.values()}) > 1:
        lengths = ", ".join(f"{name} {len(cycles)}" for name, cycles in found.items())
        raise ValueError(f"{folder}: not as many cycles of each: {lengths}")
    return found
