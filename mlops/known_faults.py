"""A multivariate model that was also shown faults: rows like those of a labelled fault are anomalous, too. Pure.

What is normal is learned of all rows, anew each time. What faults look like is learned step by step, of the windows
that people label: a step remembers those it was shown, of each a few rows and ``MOST_WINDOWS`` of them at most, so that
faults of which no reading is kept any more are not forgotten.

Rows are laid beside the plane of their machine in units of its spread, so that what one machine showed counts for
others of its class. A logistic regression parts rows of faults from normal ones; how rare its score is among normal
rows it has not seen is set beside how rare the distance from the plane is, and the rarer of the two counts, as half as
rare as it is: one of two is rare by chance twice as often (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from mlops import thresholds
from mlops.learning.examples import Examples
from mlops.learning.ranges import stretches
from mlops.multivariate import ANYONE, FAR, Multivariate, Shape
from mlops.planes import Plane, Tail, averaged, lagged, tail
from mlops.thresholds import NothingSaid
from sensors.columns import Bool, Float64

MOST_WINDOWS, MOST_ROWS = 64, 64
"""That are remembered, the latest; and rows of each, spread evenly."""
MOST_NORMAL = 2_000
"""Normal rows that faults are parted from."""
STIFF = 1.0
FEWEST_NORMAL = 40


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of which people said the same. ``rows``: (m, f * (lags + 1)), averaged as the model does, in units of
    the features."""

    unit: str
    first: int
    last: int
    fault: bool
    rows: Float64

    @property
    def key(self) -> tuple[str, int, int, bool]:
        return self.unit, self.first, self.last, self.fault

    def overlaps(self, other: Window) -> bool:
        return self.unit == other.unit and self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Head:
    """``weights``: (f * (lags + 1),) of a row beside its plane; ``rare``: how rare the score of a normal row is."""

    weights: Float64
    rare: Tail

    def rarity(self, beside: Float64) -> Float64:
        return self.rare.rarity(beside @ self.weights)


class KnownFaults(Multivariate):
    """``head`` None: it was shown no fault yet."""

    kind = "known-faults"

    def __init__(
        self, shape: Shape, planes: Mapping[str, Plane], tails: Mapping[str, Tail], head: Head | None,
        windows: Sequence[Window],
    ) -> None:  # fmt: skip
        super().__init__(shape, planes, tails)
        self.head, self.windows = head, tuple(windows)

    def parts(self) -> dict[str, Any]:
        head = None if self.head is None else {"weights": self.head.weights, "rare": asdict(self.head.rare)}
        return super().parts() | {"head": head, "windows": [asdict(one) for one in self.windows]}

    @classmethod
    def from_parts(cls, parts: Mapping[str, Any]) -> KnownFaults:
        base, told = Multivariate.from_parts(parts), parts["head"]
        head = None if told is None else Head(told["weights"], Tail(**told["rare"]))
        return cls(base.shape, base.planes, base.tails, head, [Window(**one) for one in parts["windows"]])

    def rare(self, unit: str, rows: Float64) -> Float64:
        usual = super().rare(unit, rows)
        if self.head is None:
            return usual
        rarer = np.fmax(usual, self.head.rarity(beside(self.planes[unit], rows)))
        return np.asarray(np.maximum(rarer - np.log10(2.0), 0.0))

    def shares(self, unit: str, rows: Float64) -> Float64:
        """Of what is rarer as a fault those of the head."""
        found = super().shares(unit, rows)
        if self.head is None:
            return found
        laid = beside(self.planes[unit], rows)
        faulty = self.head.rarity(laid) > super().rare(unit, rows)
        found[faulty] = np.maximum(laid * self.head.weights, 0.0)[faulty]
        return found


def beside(plane: Plane, rows: Float64) -> Float64:
    """(n, f * (lags + 1)): standardised rows in units of the spread along the plane and off it."""
    along, off = plane.parts(rows)
    return np.asarray(along @ plane.axes + off)


# A step


def step(champion: Multivariate, earlier: Examples) -> KnownFaults:
    """The champion, shown what people said since. ``earlier``: truth 1 = a fault, 0 = normal, NaN = nothing was said.

    What is normal stays. The limit moves to where it does best by what was said (``thresholds``), each window being
    judged by a head that was not shown it; once faults are known it only gets tighter, since it is not the limit any
    more by which they are found. Raises ``NothingSaid`` where nothing was said that it does not know.
    """
    known = champion.windows if isinstance(champion, KnownFaults) else ()
    windows = _remembered(known, list(_said(champion, earlier)), earlier)
    if not windows or {one.key for one in windows} == {one.key for one in known}:
        raise NothingSaid("nothing was said that is not known already")
    return _shown(champion, windows, earlier, move=True)


def carried(base: Multivariate, champion: Multivariate, earlier: Examples) -> Multivariate:
    """What is taught anew, shown the windows that the champion was shown; as it is where that was shown none."""
    if not isinstance(champion, KnownFaults) or champion.head is None:
        return base
    windows = _remembered(champion.windows, list(_said(base, earlier)), earlier)
    return _shown(base, windows, earlier, move=False)


def _shown(base: Multivariate, windows: Sequence[Window], earlier: Examples, *, move: bool) -> KnownFaults:
    mine = [one for one in windows if _unit(base, one.unit) in base.planes]
    normal = _normal(base, earlier)
    lesson = [beside(base.planes[_unit(base, one.unit)], _standard(base, one)) for one in mine]
    fault = np.array([one.fault for one in mine], np.bool_)
    taught = KnownFaults(base.shape, base.planes, base.tails, _head(lesson, fault, normal), windows)
    if not move:
        return taught
    told: dict[bool, list[Float64]] = {True: [], False: []}
    for number, one in enumerate(mine):
        others = np.arange(len(mine)) != number
        head = _head([rows for rows, other in zip(lesson, others, strict=True) if other], fault[others], normal)
        apart = KnownFaults(base.shape, base.planes, base.tails, head, ())
        told[one.fault].append(apart.rare(_unit(base, one.unit), _standard(base, one)))
    rest = [taught.rare(unit, rows) for unit, rows in _nothing_said(base, earlier)]
    budget = thresholds.moved(base.shape.budget, told[True], [*told[False], np.concatenate([np.empty(0), *rest])])
    if taught.head is not None:
        budget = min(budget, base.shape.budget)
    if taught.head is not None:
        budget = min(budget, base.shape.budget)
    return KnownFaults(replace(base.shape, budget=budget), base.planes, base.tails, taught.head, windows)


def _head(windows: Sequence[Float64], fault: Bool, normal: Float64) -> Head | None:
    """Every window counts the same, and all faults as much as all that is normal. Of the normal rows, stretches in
    turn: one is learned from, the next tells how rare scores are. None where no fault is shown, or too little else."""
    if not fault.any() or len(normal) < FEWEST_NORMAL:
        return None
    turn = np.arange(len(normal)) * 20 // len(normal) % 2 == 0
    some = normal[turn][:: max(1, int(turn.sum()) // MOST_NORMAL)]
    rows = [*windows, some]
    truth = np.repeat([*fault, False], [len(one) for one in rows])
    share = np.where([*fault, False], 1 / fault.sum(), 1 / (1 + (~fault).sum()))
    weight = np.repeat(share / [len(one) for one in rows], [len(one) for one in rows]) * sum(map(len, windows))
    parted = LogisticRegression(C=STIFF).fit(np.concatenate(rows), truth, sample_weight=weight)
    weights = np.asarray(parted.coef_[0], np.float64)
    return Head(weights, tail(normal[~turn] @ weights))


# Windows


def _said(model: Multivariate, earlier: Examples) -> Iterator[Window]:
    for number in np.unique(earlier.track):
        mine = np.flatnonzero(earlier.track == number)
        mine = mine[np.argsort(earlier.end[mine], kind="stable")]
        track = earlier.tracks[number]
        seen = lagged(averaged(track.value, model.shape.span), model.shape.lags, model.shape.step)
        for said in (0.0, 1.0):
            for first, last in stretches(earlier.truth[mine] == said):
                rows = earlier.end[mine[first : last + 1]] - 1
                some = rows[np.unique(np.linspace(0, len(rows) - 1, MOST_ROWS).round().astype(np.int64))]
                yield Window(track.unit, int(track.at[rows[0]]), int(track.at[rows[-1]]), said == 1.0, seen[some])


def _remembered(known: Sequence[Window], said: Sequence[Window], earlier: Examples) -> list[Window]:
    """What is said now, and what was said of before the rows at hand: of these rows what is not said any more was
    retracted."""
    begun = {track.unit: int(track.at[0]) for track in earlier.tracks if len(track.at)}
    old = [one for one in known if one.first < begun.get(one.unit, one.last + 1)]
    kept = [one for one in old if not any(one.overlaps(other) for other in said)]
    return sorted([*kept, *said], key=lambda one: (one.last, one.key))[-MOST_WINDOWS:]


def _nothing_said(base: Multivariate, earlier: Examples) -> Iterator[tuple[str, Float64]]:
    """Of each unit the standardised rows of which nothing was said, and that do not look back at a fault."""
    for asked in base.asked(earlier):
        truth = earlier.truth[asked.place]
        number = int(earlier.track[asked.place[0]])
        marked = np.zeros(len(earlier.tracks[number].at), np.bool_)
        marked[earlier.end[asked.place[truth == 1]] - 1] = True
        before = np.concatenate([[0], np.cumsum(marked)])
        end = earlier.end[asked.place]
        clean = before[end] == before[np.maximum(0, end - base.shape.reach)]
        yield asked.unit, asked.rows[np.isnan(truth) & clean]


def _normal(base: Multivariate, earlier: Examples) -> Float64:
    found = [beside(base.planes[unit], rows) for unit, rows in _nothing_said(base, earlier)]
    return np.concatenate(found) if found else np.empty((0, 0))


def _unit(base: Multivariate, unit: str) -> str:
    return unit if base.shape.by_unit else ANYONE


def _standard(base: Multivariate, window: Window) -> Float64:
    plane, times = base.planes[_unit(base, window.unit)], base.shape.lags + 1
    away = (window.rows - np.tile(plane.centre, times)) / np.tile(plane.scale, times)
    return np.asarray(np.clip(away, -FAR, FAR))
