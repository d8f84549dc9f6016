"""How far figures can be trusted, and whether one model is better than another. Pure.

Answers to questions about one machine, or close in time, are wrong together. So intervals are made by drawing whole
blocks of them with replacement (Efron and Tibshirani, An introduction to the bootstrap, 1993, chapter 8; Künsch, The
jackknife and the bootstrap for general stationary observations, 1989), the same ones for both that are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from mlops.learning.contract import Answers, Guard, Measure, Recipe
from mlops.learning.examples import Examples
from sensors.columns import Int64

DRAWS = 400
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


def draws(blocks: Int64, *, seed: int, times: int = DRAWS) -> Iterator[Int64]:
    """Positions of questions, block by block, as many blocks as there are. Nothing where they are too few."""
    numbers, place = np.unique(blocks, return_inverse=True)
    if len(numbers) < FEWEST_BLOCKS:
        return
    members = np.split(np.argsort(place, kind="stable"), np.cumsum(np.bincount(place))[:-1])
    lot = np.random.default_rng(seed)
    for _ in range(times):
        yield np.concatenate([members[k] for k in lot.integers(len(numbers), size=len(numbers))])


def figures(recipe: Recipe, answers: Answers, held: Examples, *, seed: int) -> dict[str, Interval]:
    """Every figure of the recipe, with its interval."""
    return _intervals(lambda index: recipe.measure(_take(answers, index), held.take(index)), recipe, held, seed)


def compare(recipe: Recipe, answers: Answers, other: str, theirs: Answers, held: Examples, *, seed: int) -> Comparison:
    """A model's answers beside another's to the same questions."""

    def differences(index: Int64) -> dict[str, float]:
        asked = held.take(index)
        ours, others = recipe.measure(_take(answers, index), asked), recipe.measure(_take(theirs, index), asked)
        found = {guard.name: ours[guard.name] - others[guard.name] for guard in recipe.guards}
        sign = -1 if recipe.target.lower_is_better else 1
        return {**found, TARGET: sign * (ours[recipe.target.name] - others[recipe.target.name])}

    found = _intervals(differences, recipe, held, seed)
    return Comparison(other, found.pop(TARGET), found)


TARGET = " gain"


def _intervals(
    measure: Callable[[Int64], dict[str, float]], recipe: Recipe, held: Examples, seed: int
) -> dict[str, Interval]:
    whole = measure(np.arange(len(held), dtype=np.int64))
    drawn = [measure(index) for index in draws(recipe.blocks(held), seed=seed)]
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    found = {}
    for name, value in whole.items():
        low, high = np.nanquantile([one[name] for one in drawn], ends) if drawn else (np.nan, np.nan)
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
