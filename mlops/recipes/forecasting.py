"""Recipes: a value so far ahead, with its interval, of quantities of machines and plants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import HuberRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops import forecasting
from mlops.forecasting import OUTPUTS, Ahead, Belief
from mlops.learning import figures, splits
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, Pick, Settings, Signature
from mlops.learning.examples import Examples, Track, everywhere
from mlops.recipes import series
from mlops.seasons import Plan
from sensors.columns import SECOND_US, Float64, Int64

GOAL = 0.8
"""Of truths between p10 and p90."""
HELD_OUT = 0.3
TARGET = Measure("pinball", "of the naive error", lower_is_better=True, margin=0.005)
GUARDS = (Guard("miscoverage", 0.05), Guard("mase", 0.02))
DEFAULTS: Settings = {"learner": "both", "alpha": 100.0, "rounds": 40, "recent": 200, "trust": 4.0}
MINUTE_US = 60 * SECOND_US
RECENT = (50, 100, 200)
"""Among how many of the latest errors of a track to choose."""
KEPT = 100.0
LEAVES = 6


@dataclass
class ValueAhead:
    """One of these recipes. ``read``: the tracks from a data folder; ``references``: members of the forecast, the
    first of which estimators begin with; ``warm_up``: rows before anything is asked. ``seconds`` is 0 where the part to
    choose by holds one disturbance or none: the defaults were chosen by rolling origins, and a search finds chance."""

    name: str
    about: str
    source: str
    feature: Feature
    plan: Plan
    read: Callable[[Path], tuple[Track, ...]]
    references: tuple[str, ...]
    warm_up: int
    block: int
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    defaults: Settings = field(default_factory=lambda: DEFAULTS)
    seconds: float = 40.0
    experiment: str = "forecasting"
    target: Measure = field(default_factory=lambda: TARGET)
    guards: tuple[Guard, ...] = field(default_factory=lambda: GUARDS)

    signature: Signature = field(init=False)
    admitted: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        outputs = tuple(replace(self.feature, name=name) for name in OUTPUTS)
        rows = forecasting.looks_back(self.plan, recent=max(RECENT))
        self.signature = Signature(
            (self.feature,), outputs, rows=rows, least=self.warm_up, period_us=self.plan.period_us
        )  # fmt: skip
        self.admitted = {self.feature.name: "a forecast begins with the value that the quantity has now"}

    def load(self, folder: Path) -> Examples:
        tracks = self.read(folder)
        every = everywhere(tracks, [later(track.value[:, 0], self.plan.ahead) for track in tracks])
        known = np.isfinite(every.truth) & np.isfinite(every.now[:, 0])
        return every.take(known & (every.end >= self.warm_up))

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        return splits.by_time(examples, held_out=HELD_OUT, gap=self.plan.ahead)

    def settings(self, pick: Pick) -> Settings:
        return {
            "learner": pick.suggest_categorical("learner", ["none", "linear", "boost", "both"]),
            "alpha": pick.suggest_float("alpha", 1.0, 3000.0, log=True),
            "rounds": pick.suggest_int("rounds", 20, 150),
            "recent": pick.suggest_categorical("recent", list(RECENT)),
            "trust": pick.suggest_float("trust", 0.5, 8.0, log=True),
        }

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Ahead:
        linear = make_pipeline(StandardScaler(), HuberRegressor(alpha=settings["alpha"], max_iter=500))
        boost = HistGradientBoostingRegressor(
            loss="absolute_error", max_leaf_nodes=LEAVES, max_iter=settings["rounds"], min_samples_leaf=20,
            early_stopping=False, random_state=seed,
        )  # fmt: skip
        make: dict[str, tuple[Any, ...]] = {
            "none": (), "linear": (linear,), "boost": (boost,), "both": (linear, boost),
        }  # fmt: skip
        belief = Belief(settings["recent"], settings["trust"], KEPT)
        return forecasting.teach(
            examples, self.plan, make[settings["learner"]], references=self.references, belief=belief
        )

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        """Each with an interval from its errors, made as ours is."""
        names = ("last", "mean", "drift", *(f"season {k}" for k in range(len(self.plan.seasons))))
        belief = Belief(max(RECENT), 1.0, KEPT)
        return {name: forecasting.teach(examples, self.plan, (), references=(name,), belief=belief) for name in names}

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        """Errors are in units of the mean error of the naive forecast (of the season before; the last value where
        there is none) within the first part of each track (Hyndman and Koehler, Another look at measures of forecast
        accuracy, 2006)."""
        low, middle, high = (answers[name] for name in OUTPUTS)
        said = np.isfinite(middle) & np.isfinite(examples.truth)
        unit = np.array([self._unit(track) for track in examples.tracks])[examples.track][said]
        truth = examples.truth[said] / unit
        scaled = [answer[said] / unit for answer in (low, middle, high)]
        losses = [
            figures.pinball(answer, truth, quantile=q) for answer, q in zip(scaled, forecasting.ASKED, strict=True)
        ]
        covered = figures.coverage(scaled[0], scaled[2], truth)
        return {
            "pinball": float(np.mean(losses)),
            "mase": float(np.mean(np.abs(scaled[1] - truth))),
            "rmse": figures.rmse(scaled[1], truth),
            "coverage": covered,
            "miscoverage": abs(covered - GOAL),
            "width": float(np.mean(scaled[2] - scaled[0])),
            "answered": float(np.mean(said)),
        }

    def _unit(self, track: Track) -> float:
        first = track.value[: round((1 - HELD_OUT) * len(track.at)), 0]
        return max(float(np.nanmean(np.abs(first[self.plan.step :] - first[: -self.plan.step]))), 1e-12)

    def blocks(self, examples: Examples) -> Int64:
        return splits.blocks_of_time(examples, length=self.block)

    def aside(self, folder: Path) -> Examples | None:
        return None


def later(value: Float64, ahead: int) -> Float64:
    """(t,): the value so many rows later, NaN at the end."""
    return np.concatenate([value[ahead:], np.full(min(ahead, len(value)), np.nan)])


HOURS = Plan(24, series.HOUR_US, seasons=(24,), memory=72)

VALUE_AHEAD = (
    ValueAhead(
        "water-flow-day",
        "Flow of a water main 24 hours ahead, with a daily and a weekly season, a change of the clocks and four "
        "stretches that were disturbed.",
        "river.datasets.WaterFlow (BSD-3): 1,268 hours of a branch in Italy, measured.",
        Feature("flow", "l/s", "FLOW"),
        Plan(24, series.HOUR_US, seasons=(24, 168), memory=96, zone="Europe/Rome", robust=True),
        series.water_flow,
        ("usual", "season 1", "season 0", "mean"),
        warm_up=216,
        block=24,
        defaults={**DEFAULTS, "learner": "none"},
        seconds=0.0,
    ),
    ValueAhead(
        "temperature-day",
        "Temperature of a machine or of its room 24 hours ahead, by the hour.",
        "Numenta Anomaly Benchmark (MIT): hourly temperature of a room over a year, measured.",
        Feature("temperature", "degF", "TEMPERATURE"),
        HOURS,
        lambda folder: series.nab(folder, ["realKnownCause/*temperature*.csv"], period_us=series.HOUR_US),
        ("season 0", "mean"),
        warm_up=120,
        block=72,
    ),
    ValueAhead(
        "cpu-hour",
        "Processor load of servers an hour ahead, by the quarter of an hour, one model for all.",
        "Numenta Anomaly Benchmark (MIT): two weeks of servers and databases, measured.",
        Feature("cpu", "%"),
        Plan(4, 15 * MINUTE_US, seasons=(96,), memory=192),
        lambda folder: series.nab(
            folder,
            ["realAWSCloudwatch/ec2_cpu_utilization_*.csv", "realAWSCloudwatch/rds_cpu_utilization_*.csv"],
            period_us=15 * MINUTE_US,
        ),
        ("last", "usual", "season 0"),
        warm_up=200,
        block=48,
        defaults={**DEFAULTS, "recent": 100},
    ),
    ValueAhead(
        "hydraulic-temperature",
        "Mean oil temperature of a cycle of a minute ten cycles ahead, while faults of cooler, valve, pump and "
        "accumulator come and go.",
        "Condition monitoring of hydraulic systems, ZeMA (CC BY): a rig with faults that were set, measured.",
        Feature("TS1", "degC", "TEMPERATURE"),
        Plan(10, MINUTE_US, seasons=(), memory=60, robust=True),
        series.hydraulic_temperature,
        ("last", "drift"),
        warm_up=80,
        block=20,
        defaults={**DEFAULTS, "trust": 1.0},
        seconds=0.0,
    ),
)
