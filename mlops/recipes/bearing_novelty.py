"""Is the vibration of a bearing unlike that of its own beginning? From 1 on it is new. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from mlops.beginnings import LevelLimit, Look, NoveltyOfBeginning
from mlops.learning.contract import Answers, Feature, Guard, Learned, Measure, Pick, Settings, Signature
from mlops.learning.examples import Examples
from mlops.recipes import bearing_data
from mlops.recipes.bearing_turns import Wearing
from sensors.columns import Bool, Int64

HOUR_US = 3_600_000_000
HALF = 0.5
"""Of a life: in the first an alarm is held to be false, in the second one is wished for."""

TARGET = Measure("informedness", "", lower_is_better=False, margin=0.02)
GUARDS = (Guard("false_alarms", 0.01),)


@dataclass(kw_only=True)
class BearingNovelty(Wearing):
    experiment: str = "vibration-novelty"
    target: Measure = TARGET
    guards: tuple[Guard, ...] = GUARDS

    def settings(self, pick: Pick) -> Settings:
        return {
            "skip": pick.suggest_int("skip", 0, self.signature.least // 2),
            "last": pick.suggest_int("last", 5, 60),
            "allowed": pick.suggest_float("allowed", 0.0, 0.1),
        }

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        """Each bearing teaches its own beginning; of the others is learned what rise is too much: that which the
        share ``allowed`` of the first halves of their lives is beyond, the mean over bearings. Nothing is drawn by lot.
        """
        look = Look(settings["skip"], self.signature.least, settings["last"])
        bare = NoveltyOfBeginning(look, self.logs)
        early = examples.take(examples.truth < HALF)
        rise = bare.answer(early)["novelty"]
        early = early.take(np.isfinite(rise))
        rise = rise[np.isfinite(rise)]
        if not len(rise):
            raise ValueError("nothing to learn from: no bearing is watched beyond its beginning")
        beyond = [
            np.quantile(rise[mine], 1 - settings["allowed"]) for mine in bearing_data.positions_of_each_track(early)
        ]
        return replace(bare, limit=float(np.mean(beyond)))

    def baselines(self, examples: Examples) -> Mapping[str, Learned]:
        look = Look(self.defaults["skip"], self.signature.least, 1)
        return {
            "level of three sigma": LevelLimit(look, self.levels, factor=1.0, sigmas=3.0),
            "level a zone up": LevelLimit(look, self.levels, factor=2.5, sigmas=0.0),
        }

    def measure(self, answers: Answers, examples: Examples) -> dict[str, float]:
        told = np.isfinite(answers["novelty"])
        return alarm_figures(answers["novelty"][told] >= 1, examples.take(told))


def alarm_figures(alarm: Bool, examples: Examples) -> dict[str, float]:
    """Means over bearings that were run until they failed.

    ``second_half`` and ``false_alarms``: the share of questions with an alarm in the second half of life and in the
    first; ``informedness``: the one less the other, 0 for a coin and for what always or never alarms. ``lead_h``: from
    the first alarm that then stood until the end, by the clock; 0 where none did. ``warned``: the share of bearings
    with such a one.
    """
    if not len(alarm):
        raise ValueError("no answers: there is nothing to measure")
    late, early, lead = [], [], []
    for mine in bearing_data.positions_of_each_track(examples):
        second = examples.truth[mine] > HALF
        late.append(_share(alarm[mine][second]))
        early.append(_share(alarm[mine][~second]))
        lead.append(_lead(alarm[mine], examples.at[mine], int(examples.tracks[examples.track[mine[0]]].at[-1])))
    return {
        "informedness": float(np.mean(late) - np.mean(early)),
        "second_half": float(np.mean(late)),
        "false_alarms": float(np.mean(early)),
        "lead_h": float(np.mean(lead)) / HOUR_US,
        "warned": float(np.mean(np.array(lead) > 0)),
    }


def _share(alarm: Bool) -> float:
    return float(alarm.mean()) if len(alarm) else 0.0


def _lead(alarm: Bool, at: Int64, failed: int) -> float:
    quiet = np.flatnonzero(~alarm)
    first = int(quiet[-1]) + 1 if len(quiet) else 0
    return float(failed - at[first]) if first < len(at) else 0.0


RECIPES = (
    BearingNovelty(
        name="bearing-novelty-femto",
        about="Vibration of a bearing unlike that of its own beginning, on a rig of overload",
        source=bearing_data.FEMTO_SOURCE,
        signature=Signature(
            bearing_data.FEMTO_VIBRATION,
            (Feature("novelty"),),
            rows=8_640,
            least=100,
            period_us=bearing_data.FEMTO_PERIOD_US,
        ),
        defaults={"skip": 20, "last": 10, "allowed": 0.05},
        tracks=bearing_data.femto_vibration,
        logs=np.ones(len(bearing_data.FEMTO_VIBRATION), np.bool_),
        levels=bearing_data.columns(bearing_data.FEMTO_VIBRATION, "_rms"),
    ),
    BearingNovelty(
        name="bearing-novelty-ims",
        about="Mean absolute vibration of a shaft's bearings unlike that of their own beginning",
        source=bearing_data.IMS_SOURCE,
        signature=Signature(bearing_data.IMS, (Feature("novelty"),), rows=8_640, least=300),
        defaults={"skip": 150, "last": 10, "allowed": 0.02},
        tracks=bearing_data.ims_tests,
        logs=np.ones(len(bearing_data.IMS), np.bool_),
        levels=np.ones(len(bearing_data.IMS), np.bool_),
    ),
)
