"""How far figures can be trusted, and whether one model is better than another. Pure.

Answers to questions about one machine, or close in time, are wrong together. So intervals are made by drawing whole
blocks of them with replacement (Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 8; Künsch, The
jackknife and the bootstrap for general stationary observations, 1989), the same ones for both that are compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlops.learning import ranges
from mlops.learning.contract import Answers, Guard, Measure, Recipe
from mlops.learning.examples import Examples
from sensors.columns import Int64

DRAWS, DRAWS_OF_MANY = 400, 100
MANY = 100_000
"""More questions than these are drawn less often."""
LEVEL = 0.95
FEWEST_BLOCKS = 5


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with the ends of its interval, NaN where too few blocks say nothing about it."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """One model beside another on the same questions. ``gain``: by how much the first is better in the target, in its
    unit; ``worse``: by how much in each guard."""

    other: str
    gain: Interval
    worse: dict[str, Interval]


@dataclass(frozen=True, slots=True)
class Judged:
    """``figures``: of whoever is judged; ``others``: of those it is judged beside, by name; ``beside``: compared."""

    figures: dict[str, Interval]
    others: dict[str, dict[str, Interval]]
    beside: tuple[Comparison, ...]


def judge(recipe: Recipe, answers: Answers, others: Mapping[str, Answers], held: Examples, *, seed: int) -> Judged:
    """Answers beside those of others to the same questions, in everything that the recipe measures."""
    everyone = {OURS: answers, **others}
    whole = {name: recipe.measure(theirs, held) for name, theirs in everyone.items()}
    drawn = [
        {name: recipe.measure(_take(theirs, index), held.take(index)) for name, theirs in everyone.items()}
        for index in draws(recipe.blocks(held), seed=seed)
    ]
    found = {name: _intervals(figures, [one[name] for one in drawn]) for name, figures in whole.items()}
    gaps = {name: [_gap(recipe, one[OURS], one[name]) for one in drawn] for name in others}
    beside = []
    for name in others:
        gap = _intervals(_gap(recipe, whole[OURS], whole[name]), gaps[name])
        beside.append(Comparison(name, gap.pop(GAIN), gap))
    return Judged(found.pop(OURS), found, tuple(beside))


OURS, GAIN = "", ""


def draws(blocks: Int64, *, seed: int) -> Iterator[Int64]:
    """Positions of questions, block by block, as many blocks as there are. Nothing where they are too few."""
    numbers, place = np.unique(blocks, return_inverse=True)
    if len(numbers) < FEWEST_BLOCKS:
        return
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    lot = np.random.default_rng(seed)
    for _ in range(DRAWS if len(blocks) <= MANY else DRAWS_OF_MANY):
        yield np.concatenate([members[k] for k in lot.integers(len(numbers), size=len(numbers))])


def _gap(recipe: Recipe, ours: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    sign = -1 if recipe.target.lower_is_better else 1
    found = {guard.name: ours[guard.name] - others[guard.name] for guard in recipe.guards}
    return {**found, GAIN: sign * (ours[recipe.target.name] - others[recipe.target.name])}


def _intervals(whole: Mapping[str, float], drawn: Sequence[Mapping[str, float]]) -> dict[str, Interval]:
    """A figure that a draw does not have, or cannot be measured in it, has its interval from the others."""
    found = {}
    for name, value in whole.items():
        known = [one[name] for one in drawn if np.isfinite(one.get(name, np.nan))]
        low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if known else (np.nan, np.nan)
        found[name] = Interval(value, float(low), float(high))
    return found


def _take(answers: Answers, index: Int64) -> Answers:
    return {name: array[index] for name, array in answers.items()}


def objections(target: Measure, guards: tuple[Guard, ...], found: Comparison) -> list[str]:
    """Why the first of a comparison may not take the other's place; empty: it may.

    It must be better by the margin, and surely better at all (the interval's lower end above nothing); and in no guard
    worse by more than its slack.
    """
    said = []
    gain, unit = found.gain, f" {target.unit}".rstrip()
    if not np.isfinite(gain.value):
        return [f"{target.name} could not be measured."]
    if gain.value < target.margin:
        said.append(f"{target.name}: better than {found.other} by {gain.value:.4g}{unit}, less than {target.margin:g}.")
    if not np.isfinite(gain.low):
        said.append(f"{target.name}: too few independent blocks to say how sure the gain over {found.other} is.")
    elif gain.low <= 0:
        said.append(f"{target.name}: the gain over {found.other} may be nothing ({gain.low:.4g} to {gain.high:.4g}).")
    for guard in guards:
        worse = found.worse[guard.name]
        if not worse.value <= guard.slack:
            said.append(f"{guard.name}: worse than {found.other} by {worse.value:.4g}, more than {guard.slack:g}.")
    return said


def too_few(target: Measure, held: Examples) -> list[str]:
    """Why the figure cannot be judged by what was held out; empty: it can."""
    if not target.fewest:
        return []
    order = np.lexsort((held.end, held.track))
    apart = np.split(held.truth[order] == 1, np.flatnonzero(np.diff(held.track[order])) + 1)
    found = sum(len(ranges.stretches(one)) for one in apart)
    if found >= target.fewest:
        return []
    return [f"{target.name}: {found} stretches of faults were held out; to judge by them takes {target.fewest}."]
