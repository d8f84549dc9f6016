"""How worn a bearing is, from its vibration beside its own beginning. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from mlops.beginnings import Look, by_track, filled, logarithms, medians, usual
from mlops.learning.contract import Answers
from mlops.learning.examples import Examples
from sensors.columns import Bool, Float64

STEEP = 8.0
"""A health of 0.98 where nothing of life is used, as far as can be seen, and of 0.02 where all is."""


@dataclass(frozen=True)
class VibrationHealth:
    """1 = as in its beginning, 0 = as bearings were when they failed; it knows no clock and adds nothing up, so that it
    rises again where the vibration does as in the beginning.

    ``alike``: the columns are sensors of one kind, of which the highest, the middle and the lowest change count;
    otherwise each column counts by itself. ``worn``: from changes to the share of life used; ``instead``: (changes,),
    taken for one that is not known.
    """

    look: Look
    logs: Bool
    alike: bool
    worn: Any
    instead: Float64
    kind = "vibration-health"

    @classmethod
    def learn(cls, examples: Examples, look: Look, logs: Bool, *, alike: bool, ridge: float) -> VibrationHealth:
        """``truth``: the share of life used."""
        unlearned = cls(look, logs, alike, None, np.zeros(3 if alike else len(logs)))
        changes = unlearned.changes(examples)
        known = np.isfinite(changes).any(axis=1) & np.isfinite(examples.truth)
        if not known.any():
            raise ValueError("nothing to learn from: no bearing is watched beyond its beginning")
        instead = usual(changes[known])
        worn = Ridge(ridge).fit(filled(changes[known], instead), examples.truth[known])
        return replace(unlearned, worn=worn, instead=instead)

    def changes(self, examples: Examples) -> Float64:
        """(n, changes) since the beginning, NaN = not known."""
        change = np.full((len(examples), len(self.logs)), np.nan)
        for value, asked in by_track(examples, self.look):
            seen = logarithms(value[: int(examples.end[asked].max())], self.logs)
            begun = medians(self.look.beginning(seen))
            change[asked] = [self.look.now(seen, int(end)) - begun for end in examples.end[asked]]
        if not self.alike:
            return change
        some = np.isfinite(change).any(axis=1)
        ends = np.full((len(change), 3), np.nan)
        if some.any():
            ends[some] = np.nanquantile(change[some], (1.0, 0.5, 0.0), axis=1).T
        return ends

    def answer(self, examples: Examples) -> Answers:
        changes = self.changes(examples)
        known = np.isfinite(changes).any(axis=1)
        health = np.full(len(changes), np.nan)
        if known.any():
            worn = self.worn.predict(filled(changes[known], self.instead))
            health[known] = 1 / (1 + np.exp(STEEP * np.clip(worn - 0.5, -5, 5)))
        return {"health": health}

    def parts(self) -> dict[str, Any]:
        look = [self.look.skip, self.look.first, self.look.last]
        return {"look": look, "logs": self.logs, "alike": self.alike, "worn": self.worn, "instead": self.instead}

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> VibrationHealth:
        return cls(Look(*parts["look"]), parts["logs"], parts["alike"], parts["worn"], parts["instead"])


@dataclass(frozen=True)
class LevelHealth:
    """The usual indicator: the level between ``new`` and ``failed``, what others read in their beginning and at their
    end, of the column that reads most. ``columns``: (features,), those that are levels."""

    look: Look
    columns: Bool
    new: float
    failed: float
    kind = "level-health"

    @classmethod
    def learn(cls, examples: Examples, look: Look, columns: Bool) -> LevelHealth:
        unlearned = cls(look, columns, 0.0, 1.0)
        level = unlearned.levels(examples)
        tracks = np.unique(examples.track[np.isfinite(level)])
        if not len(tracks):
            raise ValueError("nothing to learn from: no bearing is watched beyond its beginning")
        mine = [level[(examples.track == track) & np.isfinite(level)] for track in tracks]
        return replace(
            unlearned, new=float(np.mean([m[0] for m in mine])), failed=float(np.mean([m[-1] for m in mine]))
        )

    def levels(self, examples: Examples) -> Float64:
        level = np.full(len(examples), np.nan)
        for value, asked in by_track(examples, self.look):
            now = np.array([self.look.now(value[:, self.columns], int(end)) for end in examples.end[asked]])
            highest = np.where(np.isfinite(now), now, -np.inf).max(axis=1, initial=-np.inf)
            level[asked] = np.where(np.isfinite(highest), highest, np.nan)
        return level

    def answer(self, examples: Examples) -> Answers:
        span = self.failed - self.new
        return {"health": 1 - np.clip((self.levels(examples) - self.new) / (span if span else 1.0), 0.0, 1.0)}

    def parts(self) -> dict[str, Any]:
        look = [self.look.skip, self.look.first, self.look.last]
        return {"look": look, "columns": self.columns, "new": self.new, "failed": self.failed}

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> LevelHealth:
        return cls(Look(*parts["look"]), parts["columns"], parts["new"], parts["failed"])
