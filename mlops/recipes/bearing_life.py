"""How many seconds a bearing has left: P10, P50 and P90, and whether their coverage is proven. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mlops import bearing_life
from mlops.beginnings import Look
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, Pick, Settings, Signature
from mlops.learning.examples import Examples, at_the_end
from mlops.recipes import bearing_data
from mlops.recipes.bearing_turns import BearingTurns
from sensors.columns import Float64

AGE = [feature.name for feature in bearing_data.FEMTO].index("elapsed_s")
GROUPS = tuple(
    tuple(np.flatnonzero(bearing_data.columns(bearing_data.FEMTO, name)).tolist())
    for name in ("_rms", "_absmax", "_kurtosis", "_e_0_1k", "_e_6_12k8")
)
LOOK = Look(skip=0, first=60, last=30)


class FemtoLife(BearingTurns):
    name = "bearing-life-femto"
    experiment = "bearing-life"
    about = "Seconds until a bearing fails, from its age and its vibration beside its own beginning"
    source = bearing_data.FEMTO_SOURCE
    signature = Signature(
        features=bearing_data.FEMTO,
        outputs=(*(Feature(name, "s") for name in bearing_life.OUTPUTS), Feature("coverage_proven")),
        rows=8_640,
        least=LOOK.first,
        period_us=bearing_data.FEMTO_PERIOD_US,
    )
    target = Measure("pinball_s", "s", lower_is_better=True, margin=100.0)
    guards: tuple[Guard, ...] = (Guard("mae_s", 300.0),)
    published: Mapping[str, Mapping[str, float]] = {
        "winner of the PHM 2012 challenge (11 test bearings, one question each; second-hand)": {"score": 0.31},
        "random forest (11 test bearings; ours, quick)": {"score": 0.09},
        "mean life (11 test bearings; ours, quick)": {"score": 0.03},
    }
    defaults: Settings = {"width": 0.3, "penalty": 0.03}
    admitted: Mapping[str, str] = {}

    def load(self, folder: Path) -> Examples:
        tracks, left = bearing_data.femto_learning(folder)
        asked = bearing_data.spread(tracks, left)
        return asked.take((asked.truth > 0) & (asked.end >= self.signature.least))

    def settings(self, pick: Pick) -> Settings:
        return {
            "width": pick.suggest_float("width", 0.1, 1.0, log=True),
            "penalty": pick.suggest_float("penalty", 0.01, 0.3, log=True),
        }

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        """Nothing is drawn by lot."""
        return self._fitted(examples, settings, vibration=True)

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        return {
            "mean life": bearing_life.mean_life(examples, AGE),
            "as long again": bearing_life.as_long_again(AGE),
            "age alone": self._fitted(examples, self.defaults, vibration=False),
        }

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        """Of each bearing, and the mean over bearings."""
        p10, p50, p90 = (answers[name] for name in bearing_life.OUTPUTS)
        told = np.isfinite(p10) & np.isfinite(p50) & np.isfinite(p90)
        p10, p50, p90, asked = p10[told], p50[told], p90[told], examples.take(told)
        loss = [(p10, 0.1), (p50, 0.5), (p90, 0.9)]

        def mean(value: Float64) -> float:
            return float(np.mean([value[mine].mean() for mine in bearing_data.positions_of_each_track(asked)]))

        pinball = [_pinball(answer, asked.truth, quantile) for answer, quantile in loss]
        return {
            "score": mean(challenge_score(p50, asked.truth)),
            "pinball_s": mean(np.mean(pinball, axis=0)),
            "mae_s": mean(np.abs(p50 - asked.truth)),
            "coverage": mean(((asked.truth >= p10) & (asked.truth <= p90)).astype(np.float64)),
            "coverage_proven": float(answers["coverage_proven"][told].min()),
        }

    def aside(self, folder: Path) -> Examples | None:
        """Bearings that were stopped before they failed, at their last instant."""
        tracks = bearing_data.femto_test(folder)
        return at_the_end(tracks, np.full(len(tracks), np.nan))

    def _fitted(self, examples: Examples, settings: Settings, *, vibration: bool) -> bearing_life.TimeToFailure:
        signs = bearing_life.Signs(LOOK, AGE, GROUPS, vibration)
        return bearing_life.learn(examples, signs, width=settings["width"], penalty=settings["penalty"])


def challenge_score(answer: Float64, truth: Float64) -> Float64:
    """(n,) of the PHM 2012 challenge: 1 is perfect; 20 % too early or 5 % too late is a half.

    Er = 100 (truth - answer) / truth; 2^(Er / 5) where it is late, 2^(-Er / 20) where it is early (Nectoux et al.,
    PRONOSTIA, 2012).
    """
    error = 100 * (truth - answer) / truth
    return np.asarray(np.exp2(np.where(error <= 0, error / 5, -error / 20)))


def _pinball(answer: Float64, truth: Float64, quantile: float) -> Float64:
    error = truth - answer
    return np.maximum(quantile * error, (quantile - 1) * error)


RECIPES = (FemtoLife(),)
