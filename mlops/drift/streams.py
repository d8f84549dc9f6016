"""A stream of errors or scores, one after the other: where it changes. ADWIN and Page-Hinkley are river's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from river import drift

from sensors.columns import Float64, Int64

DETECTORS: dict[str, Callable[[], Any]] = {"adwin": drift.ADWIN, "page-hinkley": drift.PageHinkley}


def changes(stream: Float64, *, by: str, usual: float, spread: float) -> Int64:
    """The positions at which a detector says that the mean has changed; after each it begins anew.

    ``by``: a name in ``DETECTORS``, with river's defaults, which expect values of the size of 1: so the stream is taken
    in spreads from what is usual. NaN is passed over. Both count readings as independent.
    """
    detector = DETECTORS[by]()
    found = []
    for position, value in enumerate(((stream - usual) / (spread or 1.0)).tolist()):
        if value == value:
            detector.update(value)
            if detector.drift_detected:
                found.append(position)
    return np.array(found, np.int64)
