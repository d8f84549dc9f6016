"""Drift against redundant neighbours: a part of ``validate``, pure. What is compared, and how: ``agreement``."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agents import agreement
from agents.agreement import NEVER, Cells, Turns
from agents.findings import FaultKind, Reason, SensorFault
from mlops.detectors.compiled import Kept
from mlops.state import Array
from sensors import columns
from sensors.columns import Bool, Columns, Int64, SensorTable

BUCKET = 32
"""Periods of a bucket."""
HOUR = 3600 * columns.SECOND_US
LAG = 2
REASONS = np.array([Reason.NONE, Reason.DRIFT, Reason.DISAGREEMENT, Reason.DISAGREEMENT])
DETAILS = (
    "",
    "leaves the others that measure the same thing",
    "leaves its neighbours, with which it went together",
    "no longer goes with its neighbours; which one is wrong cannot be said",
)


class Groups(NamedTuple):
    """Rows of the memory, by group; where each group begins in them (one more at the end); whether its members have a
    measuring point in common; of each row the length of its buckets, 0 where it has no neighbour."""

    members: Int64
    bounds: Int64
    declared: Bool
    length: Int64


def groups(sensor: Int64, table: SensorTable) -> Groups:
    """Of the sensors of a memory those that have neighbours in it."""
    place = np.searchsorted(table.sensor, sensor).clip(max=len(table) - 1)
    code = np.where(table.sensor[place] == sensor, table.group[place], 0)
    order = np.argsort(code, kind="stable")
    heads = columns.starts(code[order])
    sizes = np.diff(np.append(heads, len(order)))
    several = (sizes > 1) & (code[order][heads] > 0)
    members = order[np.repeat(several, sizes)]
    bounds = np.append(0, np.cumsum(sizes[several]))
    length = np.zeros(len(sensor), np.int64)
    if not len(members):
        return Groups(members, bounds, np.zeros(0, np.bool_), length)
    period = table.period[place[members]]
    some = np.minimum.reduceat(period, bounds[:-1]) > 0
    length[members] = np.repeat(np.where(some, BUCKET * np.maximum.reduceat(period, bounds[:-1]), HOUR), sizes[several])
    declared = np.asarray(table.declared[place[members[bounds[:-1]]]], np.bool_)
    return Groups(members, bounds, declared, length)


def check(
    here: Columns, p: Int64, starts: Int64, known: Groups, good: Bool, arrays: dict[str, Array]
) -> tuple[Int64, list[SensorFault]]:
    """Reason of each reading, and the faults. ``good``: readings that count; ``p``: row of each in the memory."""
    reason = np.zeros(len(p), np.int64)
    mine = known.length[p[starts]] > 0
    if not mine.any():
        return reason, []
    every = np.recarray(len(known.length), agreement.LAYOUT)
    for name in agreement.LAYOUT.names or ():
        every[name] = arrays[name]
    bucket = here.at // np.maximum(known.length[p], 1)
    cells = _filled(here, p, starts, known, good, bucket, every)
    before = {name: every[name].copy() for name in ("near_state", "near_since", "near_turn")}
    turns = _decided(cells, known, every)
    faults = []
    ends = np.append(starts[1:], len(p))
    turned = np.isin(p[starts], turns.row) | before["near_state"][p[starts]].any(axis=1)
    for start, end in zip(starts[mine & turned], ends[mine & turned], strict=True):
        row = int(p[start])
        states = _states(bucket[start:end], row, before, turns)
        reason[start:end] = REASONS[states[0]]
        faults += _told(here, slice(start, end), states, int(known.length[row]), every[row])
    for name in agreement.FIELDS:
        arrays[name][:] = every[name]
    return reason, faults


def _states(bucket: Int64, row: int, before: dict[str, Array], turns: Turns) -> tuple[Int64, Int64]:
    """What holds of readings in these buckets, and since which bucket."""
    mine = turns.row == row
    edges = np.concatenate([[NEVER, before["near_turn"][row] + LAG], turns.bucket[mine] + LAG])
    place = np.searchsorted(edges, bucket, side="right") - 1
    state = np.concatenate([before["near_state"][row], turns.state[mine]])
    since = np.concatenate([before["near_since"][row], turns.since[mine]])
    return state[place], since[place]


def _told(
    here: Columns, part: slice, states: tuple[Int64, Int64], length: int, kept: Kept
) -> list[SensorFault]:  # fmt: skip
    """One fault of each time that the sensor departed."""
    state, since = states
    marked = np.flatnonzero(state)
    faults = []
    for begun in dict.fromkeys(since[marked].tolist()):
        these = marked[since[marked] == begun]
        kept.near_marked = (kept.near_marked if kept.near_marks == begun else 0) + len(these)
        kept.near_marks = begun
        last = int(these[-1])
        faults.append(
            SensorFault(
                int(here.sensor[part.start]), FaultKind.DRIFT, begun * length, int(here.at[part.start + last]),
                int(kept.near_marked), DETAILS[state[last]],
            )
        )  # fmt: skip
    return faults


def _filled(
    here: Columns, p: Int64, starts: Int64, known: Groups, good: Bool, bucket: Int64, every: Array
) -> Cells:  # fmt: skip
    n = len(p)
    cells = Cells(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n))
    counts = np.diff(np.append(starts, n))
    value = np.require(here.value, requirements=["C", "W"])
    count = agreement.fill(p[starts], starts, counts, bucket, value, good, known.length, every, cells)
    return Cells(*(one[:count] for one in cells))


def _decided(cells: Cells, known: Groups, every: Array) -> Turns:
    """Decide what can be decided, and keep the rest for later."""
    waiting = known.members[:, None]
    kept = every["near_done"][known.members] > NEVER
    row = np.concatenate([np.broadcast_to(waiting, kept.shape)[kept], cells.row])
    bucket = np.concatenate([every["near_done"][known.members][kept], cells.bucket])
    mean = np.concatenate([every["near_mean"][known.members][kept], cells.mean])
    every["near_done"][known.members] = NEVER
    group = np.empty(len(every), np.int64)
    group[known.members] = np.repeat(np.arange(len(known.bounds) - 1), np.diff(known.bounds))
    order = np.lexsort((row, bucket, group[row]))
    first = np.searchsorted(group[row][order], np.arange(len(known.bounds)))
    n = len(order)
    turns = Turns(*(np.zeros(n, np.int64) for _ in range(4)))
    found = agreement.decide(
        Cells(row[order], bucket[order], mean[order]), first, known.members, known.bounds, known.declared, every, turns
    )
    return Turns(*(one[:found] for one in turns))
