"""How rare the rows of a machine are beside its own normal ones, all features together.

Rows are standardised, averaged over a span, and laid beside those before them (dynamic PCA: Ku, Storer and Georgakis,
Disturbance detection and isolation, 1995); ``mlops.planes`` has what is normal of them. How rare a distance is tell
those of normal rows that had no part in the plane they are compared with.

Where a machine starts anew each time, rows are compared with the first ones of their own track, and what is learned is
how far normal rows stray from there, which a sensor that wanders does all by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from mlops.learning.contract import Answers
from mlops.learning.examples import Examples
from mlops.planes import Plane, Tail, averaged, deviation, lagged, middle, plane, tail, widened
from sensors.columns import Float64, Int64

ANYONE = ""
"""The unit that stands for all of them."""
FAR = 20.0
"""Standardised values are no larger: further away is as good as anywhere."""
FLOOR = 0.05
"""A scale is at least so much of the typical one: what stood still by chance is no law."""
FOLDS, PIECES = 5, 20
FEWEST = 10
"""Normal rows of which a plane can be made."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How a machine is looked at.

    ``span``: rows that are averaged, the last of which is now. ``lags``: how many earlier rows are put beside one, and
    ``step``: how far apart. ``explained``: the share of the variance that is in the plane. ``warm_up``: so many first
    rows of a track are what it is compared with, 0 = what was learned is. ``rows``: none further back counts.
    ``by_unit``: each unit has a plane of its own. ``budget``: the share of normal rows that may be called anomalous.
    """

    span: int = 1
    lags: int = 0
    step: int = 1
    explained: float = 0.9
    warm_up: int = 0
    rows: int = 1
    by_unit: bool = False
    budget: float = 0.01

    @property
    def reach(self) -> int:
        """How many rows have a part in one."""
        return self.span + self.lags * self.step


@dataclass(frozen=True, slots=True)
class Asked:
    """Questions about one track that are compared with one plane. ``place``: (m,) of each its position among all
    questions; ``rows``: (m, f * (lags + 1))."""

    unit: str
    place: Int64
    rows: Float64


class Multivariate:
    """Answers ``score`` (0 = as usual, 1/2 = one normal row in ten is as far, 2/3 = one in 100) and ``anomalous``."""

    kind = "multivariate"

    def __init__(self, shape: Shape, planes: Mapping[str, Plane], tails: Mapping[str, Tail]) -> None:
        self.shape, self.planes, self.tails = shape, dict(planes), dict(tails)

    def parts(self) -> dict[str, Any]:
        planes = {unit: asdict(one) for unit, one in self.planes.items()}
        return {"shape": asdict(self.shape), "planes": planes, "tails": {k: asdict(v) for k, v in self.tails.items()}}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> Multivariate:
        planes = {unit: Plane(**one) for unit, one in parts["planes"].items()}
        return cls(Shape(**parts["shape"]), planes, {unit: Tail(**one) for unit, one in parts["tails"].items()})

    def answer(self, examples: Examples) -> Answers:
        rarity = np.full(len(examples), np.nan)
        for asked in self.asked(examples):
            rarity[asked.place] = self.rare(asked.unit, asked.rows)
        limit = -np.log10(self.shape.budget)
        return {
            "score": rarity / (1.0 + rarity),
            "anomalous": np.where(np.isnan(rarity), np.nan, np.where(rarity > limit, 1.0, 0.0)),
        }

    def contributions(self, examples: Examples) -> Float64:
        """(n, f): the share of each feature in the distance, by complete decomposition (Alcala and Qin,
        Reconstruction-based contribution for process monitoring, 2009); NaN = not answered."""
        out = np.full((len(examples), examples.tracks[0].value.shape[1] if examples.tracks else 0), np.nan)
        for asked in self.asked(examples):
            each = self.shares(asked.unit, asked.rows).reshape(len(asked.rows), -1, out.shape[1]).sum(axis=1)
            out[asked.place] = each / np.maximum(each.sum(axis=1, keepdims=True), 1e-12)
        return out

    def rare(self, unit: str, rows: Float64) -> Float64:
        """(n,): -log10 of the share of normal rows that are as far. ``rows``: prepared ones of a unit."""
        return self.tails[unit].rarity(self.planes[unit].distance(rows))

    def shares(self, unit: str, rows: Float64) -> Float64:
        """(n, f * (lags + 1)): what each column of prepared rows adds to that."""
        fit = self.planes[unit]
        along, off = fit.parts(rows)
        return np.asarray((along @ fit.axes + off) ** 2)

    def asked(self, examples: Examples) -> Iterator[Asked]:
        """The questions that can be answered, by what they are compared with."""
        for number in np.unique(examples.track):
            track, place = examples.tracks[number], np.flatnonzero(examples.track == number)
            unit = track.unit if self.shape.by_unit else ANYONE
            if unit not in self.planes:
                continue
            end = examples.end[place]
            first = np.maximum(end - self.shape.rows, 0) if self.shape.warm_up else np.zeros(len(end), np.int64)
            known = (end - first > self.shape.warm_up) & ~np.isnan(track.value[end - 1]).all(axis=1)
            for start in np.unique(first[known]):
                here = known & (first == start)
                fit, begin = self.planes[unit], max(int(start), int(end[here].min()) - self.shape.reach)
                centre, scale = fit.centre, fit.scale
                if self.shape.warm_up:
                    centre, scale = started(track.value[start : start + self.shape.warm_up], scale)
                rows = prepared(track.value[begin : int(end[here].max())], centre, scale, self.shape)
                yield Asked(unit, place[here], rows[end[here] - begin - 1])


def prepared(value: Float64, centre: Float64, scale: Float64, shape: Shape) -> Float64:
    """(t, f * (lags + 1)) of (t, f) rows of a track, NaN = missing."""
    return lagged(averaged(np.clip((value - centre) / scale, -FAR, FAR), shape.span), shape.lags, shape.step)


def started(warm: Float64, typical: Float64) -> tuple[Float64, Float64]:
    """Centre and scale of a track from its first rows, the scale drawn half-way to the typical one of all tracks."""
    return middle(warm), np.sqrt(np.maximum(deviation(warm), FLOOR * typical) * typical)


# What is learned


def learn(examples: Examples, shape: Shape) -> Multivariate:
    """From the questions whose truth is 0; raises ``ValueError`` where there are too few of any unit."""
    normal = examples.take(examples.truth == 0)
    numbers = np.unique(normal.track)
    ends = {int(number): np.unique(normal.end[normal.track == number]) for number in numbers}
    ends = {number: mine for number, mine in ends.items() if len(mine) >= FEWEST}
    if not ends:
        raise ValueError(f"no machine has {FEWEST} normal rows to learn from")
    values = {number: examples.tracks[number].value[mine - 1] for number, mine in ends.items()}
    firsts = [value[: shape.warm_up or None] for value in values.values()]
    typical = typical_scale([deviation(first) for first in firsts])
    if shape.warm_up:
        return _strays(list(values.values()), typical, shape)
    units: dict[str, list[int]] = {}
    for number in ends:
        units.setdefault(examples.tracks[number].unit if shape.by_unit else ANYONE, []).append(number)
    learned = {}
    for unit, mine in units.items():
        pooled = np.concatenate([values[number] for number in mine])
        scale = np.maximum(deviation(pooled), FLOOR * typical)
        rows = [
            prepared(examples.tracks[k].value[: ends[k][-1]], middle(pooled), scale, shape)[ends[k] - 1] for k in mine
        ]
        stacked = np.concatenate(rows)
        pieces = min(max(len(stacked) // (10 * shape.reach), FOLDS), PIECES)
        fold = np.arange(len(stacked)) * pieces // len(stacked) % FOLDS
        learned[unit] = _crossed(stacked, fold, middle(pooled), scale, shape)
    return Multivariate(shape, {k: v[0] for k, v in learned.items()}, {k: v[1] for k, v in learned.items()})


def typical_scale(deviations: list[Float64]) -> Float64:
    """(f,): the median over the tracks in which a feature moves, 1 where it moves in none."""
    table = np.array(deviations)
    table = np.where(table > 0.0, table, np.nan)
    table[:, np.isnan(table).all(axis=0)] = 1.0
    return np.asarray(np.nanmedian(table, axis=0))


def _strays(values: list[Float64], scale: Float64, shape: Shape) -> Multivariate:
    """Of each track a first part, at most half, is what the rest is compared with; all tracks share one plane."""
    rows = []
    for value in values:
        first = min(shape.warm_up, len(value) // 2)
        rows.append(prepared(value, *started(value[:first], scale), shape)[first:])
    lengths = [len(one) for one in rows]
    stacked = np.concatenate(rows)
    if len(rows) > 1:
        fold = np.repeat(np.arange(len(rows)) % FOLDS, lengths)
    else:
        fold = np.arange(len(stacked)) * FOLDS // len(stacked)
    fit, rare = _crossed(stacked, fold, np.zeros(len(scale)), scale, shape)
    return Multivariate(shape, {ANYONE: fit}, {ANYONE: rare})


def _crossed(rows: Float64, fold: Int64, centre: Float64, scale: Float64, shape: Shape) -> tuple[Plane, Tail]:
    """The plane of all normal rows; the tail of their distances from planes in which neither they nor their neighbours
    had a part."""
    distance = np.full(len(rows), np.nan)
    for number in np.unique(fold):
        out = fold == number
        far = ~widened(out, shape.reach)
        others = far if far.sum() >= FEWEST else ~out
        distance[out] = plane(centre, scale, rows[others], shape.explained).distance(rows[out])
    return plane(centre, scale, rows, shape.explained), tail(distance)
