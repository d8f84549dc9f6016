"""What was usual of the rows a model learned from: the reference that later readings are held against. Pure."""

from __future__ import annotations

import numpy as np

from mlops.drift import reference, windows
from mlops.drift.reference import LEAST_WINDOWS, Reference, TooLittle
from mlops.drift.windows import Window
from mlops.learning.contract import Signature
from mlops.learning.examples import Examples
from sensors.columns import Bool, Int64

USUAL_WINDOWS = 64
SHORTEST, LONGEST = 20, 500
"""Rows of a window: fewer say little of a spread, and more make nobody surer, since the windows are counted."""
CLOCK_SINCE_US = 946_684_800_000_000
"""2000-01-01. Instants before it are counts: they have no hour of the day that later readings could share."""


def reference_of(examples: Examples, signature: Signature) -> Reference:
    """Of what the questions looked at, in windows that are spread over all of it, in the order of the tracks.

    A window lies within one track, unless most rows are in tracks that are shorter. Raises ``TooLittle``.
    """
    learned = looked_at(examples, back=signature.rows)
    parts = [
        Window(_clock(track.at[rows]), track.value[rows])
        for track, rows in zip(examples.tracks, learned, strict=True)
        if rows.any()
    ]
    total = sum(len(part) for part in parts)
    if total < LEAST_WINDOWS * SHORTEST:
        raise TooLittle(
            f"{total} rows are too few for a reference: it takes {LEAST_WINDOWS} windows of {SHORTEST} or more"
        )
    length = int(np.clip(total // USUAL_WINDOWS, SHORTEST, LONGEST))
    if 2 * sum(len(part) for part in parts if len(part) >= length) < total:
        parts = [windows.together(parts)]
    given = [window for part in parts for window in windows.cut(part.at, part.value, rows=length)]
    chosen = np.unique(np.linspace(0, len(given) - 1, USUAL_WINDOWS).astype(np.int64))
    return reference.freeze([given[k] for k in chosen], features=[one.name for one in signature.features])


def looked_at(examples: Examples, *, back: int) -> list[Bool]:
    """Of each track which of its rows are among the last ``back`` of a question."""
    found = []
    for number, track in enumerate(examples.tracks):
        end = examples.end[examples.track == number]
        change = np.zeros(len(track.at) + 1, np.int64)
        np.add.at(change, np.maximum(0, end - back), 1)
        np.add.at(change, end, -1)
        found.append(np.cumsum(change[:-1]) > 0)
    return found


def _clock(at: Int64) -> Int64:
    return at if at[0] >= CLOCK_SINCE_US else np.zeros_like(at)
