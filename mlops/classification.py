"""In which state a machine is, of a few that are known, with a probability to be taken at its word.

Pure: numpy in, numpy out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from mlops.learning.contract import Answers
from mlops.learning.examples import Examples
from mlops.learning.explained import Linear, Trees
from sensors.columns import Bool, Float64, Int64

FLOOR = 1e-3
"""No estimator is believed to be surer than this before it is calibrated: a forest of few trees says 0."""

COMBINE = {"product": np.multiply, "difference": np.subtract}

Derived = Sequence[tuple[str, int, int]]
"""Further inputs made of two features each: how (``COMBINE``), and of which."""

Make = Callable[[], Any]
"""A new, untaught classifier of scikit-learn."""


class Classifier:
    """Names the state at an instant from the features of that instant.

    ``outputs``: names of the state and of its probability. ``threshold``: of two classes the second is named from this
    probability on, and its probability is told; NaN: the likeliest is named, with its own.
    """

    kind = "classifier"

    def __init__(
        self, *, estimator: Any, classes: Float64, slope: float, threshold: float, derived: Derived, mean: Float64,
        outputs: tuple[str, str],
    ) -> None:  # fmt: skip
        self.estimator = estimator
        self.classes = classes
        self.slope = slope
        self.threshold = threshold
        self.derived = tuple(derived)
        self.mean = mean
        self.outputs = outputs

    def parts(self) -> dict[str, Any]:
        return {
            "estimator": self.estimator,
            "classes": self.classes,
            "slope": self.slope,
            "threshold": self.threshold,
            "derived": [list(one) for one in self.derived],
            "mean": self.mean,
            "outputs": list(self.outputs),
        }

    @classmethod
    def from_parts(cls, parts: dict[str, Any]) -> Classifier:
        label, probability = parts["outputs"]
        return cls(
            estimator=parts["estimator"],
            classes=parts["classes"],
            slope=parts["slope"],
            threshold=parts["threshold"],
            derived=[(how, first, second) for how, first, second in parts["derived"]],
            mean=parts["mean"],
            outputs=(label, probability),
        )

    def answer(self, examples: Examples) -> Answers:
        """A question with a feature missing is not answered."""
        label, probability = np.full((2, len(examples)), np.nan)
        known, inputs = self._inputs(examples)
        if known.any():
            chances = self._chances(inputs)
            place = self._named(chances)
            label[known] = self.classes[place]
            told = np.ones_like(place) if self.is_one_sided else place
            probability[known] = np.take_along_axis(chances, told[:, None], axis=1)[:, 0]
        return {self.outputs[0]: label, self.outputs[1]: probability}

    def explained(self, examples: Examples) -> Linear | Trees:
        """What speaks for the class whose probability is told. Linear: its log odds against the mean of the others.
        Trees: their share for it. NaN where a feature is missing."""
        known, some = self._inputs(examples)
        features = examples.tracks[0].value.shape[1]
        inputs = np.full((len(examples), features + len(self.derived)), np.nan)
        inputs[known] = some
        column = np.zeros(len(examples), np.int64)
        if known.any():
            chances = self._chances(some)
            column[known] = 1 if self.is_one_sided else self._named(chances)
        shares = _shares(features, self.derived)
        if hasattr(self.estimator, "steps"):
            weights, base = _log_odds(self.estimator, self.mean)
            return Linear(inputs, weights[column], self.mean, base[column], shares)
        return Trees(self.estimator, inputs, column, shares)

    @property
    def is_one_sided(self) -> bool:
        """Whether one of two classes is what matters."""
        return not np.isnan(self.threshold)

    def _named(self, chances: Float64) -> Int64:
        if self.is_one_sided:
            return (chances[:, 1] >= self.threshold).astype(np.int64)
        return np.asarray(chances.argmax(axis=1), np.int64)

    def _chances(self, inputs: Float64) -> Float64:
        return scaled(believed(self.estimator, inputs, classes=self.classes), slope=self.slope)

    def _inputs(self, examples: Examples) -> tuple[Bool, Float64]:
        return _complete(examples, self.derived)


def teach(
    examples: Examples, make: Make, *, inner: Iterable[tuple[Examples, Examples]], outputs: tuple[str, str],
    derived: Derived = (), one_sided: bool = False,
) -> Classifier:  # fmt: skip
    """Learn from questions with a truth; those with a feature missing are left out.

    ``inner``: what to learn from and what to ask, each question being asked once: calibration and threshold are learned
    from these answers, which come from estimators that have not seen the question. ``one_sided``: of two classes the
    second is what matters, and the threshold is where its F1 is best. Raises ``ValueError`` where there is one class
    alone."""
    known, inputs = _complete(examples, derived)
    truth = examples.truth[known]
    classes = np.unique(truth)
    if len(classes) < 2 or (one_sided and len(classes) != 2):
        raise ValueError(f"classes {classes.tolist()}: {'two' if one_sided else 'at least two'} are needed")
    beliefs, truths = [], []
    for learn, ask in inner:
        taught, lesson = _complete(learn, derived)
        asked, question = _complete(ask, derived)
        if asked.any() and len(np.unique(learn.truth[taught])) > 1:
            estimator = make().fit(lesson, learn.truth[taught])
            beliefs.append(believed(estimator, question, classes=classes))
            truths.append(ask.truth[asked])
    slope, threshold = 1.0, 0.5
    if beliefs:
        belief, right = np.concatenate(beliefs), np.searchsorted(classes, np.concatenate(truths))
        slope = calibrated(belief, right)
        threshold = best_f1(scaled(belief, slope=slope)[:, 1], right == 1)
    return Classifier(
        estimator=make().fit(inputs, truth), classes=classes, slope=slope, derived=derived,
        threshold=threshold if one_sided else np.nan, mean=inputs.mean(axis=0), outputs=outputs,
    )  # fmt: skip


def believed(estimator: Any, inputs: Float64, *, classes: Float64) -> Float64:
    """(n, classes): what an estimator believes of each; 0 for those it was never taught."""
    found = np.zeros((len(inputs), len(classes)))
    found[:, np.searchsorted(classes, estimator.classes_)] = estimator.predict_proba(inputs)
    return found


def scaled(belief: Float64, *, slope: float) -> Float64:
    """(n, classes) probabilities: the logarithm of belief times a slope (temperature scaling: Guo et al., On
    calibration of modern neural networks, 2017). What is likeliest stays so."""
    return np.asarray(softmax(slope * np.log(np.clip(belief, FLOOR, 1.0)), axis=1), np.float64)


def calibrated(belief: Float64, right: Int64) -> float:
    """The slope under which ``right``, (n,) positions of classes, was likeliest."""
    evidence, row = np.log(np.clip(belief, FLOOR, 1.0)), np.arange(len(right))

    def surprise(power: float) -> float:
        return -float(np.mean(log_softmax(np.exp(power) * evidence, axis=1)[row, right]))

    return float(np.exp(minimize_scalar(surprise, bounds=(-2.0, 2.0), method="bounded").x))


def best_f1(probability: Float64, truth: Bool) -> float:
    """The threshold from which on an alarm has the best F1: half way between two probabilities that were told."""
    order = np.argsort(-probability, kind="stable")
    score, hits = probability[order], np.cumsum(truth[order])
    cut = np.flatnonzero(np.append(score[1:] < score[:-1], True))
    f1 = 2 * hits[cut] / (cut + 1 + hits[-1])
    best = int(cut[np.argmax(f1)])
    return float((score[best] + score[best + 1]) / 2) if best + 1 < len(score) else float(score[best])


def _complete(examples: Examples, derived: Derived) -> tuple[Bool, Float64]:
    """(n,) whether nothing is missing, and the inputs of those, features first."""
    if not len(examples):
        return np.zeros(0, bool), np.zeros((0, 0))
    now = examples.now
    more = [COMBINE[how](now[:, first], now[:, second]) for how, first, second in derived]
    inputs = np.column_stack([now, *more])
    known = np.isfinite(inputs).all(axis=1)
    return known, inputs[known]


def _shares(features: int, derived: Derived) -> Float64:
    """Of an input made of two features each has half."""
    shares = np.zeros((features + len(derived), features))
    shares[:features] = np.eye(features)
    for row, (_, first, second) in enumerate(derived, start=features):
        shares[row, first] += 0.5
        shares[row, second] += 0.5
    return shares


def _log_odds(pipeline: Any, mean: Float64) -> tuple[Float64, Float64]:
    """(classes, inputs) weights and (classes,) values at ``mean`` of the log odds of each class against the mean of the
    others, of a standardizing pipeline that ends in a linear discriminant."""
    scaler, linear = pipeline[0], pipeline[-1]
    if not isinstance(linear, LinearDiscriminantAnalysis):
        raise TypeError(f"{type(linear).__name__}: nothing is known of how it comes to its scores")
    weights, level = linear.coef_ / scaler.scale_, linear.intercept_
    if len(linear.classes_) == 2:
        weights, level = np.concatenate([-weights, weights]), np.concatenate([-level, level])
        at_mean = weights @ (mean - scaler.mean_) + level
        return weights, at_mean
    count = len(weights)
    apart = (count * np.eye(count) - 1) / (count - 1)
    return apart @ weights, apart @ (weights @ (mean - scaler.mean_) + level)
