"""Stretches of readings of several features, side by side. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sensors.columns import Float64, Int64


@dataclass(frozen=True, slots=True)
class Window:
    """``at``: (n,) ascending microseconds of the clock by which people and machines run (local time, where a plant
    keeps to it); ``value``: (n, features), NaN = missing."""

    at: Int64
    value: Float64

    def __post_init__(self) -> None:
        if self.value.ndim != 2 or len(self.at) != len(self.value):
            raise ValueError(f"{len(self.at)} instants for values of shape {self.value.shape}, not (n, features)")

    def __len__(self) -> int:
        return len(self.at)

    def part(self, first: int, end: int) -> Window:
        """From a row up to another, as far as there are any."""
        rows = slice(max(0, first), max(0, end))
        return Window(self.at[rows], self.value[rows])


def cut(at: Int64, value: Float64, *, rows: int) -> list[Window]:
    """One window after the other, each of so many rows; what is left at the end is in none."""
    starts = range(0, len(at) - rows + 1, rows)
    return [Window(at[first : first + rows], value[first : first + rows]) for first in starts]


def together(windows: Sequence[Window]) -> Window:
    return Window(np.concatenate([one.at for one in windows]), np.concatenate([one.value for one in windows]))
