"""In which state cooler, valve, pump and accumulator of a hydraulic test rig are, cycle by cycle (a real rig with
faults that were put in). ``docs/models/hydraulics.md``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from mlops import classification
from mlops.learning import figures, splits
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, Pick, Settings, Signature
from mlops.learning.examples import Examples, Track, everywhere
from mlops.recipes import hydraulic_cycles as cycles
from sensors.columns import Float64, Int64

CYCLE_US = 60_000_000
STRETCH = 45
"""So many cycles in a row are held out or learned from together."""
RUN_US = 10 * CYCLE_US
"""How long the rig keeps a state before it takes up the next one, at least."""
FOLDS = 4

Describe = Callable[[Mapping[str, Float64]], dict[Feature, Float64]]


class Hydraulic:
    experiment = "condition-classification"
    source = (
        "Condition monitoring of hydraulic systems (Helwig, Pignanelli, Schütze 2015, ZeMA, UCI 447), CC BY 4.0: "
        "measured on a rig, with faults that were put in."
    )
    target = Measure("accuracy", "", lower_is_better=False, margin=0.05)
    guards: tuple[Guard, ...] = (Guard("brier", 0.02),)
    defaults: Settings = {"shrinkage": 0.001}
    seconds = 5.0

    def __init__(
        self, name: str, part: Feature, about: str, *, column: int, sensors: Mapping[str, int], describe: Describe,
        published: Mapping[str, Mapping[str, float]],
    ) -> None:  # fmt: skip
        """``part``: what is asked; ``column``: of it in ``profile.txt``; ``sensors``: that are looked at, with their
        samples a cycle; ``describe``: the features of each cycle from these."""
        self.name = name
        self.about = f"{about}, with the probability of that, from one load cycle of 60 s."
        self.part = part
        self.column = column
        self.sensors = sensors
        self.describe = describe
        self.published = published
        features = tuple(describe({sensor: np.zeros((1, samples)) for sensor, samples in sensors.items()}))
        self.signature = Signature(features, (part, Feature("probability")), period_us=CYCLE_US)
        why = "the rig's own sensors measured it in the same cycle, and the fault was put in by hand"
        self.admitted: Mapping[str, str] = {feature.name: why for feature in features}

    def load(self, folder: Path) -> Examples:
        """Every stretch of cycles is a track of its own."""
        at = folder / "hydsys"
        read = cycles.read(at, {**self.sensors, "profile": 5})
        truth = read["profile"][:, self.column]
        value = np.column_stack(list(self.describe(read).values()))
        return everywhere(*_stretches(value, truth))

    def aside(self, folder: Path) -> Examples | None:
        return None

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        return splits.in_turn(examples, examples.track, folds=FOLDS, gap=RUN_US, seed=0)[0]

    def settings(self, pick: Pick) -> Settings:
        return {"shrinkage": pick.suggest_float("shrinkage", 3e-4, 0.03, log=True)}

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        def discriminant() -> Any:
            linear = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=settings["shrinkage"])
            return make_pipeline(StandardScaler(), linear)

        return self._teach(examples, discriminant)

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        return {
            "commonest": self._teach(examples, lambda: DummyClassifier(strategy="prior")),
            "one limit": self._teach(examples, lambda: DecisionTreeClassifier(max_depth=1, random_state=0)),
        }

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        """F1 is the mean over the states. What is not answered counts as wrong."""
        said, truth = answers[self.part.name], examples.truth
        probability, right = np.nan_to_num(answers["probability"], nan=0.0), said == truth
        return {
            "accuracy": figures.accuracy(said, truth),
            "f1": float(np.mean([figures.confusion(said == one, truth == one)["f1"] for one in np.unique(truth)])),
            "brier": figures.brier(probability, right),
            "calibration_error": figures.calibration_error(probability, right),
        }

    def blocks(self, examples: Examples) -> Int64:
        return splits.blocks_of_tracks(examples)

    def _teach(self, examples: Examples, make: classification.Make) -> classification.Classifier:
        inner = splits.in_turn(examples, examples.track, folds=FOLDS, gap=RUN_US, seed=0)
        return classification.teach(examples, make, inner=inner, outputs=(self.part.name, "probability"))


def _stretches(value: Float64, truth: Float64) -> tuple[list[Track], list[Float64]]:
    at = np.arange(len(value), dtype=np.int64) * CYCLE_US
    cuts = [(first, min(first + STRETCH, len(at))) for first in range(0, len(at), STRETCH)]
    tracks = [Track(f"rig, cycles {a + 1} to {b}", at[a:b], value[a:b]) for a, b in cuts]
    return tracks, [truth[a:b] for a, b in cuts]


def _cooling(read: Mapping[str, Float64]) -> dict[Feature, Float64]:
    units = {"CE": ("%", "OTHER"), "CP": ("kW", "POWER")}
    told = [cycles.parts(name, *units[name], read[name], count=3) for name in units]
    return {feature: value for one in told for feature, value in one.items()}


def _opening(read: Mapping[str, Float64]) -> dict[Feature, Float64]:
    return cycles.opening(read["FS1"])


def _efficiency(read: Mapping[str, Float64]) -> dict[Feature, Float64]:
    return cycles.parts("SE", "%", "OTHER", read["SE"])


def _flow_and_efficiency(read: Mapping[str, Float64]) -> dict[Feature, Float64]:
    return {**cycles.flow(read["FS1"]), **_efficiency(read)}


RANDOM_FOLDS = "own floor, random folds: they leak"
BLOCKS = "own floor, blocks of 45 cycles"

COOLER = Hydraulic(
    "hydraulic-cooler", Feature("cooler", "%"), "How much the cooler still does (3, 20 or 100 %)",
    column=0, sensors={"CE": cycles.SLOW, "CP": cycles.SLOW}, describe=_cooling, published={},
)  # fmt: skip
VALVE = Hydraulic(
    "hydraulic-valve", Feature("valve", "%"), "How well the valve switches (100, 90, 80 or 73 %)",
    column=1, sensors={"FS1": cycles.FAST}, describe=_opening,
    published={BLOCKS: {"accuracy": 0.823}, RANDOM_FOLDS: {"accuracy": 0.971}},
)  # fmt: skip
PUMP = Hydraulic(
    "hydraulic-pump", Feature("pump"), "How much the pump leaks inside (0 = not, 1 = weakly, 2 = severely)",
    column=2, sensors={"SE": cycles.SLOW}, describe=_efficiency, published={},
)  # fmt: skip
ACCUMULATOR = Hydraulic(
    "hydraulic-accumulator", Feature("accumulator", "bar", "PRESSURE"),
    "The accumulator's gas pressure (130, 115, 100 or 90 bar)",
    column=3, sensors={"FS1": cycles.FAST, "SE": cycles.SLOW}, describe=_flow_and_efficiency,
    published={BLOCKS: {"accuracy": 0.763}, RANDOM_FOLDS: {"accuracy": 0.985}},
)  # fmt: skip

RECIPES = (COOLER, VALVE, PUMP, ACCUMULATOR)
