"""What an instant teaches of a group of sensors, where no alarm stands and has not stood for ``GUARD`` instants.

Levels learn from values that are ``GUARD`` instants old, so that what turns out to be the beginning of an event was not
learned. Scales, covariance and tails learn at once, from clipped errors. Scalar loops, compiled by numba.
"""

from __future__ import annotations

import math

import numpy as np

from mlops.detectors.compiled import Kept, compiled, sort
from mlops.detectors.residuals import ENOUGH, GUARD, MEMORIES, SMOOTH, WINDOW, WINSOR, Desk, leave_out
from mlops.state import Array

MEMORY = 1024.0
"""Instants that scales and covariance look back."""
CLIP = 4.0
"""Scales at which an error that teaches is clipped."""
SHRINK = 0.1
"""Of the correlation, towards independence."""
DRAWS = 256.0
"""Windows that a tail looks back."""
FEWEST, SURE = 16, 64
"""Values that taught a level before its errors count, and errors before they are clipped."""
SIGMA = 1.25
"""Standard deviation by mean absolute deviation, for normal values."""


@compiled
def learn(every: Array, rows: Array, group: Kept, desk: Desk) -> None:
    """From the instant that was measured; and what only follows goes on."""
    calm = group.calm > GUARD
    if calm:
        _scales(every, rows, desk)
        _covariance(every, rows, group, desk)
        if group.instants >= 3 * GUARD:
            _tails(every, rows, group, desk)
    slot = group.instants % GUARD
    for k in range(len(rows)):
        kept = every[rows[k]]
        old = kept.ring[slot]
        if calm and not math.isnan(old):
            kept.taught = min(kept.taught + 1, ENOUGH)
            for m in range(len(MEMORIES)):
                kept.level[m] += max(1.0 / MEMORIES[m], 1.0 / kept.taught) * (old - kept.level[m])
        kept.ring[slot] = desk.value[k] if desk.here[k] else np.nan
        if desk.here[k] and kept.shown == GUARD:
            _begin_robustly(kept, slot)


@compiled
def _scales(every: Array, rows: Array, desk: Desk) -> None:
    """And how far the smoothed value is from its level, clipped: for the covariance."""
    for k in range(len(rows)):
        kept = every[rows[k]]
        desk.off[k] = 0.0
        if not desk.here[k] or kept.taught < FEWEST:
            continue
        best = desk.best[k]
        level, error = kept.level[best], kept.error[best]
        kept.errors = min(kept.errors + 1, ENOUGH)
        rate = max(1.0 / MEMORY, 1.0 / kept.errors)
        size = SIGMA * abs(desk.value[k] - level)
        if kept.errors > GUARD and kept.spread > 0.0:
            size = min(size, CLIP * kept.spread)
        kept.spread += rate * (size - kept.spread)
        off = kept.smooth - level
        if kept.errors > SURE and error > 0.0:
            far = CLIP * math.sqrt(error)
            off = min(max(off, -far), far)
        desk.off[k] = off
        for m in range(len(MEMORIES)):
            square = (kept.smooth - kept.level[m]) ** 2
            if kept.errors > SURE and kept.error[m] > 0.0:
                square = min(square, CLIP * CLIP * kept.error[m])
            kept.error[m] += rate * (square - kept.error[m])


@compiled
def _covariance(every: Array, rows: Array, group: Kept, desk: Desk) -> None:
    """With one weight for the whole matrix, so that it stays positive semidefinite whatever is missing."""
    some, p = False, len(rows)
    for k in range(p):
        some = some or (desk.here[k] and every[rows[k]].taught >= FEWEST)
    if not some:
        return
    group.lessons = min(group.lessons + 1, ENOUGH)
    rate = max(1.0 / MEMORY, 1.0 / group.lessons)
    for i in range(p):
        covariance = every[rows[i]].covariance
        for j in range(p):
            covariance[j] += rate * (desk.off[i] * desk.off[j] - covariance[j])


@compiled
def _tails(every: Array, rows: Array, group: Kept, desk: Desk) -> None:
    """The largest distance of each channel in this window; when it is full, one draw, and the relations anew."""
    group.window += 1
    full = group.window >= WINDOW
    for k in range(len(rows)):
        kept = every[rows[k]]
        for channel in range(2):
            kept.peak[channel] = max(kept.peak[channel], abs(desk.signed[channel, k]))
        if not full:
            continue
        if desk.alive[k] and kept.shown >= 3 * GUARD:
            kept.draws = min(kept.draws + 1, ENOUGH)
            rate = max(1.0 / DRAWS, 1.0 / kept.draws)
            for channel in range(2):
                off = abs(kept.peak[channel] - kept.usual[channel]) if kept.draws > 1 else 0.0
                kept.deviation[channel] += rate * (off - kept.deviation[channel])
                kept.usual[channel] += rate * (kept.peak[channel] - kept.usual[channel])
        kept.peak[:] = 0.0
    if full:
        group.window = 0
        _invert(every, rows, desk)


@compiled
def _invert(every: Array, rows: Array, desk: Desk) -> None:
    """The inverse of the correlation of the sensors that have a value: P."""
    p, matrix = len(rows), desk.matrix
    for i in range(p):
        own = every[rows[i]].covariance
        for j in range(p):
            matrix[i, j] = 0.0
            both = desk.here[i] and desk.here[j] and own[i] > 0.0 and every[rows[j]].covariance[j] > 0.0
            if both and i != j:
                matrix[i, j] = (1.0 - SHRINK) * own[j] / math.sqrt(own[i]) / math.sqrt(every[rows[j]].covariance[j])
        matrix[i, i] = 1.0
    invert(matrix, p)
    for i in range(p):
        kept = every[rows[i]]
        kept.inverse[:p] = matrix[i, :p]
        if not desk.here[i] or kept.covariance[i] <= 0.0:
            kept.inverse[i] = 0.0


@compiled
def invert(matrix: Array, p: int) -> None:
    """In place, the first ``p`` rows and columns of a positive definite matrix, by Gauss-Jordan elimination."""
    for k in range(p):
        pivot = matrix[k, k]
        matrix[k, k] = 1.0
        for j in range(p):
            matrix[k, j] /= pivot
        for i in range(p):
            if i != k:
                part = matrix[i, k]
                matrix[i, k] = 0.0
                for j in range(p):
                    matrix[i, j] -= part * matrix[k, j]


@compiled
def forget_relations(every: Array, rows: Array, desk: Desk) -> None:
    """Of the sensors whose first instant this is: what others had learned of whoever had their place."""
    p, matrix, some = len(rows), desk.matrix, False
    for k in range(p):
        kept = every[rows[k]]
        some = some or (kept.rank >= 0 and kept.shown == 0)
    if not some:
        return
    for i in range(p):
        matrix[i, :p] = every[rows[i]].inverse[:p]
    for k in range(p):
        kept = every[rows[k]]
        if kept.rank >= 0 and kept.shown == 0:
            if matrix[k, k] > 0.0:
                leave_out(matrix, p, k)
            kept.covariance[:] = 0.0
            for i in range(p):
                every[rows[i]].covariance[k] = 0.0
    for i in range(p):
        every[rows[i]].inverse[:p] = matrix[i, :p]


@compiled
def _begin_robustly(kept: Kept, slot: int) -> None:
    """The ring is full for the first time: outliers in it are pulled in, and the smoothed value begins from it."""
    values, count = np.empty(GUARD), 0
    for i in range(GUARD):
        if not math.isnan(kept.ring[i]):
            values[count] = kept.ring[i]
            count += 1
    middle = _quantile(values[:count], 0.5)
    for i in range(count):
        values[i] = abs(values[i] - middle)
    most, total = _quantile(values[:count], 0.9), 0.0
    for i in range(count):
        total += min(values[i], most)
    far = WINSOR * SIGMA * total / count
    if far > 0.0 and count >= SMOOTH:
        for i in range(GUARD):
            kept.ring[i] = min(max(kept.ring[i], middle - far), middle + far)
    count, total = 0, 0.0
    for i in range(int(SMOOTH)):
        value = kept.ring[(slot - i) % GUARD]
        if not math.isnan(value):
            count, total = count + 1, total + value
    kept.smooth = total / count


@compiled
def _quantile(values: Array, share: float) -> float:
    """Between two values in proportion. Sorts them."""
    sort(values)
    place = share * (len(values) - 1)
    below = int(place)
    low, high = float(values[below]), float(values[min(below + 1, len(values) - 1)])
    return low + (place - below) * (high - low)
