"""What can be said of a stretch of a served model's answers, by what kind of answers they are. Pure.

A gauge takes answers in the order of time, by the names of the outputs, NaN = it said nothing. ``stream``: the one
number of each answer that is watched for changes. ``figures``: those of ``performance``, with truth where there is any.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mlops.classification import Classifier
from mlops.drift import performance, streams
from mlops.drift.performance import Intervals, Performance
from mlops.learning.contract import Answers, Learned, Signature
from sensors.columns import Float64, Int64

SCORES = ("score", "health")
DETECTORS = tuple(streams.DETECTORS)


class Gauge(Protocol):
    def stream(self, answers: Answers) -> Float64: ...

    def figures(self, answers: Answers, truth: Float64 | None = None) -> tuple[Performance, ...]: ...


@dataclass(frozen=True, slots=True)
class OneSided:
    """Of two states the probability of the one that matters. Truth: 1 = it was so."""

    probability: str
    threshold: float

    def stream(self, answers: Answers) -> Float64:
        return answers[self.probability]

    def figures(self, answers: Answers, truth: Float64 | None = None) -> tuple[Performance, ...]:
        said = np.isfinite(answers[self.probability])
        if not said.any():
            return ()
        known = None if truth is None else truth[said]
        return performance.of_classifier(answers[self.probability][said], threshold=self.threshold, truth=known)


@dataclass(frozen=True, slots=True)
class Named:
    """Of several states the likeliest with its probability. Truth: 1 = it was that state."""

    probability: str

    def stream(self, answers: Answers) -> Float64:
        return answers[self.probability]

    def figures(self, answers: Answers, truth: Float64 | None = None) -> tuple[Performance, ...]:
        """That a state was named rightly is what is hit where every answer is taken for an alarm."""
        said = np.isfinite(answers[self.probability])
        if not said.any():
            return ()
        known = None if truth is None else truth[said]
        found = performance.of_classifier(answers[self.probability][said], threshold=0.0, truth=known)
        return tuple(one for one in found if one.name == "accuracy")


@dataclass(frozen=True, slots=True)
class Quantiles:
    """P10, P50 and P90. ``usual``: ``performance.losses_a_width`` of blocks that were held out, at least two."""

    names: tuple[str, str, str]
    usual: Float64

    def stream(self, answers: Answers) -> Float64:
        """The wider, the less it says of itself."""
        width = answers[self.names[2]] - answers[self.names[0]]
        return np.where(np.isfinite(width), width, np.nan)

    def figures(self, answers: Answers, truth: Float64 | None = None) -> tuple[Performance, ...]:
        told = np.column_stack([answers[name] for name in self.names])
        said = np.isfinite(told).all(axis=1)
        if not said.any():
            return ()
        known = None if truth is None else truth[said]
        answered = Intervals(*told[said].T)
        if len(self.usual) < performance.LEAST_USUAL:
            return (performance.covered(answered, truth=known),)
        return performance.of_intervals(answered, self.usual, truth=known)


@dataclass(frozen=True, slots=True)
class Score:
    """A score, of which nothing follows without truth: it is watched for changes alone."""

    name: str

    def stream(self, answers: Answers) -> Float64:
        return answers[self.name]

    def figures(self, answers: Answers, truth: Float64 | None = None) -> tuple[Performance, ...]:
        return ()


def gauge_of(learned: Learned, signature: Signature, usual: Iterable[float]) -> Gauge | None:
    """None where nothing of its answers can be watched."""
    outputs = [one.name for one in signature.outputs]
    if isinstance(learned, Classifier):
        _, probability = learned.outputs
        return OneSided(probability, learned.threshold) if learned.is_one_sided else Named(probability)
    if (names := performance.quantiles(outputs)) is not None:
        return Quantiles(names, np.array(list(usual), np.float64))
    return next((Score(name) for name in SCORES if name in outputs), None)


def changes(before: Float64, stream: Float64) -> Mapping[str, Int64]:
    """By the name of a detector the positions in a stream at which it says that its mean has changed. Values count in
    spreads of those ``before``, with which each detector begins."""
    known = before[np.isfinite(before)]
    if not len(known):
        return {}
    usual, spread = float(known.mean()), float(known.std())
    whole = np.concatenate([before, stream])
    found = {name: streams.changes(whole, by=name, usual=usual, spread=spread) for name in DETECTORS}
    return {name: at[at >= len(before)] - len(before) for name, at in found.items()}
