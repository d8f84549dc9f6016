"""Unusual rows of live machines of one class of a site, taught from what is stored of them. Pure: it is handed tracks.

Each machine is compared with its own past. Rows of a fault are never learned from, nor those that look back at one;
of what is held out, rows after a fault that still look back at it are not judged, since both answers would be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mlops import known_faults, multivariate
from mlops.known_faults import KnownFaults
from mlops.learning import examples as asking
from mlops.learning import ranges, splits
from mlops.learning.contract import Learned, Measure, Settings
from mlops.learning.examples import Examples, Track
from mlops.multivariate import Multivariate, Shape
from mlops.recipes.anomaly import Anomaly, in_order
from mlops.recipes.anomaly_data import Judged
from sensors.columns import Bool, Float64, Int64

EXPERIMENT = "machine-anomaly"
HELD_OUT = 0.3
BLOCK = 50
SHAPE = Shape(span=10, explained=0.9, rows=10, by_unit=True)
FEWEST_FAULTS = 4
"""Of fewer, more than 2.5 % of the draws of an interval have none, so that its lower end is never above nothing."""
SKILL = Measure("skill", "", lower_is_better=False, margin=0.02, fewest=FEWEST_FAULTS)


@dataclass(frozen=True, slots=True)
class Stored:
    """What is stored of machines. ``faults``: of each track its (t,) rows of which people said that something was
    wrong; ``said``: those of which they said anything, that it was meant or a false alarm too."""

    tracks: Sequence[Track]
    faults: Sequence[Bool]
    said: Sequence[Bool]


@dataclass(slots=True)
class MachineAnomaly(Anomaly):
    """``faults``: of each track its (t,) rows of a fault. Only complete rows are questions, as in use."""

    faults: Sequence[Bool] = field(default_factory=tuple)

    def load(self, folder: Path) -> Examples:
        return _complete(Anomaly.load(self, folder))

    def split(self, examples: Examples) -> tuple[Examples, Examples]:
        learn, held = splits.by_time(examples, held_out=HELD_OUT, gap=self.shape.reach)
        looks = self._looks_at_fault(held)
        return learn.take(~self._looks_at_fault(learn)), held.take(~looks | (held.truth == 1))

    def blocks(self, examples: Examples) -> Int64:
        """Stretches of time; all that have a part in one fault are one, since it is found or missed as a whole."""
        blocks = splits.blocks_of_time(examples, length=self.block)
        for rows, _ in in_order(examples):
            for first, last in ranges.stretches(examples.truth[rows] == 1):
                touched = np.unique(blocks[rows[first : last + 1]])
                blocks[np.isin(blocks, touched)] = touched[0]
        return blocks

    def _looks_at_fault(self, examples: Examples) -> Bool:
        out = np.zeros(len(examples), np.bool_)
        for number in np.unique(examples.track):
            mine = examples.track == number
            before = np.concatenate([[0], np.cumsum(self.faults[number])])
            end = examples.end[mine]
            out[mine] = before[end] > before[np.maximum(0, end - self.shape.reach)]
        return out


@dataclass(slots=True)
class Carried(MachineAnomaly):
    """Taught anew, and shown the faults that the ``champion`` was shown. ``said``: of each track its (t,) truths, NaN =
    nothing was said."""

    champion: Multivariate | None = None
    said: Sequence[Float64] = field(default_factory=tuple)

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        base = multivariate.learn(examples, replace(self.shape, **settings))
        return base if self.champion is None else known_faults.carried(base, self.champion, self._earlier())

    def _earlier(self) -> Examples:
        """All that may be learned from, with what was said of it. The later part is held out, as in every training."""
        asked = _complete(asking.everywhere(self.read(Path()).tracks, self.said))
        return splits.by_time(asked, held_out=HELD_OUT, gap=self.shape.reach)[0]


@dataclass(slots=True)
class Step(Carried):
    """The champion as it is, shown what people said since, and its limit moved by it."""

    stepped: KnownFaults = field(init=False)

    def __post_init__(self) -> None:
        """Raises ``NothingSaid``."""
        if self.champion is None:
            raise ValueError("there is no champion to go on from")
        self.stepped = known_faults.step(self.champion, self._earlier())
        self.shape = self.stepped.shape
        super(Step, self).__post_init__()

    def fit(self, examples: Examples, settings: Settings, *, seed: int) -> Learned:
        return self.stepped


def taught_anew(stored: Stored, champion: Multivariate | None = None, **named: Any) -> MachineAnomaly:
    """``champion``: who speaks now, whose faults are not forgotten; ``named``: name, about, source and signature."""
    return Carried(**_family(stored, SHAPE), **named, champion=champion, said=_truths(stored))


def step(stored: Stored, champion: Multivariate, **named: Any) -> Step:
    """From labels of the earlier part; the later one is held out, as in every training. Raises ``NothingSaid``."""
    return Step(**_family(stored, champion.shape), **named, champion=champion, said=_truths(stored))


def _truths(stored: Stored) -> list[Float64]:
    return [np.where(said, fault, np.nan) for said, fault in zip(stored.said, stored.faults, strict=True)]


def _family(stored: Stored, shape: Shape) -> dict[str, Any]:
    truths = [fault.astype(np.float64) for fault in stored.faults]
    return {
        "target": SKILL, "shape": shape, "block": BLOCK, "experiment": EXPERIMENT, "faults": stored.faults,
        "read": lambda _: Judged(list(stored.tracks), truths), "taught": _everything,
    }  # fmt: skip


def _everything(examples: Examples) -> Bool:
    return np.ones(len(examples), np.bool_)


def _complete(examples: Examples) -> Examples:
    """Questions at rows that have every feature."""
    return examples.take(np.flatnonzero(np.isfinite(examples.now).all(axis=1)))
