"""How the score of a model comes about, as far as it can be told exactly: what ``mlops.explain`` works from. Pure.

A learned model that has a method ``explained(examples)`` which gives one of these is explained from its inside; every
other one is asked again and again with features taken away.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sensors.columns import Float64, Int64


@dataclass(frozen=True, slots=True)
class Linear:
    """The score is ``base + sum(weights * (inputs - mean))``. ``inputs``: (n, m); ``weights``: (n, m), a row for each
    question; ``mean``: (m,), of what was learned from; ``base``: (n,), the score there.

    ``shares``: (m, features), how much of an input is each feature's: rows sum to 1."""

    inputs: Float64
    weights: Float64
    mean: Float64
    base: Float64
    shares: Float64


@dataclass(frozen=True, slots=True)
class Trees:
    """The score is what a tree, a forest or boosted trees of scikit-learn answer for ``inputs``: (n, m).

    ``column``: (n,), of several classes the one that each question is about; 0 where there is one score.
    ``shares``: as in ``Linear``."""

    estimator: Any
    inputs: Float64
    column: Int64
    shares: Float64
