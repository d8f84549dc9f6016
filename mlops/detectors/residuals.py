"""How far each sensor of a group is from its own past, and from what the others make likely; and what comes of it.

Of each sensor the value is smoothed, x, and has a level m and a scale s (``lessons``): z = (x - m) / s. With P the
inverse of the correlation of the sensors' z, what the others leave unexplained of sensor i, in its own unit, is

    u_i = (P z)_i / sqrt(P_ii),

the residual of the regression of z_i on all other z (Hawkins 1991; Lauritzen 1996, chapter 5). Each |u_i| and |z_i|
is a channel. The largest of a channel in 32 instants has an exponential tail beyond its mean, by its own past: what is
as far away as d comes

    windows a week x channels x exp(-(d - mean) / slope)

times a week by chance. An event begins where that is no more than was asked, and goes on while a channel that was
beyond stays above half of its threshold on the same side. Scalar loops, compiled by numba.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mlops.detectors.compiled import Kept, compiled, smallest
from mlops.state import Array, Fields

WIDTH = 16
"""Sensors of a group."""
SMOOTH = 8.0
"""Instants that the smoothed value looks back."""
MEMORIES = (32.0, 128.0, 512.0, 2048.0)
"""Instants that the levels look back; the one that has erred least counts."""
GUARD = 32
"""An instant teaches the levels so many instants later, if no alarm stood meanwhile."""
WINSOR = 6.0
"""A reading counts as at most so many scales from its level."""
GROWTH = 4.0
"""How much faster than it was seen to a level may wander off while it learns nothing."""
MOVES = 32
"""Changes of value before a sensor is judged."""
STALE = 3.0
"""Times its usual time between two readings that a sensor's last one holds."""
WINDOW = 32
"""Instants of which the largest distance is one draw from the tail."""
FEWEST_DRAWS, WARM_UP = 8, 384
"""Draws of a channel, and instants of a group, before a verdict."""
SLOPE, PRIOR_SLOPE, PRIOR_DRAWS = 0.72, 0.35, 8.0
"""Of a tail: its slope by the mean deviation of the draws, and what it is drawn towards with what weight."""
HOLD, QUIET = 0.5, 12
"""Share of its threshold above which a channel holds an event, and instants without after which it is over."""
REST = 72
"""Instants for which only what is rarer than the last news is news."""
FARTHEST = 1e6
ENOUGH = 4096
"""Counts go so far: it is more than any memory is long."""
MOST_UNTAUGHT = 1 << 30
WEEK_US = 7 * 24 * 3600 * 1e6
NEVER = -(1 << 62)
LOW, HIGH = 1, 2

SENSOR: Fields = {
    "rank": (np.int32, (), -1),  # place among the machine's sensors, -1 = not heard yet
    "regime": (np.int64, (), 0),  # that it was learned in
    "heard": (np.int16, (), 0),  # readings; this count and the next go to ``ENOUGH``
    "at": (np.int64, (), NEVER),  # instant of the newest
    "value": (np.float64, (), 0),  # and what it was
    "gap": (np.float64, (), 0),  # usual microseconds between two
    "shown": (np.int16, (), 0),  # instants with a value
    "moved": (np.int16, (), 0),  # of these, those with another value than the one before
    "last": (np.float64, (), np.nan),  # value of the last instant
    "smooth": (np.float64, (), 0),
    "ring": (np.float64, (GUARD,), np.nan),  # the last instants' values, which wait to teach
    "taught": (np.int16, (), 0),  # values that taught the levels
    "level": (np.float64, (len(MEMORIES),), 0),
    "errors": (np.int16, (), 0),  # instants that taught the scales
    "error": (np.float64, (len(MEMORIES),), 0),  # mean squares of smoothed value - level
    "spread": (np.float64, (), 0),  # of single values around the level
    "covariance": (np.float64, (WIDTH,), 0),  # with each sensor of the group
    "inverse": (np.float32, (WIDTH,), 0),  # row of P, 0 = not in it yet
    "draws": (np.int16, (), 0),
    "peak": (np.float64, (2,), 0),  # of u and z in the window under way
    "usual": (np.float64, (2,), 0),  # of the draws, their mean
    "deviation": (np.float64, (2,), 0),  # of the draws, mean absolute
    "side": (np.int8, (2,), 0),  # on which a channel was beyond since the event began
    # Of the last instant:
    "score": (np.float64, (), np.nan),
    "low": (np.float64, (), np.nan),
    "high": (np.float64, (), np.nan),
    "share": (np.float64, (), 0),
}
GROUP: Fields = {
    "opened": (np.int64, (), NEVER),  # when the instant under way began
    "still": (np.bool_, (), 0),  # whether it teaches nothing
    "instants": (np.int64, (), 0),  # that are over
    "step": (np.float64, (), 0),  # usual microseconds from one to the next
    "lessons": (np.int16, (), 0),  # instants that taught the covariance
    "window": (np.int8, (), 0),  # instants of the window under way
    "stands": (np.bool_, (), 0),  # whether an event does
    "quiet": (np.int16, (), 0),  # instants since a channel held it
    "lead": (np.int8, (), 0),  # the sensor it stands at, and its verdict
    "verdict": (np.int8, (), 0),
    "untaught": (np.int32, (), 0),  # instants in a row under an event or frozen
    "calm": (np.int16, (), ENOUGH),  # instants since
    "news": (np.float64, (), 0),  # to be told with the next reading of
    "news_of": (np.int8, (), 0),
    "news_at": (np.int64, (), NEVER),  # instant (by number) of the last news
    "strength": (np.float64, (), 0),  # and its score
}


class Desk(NamedTuple):
    """What is worked out of one instant: arrays of ``WIDTH`` sensors. ``signed``, ``ratio``: of two channels of each
    (0 = u, 1 = z) the distance, and beside its threshold; ``matrix``: P, of the sensors that have a value."""

    here: Array
    alive: Array
    best: Array
    value: Array
    scale: Array
    signed: Array
    ratio: Array
    off: Array
    matrix: Array


@compiled
def measure(every: Array, rows: Array, group: Kept, desk: Desk) -> None:
    """Each sensor's smoothed value, against its own past."""
    for k in range(len(rows)):
        kept = every[rows[k]]
        desk.here[k] = kept.rank >= 0 and (kept.at >= group.opened or float(group.opened - kept.at) <= STALE * kept.gap)
        desk.alive[k] = False
        desk.signed[0, k] = desk.signed[1, k] = desk.ratio[0, k] = desk.ratio[1, k] = 0.0
        if not desk.here[k]:
            continue
        kept.moved = min(kept.moved + (kept.value != kept.last), ENOUGH)
        kept.last = kept.value
        desk.alive[k] = kept.moved >= MOVES
        best = smallest(kept.error)
        level, value = kept.level[best], kept.value
        if kept.taught >= GUARD and kept.spread > 0.0:
            far = WINSOR * kept.spread
            value = min(max(value, level - far), level + far)
        kept.shown = min(kept.shown + 1, ENOUGH)
        kept.smooth += max(1.0 / SMOOTH, 1.0 / kept.shown) * (value - kept.smooth)
        wanders = max(kept.error[2] - kept.error[0], 0.0) * GROWTH / (MEMORIES[2] - MEMORIES[0])
        scale = math.sqrt(kept.error[best] + wanders * group.untaught)
        desk.best[k], desk.value[k], desk.scale[k] = best, value, scale
        if desk.alive[k] and scale > 0.0:
            desk.signed[1, k] = min(max((kept.smooth - level) / scale, -FARTHEST), FARTHEST)


@compiled
def relate(every: Array, rows: Array, desk: Desk) -> None:
    """Each sensor against the others that have a value; one of which nothing is known beside them, by itself."""
    p, matrix = len(rows), desk.matrix
    for i in range(p):
        matrix[i, :p] = every[rows[i]].inverse[:p]
    for k in range(p):
        if not desk.here[k] and matrix[k, k] > 0.0:
            leave_out(matrix, p, k)
    for i in range(p):
        if not desk.alive[i]:
            continue
        if matrix[i, i] <= 0.0:
            desk.signed[0, i] = desk.signed[1, i]
            continue
        total = 0.0
        for j in range(p):
            total += matrix[i, j] * desk.signed[1, j]
        desk.signed[0, i] = total / math.sqrt(matrix[i, i])


@compiled
def leave_out(matrix: Array, p: int, k: int) -> None:
    """From the inverse of a matrix to that of the same one without row and column ``k``, which become 0."""
    own = matrix[k, k]
    for i in range(p):
        if i != k and matrix[i, k] != 0.0:
            part = matrix[i, k] / own
            for j in range(p):
                if j != k:
                    matrix[i, j] -= part * matrix[k, j]
    matrix[k, :p] = 0.0
    matrix[:p, k] = 0.0


@compiled
def ask(every: Array, rows: Array, group: Kept, desk: Desk, budget: float) -> None:
    """How rare each sensor's distance is, and what was expected; then whether an event begins, goes on or ends."""
    present = 0
    for k in range(len(rows)):
        present += desk.here[k]
    ready = group.instants >= WARM_UP and present >= 2 and group.step > 0.0
    often = 2.0 * present * WEEK_US / (WINDOW * group.step) if group.step > 0.0 else 1.0
    depth = max(math.log(often / budget), 1.0)
    highest, most, total = -1, 0.0, 0.0
    for k in range(len(rows)):
        kept = every[rows[k]]
        kept.score = kept.low = kept.high = np.nan
        kept.share = 0.0
        if not desk.here[k] or kept.draws < FEWEST_DRAWS:
            continue
        rarity = _compare(kept, k, desk, depth)
        larger = max(desk.ratio[0, k], desk.ratio[1, k])
        kept.share = larger * larger
        total += kept.share
        if ready:
            kept.score = math.exp(-often * math.exp(-rarity))
            if highest < 0 or larger > most:
                highest, most = k, larger
    if total > 0.0:
        for k in range(len(rows)):
            every[rows[k]].share /= total
    if highest >= 0 and most >= 1.0 and not group.stands:
        channel = 0 if desk.ratio[0, highest] >= desk.ratio[1, highest] else 1
        group.stands, group.lead, group.quiet = True, highest, 0
        group.verdict = HIGH if desk.signed[channel, highest] > 0.0 else LOW
    if group.stands and highest >= 0 and every[rows[group.lead]].score != every[rows[group.lead]].score:
        group.lead = highest  # of one that is not judged any more nothing could be told
    _hold(every, rows, group, desk)
    _tell(every, rows, group, highest)


@compiled
def _compare(kept: Kept, k: int, desk: Desk, depth: float) -> float:
    """Both channels of a sensor beside their tails: the rarity of the rarer one; what was expected by the one that is
    nearer to its threshold."""
    rarity, own = 0.0, desk.matrix[k, k]
    for channel in range(2):
        distance = abs(desk.signed[channel, k])
        slope = (kept.deviation[channel] * SLOPE * kept.draws + PRIOR_DRAWS * PRIOR_SLOPE) / (kept.draws + PRIOR_DRAWS)
        threshold = kept.usual[channel] + slope * depth
        desk.ratio[channel, k] = distance / threshold
        rarity = max(rarity, (distance - kept.usual[channel]) / slope)
        if channel == 0 or desk.ratio[1, k] > desk.ratio[0, k]:
            unit = desk.scale[k] / math.sqrt(own) if channel == 0 and own > 0.0 else desk.scale[k]
            expected = kept.smooth - unit * desk.signed[channel, k]
            kept.low, kept.high = expected - unit * threshold, expected + unit * threshold
    return rarity


@compiled
def _hold(every: Array, rows: Array, group: Kept, desk: Desk) -> None:
    """While an event stands: which channels hold it, and whether it is over."""
    if group.stands:
        held = False
        for k in range(len(rows)):
            kept = every[rows[k]]
            for channel in range(2):
                sign = 1 if desk.signed[channel, k] > 0.0 else -1
                if desk.ratio[channel, k] >= 1.0:
                    kept.side[channel] = sign
                held = held or (kept.side[channel] == sign and desk.ratio[channel, k] >= HOLD)
        group.quiet = 0 if held else group.quiet + 1
        if group.quiet >= QUIET:
            group.stands = False
            for k in range(len(rows)):
                every[rows[k]].side[:] = 0
    blocked = group.stands or group.still
    group.untaught = min(group.untaught + 1, MOST_UNTAUGHT) if blocked else 0
    group.calm = 0 if blocked else min(group.calm + 1, ENOUGH)


@compiled
def _tell(every: Array, rows: Array, group: Kept, highest: int) -> None:
    """The score of the group stands at the lead of an event, and is news where nothing as rare was a moment ago."""
    group.news = 0.0
    if highest < 0:
        return
    score = 0.0
    for k in range(len(rows)):
        score = max(score, every[rows[k]].score)  # one that is not judged is not larger
    place = group.lead if group.stands else highest
    if group.stands:
        every[rows[place]].score = score
    if score > 0.0 and (group.instants - group.news_at >= REST or score > group.strength):
        group.news, group.news_of, group.news_at, group.strength = score, place, group.instants, score
