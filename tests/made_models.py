"""A recipe of made data, quick to teach, whose truth is known: machines that wear by a straight line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlops.learning import figures, splits
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, NotAtHand, Pick, Settings, Signature
from mlops.learning.examples import Examples, Track, everywhere
from sensors.columns import Int64

NAME = "made-wear"
SIGNATURE = Signature(
    features=(Feature("load", "kN", "OTHER"), Feature("heat", "°C", "TEMPERATURE")),
    outputs=(Feature("wear", "mm"),),
    equipment_class="PRESS",
)


@dataclass(frozen=True, slots=True)
class Line:
    """wear = slope * load + offset."""

    slope: float
    offset: float
    kind: str = "made-line"

    def parts(self) -> dict[str, Any]:
        return {"slope": self.slope, "offset": self.offset}

    def answer(self, examples: Examples) -> Answers:
        return {"wear": self.slope * examples.now[:, 0] + self.offset}


def from_parts(parts: dict[str, Any]) -> Learned:
    return Line(float(parts["slope"]), float(parts["offset"]))


@dataclass(slots=True)
class Wear:
    """``bias``: added to what is taught: a worse one is made so; ``machines``: none = the data is not there."""

    bias: float = 0.0
    machines: int = 12
    rows: int = 40
    name: str = NAME
    experiment: str = "made"
    about: str = "How far a press is worn, of its load."
    source: str = "made here"
    signature: Signature = SIGNATURE
    target: Measure = field(default_factory=lambda: Measure("rmse", "mm", lower_is_better=True, margin=0.01))
    guards: tuple[Guard, ...] = (Guard("false_alarms", 0.5),)
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    admitted: Mapping[str, str] = field(default_factory=dict)
    defaults: Settings = field(default_factory=lambda: {"shrink": 0.5})
    seconds: float = 0.0

    def load(self, folder: Path) -> Examples:
        if not self.machines:
            raise NotAtHand(folder / "made.csv")
        lot = np.random.default_rng(7)
        tracks, truths = [], []
        for number in range(self.machines):
            load, heat = lot.uniform(1, 9, self.rows), lot.normal(60, 5, self.rows)
            tracks.append(Track(f"press-{number}", np.arange(self.rows), np.column_stack([load, heat])))
            truths.append(2 * load + 1 + lot.normal(0, 0.3, self.rows))
        return everywhere(tracks, truths)

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        return splits.by_time(examples, held_out=0.3, gap=2)

    def settings(self, pick: Pick) -> Settings:
        return {"shrink": pick.suggest_float("shrink", 0.0, 1.0)}

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        slope, offset = np.polyfit(examples.now[:, 0], examples.truth, 1)
        return Line(float(slope * (1 - settings["shrink"] / 20)), float(offset + self.bias))

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        return {"mean": Line(0.0, float(examples.truth.mean()))}

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        worn, said = examples.truth > 15, answers["wear"] > 15
        return {
            "rmse": figures.rmse(answers["wear"], examples.truth),
            "false_alarms": figures.confusion(said, worn)["false_alarms"],
        }

    def blocks(self, examples: Examples) -> Int64:
        return splits.blocks_of_tracks(examples)

    def aside(self, folder: Path) -> Examples | None:
        return None
