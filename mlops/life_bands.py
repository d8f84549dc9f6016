"""Between what and what a life that is left lies, by how much of it was told, and whether that is proven. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mlops import coverage
from mlops.bearing_life import weighted_quantiles
from sensors.columns import Bool, Float64, Int64

SHARES = (0.1, 0.5, 0.9)
KNOTS = 12
REACH = 1.5 / KNOTS
"""Share of the questions to each side of a knot that count for it, the further the less."""
CELL = 25.0
"""Width, in the unit of the life: over so much of what was told the coverage is looked at together."""


@dataclass(frozen=True, slots=True)
class Bands:
    """``knots``: (k,) ascending lives as told; ``offsets``: (3, k) from there to P10, P50 and P90. ``observed``: (c,)
    of each cell of P50 the share of truths within, NaN = nobody was there; ``proven``: (c,)."""

    knots: Float64
    offsets: Float64
    observed: Float64
    proven: Bool

    def around(self, told: Float64) -> Float64:
        """(3, n): P10, P50 and P90, ascending and never below 0."""
        moved = np.array([told + np.interp(told, self.knots, offset) for offset in self.offsets])
        return np.sort(np.maximum(moved, 0.0), axis=0)

    def holds(self, middle: Float64) -> Float64:
        """(n,): 1 where it is proven that intervals at such a P50 cover what they promise, else 0."""
        cell = _cell(middle)
        within = cell < len(self.proven)
        return np.where(within, self.proven[np.minimum(cell, len(self.proven) - 1)], False).astype(np.float64)


def learn(told: Float64, truth: Float64, weight: Float64, machine: Int64, group: Int64) -> Bands:
    """All (n,). ``told``: by those who did not know the machine; ``weight``: 0 = counts for the proof alone; ``group``:
    of machines that are left out together.

    The proof is of intervals made without the group that they are held against. All instants of a machine count
    there, also those at which more is left than is ever asked for.
    """
    knots, offsets = _offsets(told, truth, weight)
    middle, inside = np.empty(len(told)), np.empty(len(told), np.bool_)
    for one in np.unique(group):
        mine = group == one
        nothing = np.empty(0)
        others = Bands(*_offsets(told[~mine], truth[~mine], weight[~mine]), nothing, nothing.astype(np.bool_))
        low, middle[mine], high = others.around(told[mine])
        inside[mine] = (truth[mine] >= low) & (truth[mine] <= high)
    found = _coverage_of_cells(_cell(middle), inside, machine)
    return Bands(knots, offsets, np.array([one.observed for one in found]), np.array([one.proven for one in found]))


def _offsets(told: Float64, truth: Float64, weight: Float64) -> tuple[Float64, Float64]:
    counts = weight > 0
    order = np.argsort(told[counts], kind="stable")
    told, truth, weight = (one[counts][order] for one in (told, truth, weight))
    rank = (np.cumsum(weight) - weight / 2) / weight.sum()
    centres = (np.arange(KNOTS) + 0.5) / KNOTS
    knots, offsets = np.interp(centres, rank, told), np.empty((len(SHARES), KNOTS))
    for number, centre in enumerate(centres):
        near = weight * np.maximum(0.0, 1 - np.abs(rank - centre) / REACH)
        mine = near > 0
        offsets[:, number] = weighted_quantiles((truth - told)[mine], near[mine], SHARES)
    return knots, offsets


def _coverage_of_cells(cell: Int64, inside: Bool, machine: Int64) -> list[coverage.Coverage]:
    found = []
    for number in range(int(cell.max(initial=-1)) + 1):
        mine = cell == number
        _, place = np.unique(machine[mine], return_inverse=True)
        shares = np.bincount(place, weights=inside[mine]) / np.maximum(np.bincount(place), 1)
        found.append(coverage.over_machines(shares))
    return found


def _cell(middle: Float64) -> Int64:
    return np.asarray(np.maximum(middle, 0.0) // CELL).astype(np.int64)
