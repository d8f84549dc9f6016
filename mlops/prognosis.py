"""How much life a machine has left, learned from others that were watched from new until they failed. Pure.

Machines are left out in groups. Of each group's lives the estimators that were taught the others tell, and from how far
they are off come the bands; a new machine is told the mean of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlops import life_bands, overhauls, regimes, trends
from mlops.learning.contract import Answers, Settings
from mlops.learning.examples import Examples
from mlops.life_bands import Bands
from mlops.overhauls import Wear
from mlops.regimes import Regimes
from sensors.columns import Bool, Float64, Int64

OUTPUTS = ("rul_p10", "rul_p50", "rul_p90")
PROVEN = "coverage_proven"
GROUPS = 5
STEPS = 20
"""Of the share of one estimator beside another."""


@dataclass(frozen=True, slots=True)
class Stops:
    """At which lives left machines are asked about: each as if it were stopped once, by lot, between ``nearest`` and
    ``furthest`` before it fails; ``fading``: by which share the furthest is rarer than the failure itself."""

    nearest: float
    furthest: float
    fading: float = 0.0

    def chance(self, left: Float64, life: Float64, *, least: int) -> Float64:
        """(n,): density of the lot, 0 outside; 1 in all over each machine. ``life``: (n,) in all, of which ``least``
        are over when it can first be asked."""
        furthest = np.minimum(self.furthest, life - least)
        within = (left >= self.nearest) & (left <= furthest)
        inside = np.maximum(self._until(furthest) - self._until(np.full(len(life), self.nearest)), 1e-9)
        return np.where(within, (1 - self.fading * left / self.furthest) / inside, 0.0)

    def _until(self, left: Float64) -> Float64:
        return left - self.fading * left**2 / (2 * self.furthest)


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen of a machine: its age, means and slopes of its sensors over windows of so many rows, ``rows`` at
    most, all since it was new or its last overhaul. Nothing is told before ``least`` of its rows are known, and no
    slope before as many are since then."""

    rows: int
    least: int
    means: tuple[int, ...] = ()
    slopes: tuple[int, ...] = ()

    def of(self, examples: Examples, usual: Regimes, wear: Wear) -> tuple[Float64, Bool]:
        """(n, signs), and (n,): whether enough is known. A sensor that is not known is taken as usual."""
        width = 1 + (len(self.means) + len(self.slopes)) * usual.middle.shape[1]
        signs, enough = np.zeros((len(examples), width)), np.zeros(len(examples), np.bool_)
        for number in np.unique(examples.track):
            mine = np.flatnonzero(examples.track == number)
            ends = examples.end[mine]
            normal = usual.normal(examples.tracks[number].value[: ends.max()])
            begun = wear.begun(normal)[ends - 1]
            for begin in np.unique(begun):
                here = begun == begin
                signs[mine[here]] = self._since(normal[begin:], ends[here] - begin)
            seen = np.cumsum(np.isfinite(normal).any(axis=1))[ends - 1]
            enough[mine] = seen >= self.least
        return signs, enough

    def _since(self, normal: Float64, ends: Int64) -> Float64:
        """(n, signs)"""
        young = (ends < self.least)[:, None]
        found = [np.minimum(ends, self.rows)[:, None].astype(np.float64)]
        found += [trends.means(normal, ends, rows=rows) for rows in self.means]
        found += [np.where(young, 0.0, trends.slopes(normal, ends, rows=rows)) for rows in self.slopes]
        return np.nan_to_num(np.hstack(found))


@dataclass(frozen=True)
class LifeLeft:
    """P10, P50 and P90 of the life left, and whether intervals at such a life are proven to cover what they promise.

    ``groups``: for each group of machines the estimators that were taught the others; ``shares``: how much each of them
    counts; ``wear``: by which overhauls are seen.
    """

    sight: Sight
    usual: Regimes
    wear: Wear
    groups: Sequence[Sequence[Any]]
    shares: Float64
    bands: Bands
    kind = "life-left"

    def answer(self, examples: Examples) -> Answers:
        signs, enough = self.sight.of(examples, self.usual, self.wear)
        answers = np.full((4, len(examples)), np.nan)
        if enough.any():
            told = np.mean([self.shares @ _told(group, signs[enough]) for group in self.groups], axis=0)
            answers[:3, enough] = self.bands.around(told)
            answers[3, enough] = self.bands.holds(answers[1, enough])
        return dict(zip((*OUTPUTS, PROVEN), answers, strict=True))

    def parts(self) -> dict[str, Any]:
        return {
            "sight": {name: list(one) if isinstance(one, tuple) else one for name, one in asdict(self.sight).items()},
            "usual": asdict(self.usual), "wear": asdict(self.wear), "groups": [list(group) for group in self.groups],
            "shares": self.shares, "bands": asdict(self.bands),
        }  # fmt: skip

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> LifeLeft:
        sight = parts["sight"]
        seen = Sight(sight["rows"], sight["least"], tuple(sight["means"]), tuple(sight["slopes"]))
        usual, bands = Regimes(**parts["usual"]), Bands(**parts["bands"])
        worn = Wear(**parts["wear"]) if "wear" in parts else overhauls.never(usual.middle.shape[1])  # of before: none
        return cls(seen, usual, worn, parts["groups"], parts["shares"], bands)


Learner = Callable[[Float64, Float64, Float64, Settings, int], Any]
"""From signs (n, signs), lives left and weights, both (n,), settings and a seed to an estimator."""


def boosting(signs: Float64, left: Float64, weight: Float64, settings: Settings, seed: int) -> Any:
    trees = HistGradientBoostingRegressor(
        max_iter=settings["trees"], learning_rate=settings["rate"], max_leaf_nodes=settings["leaves"],
        min_samples_leaf=40, l2_regularization=5.0, max_features=0.3, early_stopping=False, random_state=seed,
    )  # fmt: skip
    return trees.fit(signs, left, sample_weight=weight)


def kernels(signs: Float64, left: Float64, weight: Float64, settings: Settings, seed: int) -> Any:
    """Machines that look alike last alike: a ridge regression on how near each is to some hundred others."""
    width = settings["width"] / signs.shape[1]
    near = Nystroem(gamma=width, n_components=min(settings["places"], len(signs)), random_state=seed)
    line = make_pipeline(StandardScaler(), near, Ridge(settings["penalty"]))
    return line.fit(signs, left, ridge__sample_weight=weight)


def straight(signs: Float64, left: Float64, weight: Float64, settings: Settings, seed: int) -> Any:
    return make_pipeline(StandardScaler(), Ridge(1.0)).fit(signs, left, ridge__sample_weight=weight)


def average(signs: Float64, left: Float64, weight: Float64, settings: Settings, seed: int) -> Any:
    return DummyRegressor().fit(signs, left, sample_weight=weight)


def learn(
    examples: Examples, sight: Sight, stops: Stops, learners: Sequence[Learner], settings: Settings,
    *, columns: int, ways: int, seed: int,
) -> LifeLeft:  # fmt: skip
    """``truth``: rows left until it fails or is overhauled. ``columns``: how many of the first say how it is run,
    ``ways``: in how many ways. What comes nearer to the failure than any is stopped is learned as well.

    Raises ``ValueError`` for fewer than two machines of which enough is known.
    """
    rows = np.concatenate([examples.tracks[number].value for number in np.unique(examples.track)])
    usual = regimes.learn(rows, settings=columns, regimes=ways, seed=seed)
    wear = overhauls.learn(examples, usual, furthest=stops.furthest)
    signs, enough = sight.of(examples, usual, wear)
    known = enough & np.isfinite(examples.truth)
    asked, signs = examples.take(known), signs[known]
    machines = np.unique(asked.track)
    if len(machines) < 2:
        raise ValueError("a life is learned from two machines that failed, at least")
    weight = replace(stops, nearest=0.0).chance(asked.truth, overhauls.lives(asked), least=sight.least)
    weight /= weight[weight > 0].mean()
    lot = np.random.default_rng(seed).permutation(len(machines)) % min(GROUPS, len(machines))
    group = lot[np.searchsorted(machines, asked.track)]
    taught, told = [], np.empty((len(learners), len(asked)))
    for number in range(int(lot.max()) + 1):
        others, mine = (group != number) & (weight > 0), group == number
        lesson = signs[others], asked.truth[others], weight[others]
        taught.append([learner(*lesson, settings, seed + number) for learner in learners])
        told[:, mine] = _told(taught[-1], signs[mine])
    shares = _shares(told, asked.truth, weight)
    bands = life_bands.learn(shares @ told, asked.truth, weight, asked.track, group)
    return LifeLeft(sight, usual, wear, taught, shares, bands)


def _told(estimators: Sequence[Any], signs: Float64) -> Float64:
    """(estimators, n)"""
    return np.array([estimator.predict(signs) for estimator in estimators])


def _shares(told: Float64, truth: Float64, weight: Float64) -> Float64:
    """How much each of one or two estimators counts, so that the sum is least off. ``told``: (estimators, n)."""
    if len(told) == 1:
        return np.ones(1)
    tried = [np.array([step / STEPS, 1 - step / STEPS]) for step in range(STEPS + 1)]
    return min(tried, key=lambda shares: float(np.sum(weight * (truth - shares @ told) ** 2)))
