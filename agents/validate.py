"""Stage 3, pure: which readings can the machine have produced at all?

Every reading gets a quality and a reason; what the machine cannot have produced becomes an instrumentation fault
(P4). Late and out-of-order readings are only held against the physical limits and teach nothing (P5). The result is
the same however the stream of a sensor is split into Runs.

Limits, gaps, standing still and calibration are looked at here; rates in ``rates``; saturation, units and clocks in
``instruments``; neighbours in ``neighbours``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agents import agreement, clocks, instruments, neighbours, rates
from agents.findings import BAD, PRECEDENCE, UNCERTAIN, FaultKind, Quality, Reason, SensorFault, Validated
from mlops.state import Array, Fields, State, align
from sensors.columns import Bool, Columns, Float64, Int64, SensorTable, concatenate
from sensors.columns import starts as starts_of

RANK = np.array([PRECEDENCE.index(reason) for reason in Reason])
"""Of each reason its place in the order of precedence."""
QUALITY = np.array([Quality.BAD if r in BAD else Quality.UNCERTAIN if r in UNCERTAIN else Quality.GOOD for r in Reason])
GAP_PERIODS = clocks.GAP_PERIODS
STUCK_FLOOR = 12
STUCK_FACTOR = 3
STUCK_CHANGES = 24
"""Changes a sensor must have shown before standing still can be held against it."""

FIELDS: Fields = {
    **rates.FIELDS,
    **instruments.FIELDS,
    **agreement.FIELDS,
    "seen": (np.bool_, (), 0),
    "newest": (np.int64, (), 0),
    "flat": (np.float64, (), 0),  # value (in steps of the resolution) of the current flat run
    "flat_since": (np.int64, (), 0),
    "flat_count": (np.int64, (), 0),
    "longest": (np.int64, (), 0),  # longest flat run that has ended
    "changes": (np.int64, (), 0),
    "out_since": (np.int64, (), 0),
    "out_count": (np.int64, (), 0),  # consecutive readings outside the physical limits
    "overdue": (np.int64, (), 0),  # readings since calibration was due
}


def validate(
    *,
    columns: Columns,
    table: SensorTable,
    memory: State,
    received: Int64 | None = None,
    clashes: Columns | None = None,
) -> Validated:
    """Judge the readings of one Run.

    ``columns``: n readings sorted by (sensor, at); of equal (sensor, at) the first is kept. ``memory``: what earlier
    Runs left; sensors it lacks start cold, sensors without readings keep theirs. ``received``: when each arrived
    (None = not known). ``clashes``: readings beside these whose instant is stored with another value, sorted as they
    are. Raises ``KeyError`` where a sensor is not in the table.
    """
    n = len(columns)
    arrived = np.zeros(n, np.int64) if received is None else received
    heads = starts_of(columns.sensor)
    ids, counts = columns.sensor[heads], np.diff(np.append(heads, n))
    row = np.repeat(table.rows(ids), counts)
    memory = align(memory, ids, FIELDS)
    arrays = {name: array.copy() for name, array in memory.arrays.items()}
    place = np.repeat(np.searchsorted(memory.sensor, ids), counts)
    keep = np.ones(n, np.bool_)
    keep[1:] = (columns.sensor[1:] != columns.sensor[:-1]) | (columns.at[1:] != columns.at[:-1])
    newest, seen = arrays["newest"][place], arrays["seen"][place].astype(np.bool_)
    late = seen & (columns.at < newest - table.lateness[row])
    live = keep & ~(seen & (columns.at <= newest))
    reason = np.where(late, Reason.LATE, np.where(seen & (columns.at <= newest), Reason.OUT_OF_ORDER, Reason.NONE))
    outside = (columns.value < table.physical_low[row]) | (columns.value > table.physical_high[row])
    reason[outside] = Reason.PHYSICAL_LIMIT
    stray = [
        replace(
            fault(columns, FaultKind.PHYSICAL_LIMIT, int(i), int(columns.at[i]), 1, "outside the physical limits"),
            retrospective=bool(late[i]),
        )
        for i in np.flatnonzero(outside & keep & ~live)
    ]
    index = np.flatnonzero(live)
    known = neighbours.groups(memory.sensor, table)
    faults = stray + stamps(columns, np.flatnonzero(keep & ~live), ~keep, arrived, place, clashes, memory, arrays)
    faults += in_order(columns, index, row, place, table, reason, arrays, arrived, known)
    quality = QUALITY[reason]
    faults.sort(key=lambda f: (f.sensor_id, f.started_at, f.kind))
    return Validated(
        keep, quality.astype(np.uint8), reason.astype(np.uint8), late, tuple(faults), State(memory.sensor, arrays)
    )


def stamps(
    columns: Columns, old: Int64, again: Bool, received: Int64, place: Int64, clashes: Columns | None, memory: State,
    arrays: dict[str, Array],
) -> list[SensorFault]:  # fmt: skip
    """Readings that are not in order (at ``old``), or have the instant of another one: is it the clock?"""
    faults = []
    if len(old) and received[old].any():
        faults += clocks.behind(columns.take(old), received[old], place[old], arrays)
    other = again & (columns.value != first_values(columns, again))
    both = columns.take(other)
    if clashes is not None and len(clashes):
        both = concatenate([clashes, both])
        both = both.take(np.lexsort((both.at, both.sensor)))
    if len(both):
        row = np.searchsorted(memory.sensor, both.sensor).clip(max=len(memory.sensor) - 1)
        known = memory.sensor[row] == both.sensor
        both, row = both.take(known), row[known]
        faults += clocks.standing(both, memory.arrays["newest"][row], row, arrays)
    return faults


def first_values(columns: Columns, again: Bool) -> Float64:
    """Of each reading the value that came first of its sensor and instant."""
    first = np.maximum.accumulate(np.where(again, 0, np.arange(len(again))))
    return columns.value[first]


def in_order(
    columns: Columns, index: Int64, row: Int64, place: Int64, table: SensorTable, reason: Int64,
    arrays: dict[str, Array], received: Int64, known: neighbours.Groups,
) -> list[SensorFault]:  # fmt: skip
    """The checks that need history, on the readings at ``index``; fills ``reason`` and the memory."""
    if not len(index):
        return []
    here, r, p = columns.take(index), row[index], place[index]
    first = np.ones(len(index), np.bool_)
    first[1:] = p[1:] != p[:-1]
    starts = np.flatnonzero(first)
    why = reason[index]
    faults = rates.check(here, r, p, starts, table, why, arrays)
    for check in (gaps, overdue):
        faults += check(here, r, p, starts, table, why, arrays)
    value, credible = rounded(here.value, table.resolution[r]), QUALITY[why] != Quality.BAD
    told, found = instruments.check(here, value, r, p, starts, table, received[index], credible, arrays)
    say_each(why, told)
    faults += found
    faults += stuck(here, r, p, starts, table, why, arrays)
    told, found = neighbours.check(here, p, starts, known, QUALITY[why] != Quality.BAD, arrays)
    say_each(why, told)
    faults += found
    faults += physical(here, p, starts, why, arrays)
    arrays["behind_count"][p[starts]] = 0
    ends = np.append(starts[1:], len(index)) - 1
    arrays["newest"][p[ends]] = here.at[ends]
    arrays["seen"][p[ends]] = True
    reason[index] = why
    return faults


def fault(columns: Columns, kind: FaultKind, i: int, since: int, readings: int, detail: str) -> SensorFault:
    return SensorFault(int(columns.sensor[i]), kind, since, int(columns.at[i]), readings, detail)


def say(why: Int64, where: Bool, reason: Reason) -> None:
    """Give the reason where it applies and none does that comes before it."""
    hits = np.flatnonzero(where)
    why[hits[RANK[why[hits]] > RANK[reason]]] = reason


def say_each(why: Int64, told: Int64) -> None:
    """The same with a reason for each, ``NONE`` where there is nothing to say."""
    hits = np.flatnonzero(told)
    hits = hits[RANK[why[hits]] > RANK[told[hits]]]
    why[hits] = told[hits]


def gaps(
    here: Columns, r: Int64, p: Int64, starts: Int64, table: SensorTable, why: Int64, arrays: dict[str, Array]
) -> list[SensorFault]:
    """A hole of more than ten periods before a reading, where the sensor has a period."""
    before = np.empty_like(here.at)
    before[1:] = here.at[:-1]
    before[starts] = np.where(arrays["seen"][p[starts]], arrays["newest"][p[starts]], here.at[starts])
    period = table.period[r]
    hole = (period > 0) & (here.at - before > GAP_PERIODS * period)
    say(why, hole, Reason.AFTER_GAP)
    return [
        fault(here, FaultKind.GAP, int(i), int(before[i]), 0, f"{(here.at[i] - before[i]) / 1e6:g} s without readings")
        for i in np.flatnonzero(hole)
    ]


def overdue(
    here: Columns, r: Int64, p: Int64, starts: Int64, table: SensorTable, why: Int64, arrays: dict[str, Array]
) -> list[SensorFault]:
    """Readings after the sensor's calibration was due: uncertain."""
    due = table.calibration_due[r]
    over = (due > 0) & (here.at > due)
    say(why, over, Reason.CALIBRATION_OVERDUE)
    counts = np.add.reduceat(over.astype(np.int64), starts)
    faults = []
    for s, start in zip(np.flatnonzero(counts), starts[counts > 0], strict=True):
        end = (starts[s + 1] if s + 1 < len(starts) else len(p)) - 1
        arrays["overdue"][p[start]] += counts[s]
        readings = int(arrays["overdue"][p[start]])
        faults.append(fault(here, FaultKind.CALIBRATION, int(end), int(due[start]), readings, "calibration overdue"))
    return faults


def steps(value: Float64, resolution: Float64) -> Float64:
    """Values in whole steps of the resolution, so that what differs by less than half a step is one; exact without."""
    fine = resolution > 0
    return np.where(fine, np.rint(value / np.where(fine, resolution, 1.0)), value)


def rounded(value: Float64, resolution: Float64) -> Float64:
    """Values at whole steps of the resolution."""
    return np.where(resolution > 0, steps(value, resolution) * resolution, value)


def stuck(
    here: Columns, r: Int64, p: Int64, starts: Int64, table: SensorTable, why: Int64, arrays: dict[str, Array]
) -> list[SensorFault]:
    """Identical for longer than max(12, 3 x the longest flat run before), of a sensor that has shown it varies.

    At the end of its range it is saturated, which is told instead.
    """
    value = steps(here.value, table.resolution[r])
    heads = np.zeros(len(p), np.bool_)
    heads[starts] = True
    goes_on = np.zeros(len(p), np.bool_)
    goes_on[starts] = (arrays["flat_count"][p[starts]] > 0) & (arrays["flat"][p[starts]] == value[starts])
    new = heads.copy()
    new[1:] |= value[1:] != value[:-1]
    run = np.flatnonzero(new)
    length = np.diff(np.append(run, len(p)))
    continued = goes_on[run]
    q = p[run]
    carried = np.where(continued, arrays["flat_count"][q], 0)
    total = length + carried
    since = np.where(continued, arrays["flat_since"][q], here.at[run])
    longest, changes = history(heads[run], continued, total, q, arrays)
    threshold = np.maximum(STUCK_FLOOR, STUCK_FACTOR * longest)
    count = np.arange(len(p)) - np.repeat(run, length) + 1 + np.repeat(carried, length)
    judged = np.repeat(changes >= STUCK_CHANGES, length)
    say(why, judged & (count > np.repeat(threshold, length)), Reason.STUCK)
    last = np.append(np.flatnonzero(heads[run])[1:], len(run)) - 1
    for name, column in (("flat_since", since), ("flat_count", total), ("longest", longest), ("changes", changes)):
        arrays[name][q[last]] = column[last]
    arrays["flat"][q[last]] = value[run[last]]
    return [
        fault(here, FaultKind.STUCK, int(run[k] + length[k] - 1), int(since[k]), int(total[k]),
              f"identical for {int(total[k])} readings, at most {int(longest[k])} before")
        for k in np.flatnonzero((changes >= STUCK_CHANGES) & (total > threshold))
        if why[run[k] + length[k] - 1] != Reason.SATURATED
    ]  # fmt: skip


def history(head: Bool, continued: Bool, total: Int64, q: Int64, arrays: dict[str, Array]) -> tuple[Int64, Int64]:
    """Per flat run, sorted by sensor: the longest one ended before it, and the changes up to its beginning."""
    group = np.cumsum(head) - 1
    finished = np.where(head & ~continued, arrays["flat_count"][q], 0)
    finished[1:] = np.where(head[1:], finished[1:], total[:-1])
    finished = np.maximum(finished, np.where(head, arrays["longest"][q], 0))
    offset = group * (int(finished.max()) + 1)
    longest = np.maximum.accumulate(finished + offset) - offset
    change = np.where(head, arrays["changes"][q] + (~continued & (arrays["flat_count"][q] > 0)), 1)
    running = np.cumsum(change)
    base = np.where(head, running - change, 0)
    return longest, running - np.maximum.accumulate(base)


def physical(here: Columns, p: Int64, starts: Int64, why: Int64, arrays: dict[str, Array]) -> list[SensorFault]:
    """Stretches of readings outside the physical limits, each one fault."""
    out = why == Reason.PHYSICAL_LIMIT
    faults = []
    ends = np.append(starts[1:], len(p))
    some = np.add.reduceat(out.astype(np.int64), starts) + arrays["out_count"][p[starts]] > 0
    for start, end in zip(starts[some], ends[some], strict=True):
        s = int(p[start])
        edges = np.flatnonzero(np.diff(out[start:end], prepend=False)) + start
        if not out[start]:
            arrays["out_count"][s] = 0
        for a, b in zip(edges[::2], np.append(edges[1::2], end), strict=False):
            if a > start or not arrays["out_count"][s]:
                arrays["out_since"][s], arrays["out_count"][s] = here.at[a], 0
            arrays["out_count"][s] += b - a
            since, count = int(arrays["out_since"][s]), int(arrays["out_count"][s])
            faults.append(
                fault(here, FaultKind.PHYSICAL_LIMIT, int(b - 1), since, count, "outside the physical limits")
            )
        if not out[end - 1]:
            arrays["out_count"][s] = 0
    return faults
