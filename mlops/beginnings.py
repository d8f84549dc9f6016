"""How a machine is now beside its own beginning, when it was new. Pure.

What a bearing reads when all is well depends on how it was built and mounted, so that it is compared with itself: the
first readings after running in are its beginning, and the median of the last few is its now. Nothing is learned of one
machine from another but how much is too much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mlops.learning.contract import Answers
from mlops.learning.examples import Examples
from sensors.columns import Bool, Float64, Int64

TINY = 1e-6
"""Logarithms are taken of at least so much."""
STEADY = 0.02
"""Added to the standard deviation of each column: what hardly moved in the beginning may move by so much."""


@dataclass(frozen=True, slots=True)
class Look:
    """Spans, in instants. ``skip``: running in, of which nothing is learned; ``first``: where the beginning ends,
    before which nothing is answered; ``last``: whose median is *now*."""

    skip: int
    first: int
    last: int

    def beginning(self, value: Float64) -> Float64:
        return value[self.skip : self.first]

    def now(self, value: Float64, end: int) -> Float64:
        return medians(value[max(0, end - self.last) : end])


def medians(rows: Float64) -> Float64:
    """Of each column, NaN where it has no number."""
    found = ~np.isnan(rows).all(axis=0)
    middle = np.full(rows.shape[1], np.nan)
    if found.any():
        middle[found] = np.nanmedian(rows[:, found], axis=0)
    return middle


def usual(rows: Float64) -> Float64:
    """(columns,): the mean of what is known, 0 where nothing is."""
    known = np.isfinite(rows)
    return np.asarray(np.where(known, rows, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.float64)


def filled(rows: Float64, instead: Float64) -> Float64:
    """What is not known as ``instead``, (columns,), has it."""
    return np.where(np.isfinite(rows), rows, instead)


def logarithms(value: Float64, columns: Bool) -> Float64:
    """``value`` with the marked columns as their natural logarithms: they are compared by their ratios."""
    return np.where(columns, np.log(np.maximum(np.where(columns, value, 1.0), TINY)), value)


def by_track(examples: Examples, look: Look) -> Iterator[tuple[Float64, Int64]]:
    """Of each track that is asked about when its beginning is over: its (t, features), and which questions."""
    ready = examples.end >= look.first
    for number in np.unique(examples.track[ready]):
        yield examples.tracks[number].value, np.flatnonzero(ready & (examples.track == number))


@dataclass(frozen=True)
class NoveltyOfBeginning:
    """How far now has risen above the middle of the beginning, in standard deviations that each column had there, as
    root mean square over columns, over ``limit``: from 1 on it is new. What falls is no matter: running in does.

    ``logs``: (features,), whose ratios count.
    """

    look: Look
    logs: Bool
    limit: float = 1.0
    kind = "novelty-of-beginning"

    def answer(self, examples: Examples) -> Answers:
        novelty = np.full(len(examples), np.nan)
        for value, asked in by_track(examples, self.look):
            seen = logarithms(value[: int(examples.end[asked].max())], self.logs)
            now = np.array([self.look.now(seen, int(end)) for end in examples.end[asked]])
            novelty[asked] = _rises(self.look.beginning(seen), now) / self.limit
        return {"novelty": novelty}

    def parts(self) -> dict[str, Any]:
        look = [self.look.skip, self.look.first, self.look.last]
        return {"look": look, "logs": self.logs, "limit": self.limit}

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> NoveltyOfBeginning:
        return cls(Look(*parts["look"]), parts["logs"], parts["limit"])


def _rises(beginning: Float64, now: Float64) -> Float64:
    """(n,) of (n, features). A column that has no number in the beginning tells nothing, nor does one that has none
    now; NaN where none is left."""
    there = np.isfinite(beginning).any(axis=0)
    beginning, now = beginning[:, there], now[:, there]
    spread = (np.nanstd(beginning, axis=0) if there.any() else np.empty(0)) + STEADY
    rise = np.maximum((now - medians(beginning)) / spread, 0.0)
    known = np.isfinite(rise)
    square: Float64 = np.sum(np.where(known, rise, 0.0) ** 2, axis=1)
    number = np.where(known.any(axis=1), known.sum(axis=1), np.nan)
    return np.asarray(np.sqrt(square / number), np.float64)


@dataclass(frozen=True)
class LevelLimit:
    """The usual rule: now over ``factor`` times the mean of the beginning and ``sigmas`` times its standard deviation,
    of the column where that is most; from 1 on it is too much. ``columns``: (features,), those that are levels."""

    look: Look
    columns: Bool
    factor: float
    sigmas: float
    kind = "level-limit"

    def answer(self, examples: Examples) -> Answers:
        novelty = np.full(len(examples), np.nan)
        for value, asked in by_track(examples, self.look):
            begun = self.look.beginning(value)[:, self.columns]
            usable = np.isfinite(begun).any(axis=0)
            begun, now = begun[:, usable], value[examples.end[asked] - 1][:, self.columns][:, usable]
            limit = self.factor * np.nanmean(begun, axis=0) + self.sigmas * np.nanstd(begun, axis=0)
            known = np.isfinite(now) & (limit > 0)
            share = np.where(known, now, -np.inf) / np.where(limit > 0, limit, 1.0)
            novelty[asked] = np.where(known.any(axis=1), share.max(axis=1, initial=-np.inf), np.nan)
        return {"novelty": novelty}

    def parts(self) -> dict[str, Any]:
        look = [self.look.skip, self.look.first, self.look.last]
        return {"look": look, "columns": self.columns, "factor": self.factor, "sigmas": self.sigmas}

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> LevelLimit:
        return cls(Look(*parts["look"]), parts["columns"], parts["factor"], parts["sigmas"])
