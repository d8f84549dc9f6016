"""The same figures by machine and failure mode, by part and over time. Pure: columns in, values out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maintenance import intervals, kpi, survival
from maintenance.kpi import HOUR_US, Orders, Period, Stretches
from maintenance.survival import Curve
from sensors.columns import DAY_US, Bool, Float64

MOST_ROWS = 50
MOST_BARS = 60
LENGTHS = tuple(days * DAY_US for days in (1, 7, 30, 90, 365, 3_650))
NO_PART = "(not said)"


@dataclass(frozen=True, slots=True)
class Loss:
    """What a machine's failure mode cost in a period: ``downtime`` in hours, ``cost`` in hundredths. ``share``: of the
    downtime of all, or of the failures where no downtime is on record; ``so_far``: with those before it."""

    machine: int
    mode: str
    failures: int
    downtime: float
    cost: int
    share: float
    so_far: float


@dataclass(frozen=True, slots=True)
class PartLife:
    """How long a part of the machines lasts, in hours. ``mtbf``: time observed by failures, with its exact interval;
    ``median`` and ``mean``: of the times between failures of a machine's part, the last of each still running."""

    part: str
    failures: int
    mtbf: float | None
    low: float
    high: float | None
    median: float | None
    mean: float | None
    running: int


def pareto(orders: Orders, out: Stretches, period: Period) -> tuple[Loss, ...]:
    """Most downtime first, then most cost, then most failures."""
    failed = kpi.failures(orders)
    modes, mode = np.unique(failed.mode, return_inverse=True)
    keys, key = np.unique(failed.machine * max(1, len(modes)) + mode, return_inverse=True)
    inside = period.holds(failed.opened)
    times = np.bincount(key[inside], minlength=len(keys))
    cost = np.bincount(key[inside], failed.cost[inside], minlength=len(keys))
    down = np.bincount(key, _hours_of(failed, out, period), minlength=len(keys))
    weights = down if down.sum() > 0 else times
    total = float(weights.sum()) or 1.0
    order = np.lexsort((keys, -times, -cost, -down))
    order = order[(times[order] > 0) | (down[order] > 0)]
    so_far = np.minimum(1.0, np.cumsum(weights[order]) / total)
    return tuple(
        Loss(
            int(keys[n] // len(modes)), str(modes[keys[n] % len(modes)]), int(times[n]), float(down[n]),
            round(float(cost[n])), float(weights[n] / total), float(part),
        )
        for n, part in zip(order[:MOST_ROWS], so_far, strict=False)
    )  # fmt: skip


def _hours_of(failed: Orders, out: Stretches, period: Period) -> Float64:
    """How long in the period machines were out of service for each failure."""
    length = np.maximum(0, np.minimum(out.end, period.end) - np.maximum(out.begin, period.start)) / HOUR_US
    known = np.isin(out.order, failed.id)
    order = np.argsort(failed.id)
    place = order[np.searchsorted(failed.id, out.order[known], sorter=order)]
    return np.bincount(place, length[known], minlength=len(failed)).astype(np.float64)


def between(orders: Orders, period: Period) -> tuple[Float64, Bool]:
    """Hours from one failure of a machine to its next, and whether that came; the last of each machine still runs.

    Only what begins with a failure in the period counts: how old a machine was before its first one is not known.
    """
    order = np.lexsort((orders.opened, orders.machine))
    machine, opened = orders.machine[order], orders.opened[order]
    inside = period.holds(opened)
    machine, opened = machine[inside], opened[inside]
    last = np.append(machine[1:] != machine[:-1], True)[: len(machine)]
    until = np.where(last, period.end, np.append(opened[1:], period.end)[: len(opened)])
    return (until - opened) / HOUR_US, ~last


def lives(orders: Orders, period: Period) -> tuple[PartLife, ...]:
    """By part, the one that fails most often first. Observed are the machines whose orders name their parts."""
    failed = kpi.failures(orders)
    failed = failed.take(period.holds(failed.opened))
    told = set(failed.machine[failed.part != ""].tolist())
    naming = Period(period.start, period.end, {key: at for key, at in period.since.items() if key in told})
    found = [
        _life(part, failed.take(failed.part == part), kpi.observed(naming if part else period) / HOUR_US, period)
        for part in np.unique(failed.part).tolist()
    ]
    return tuple(sorted(found, key=lambda life: (-life.failures, life.part)))[:MOST_ROWS]


def _life(part: str, failed: Orders, hours: float, period: Period) -> PartLife:
    low, high = intervals.events(len(failed), hours)
    made = survival.curve(*between(failed, period))
    return PartLife(
        part or NO_PART, len(failed), hours / len(failed), low, high, made.median, made.mean, made.running
    )  # fmt: skip


def curve(orders: Orders, period: Period) -> Curve:
    """How long machines last from one failure to the next, in hours."""
    return survival.curve(*between(kpi.failures(orders), period))


def over_time(orders: Orders, period: Period) -> tuple[int, tuple[int, ...]]:
    """Failures of each piece of the period from its start on, and how long a piece is."""
    length = next((one for one in LENGTHS if (period.end - period.start) / one <= MOST_BARS), LENGTHS[-1])
    failed = kpi.failures(orders)
    place = (failed.opened[period.holds(failed.opened)] - period.start) // length
    counted = np.bincount(place, minlength=-(-(period.end - period.start) // length))
    return length, tuple(counted.tolist())
