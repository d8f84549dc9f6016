"""How worn a bearing is: health from 1, as in its beginning, to 0, as bearings were when they failed. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from mlops.bearing_health import LevelHealth, VibrationHealth
from mlops.beginnings import Look
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, Pick, Settings, Signature
from mlops.learning.examples import Examples
from mlops.recipes import bearing_data
from mlops.recipes.bearing_turns import Wearing
from sensors.columns import Float64

POINTS = 100
"""Lives of different lengths are compared at so many shares of each."""

TARGET = Measure("rank_correlation", "", lower_is_better=False, margin=0.02)
GUARDS = (Guard("end_spread", 0.05),)


@dataclass(kw_only=True)
class BearingHealth(Wearing):
    """``alike``: all columns are sensors of one kind."""

    alike: bool
    experiment: str = "vibration-health"
    target: Measure = TARGET
    guards: tuple[Guard, ...] = GUARDS

    def settings(self, pick: Pick) -> Settings:
        least = self.signature.least
        return {
            "skip": pick.suggest_int("skip", 0, least // 2),
            "last": pick.suggest_int("last", 10, 60),
            "ridge": pick.suggest_float("ridge", 1.0, 1000.0, log=True),
        }

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        """Nothing is drawn by lot."""
        look = self._look(settings)
        return VibrationHealth.learn(examples, look, self.logs, alike=self.alike, ridge=settings["ridge"])

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        return {"level": LevelHealth.learn(examples, self._look(self.defaults), self.levels)}

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        told = np.isfinite(answers["health"])
        return indicator_figures(answers["health"][told], examples.take(told))

    def _look(self, settings: Settings) -> Look:
        return Look(settings["skip"], self.signature.least, settings["last"])


def indicator_figures(health: Float64, examples: Examples) -> dict[str, float]:
    """Of an indicator, by Coble and Hines (Identifying optimal prognostic parameters from data, 2009).

    ``rank_correlation`` (Spearman) of lost health with life used, mean over bearings, 0 where it is constant.
    ``monotonicity``: of its steps, falls less rises over their number, likewise. ``trendability``: the least absolute
    correlation of two bearings' courses over life. ``prognosability``: exp(-(standard deviation of the last) / mean of
    |first - last|); ``end_spread`` is 1 less that. The last two are of two bearings or more, else 1. A clock would be
    perfect in all but the last.
    """
    if not len(health):
        raise ValueError("no answers: there is nothing to measure")
    courses = [(examples.truth[mine], health[mine]) for mine in bearing_data.positions_of_each_track(examples)]
    steps = [np.sign(np.diff(course)) for _, course in courses]
    last = np.array([course[-1] for _, course in courses])
    fallen = np.mean([abs(course[0] - course[-1]) for _, course in courses])
    prognosability = float(np.exp(-last.std() / fallen)) if fallen else 0.0
    return {
        "rank_correlation": float(np.mean([_rank_correlation(-course, used) for used, course in courses])),
        "monotonicity": float(np.mean([-step.mean() if len(step) else 0.0 for step in steps])),
        "trendability": _trendability(courses),
        "prognosability": prognosability if len(courses) > 1 else 1.0,
        "end_spread": 1 - prognosability if len(courses) > 1 else 0.0,
    }


def _rank_correlation(a: Float64, b: Float64) -> float:
    return float(spearmanr(a, b).statistic) if len(a) > 1 and np.ptp(a) and np.ptp(b) else 0.0


def _trendability(courses: list[tuple[Float64, Float64]]) -> float:
    start, end = max(used[0] for used, _ in courses), min(used[-1] for used, _ in courses)
    places = np.linspace(start, end, POINTS)
    drawn = [np.interp(places, used, course) for used, course in courses]
    if any(not np.ptp(course) for course in drawn):
        return 0.0
    pairs = [(a, b) for place, a in enumerate(drawn) for b in drawn[place + 1 :]]
    return min((abs(float(np.corrcoef(a, b)[0, 1])) for a, b in pairs), default=1.0)


RECIPES = (
    BearingHealth(
        name="bearing-health-femto",
        about="Health of a bearing from what its vibration has become since its beginning, on a rig of overload",
        source=bearing_data.FEMTO_SOURCE,
        signature=Signature(
            bearing_data.FEMTO_VIBRATION,
            (Feature("health"),),
            rows=8_640,
            least=100,
            period_us=bearing_data.FEMTO_PERIOD_US,
        ),
        defaults={"skip": 10, "last": 30, "ridge": 30.0},
        tracks=bearing_data.femto_vibration,
        logs=bearing_data.columns(bearing_data.FEMTO_VIBRATION, *(f"_{name}" for name, _ in bearing_data.OF_AN_AXIS)),
        levels=bearing_data.columns(bearing_data.FEMTO_VIBRATION, "_rms"),
        alike=False,
    ),
    BearingHealth(
        name="bearing-health-ims",
        about="Health of a shaft's bearings from what their mean absolute vibration has become since the beginning",
        source=bearing_data.IMS_SOURCE,
        signature=Signature(bearing_data.IMS, (Feature("health"),), rows=8_640, least=300),
        defaults={"skip": 0, "last": 30, "ridge": 1.0},
        tracks=bearing_data.ims_tests,
        logs=bearing_data.columns(bearing_data.IMS, ""),
        levels=bearing_data.columns(bearing_data.IMS, ""),
        alike=True,
    ),
)
