"""What readings add to the running total of a meter: a counter's increase, time above a threshold, how often it rose.

Pure. Readings come as columns in order of time (``at``: microseconds; all of the same length), without the bad ones.
"""

from __future__ import annotations

import numpy as np

from sensors.columns import SECOND_US, Float64, Int64

HOUR_US = 3_600 * SECOND_US
LONGEST_US = HOUR_US
"""A reading holds until the next one, and for no longer than this."""


def increase(value: Float64, *, before: float | None) -> float:
    """How far a counter went on; ``before``: its last value until then, None where there is none (it starts here).

    A value below the one before it means that the counter began anew at zero, as in ``increase`` of Prometheus.

    >>> increase(np.array([10.0, 12.0, 3.0, 4.0]), before=9.0)
    7.0
    """
    known = value if before is None else np.append(before, value)
    step = np.diff(known)
    return float(np.where(step < 0, known[1:], step).sum())


def hours_above(at: Int64, value: Float64, *, threshold: float, until: int) -> float:
    """Hours in which a value was above a threshold; the last reading holds until ``until`` at most.

    >>> hours_above(np.array([0, 1_800_000_000]), np.array([5.0, 1.0]), threshold=2.0, until=HOUR_US)
    0.5
    """
    held = np.minimum(np.diff(np.append(at, max(until, int(at[-1])))), LONGEST_US) if len(at) else at
    return float(held[value > threshold].sum()) / HOUR_US


def rises(value: Float64, *, threshold: float, before: float | None) -> int:
    """How often it rose above a threshold, from at or below it; what it was above from the beginning is no rise."""
    known = value if before is None else np.append(before, value)
    above = known > threshold
    return int((above[1:] & ~above[:-1]).sum())
