"""How much each feature contributed to what a model says, as Shapley values (``mlops.shapley``). Pure.

Linear models: in closed form. Trees: TreeExplainer (Lundberg et al., From local explanations to global understanding
with explainable AI for trees, 2020). All others are asked again and again with features taken away.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import shap

from mlops import shapley
from mlops.learning.contract import Learned
from mlops.learning.examples import Examples
from mlops.learning.explained import Linear, Trees
from mlops.shapley import Explanation
from sensors.columns import Float64

MOST_ANSWERS = 1024
"""How often a model that tells nothing of itself is asked about one question: all choices of ten features."""


@runtime_checkable
class Open(Protocol):
    """A model that tells how its score comes about."""

    def explained(self, examples: Examples) -> Linear | Trees: ...


def contributions(learned: Learned, examples: Examples) -> Float64:
    """(n, features): what each feature of the signature adds to the score of each question."""
    return explanation(learned, examples).contributions


def explanation(
    learned: Learned, examples: Examples, *, output: str = "", usual: Float64 | None = None, rows: int = 0,
    most: int = MOST_ANSWERS, seed: int = 0,
) -> Explanation:  # fmt: skip
    """A model that tells how its score comes about is explained by that; the rest is for the others.

    ``output``: which answer is the score, "" = the first; ``usual``: (features,) what stands for a feature that is
    taken away, by default its median on the track before the question; ``rows``: how far back the model looks, 0 = all
    the way; ``most``: how often it is asked about one question, at most.
    """
    if not len(examples):
        width = examples.tracks[0].value.shape[1] if examples.tracks else 0
        return Explanation(np.zeros((0, width)), np.zeros(0))
    if isinstance(learned, Open):
        match learned.explained(examples):
            case Linear() as linear:
                return shapley.of_linear(linear)
            case Trees() as trees:
                return of_trees(trees)
    return shapley.of_answers(learned, examples, output=output, usual=usual, rows=rows, most=most, seed=seed)


def of_trees(found: Trees) -> Explanation:
    """Boosted trees have one score for two classes, the log odds of the second: those of the first are its negative."""
    known = np.isfinite(found.inputs).all(axis=1)
    told, base = np.full(found.inputs.shape, np.nan), np.full(len(found.inputs), np.nan)
    if known.any():
        explainer = shap.TreeExplainer(found.estimator)
        values = np.asarray(explainer.shap_values(found.inputs[known]), np.float64)
        expected = np.atleast_1d(np.asarray(explainer.expected_value, np.float64))
        column = found.column[known]
        if values.ndim == 2:
            first = hasattr(found.estimator, "classes_") & (column == 0)
            values, expected = np.stack([-values, values], axis=2), np.array([-expected[0], expected[0]])
            column = np.where(first, 0, 1)
        told[known] = values[np.arange(len(values)), :, column]
        base[known] = expected[column]
    return Explanation(told @ found.shares, base)
