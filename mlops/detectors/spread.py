"""Does a sensor swing as it is used to? The mean step between neighbouring readings, fast against slow.

A louder bearing, a valve that hunts: more. A filter that clogs, a contact that sticks, a sensor that goes deaf: less,
which no distance from anywhere shows. Scalar code, compiled by numba.
"""

from __future__ import annotations

import math

import numpy as np

from mlops.detectors.compiled import Kept, compiled
from mlops.state import Fields

FAST, SLOW = 24.0, 1536.0
"""Readings that the two means look back."""
WARM_UP = 150
"""Readings before there is a measure."""
CLIP = 5.0
"""Times the usual step, that one step counts for at most: a lone jump is no spread."""
LEAST = 0.05
"""Of the usual step, added to both: a sensor that stands still is not infinitely calm."""

FIELDS: Fields = {
    "swing": (np.float64, (), 0),  # the mean step of late
    "usual": (np.float64, (), 0),  # and of old
    "steps": (np.int64, (), 0),  # that taught
}


@compiled
def follow(kept: Kept, step: float, learns: bool) -> float:
    """The logarithm of the step of late over the usual one, with a step of this size; NaN while nothing is known."""
    usual = kept.usual
    if kept.steps >= WARM_UP:
        step = min(step, CLIP * usual)
    kept.swing += (step - kept.swing) / min(kept.steps + 1.0, FAST)
    if learns:
        kept.steps += 1
        kept.usual += (step - usual) / min(float(kept.steps), SLOW)
    if kept.steps <= WARM_UP or usual <= 0.0:
        return np.nan
    return math.log((kept.swing / usual + LEAST) / (1.0 + LEAST))
