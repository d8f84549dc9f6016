"""Rows of a machine that are unlike its normal ones: a rig, a plant, spacecraft and a hydraulic unit.

All are taught with normal rows alone, which give a search nothing to go by: settings are fixed, and ``seconds`` is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from mlops import charts, multivariate
from mlops.learning import examples as asking
from mlops.learning import figures, ranges, splits
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, Pick, Settings, Signature
from mlops.learning.examples import Examples
from mlops.multivariate import Shape
from mlops.recipes import anomaly_data
from mlops.recipes.anomaly_data import CYCLE, CYCLE_PARTS, HYDRAULIC, PLANT, PLANT_PERIOD, RIG, TELEMETRY_PERIOD
from sensors.columns import SECOND_US, Bool, Int64

OUTPUTS = (Feature("score"), Feature("anomalous"))
TRAINING = 400
"""Rows of a file of the rig that are there to be learned from, by the published protocol."""
F1 = Measure("f1", "", lower_is_better=False, margin=0.02)
SKILL = Measure("skill", "", lower_is_better=False, margin=0.02)
VUS_PR = Measure("vus_pr", "", lower_is_better=False, margin=0.02)
QUIET = (Guard("false_alarms", 0.02),)


@dataclass(slots=True)
class Anomaly:
    """``read``: the rows of its folder; ``taught``: of questions those that may be learned from; ``shape``: how the
    machine is looked at; ``block``: questions that are a block, 0 = a track is; ``each``: figures of each track too."""

    name: str
    about: str
    source: str
    signature: Signature
    target: Measure
    shape: Shape
    read: Callable[[Path], anomaly_data.Judged]
    taught: Callable[[Examples], Bool]
    block: int = 0
    each: bool = False
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    admitted: Mapping[str, str] = field(default_factory=dict)
    guards: tuple[Guard, ...] = QUIET
    experiment: str = "anomaly"
    seconds: float = 0.0
    defaults: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.defaults = {"span": self.shape.span, "explained": self.shape.explained, "budget": self.shape.budget}

    def load(self, folder: Path) -> Examples:
        judged = self.read(folder)
        return asking.everywhere(judged.tracks, judged.truths)

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        """Of what is not learned from only what is later: it is asked as it would have been in use."""
        taught = self.taught(examples)
        last = np.full(len(examples.tracks), -1)
        np.maximum.at(last, examples.track[taught], examples.end[taught])
        return examples.take(taught), examples.take(~taught & (examples.end > last[examples.track]))

    def settings(self, pick: Pick) -> Settings:
        return {
            "span": pick.suggest_int("span", 1, self.shape.span),
            "explained": pick.suggest_float("explained", 0.5, 0.95),
            "budget": self.shape.budget,
        }

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        """Nothing is drawn: ``seed`` changes nothing."""
        return multivariate.learn(examples, replace(self.shape, **settings))

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        return charts.charts(examples, warm_up=self.shape.warm_up, by_unit=self.shape.by_unit)

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        """Who is not answered is not warned. ``skill``: recall less the rate of false alarms, 0 for whoever calls
        everything or nothing anomalous, or throws dice."""
        truth = examples.truth == 1
        said, score = np.nan_to_num(answers["anomalous"]) > 0.5, np.nan_to_num(answers["score"])
        out = figures.confusion(said, truth)
        out |= {"missed": 1.0 - out["recall"], "skill": out["recall"] - out["false_alarms"]}
        out["average_precision"] = figures.pr_auc(score, truth)
        series = list(in_order(examples))
        counts = np.array([times * np.array(ranges.events(said[rows], truth[rows])) for rows, times in series])
        wanted, hit, wrong = counts.sum(axis=0)
        out |= {"events": float(wanted), "events_found": hit / max(1.0, wanted), "alarms_outside": float(wrong)}
        if self.target is VUS_PR:
            volumes = [
                (volume(score[rows].tobytes(), truth[rows].tobytes()), k) for rows, k in series if truth[rows].any()
            ]
            out["vus_pr"] = sum(v * k for v, k in volumes) / max(1.0, sum(k for _, k in volumes))
        if self.each:
            out |= {f"detected {unit}": float(said[rows].mean()) for unit, rows in by_unit(examples)}
        return out

    def blocks(self, examples: Examples) -> Int64:
        if self.block:
            return splits.blocks_of_time(examples, length=self.block)
        return splits.blocks_of_tracks(examples)

    def aside(self, folder: Path) -> Examples | None:
        return None


@lru_cache(maxsize=128)
def volume(score: bytes, truth: bytes) -> float:
    """Remembered, since whoever draws blocks again and again asks for the same series again and again."""
    return ranges.vus_pr(np.frombuffer(score, np.float64), np.frombuffer(truth, np.bool_))


def in_order(examples: Examples) -> Iterator[tuple[Int64, float]]:
    """Of each track the positions of its questions by time, each instant once, and how often it was asked."""
    for number in np.unique(examples.track):
        mine = np.flatnonzero(examples.track == number)
        _, first, times = np.unique(examples.end[mine], return_index=True, return_counts=True)
        yield mine[first], float(times.mean())


def by_unit(examples: Examples) -> Iterator[tuple[str, Int64]]:
    for number in np.unique(examples.track):
        yield examples.tracks[number].unit, np.flatnonzero(examples.track == number)


# What may be learned from


def first_rows(examples: Examples) -> Bool:
    return examples.end <= TRAINING


def calm_tracks(examples: Examples) -> Bool:
    """The first 70 % of the tracks without a fault."""
    lengths = np.array([len(track.at) for track in examples.tracks])
    faulty = np.unique(examples.track[examples.truth != 0])
    early = examples.end <= 0.7 * lengths[examples.track]
    return np.asarray(early & ~np.isin(examples.track, faulty))


def first_tracks(examples: Examples) -> Bool:
    """The first track of each unit."""
    first: dict[str, int] = {}
    for number, track in enumerate(examples.tracks):
        first.setdefault(track.unit, number)
    return np.isin(examples.track, list(first.values()))


def healthy_beginning(examples: Examples) -> Bool:
    """The healthy among the first fifth of the rows of a track."""
    lengths = np.array([len(track.at) for track in examples.tracks])
    return np.asarray((examples.end <= 0.2 * lengths[examples.track]) & (examples.truth == 0))


RIG_ANOMALY = Anomaly(
    name="rig-anomaly",
    about="Is a water rig with pump and valves as it was when it was started?",
    source="SKAB 0.9, Skoltech Anomaly Benchmark: measured on a test rig, faults made by hand; GPL-3.0",
    signature=Signature(
        features=(
            Feature(RIG[0], "g", "VIBRATION"), Feature(RIG[1], "g", "VIBRATION"), Feature(RIG[2], "A", "CURRENT"),
            Feature(RIG[3], "bar", "PRESSURE"), Feature(RIG[4], "°C", "TEMPERATURE"),
            Feature(RIG[5], "°C", "TEMPERATURE"), Feature(RIG[6], "V", "VOLTAGE"), Feature(RIG[7], "l/min", "FLOW"),
        ),
        outputs=OUTPUTS, rows=3600, least=TRAINING + 1, period_us=SECOND_US,
    ),
    target=F1,
    shape=Shape(span=10, explained=0.9, warm_up=TRAINING, rows=3600, budget=0.02),
    read=anomaly_data.rig,
    taught=first_rows,
    published={
        "Conv-AE (publisher's repository, all 34 files)": {"f1": 0.78, "false_alarms": 0.136, "missed": 0.280},
        "MSET (publisher's repository, all 34 files)": {"f1": 0.78, "false_alarms": 0.397, "missed": 0.141},
        "T2+Q PCA (publisher's repository, all 34 files)": {"f1": 0.76, "false_alarms": 0.266, "missed": 0.249},
        "LSTM-AE (publisher's repository, all 34 files)": {"f1": 0.74, "false_alarms": 0.300, "missed": 0.259},
        "Isolation forest (publisher's repository, all 34 files)": {"f1": 0.29, "false_alarms": 0.026, "missed": 0.829},
    },
)  # fmt: skip
PLANT_ANOMALY = Anomaly(
    name="plant-anomaly",
    about="Does a chemical plant run as it did in normal operation?",
    source="Tennessee Eastman process, Downs and Vogel 1993, files of UIUC: simulated; no licence given",
    signature=Signature(
        features=tuple(Feature(name) for name in PLANT),
        outputs=OUTPUTS, rows=5, least=5, period_us=PLANT_PERIOD * SECOND_US,
    ),
    target=SKILL,
    shape=Shape(span=5, explained=0.9, rows=5),
    read=anomaly_data.plant,
    taught=calm_tracks,
    block=50,
    each=True,
)  # fmt: skip
SPACECRAFT_ANOMALY = Anomaly(
    name="spacecraft-anomaly",
    about="Is the telemetry of a channel as it was in an earlier stretch?",
    source="SMAP and MSL telemetry, Hundman et al. 2018, NASA JPL: measured in flight, scaled; Caltech licence",
    signature=Signature(
        features=(Feature("telemetry"),), outputs=OUTPUTS, rows=60, least=60, period_us=TELEMETRY_PERIOD * SECOND_US
    ),
    target=VUS_PR,
    shape=Shape(span=10, lags=5, step=10, explained=0.9, rows=60, by_unit=True),
    read=anomaly_data.spacecraft,
    taught=first_tracks,
    published={
        "KMeansAD (TSB-AD, other choice of channels, sees the future)": {"vus_pr": 0.380},
        "CNN (TSB-AD, other choice of channels)": {"vus_pr": 0.191},
        "Isolation forest (TSB-AD, other choice of channels)": {"vus_pr": 0.089},
    },
)
HYDRAULIC_ANOMALY = Anomaly(
    name="hydraulic-anomaly",
    about="Does a cycle of a hydraulic rig look as with a valve, pump and accumulator as new?",
    source="Condition monitoring of hydraulic systems, ZeMA, UCI 447: measured on a test rig, faults seeded; CC BY 4.0",
    signature=Signature(
        features=tuple(Feature(f"{sensor} part {part + 1}") for sensor in HYDRAULIC for part in range(CYCLE_PARTS)),
        outputs=OUTPUTS, rows=1, least=1, period_us=CYCLE * SECOND_US,
    ),
    target=SKILL,
    shape=Shape(explained=0.9),
    read=anomaly_data.hydraulic,
    taught=healthy_beginning,
    block=45,
)  # fmt: skip
FAMILY = (RIG_ANOMALY, PLANT_ANOMALY, SPACECRAFT_ANOMALY, HYDRAULIC_ANOMALY)
