"""What the other features say a feature should be: a drift that no feature shows by itself. Pure."""

from __future__ import annotations

import numpy as np

from sensors.columns import Float64

BEYOND = 5.0
"""Further from usual than this counts as this far: a spike is no relation."""
RIDGE = 0.01
"""Added to the correlation of each feature with itself, so that features which are copies of each other can be told."""
SAID = 0.5
"""Of a feature's variance at most this much may be left, or the others do not know it."""


def learn(residual: Float64) -> Float64:
    """(features, features): by column how much of each other feature a feature is made of; its own row is 0.

    The regression of every feature on all others, by the inverse of their correlations. ``residual``: (n, features),
    NaN = missing.
    """
    known = calm(residual)
    features = known.shape[1]
    scale = np.sqrt(np.mean(known**2, axis=0))
    scale = np.where(scale > 0, scale, 1.0)
    correlation = (known / scale).T @ (known / scale) / max(1, len(known))
    inverse = np.linalg.inv(correlation + RIDGE * np.eye(features))
    weight = -inverse / np.diag(inverse) * (scale / scale[:, None])
    np.fill_diagonal(weight, 0.0)
    return np.asarray(weight)


def unsaid(residual: Float64, weight: Float64) -> Float64:
    """(n, features): what is left of each feature once the others have said theirs; NaN where it is missing."""
    known = calm(residual)
    return np.asarray(np.where(np.isnan(residual), np.nan, known - known @ weight))


def calm(residual: Float64) -> Float64:
    return np.clip(np.nan_to_num(residual, nan=0.0, posinf=BEYOND, neginf=-BEYOND), -BEYOND, BEYOND)
