"""How sensors that should go together are compared, bucket by bucket: the loops behind ``neighbours``, pure.

Neighbours are sensors of one machine, kind and unit. Of buckets of 32 periods (an hour where a sensor of the group has
no period) each one's mean, less what it usually is away, is held against the median of all of them. How far it usually
is away, and how much that wanders, is learned; what goes on leaving it is summed up (two-sided CUSUM, Page 1954) with a
slack of ``SLACK`` standard deviations (the largest of the group's), at most ``QUICK`` a bucket so that no single one
decides, up to ``BOUND``. A sensor departs from then on, where it is also ``MATERIAL`` of all the range it ever had
away, until the sum is back at 0; it learns nothing meanwhile.

- One of three or more: it is the one. Where they have a measuring point in common, so that somebody has said that
  they measure the same thing, its readings are bad, else uncertain: three phases of a motor go together like copies,
  and yet one of them leaves the others when its winding fails.
- Two, or several at once: which one is wrong is not known, so that the readings of all that depart are uncertain.

Without a common measuring point only those are compared that go together: their distance wanders by less than ``ALIKE``
of what they themselves do (a correlation of about 0.99).

A bucket is decided when all have got beyond it, or one is ``AHEAD`` buckets ahead; a reading is judged by what was
decided up to the last bucket but one before its own. So the result does not depend on how the readings are cut into
Runs, as long as no neighbour comes ``AHEAD`` buckets after the others.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mlops.detectors.compiled import Kept, compiled, sort
from mlops.state import Array, Fields

WARM_UP = 32
MEMORY = 512.0
"""Buckets over which what is usual is averaged, exponentially."""
SLACK = 1.0
QUICK = 2.5
BOUND = 10.0
MATERIAL = 0.05
ALIKE = 0.15
AHEAD = 4
DEVIATION = 1.2533
"""Standard deviation of a normal quantity whose mean absolute deviation is 1."""
FINE, DRIFTS, DEPARTS, DISAGREES = range(4)
NEVER = -(1 << 62)

FIELDS: Fields = {
    "near_bucket": (np.int64, (), NEVER),  # being filled
    "near_sum": (np.float64, (), 0),
    "near_count": (np.int64, (), 0),
    "near_done": (np.int64, (AHEAD,), NEVER),  # filled and not decided yet, and their means
    "near_mean": (np.float64, (AHEAD,), 0),
    "near_decided": (np.int64, (), NEVER),  # the last one that was
    "near_members": (np.int64, (), 0),  # so many were compared
    "near_others": (np.int64, (), 0),  # buckets in a row with another number of them
    "near_learned": (np.int64, (), 0),
    "near_offset": (np.float64, (), 0),  # usual distance, how much it wanders, and how much the sensor does
    "near_wander": (np.float64, (), 0),
    "near_level": (np.float64, (), 0),
    "near_own": (np.float64, (), 0),
    "near_range": (np.float64, (2,), 0),  # the smallest and the largest mean of a bucket
    "near_sums": (np.float64, (2,), 0),  # above what is usual, and below
    "near_rise": (np.int64, (), 0),  # the bucket in which a sum began
    "near_state": (np.int64, (2,), 0),  # before the last turn and after it, and since which bucket it departs
    "near_since": (np.int64, (2,), 0),
    "near_turn": (np.int64, (), NEVER),  # the bucket of the turn
    "near_marked": (np.int64, (), 0),  # readings of the departure that began in bucket ``near_marks``
    "near_marks": (np.int64, (), NEVER),
}
LAYOUT = np.dtype([(name, kind, shape) for name, (kind, shape, _) in FIELDS.items()], align=True)


class Cells(NamedTuple):
    """Filled buckets: row of the sensor, number and mean of each."""

    row: Array
    bucket: Array
    mean: Array


class Turns(NamedTuple):
    """Of each: row, the bucket that decided it, what holds from then on, and since which bucket."""

    row: Array
    bucket: Array
    state: Array
    since: Array


@compiled
def fill(
    rows: Array, starts: Array, counts: Array, bucket: Array, value: Array, good: Array, length: Array, every: Array,
    cells: Cells,
) -> int:  # fmt: skip
    """Sum the readings of each sensor up, in their order; how many buckets were filled by them."""
    filled = 0
    for k in range(len(rows)):
        if length[rows[k]] == 0:
            continue
        kept = every[rows[k]]
        for i in range(starts[k], starts[k] + counts[k]):
            if not good[i]:
                continue
            if bucket[i] != kept.near_bucket:
                if kept.near_count > 0:
                    cells.row[filled], cells.bucket[filled] = rows[k], kept.near_bucket
                    cells.mean[filled] = kept.near_sum / kept.near_count
                    filled += 1
                kept.near_bucket, kept.near_sum, kept.near_count = bucket[i], 0.0, 0
            kept.near_sum += value[i]
            kept.near_count += 1
    return filled


@compiled
def decide(
    cells: Cells, first: Array, members: Array, bounds: Array, declared: Array, every: Array, turns: Turns
) -> int:
    """Go through the buckets of each group in their order; how many turns there were."""
    found = 0
    for g in range(len(bounds) - 1):
        newest = slowest = every[members[bounds[g]]].near_bucket
        for m in range(bounds[g], bounds[g + 1]):
            newest = max(newest, every[members[m]].near_bucket)
            slowest = min(slowest, every[members[m]].near_bucket)
        i = first[g]
        while i < first[g + 1]:
            end = i
            while end < first[g + 1] and cells.bucket[end] == cells.bucket[i]:
                end += 1
            number = cells.bucket[i]
            if number <= every[members[bounds[g]]].near_decided:
                i = end
                continue
            if slowest > number or newest >= number + AHEAD:
                found = _compare(cells, i, end, declared[g], every, turns, found)
                for m in range(bounds[g], bounds[g + 1]):
                    every[members[m]].near_decided = number
            else:
                for j in range(i, end):
                    _keep(every[cells.row[j]], number, cells.mean[j])
            i = end
    return found


@compiled
def _keep(kept: Kept, number: int, mean: float) -> None:
    for place in range(AHEAD):
        if kept.near_done[place] == NEVER:
            kept.near_done[place], kept.near_mean[place] = number, mean
            return


@compiled
def _compare(cells: Cells, start: int, end: int, declared: bool, every: Array, turns: Turns, found: int) -> int:
    """One bucket of one group."""
    k, number = end - start, cells.bucket[start]
    if k < 2:
        return found
    corrected, wander = np.zeros(k), 0.0
    for j in range(k):
        kept = every[cells.row[start + j]]
        corrected[j] = cells.mean[start + j] - kept.near_offset
        wander = max(wander, kept.near_wander)
    sort(corrected)
    middle = 0.5 * (corrected[(k - 1) // 2] + corrected[k // 2])
    departs, many = np.zeros(k, np.bool_), 0
    for j in range(k):
        departs[j] = _departs(every[cells.row[start + j]], number, cells.mean[start + j], middle, wander, k, declared)
        many += departs[j]
    for j in range(k):
        kept = every[cells.row[start + j]]
        state = FINE
        if departs[j]:
            state = DISAGREES if many > 1 or k == 2 else DRIFTS if declared else DEPARTS
        if state != kept.near_state[1]:
            since = kept.near_since[1] if kept.near_state[1] != FINE else kept.near_rise
            kept.near_state[0], kept.near_since[0] = kept.near_state[1], kept.near_since[1]
            kept.near_state[1], kept.near_since[1], kept.near_turn = state, since, number
            turns.row[found], turns.bucket[found] = cells.row[start + j], number
            turns.state[found], turns.since[found] = state, since
            found += 1
    return found


@compiled
def _departs(kept: Kept, number: int, mean: float, middle: float, wander: float, k: int, declared: bool) -> bool:
    """Whether a sensor departs, by its distance from the middle in one bucket; what is usual is learned.

    ``wander``: the largest of the group's, since whoever is in the middle hardly wanders at all.
    """
    departs = kept.near_state[1] != FINE
    if k != kept.near_members:
        kept.near_others += 1
        if kept.near_members > 0 and kept.near_others < WARM_UP:
            return bool(departs)
        kept.near_members, kept.near_learned, departs = k, 0, False
        kept.near_sums[0], kept.near_sums[1] = 0.0, 0.0
    kept.near_others = 0
    if kept.near_learned == 0:
        kept.near_wander, kept.near_level, kept.near_own = 0.0, mean, 0.0
        kept.near_range[0] = kept.near_range[1] = mean
    away, highest = mean - kept.near_offset - middle, 0.0
    kept.near_range[0], kept.near_range[1] = min(kept.near_range[0], mean), max(kept.near_range[1], mean)
    if kept.near_learned >= WARM_UP:
        highest = _sum_up(kept, away, wander, number)
        alike = declared or wander < ALIKE * kept.near_own
        far = abs(away) > MATERIAL * (kept.near_range[1] - kept.near_range[0])
        departs = highest > 0.0 if departs else highest >= BOUND and far and alike
    if not departs and highest < 0.5 * BOUND:
        share = 1.0 / min(kept.near_learned + 1.0, MEMORY)
        kept.near_wander += share * (abs(away) - kept.near_wander)
        kept.near_offset += share * away
        kept.near_own += share * (abs(mean - kept.near_level) - kept.near_own)
        kept.near_level += share * (mean - kept.near_level)
        kept.near_learned = min(kept.near_learned + 1, int(MEMORY))
    return bool(departs)


@compiled
def _sum_up(kept: Kept, away: float, wander: float, number: int) -> float:
    """The larger of the two sums after this bucket."""
    deviation = DEVIATION * wander
    most = math.copysign(QUICK + SLACK, away) if away != 0.0 else 0.0
    deviations = away / deviation if deviation > 0.0 else most
    if max(kept.near_sums[0], kept.near_sums[1]) == 0.0:
        kept.near_rise = number
    for side in range(2):
        excess = (deviations if side == 0 else -deviations) - SLACK
        kept.near_sums[side] = min(max(kept.near_sums[side] + min(excess, QUICK), 0.0), BOUND)
    return float(max(kept.near_sums[0], kept.near_sums[1]))
