"""From the readings of a machine, each with its own time, to instants at which its sensors stand side by side.

An instant begins with a reading that is later than the one under way reaches, which is then over: it is judged and
teaches. It reaches as far as half of the shortest period that is declared of a sensor that was heard; where none is,
all its readings have the same time. A sensor that has no reading in it keeps its last value for a while. A reading
from before the instant under way only becomes the sensor's last value.

So what is known of an instant is the same in whatever order its readings come, and however they are cut into blocks.
Scalar loops, compiled by numba; without it the same functions are their own slow oracle.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mlops.detectors import lessons, residuals
from mlops.detectors.compiled import Kept, compiled
from mlops.detectors.residuals import ENOUGH, MEMORIES, NEVER, WIDTH, Desk
from mlops.state import Array

LAST = 1 << 62


class Given(NamedTuple):
    """Groups and their readings: see ``relation.Groups`` for ``order``, ``first`` and ``rank``. Of each row: where its
    readings begin and how many it has, its declared period and regime; of each reading: when, what, and whether it must
    teach nothing."""

    order: Array
    first: Array
    rank: Array
    begin: Array
    readings: Array
    period: Array
    regime: Array
    at: Array
    value: Array
    frozen: Array


class Found(NamedTuple):
    """Arrays of n readings to be filled: see ``contract.Scores``; and of each abnormal one, in the order in which they
    were found: which reading, its group, and the shares of the sensors of it."""

    score: Array
    news: Array
    verdict: Array
    low: Array
    high: Array
    observed: Array
    since: Array
    reading: Array
    group: Array
    shares: Array


@compiled
def desk() -> Desk:
    return Desk(
        np.zeros(WIDTH, np.bool_), np.zeros(WIDTH, np.bool_), np.zeros(WIDTH, np.int64), np.zeros(WIDTH),
        np.zeros(WIDTH), np.zeros((2, WIDTH)), np.zeros((2, WIDTH)), np.zeros(WIDTH), np.zeros((WIDTH, WIDTH)),
    )  # fmt: skip


@compiled
def walk(given: Given, every: Array, groups: Array, found: Found, budget: float) -> int:
    """All readings of all groups, each group's in the order of time; how many were abnormal."""
    at_hand, place, told = desk(), np.zeros(WIDTH, np.int64), 0
    for g in range(len(groups)):
        rows, group = given.order[given.first[g] : given.first[g + 1]], groups[g]
        place[: len(rows)] = 0
        at = _next(given, rows, place)
        while len(rows) > 1 and at < LAST:
            if group.opened == NEVER:
                group.opened = at
            elif at - group.opened > _reach(given, every, rows):
                _close(every, rows, group, at_hand, budget)
                _open(group, at)
            for k in range(len(rows)):
                row = rows[k]
                i = given.begin[row] + place[k]
                if place[k] < given.readings[row] and given.at[i] == at:
                    place[k] += 1
                    _take(given, every[row], row, i)
                    if at >= group.opened and given.frozen[i]:
                        group.still = True
                    told += _tell(every, rows, group, k, i, g, found, told)
            at = _next(given, rows, place)
    return told


@compiled
def _next(given: Given, rows: Array, place: Array) -> int:
    """When the next reading comes; ``LAST`` where none does."""
    soonest = LAST
    for k in range(len(rows)):
        row = rows[k]
        if place[k] < given.readings[row]:
            soonest = min(soonest, given.at[given.begin[row] + place[k]])
    return soonest


@compiled
def _reach(given: Given, every: Array, rows: Array) -> int:
    shortest = LAST
    for row in rows:
        if every[row].rank >= 0 and given.period[row] > 0:
            shortest = min(shortest, given.period[row])
    return 0 if shortest == LAST else shortest // 2


@compiled
def _close(every: Array, rows: Array, group: Kept, at_hand: Desk, budget: float) -> None:
    """The instant under way is over."""
    group.instants += 1
    lessons.forget_relations(every, rows, at_hand)
    residuals.measure(every, rows, group, at_hand)
    residuals.relate(every, rows, at_hand)
    residuals.ask(every, rows, group, at_hand, budget)
    lessons.learn(every, rows, group, at_hand)


@compiled
def _open(group: Kept, at: int) -> None:
    passed = float(at - group.opened)
    passed = passed if group.instants == 1 else min(passed, 2.0 * group.step)  # a gap is no step
    group.step += (passed - group.step) / min(group.instants, 1000)
    group.opened, group.still = at, False


@compiled
def _take(given: Given, kept: Kept, row: int, i: int) -> None:
    """A reading becomes the last value of its sensor, which forgets what it learned where a regime begins."""
    at = given.at[i]
    kept.rank = given.rank[row]
    if kept.regime < given.regime[row] <= at:
        kept.regime = given.regime[row]
        _forget(kept)
    if kept.heard > 0:
        passed = float(at - kept.at)
        passed = passed if kept.heard == 1 else min(passed, 2.0 * kept.gap)
        kept.gap += (passed - kept.gap) / min(kept.heard, 1000)
    kept.heard = min(kept.heard + 1, ENOUGH)
    kept.at, kept.value = at, given.value[i]


@compiled
def _forget(kept: Kept) -> None:
    """All that was learned of a sensor, but for its relations: the others know of them (``lessons``)."""
    kept.shown = kept.moved = kept.taught = kept.errors = kept.draws = 0
    kept.smooth = kept.spread = 0.0
    kept.last = kept.score = kept.low = kept.high = np.nan
    kept.ring[:] = np.nan
    kept.level[:] = 0.0
    kept.error[:] = 0.0
    kept.peak[:] = 0.0
    kept.usual[:] = 0.0
    kept.deviation[:] = 0.0
    kept.side[:] = 0


@compiled
def _tell(every: Array, rows: Array, group: Kept, k: int, i: int, g: int, found: Found, told: int) -> int:
    """What is known of the last instant that is over, with a reading of the ``k``-th sensor; whether it is abnormal."""
    kept = every[rows[k]]
    if kept.score != kept.score:
        return 0
    found.score[i], found.low[i], found.high[i], found.observed[i] = kept.score, kept.low, kept.high, kept.smooth
    found.since[i] -= np.int64(min(float(group.instants), MEMORIES[-1]) * group.step)
    found.news[i] = 0.0
    if group.news > 0.0 and group.news_of == k:
        found.news[i], group.news = group.news, 0.0
    if not group.stands or group.quiet > 0 or group.lead != k:
        return 0
    found.verdict[i], found.reading[told], found.group[told] = group.verdict, i, g
    for j in range(WIDTH):
        found.shares[told, j] = every[rows[j]].share if j < len(rows) else 0.0
    return 1
