"""How many cycles a turbofan has left: P10, P50 and P90, and whether their coverage is proven. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mlops import overhauls, prognosis, regimes
from mlops.learning import splits
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, Pick, Settings, Signature
from mlops.learning.examples import Examples, at_the_end
from mlops.prognosis import Sight, Stops
from mlops.recipes import turbofan_data
from sensors.columns import Bool, Float64, Int64

SPLIT_SEED = 0
HELD_OUT = 0.3
CLIPPED_AT = 125.0
"""Cycles: where many publications clip the truth; more than that need not be told apart for their figures."""
SIGHT = Sight(rows=600, least=15, means=(10,), slopes=(80, 600))
BESIDE = {
    "FFVE": (12.3, 12.6, 12.4, 14.1), "MTSTAN": (11.0, 16.8, 10.9, 18.9), "AGCNN": (12.4, 19.4, 13.4, 21.5),
    "deep LSTM": (16.1, 24.5, 16.2, 28.2),
}  # fmt: skip
FLOOR, FLOOR_CLIPPED = (14.9, 24.7, 14.2, 25.4), (13.7, 12.0, 12.6, 12.8)
TARGET = Measure("rmse", "cycle", lower_is_better=True, margin=1.0)
GUARDS = (Guard("phm08_mean", 1.0), Guard("coverage_off", 0.1))
SOURCE = (
    "C-MAPSS {name} (Saxena et al., 2008, NASA prognostics data repository): simulated, flown until they failed, with "
    "{regimes} and {faults}; NASA open data"
)


def _signature() -> Signature:
    told = tuple(Feature(name, "cycle") for name in prognosis.OUTPUTS)
    return Signature(
        features=turbofan_data.FEATURES,
        outputs=(*told, Feature(prognosis.PROVEN)),
        rows=SIGHT.rows,
        least=SIGHT.least,
        period_us=turbofan_data.PERIOD_US,
        equipment_class="TURBOFAN",
    )


@dataclass
class TurbofanLife:
    """``data``: FD001 to FD004; ``stops``: at which lives left its engines are asked about, like those of its test."""

    name: str
    data: str
    regimes: int
    stops: Stops
    source: str
    published: Mapping[str, Mapping[str, float]]
    experiment: str = "remaining-useful-life"
    about: str = (
        "Cycles until a turbofan fails or is overhauled, from levels and trends of its sensors beside its regime"
    )
    signature: Signature = field(default_factory=_signature)
    target: Measure = TARGET
    guards: tuple[Guard, ...] = GUARDS
    admitted: Mapping[str, str] = field(default_factory=dict)
    defaults: Settings = field(
        default_factory=lambda: {
            "trees": 120, "rate": 0.08, "leaves": 10, "places": 400, "width": 0.5, "penalty": 0.3,
        }
    )  # fmt: skip
    seconds: float = 0.0

    def load(self, folder: Path) -> Examples:
        """Engines that failed; where one was overhauled before, the truth is what was left until then."""
        tracks = turbofan_data.failed(folder, self.data)
        asked = turbofan_data.at_every(tracks, rows=3, least=SIGHT.least)
        rows = np.concatenate([track.value for track in tracks])
        usual = regimes.learn(rows, settings=len(turbofan_data.SETTINGS), regimes=self.regimes, seed=SPLIT_SEED)
        wear = overhauls.learn(asked, usual, furthest=self.stops.furthest)
        return overhauls.until_the_next(asked, wear, usual)

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        return splits.by_track(examples, held_out=HELD_OUT, seed=SPLIT_SEED)

    def settings(self, pick: Pick) -> Settings:
        return {
            **self.defaults,
            "leaves": pick.suggest_int("leaves", 4, 24),
            "trees": pick.suggest_int("trees", 60, 240),
            "width": pick.suggest_float("width", 0.1, 3.0, log=True),
            "penalty": pick.suggest_float("penalty", 0.03, 10.0, log=True),
        }

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        return self._learned(examples, SIGHT, (prognosis.boosting, prognosis.kernels), settings, seed)

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        age, last = (Sight(SIGHT.rows, SIGHT.least, means=means) for means in ((), SIGHT.means))
        return {
            "mean life left": self._learned(examples, age, (prognosis.average,), {}, SPLIT_SEED),
            "line of age": self._learned(examples, age, (prognosis.straight,), {}, SPLIT_SEED),
            "line of the last readings": self._learned(examples, last, (prognosis.straight,), {}, SPLIT_SEED),
        }

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        """As if each engine were stopped once, by lot; what is shown is measured at all its instants. ``to_failure``:
        as if nobody knew of overhauls, and what they add to a life counted as well."""
        least, lengths = self.signature.least, np.array([len(track.at) for track in examples.tracks])
        found = figures_of(
            answers, examples.truth, self.stops.chance(examples.truth, overhauls.lives(examples), least=least)
        )
        life = lengths[examples.track].astype(np.float64)
        left = life - examples.end
        raw = figures_of(answers, left, self.stops.chance(left, life, least=least))
        return found | {f"{name}_to_failure": raw[name] for name in ("rmse", "phm08_mean")}

    def blocks(self, examples: Examples) -> Int64:
        return splits.blocks_of_tracks(examples)

    def aside(self, folder: Path) -> Examples | None:
        """Engines that were stopped before they failed, at their last cycle."""
        tracks = turbofan_data.stopped(folder, self.data)
        return at_the_end(tracks, np.full(len(tracks), np.nan))

    def official(self, folder: Path) -> Examples:
        """The same with the truth. Raises ``NotAtHand`` where it is kept elsewhere."""
        tracks = turbofan_data.stopped(folder, self.data)
        return at_the_end(tracks, turbofan_data.left_of_stopped(folder, self.data))

    def _learned(
        self, examples: Examples, sight: Sight, learners: tuple[prognosis.Learner, ...], settings: Settings, seed: int
    ) -> prognosis.LifeLeft:
        return prognosis.learn(
            examples, sight, self.stops, learners, settings,
            columns=len(turbofan_data.SETTINGS), ways=self.regimes, seed=seed,
        )  # fmt: skip


def figures_of(answers: Answers, truth: Float64, weight: Float64) -> dict[str, float]:
    """``weight``: (n,) how much each question counts; for ``shown_missed`` all count alike that are proven.

    The score of the PHM 2008 challenge is here the mean over engines, not the sum.
    """
    names = (*prognosis.OUTPUTS, prognosis.PROVEN)
    known = np.isfinite(truth) & np.isfinite([answers[name] for name in names]).all(axis=0)
    p10, p50, p90, proven = (answers[name][known] for name in names)
    truth, weight = truth[known], weight[known]
    inside = (truth >= p10) & (truth <= p90)
    late, clipped = p50 - truth, np.minimum(p50, CLIPPED_AT) - np.minimum(truth, CLIPPED_AT)
    covered = _mean(inside, weight)
    return {
        "rmse": _mean(late**2, weight) ** 0.5,
        "rmse_clipped": _mean(clipped**2, weight) ** 0.5,
        "phm08_mean": _mean(np.expm1(np.where(late < 0, -late / 13, late / 10)), weight),
        "coverage": covered,
        "coverage_off": abs(covered - 0.8),
        "width": _mean(p90 - p10, weight),
        "shown": _mean(proven, weight),
        "shown_missed": _mean(~inside, proven),
    }


def _mean(value: Float64 | Bool, weight: Float64) -> float:
    """0 where nothing counts: of nothing that is shown nothing is missed."""
    return float((value * weight).sum() / max(weight.sum(), 1e-12))


def _recipe(number: int, regimes: int, faults: str, stops: Stops) -> TurbofanLife:
    name, at = f"FD00{number}", number - 1
    published = {
        f"{method} (official test, second-hand; truth clipped or not, unsaid)": {"rmse": four[at]}
        for method, four in BESIDE.items()
    }
    floor = {"rmse": FLOOR[at], "rmse_clipped": FLOOR_CLIPPED[at]}
    return TurbofanLife(
        f"turbofan-rul-{name.lower()}", name, regimes, stops,
        SOURCE.format(name=name, regimes="one regime" if regimes == 1 else "six regimes", faults=faults),
        published | {"histogram boosting (official test; ours, quick)": floor},
    )  # fmt: skip


NEAR, FAR = Stops(6, 145), Stops(6, 195, fading=0.75)
RECIPES = (
    _recipe(1, 1, "one kind of fault", NEAR),
    _recipe(2, 6, "one kind of fault", FAR),
    _recipe(3, 1, "two kinds of fault", NEAR),
    _recipe(4, 6, "two kinds of fault", FAR),
)
