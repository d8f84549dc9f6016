"""Recipes: how long until a quantity that wears is beyond its limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlops import time_to_limit
from mlops.learning import figures, splits
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, Pick, Settings, Signature
from mlops.learning.examples import Examples, Track, everywhere
from mlops.recipes import series
from mlops.time_to_limit import ASKED, LEAST, OUTPUTS
from sensors.columns import Float64, Int64

GOAL = 0.8
"""Of truths between p10 and p90."""
FOR_EVER = 1000.0
"""What "never" counts as, in rows, where it is measured."""
ALL = 10_000
"""More rows than any track has."""
SEED = 1
WINDOWS = (LEAST, 120)


@dataclass
class RowsToLimit:
    """One of these recipes. ``read``: of each machine its track, from new. A machine that never is beyond the limit
    teaches how fast it wears; what remains of it is not known, so that nothing about it is measured. ``seconds`` is 0
    where there are too few machines to choose by."""

    name: str
    about: str
    source: str
    feature: Feature
    limit: float
    above: bool
    read: Callable[[Path], tuple[Track, ...]]
    unit: str
    block: int
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    defaults: Settings = field(default_factory=lambda: {"window": 100, "strength": 100.0})
    seconds: float = 0.0
    experiment: str = "time-to-limit"
    guards: tuple[Guard, ...] = (Guard("miscoverage", 0.1),)

    target: Measure = field(init=False)
    signature: Signature = field(init=False)
    admitted: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        outputs = tuple(Feature(name, self.unit) for name in OUTPUTS)
        self.target = Measure("pinball", self.unit, lower_is_better=True, margin=0.1)
        self.signature = Signature((self.feature,), outputs, rows=WINDOWS[1], least=LEAST)
        self.admitted = {self.feature.name: "how far it is worn is what tells how long it will last"}

    def load(self, folder: Path) -> Examples:
        tracks = self.read(folder)
        every = everywhere(tracks, [self._left(track.value[:, 0]) for track in tracks])
        return every.take((every.end >= LEAST) & ~(every.truth <= 0) & np.isfinite(every.now[:, 0]))

    def _left(self, value: Float64) -> Float64:
        """(t,): rows until it is first beyond the limit, 0 from then on, NaN where it never is."""
        beyond = np.flatnonzero(value >= self.limit if self.above else value <= self.limit)
        left = beyond[0] - np.arange(len(value)) if len(beyond) else np.full(len(value), np.nan)
        return np.fmax(left, 0.0) if len(beyond) else left

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        """Whole machines are held out, of those alone whose truth is known; the others are learned from."""
        known = np.isin(examples.track, np.unique(examples.track[np.isfinite(examples.truth)]))
        _, held = splits.by_track(examples.take(known), held_out=1 / 3, seed=SEED)
        return examples.take(~np.isin(examples.track, np.unique(held.track))), held

    def settings(self, pick: Pick) -> Settings:
        return {
            "window": pick.suggest_int("window", *WINDOWS),
            "strength": pick.suggest_float("strength", 1.0, 1000.0, log=True),
        }

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> time_to_limit.Wear:
        return self._taught(examples, window=settings["window"], strength=settings["strength"])

    def _taught(self, examples: Examples, *, window: int, strength: float) -> time_to_limit.Wear:
        return time_to_limit.teach_wear(
            examples, limit=self.limit, above=self.above, window=window, strength=strength
        )  # fmt: skip

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        """The mean life of the others; their mean rate; a line through all rows so far, and through the latest."""
        return {
            "mean life": MeanLife(self._lives(examples)),
            "mean rate": self._taught(examples, window=LEAST, strength=1e9),
            "line": self._taught(examples, window=ALL, strength=0.0),
            "latest line": self._taught(examples, window=LEAST, strength=0.0),
        }

    def _lives(self, examples: Examples) -> float:
        """Of those that were beyond the limit; else of all, as long as they were watched."""
        last = {number: examples.end[examples.track == number].max() for number in np.unique(examples.track)}
        failed = np.unique(examples.track[np.isfinite(examples.truth)])
        return float(np.mean([last[number] for number in (failed if len(failed) else last)]))

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        """``late``: the share of answers (p50) after which it was beyond the limit already."""
        said = np.isfinite(examples.truth) & ~np.isnan(answers["p50"])
        if not said.any():
            return dict.fromkeys(("pinball", "mae", "rmse", "coverage", "miscoverage", "width", "late"), np.nan)
        truth = examples.truth[said]
        low, middle, high = (np.minimum(answers[name][said], FOR_EVER) for name in OUTPUTS)
        losses = [figures.pinball(one, truth, quantile=q) for one, q in zip((low, middle, high), ASKED, strict=True)]
        covered = figures.coverage(low, high, truth)
        return {
            "pinball": float(np.mean(losses)),
            "mae": float(np.mean(np.abs(middle - truth))),
            "rmse": figures.rmse(middle, truth),
            "coverage": covered,
            "miscoverage": abs(covered - GOAL),
            "width": float(np.mean(high - low)),
            "late": float(np.mean(middle > truth)),
        }

    def blocks(self, examples: Examples) -> Int64:
        return splits.blocks_of_time(examples, length=self.block)

    def aside(self, folder: Path) -> Examples | None:
        return None


@dataclass(frozen=True, slots=True)
class MeanLife:
    """What is left of the mean life, whatever is measured."""

    life: float

    kind = "mean life"

    def parts(self) -> dict[str, Any]:
        return {"life": self.life}

    def answer(self, examples: Examples) -> Answers:
        left = np.maximum(self.life - examples.end, 0.0)
        return dict.fromkeys(OUTPUTS, left)


TIME_TO_LIMIT = (
    RowsToLimit(
        "battery-capacity",
        "Discharges until a lithium-ion cell gives less than 1.4 Ah, a fade of 30 %.",
        "NASA Ames battery data set (open): cells B0005, B0006 and B0007 at room temperature, measured.",
        Feature("capacity", "Ah"),
        1.4,
        False,
        series.capacities,
        "discharges",
        block=10,
    ),
)
