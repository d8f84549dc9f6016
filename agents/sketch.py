"""What a picture needs of a judged file of any length: at most so many stretches of rows, with their extremes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from agents.judge_file import Judged
from sensors.columns import Bool, Float64, Int64
from sensors.tables.rows import FINE, Chunk

MOST = 2000
"""Stretches are joined two by two when there are twice as many."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """m stretches of rows: ``at``: microseconds of the first row. ``least``, ``most``, ``low``, ``high``: m x columns,
    of the values and of what was expected. ``score``: the highest, NaN = none. ``abnormal``: whether a row is."""

    at: Int64
    least: Float64
    most: Float64
    low: Float64
    high: Float64
    score: Float64
    abnormal: Bool

    def joined(self, by: int) -> Stretches:
        """Every ``by`` neighbours as one; the last ones may be fewer."""
        first = np.arange(0, len(self.at), by)
        return Stretches(
            self.at[first], np.fmin.reduceat(self.least, first), np.fmax.reduceat(self.most, first),
            np.fmin.reduceat(self.low, first), np.fmax.reduceat(self.high, first),
            np.fmax.reduceat(self.score, first), np.logical_or.reduceat(self.abnormal, first),
        )  # fmt: skip

    def __add__(self, other: Stretches) -> Stretches:
        return Stretches(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(Stretches)))


class Sketch:
    """Takes in what was judged; the rows that could be used."""

    def __init__(self) -> None:
        self.rows_each = 1
        self._whole: Stretches | None = None
        self._rest: Stretches | None = None

    def add(self, chunk: Chunk, judged: Judged) -> None:
        fine = chunk.fault == FINE
        if not fine.any():
            return
        value = np.where(chunk.usable, chunk.value, np.nan)[fine]
        seen = (judged.judged[:, None] & (judged.cells.rank >= 0))[fine]
        low, high = (np.where(seen, bound[fine], np.nan) for bound in (judged.cells.low, judged.cells.high))
        fresh = Stretches(chunk.at[fine], value, value, low, high, judged.score[fine], (judged.kind > 0)[fine])
        waiting = fresh if self._rest is None else self._rest + fresh
        end = len(waiting.at) // self.rows_each * self.rows_each
        self._rest = _cut(waiting, end, None)
        if end:
            more = _cut(waiting, 0, end).joined(self.rows_each)
            self._whole = more if self._whole is None else self._whole + more
        while self._whole is not None and len(self._whole.at) >= 2 * MOST:
            self._halve(self._whole)

    def _halve(self, whole: Stretches) -> None:
        even = len(whole.at) // 2 * 2
        odd = _cut(whole, even, None)
        self._whole, self.rows_each = _cut(whole, 0, even).joined(2), self.rows_each * 2
        if len(odd.at):  # shorter than the others from now on: of no account in a picture
            self._whole += odd

    def stretches(self) -> Stretches | None:
        """None where no row could be used."""
        if self._rest is None or not len(self._rest.at):
            return self._whole
        last = self._rest.joined(self.rows_each)
        return last if self._whole is None else self._whole + last


def _cut(stretches: Stretches, start: int, end: int | None) -> Stretches:
    return Stretches(*(getattr(stretches, f.name)[start:end] for f in fields(Stretches)))
