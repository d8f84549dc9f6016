"""Find the units that fail among many, by halves. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

F = TypeVar("F")
Units = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Culprit(Generic[F]):
    """Units that fail, and how: one, or more where the budget ran out before they could be told apart."""

    units: Units
    failure: F


@dataclass(slots=True)
class Findings(Generic[F]):
    """What a search found. ``apart``: sets that pass alone and fail together with the rest: to go on separately."""

    culprits: list[Culprit[F]] = field(default_factory=list)
    apart: list[Units] = field(default_factory=list)
    probes: int = 0


@dataclass(slots=True)
class Search(Generic[F]):
    """``fails`` tries a set of units and says how it failed, or None; at most ``most`` tries are made."""

    fails: Callable[[Units], F | None]
    most: int
    found: Findings[F] = field(default_factory=Findings)

    def among(self, units: Sequence[int]) -> Findings[F]:
        """Try all together, then by halves: about 2 log2(n) tries for each culprit among n units."""
        whole = tuple(units)
        failure = self._try(whole)
        if failure is not None:
            self._divide(whole, failure)
        return self.found

    def _try(self, units: Units) -> F | None:
        self.found.probes += 1
        return self.fails(units)

    def _divide(self, units: Units, failure: F) -> None:
        """``units`` have failed together, with ``failure``."""
        if len(units) <= 1 or self.found.probes + 2 > self.most:
            self._confirm(units, failure)
            return
        halves = units[: len(units) // 2], units[len(units) // 2 :]
        failures = [self._try(half) for half in halves]
        if failures == [None, None]:  # only together: too much at once, or it was chance
            if self._try(units) is not None:
                self.found.apart.append(halves[1])
            return
        for half, failed in zip(halves, failures, strict=True):
            if failed is not None:
                self._divide(half, failed)

    def _confirm(self, units: Units, failure: F) -> None:
        """Nobody is condemned for one failure, which may have been bad luck, while there is a try left."""
        if self.found.probes < self.most:
            again = self._try(units)
            if again is None:
                return
            failure = again
        self.found.culprits.append(Culprit(units, failure))
