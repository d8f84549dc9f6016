"""How good a model is where no truth is known yet, beside how good it was found to be. Pure.

Of a classifier: if its probabilities are right, what it will be found to reach follows from them (confidence-based
performance estimation). Of a regression with an interval: the wider it says it is, the worse it will be, in the
proportion in which it was. Neither sees that a model has become wrong about what it is sure of.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from mlops.learning import figures
from mlops.learning.contract import Answers
from mlops.learning.examples import Examples
from sensors.columns import Bool, Float64, Int64

DRAWS, SEED = 400, 0
TAIL = 0.025
QUANTILES = re.compile(r"(?P<of>(?:.*_)?)p10")
LEAST_USUAL, MOST_USUAL = 2, 500
"""Windows with a known truth, by which the next is judged."""


@dataclass(frozen=True, slots=True)
class Performance:
    """A figure by name. ``expected``: without truth, from ``low`` to ``high`` in 95 of 100 cases as far as the model
    knows itself; ``measured``: where there is truth, of ``known`` answers. NaN = not known."""

    name: str
    expected: float
    low: float
    high: float
    measured: float
    known: int


# Classifiers


def of_classifier(probability: Float64, *, threshold: float, truth: Float64 | None = None) -> tuple[Performance, ...]:
    """Accuracy, precision, recall and F1 of (n,) calibrated probabilities, alarms from the threshold on.

    ``truth``: (n,) 0 or 1, NaN = not known yet. The range is that of truths drawn from the probabilities, each by
    itself. Raises ``ValueError`` where n is 0.
    """
    alarm = probability >= threshold
    expected = ratios(alarm, tallies(alarm, probability))
    drawn = ratios(alarm, drawings(alarm, probability))
    labels = np.full(len(probability), np.nan) if truth is None else truth
    there = ~np.isnan(labels)
    measured: Mapping[str, Any] = {}
    if there.any():
        measured = ratios(alarm[there], tallies(alarm[there], labels[there]))
    found = []
    for name, value in expected.items():
        low, high = np.quantile(drawn[name], [TAIL, 1 - TAIL])
        reached = float(measured.get(name, np.nan))
        found.append(Performance(name, float(value), float(low), float(high), reached, int(there.sum())))
    return tuple(found)


def tallies(alarm: Bool, true: Float64) -> tuple[float, float]:
    """Hits and misses; ``true``: whether, or how likely, each is one to be alarmed."""
    return float(true[alarm].sum()), float(true[~alarm].sum())


def drawings(alarm: Bool, probability: Float64) -> tuple[Float64, Float64]:
    """``DRAWS`` of both."""
    dice = np.random.default_rng(SEED)
    found = np.array(
        [tallies(alarm, np.less(dice.random(len(alarm)), probability).astype(np.float64)) for _ in range(DRAWS)]
    )
    return found[:, 0], found[:, 1]


def ratios(alarm: Bool, of: tuple[Any, Any]) -> dict[str, Any]:
    """Figures by name, 0 where nothing is found."""
    if not len(alarm):
        raise ValueError("no answers: there is nothing to expect")
    hit, missed = of
    alarms, least = float(alarm.sum()), float(np.finfo(np.float64).tiny)
    return {
        "accuracy": (hit + (len(alarm) - alarms - missed)) / len(alarm),
        "precision": hit / max(alarms, least),
        "recall": hit / np.maximum(hit + missed, least),
        "f1": 2 * hit / np.maximum(hit + missed + alarms, least),
    }


# Regressions with an interval


@dataclass(frozen=True, slots=True)
class Intervals:
    """Answers (n,): the quantile ``tail``, the median, and the quantile 1 - ``tail``."""

    low: Float64
    middle: Float64
    high: Float64
    tail: float = 0.1

    def width(self) -> float:
        return float(np.mean(self.high - self.low))

    def loss(self, truth: Float64) -> float:
        """Mean quantile loss of the three."""
        quantiles = ((self.low, self.tail), (self.middle, 0.5), (self.high, 1 - self.tail))
        return float(np.mean([figures.pinball(answer, truth, quantile=share) for answer, share in quantiles]))

    def take(self, rows: Bool) -> Intervals:
        return Intervals(self.low[rows], self.middle[rows], self.high[rows], self.tail)


def losses_a_width(windows: list[tuple[Intervals, Float64]]) -> Float64:
    """Of windows with a known truth: the loss of each over its mean width. What ``of_intervals`` goes by."""
    return np.array([answers.loss(truth) / answers.width() for answers, truth in windows])


def quantiles(outputs: Iterable[str]) -> tuple[str, str, str] | None:
    """The names of P10, P50 and P90 of one thing, None where there are not all three."""
    names = list(outputs)
    for found in filter(None, map(QUANTILES.fullmatch, names)):
        low, middle, high = (f"{found['of']}{share}" for share in ("p10", "p50", "p90"))
        if middle in names and high in names:
            return low, middle, high
    return None


def usual_losses(answers: Answers, held: Examples, blocks: Int64) -> list[float]:
    """``losses_a_width`` of each block of what was held out; of answers that are no intervals none."""
    names = quantiles(answers)
    if names is None:
        return []
    told = np.column_stack([answers[name] for name in names])
    known = np.isfinite(told).all(axis=1) & np.isfinite(held.truth)
    windows = []
    for block in np.unique(blocks[known])[:MOST_USUAL]:
        here = known & (blocks == block)
        answered = Intervals(*told[here].T)
        if answered.width() > 0:
            windows.append((answered, held.truth[here]))
    return [float(one) for one in losses_a_width(windows)]


def of_intervals(answers: Intervals, usual: Float64, *, truth: Float64 | None = None) -> tuple[Performance, ...]:
    """Quantile loss and coverage. ``usual``: (m,) of ``losses_a_width``, of two windows or more; the range of the loss
    is that of one more window like them (Student's t). ``truth``: (n,), NaN = not known yet."""
    if len(usual) < LEAST_USUAL:
        raise ValueError(f"{len(usual)} windows with a known truth say nothing of the next: it takes two")
    known, labels = _where_known(answers, truth)
    loss = known.loss(labels) if len(labels) else np.nan
    off = float(special.stdtrit(len(usual) - 1, 1 - TAIL) * usual.std(ddof=1) * np.sqrt(1 + 1 / len(usual)))
    width, mean = answers.width(), float(usual.mean())
    return (
        Performance("pinball", mean * width, max(0.0, mean - off) * width, (mean + off) * width, loss, len(labels)),
        covered(answers, truth=truth),
    )


def covered(answers: Intervals, *, truth: Float64 | None = None) -> Performance:
    """The share of truths in the interval; what is expected is what it promises."""
    known, labels = _where_known(answers, truth)
    measured = figures.coverage(known.low, known.high, labels) if len(labels) else np.nan
    return Performance("coverage", 1 - 2 * answers.tail, np.nan, np.nan, measured, len(labels))


def _where_known(answers: Intervals, truth: Float64 | None) -> tuple[Intervals, Float64]:
    labels = np.full(len(answers.low), np.nan) if truth is None else truth
    there = ~np.isnan(labels)
    return answers.take(there), labels[there]
