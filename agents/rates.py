"""Rates of change and spikes: a part of ``validate``, pure.

Only where the sensor has a ``max_rate``. A jump that is too fast is bad when it is seen; the next reading tells what
it was: back again = SPIKE, else RATE_OF_CHANGE, and only then is the fault reported, so its identity never changes.
After ``AGREE`` consecutive readings that agree with each other the new level is accepted.
"""

from __future__ import annotations

import numpy as np

from agents.findings import FaultKind, Reason, SensorFault
from mlops.state import Array, Fields
from sensors.columns import Bool, Columns, Float64, Int64, SensorTable

AGREE = 3

FIELDS: Fields = {
    "known": (np.bool_, (), 0),
    "good": (np.float64, (), 0),  # last credible value and its instant
    "good_at": (np.int64, (), 0),
    "jump": (np.float64, (), 0),  # last reading of the pending jump
    "jump_at": (np.int64, (), 0),
    "jump_since": (np.int64, (), 0),
    "jump_count": (np.int64, (), 0),  # bad readings since the jump
    "agree": (np.int64, (), 0),  # of which the last ones agree
}


def check(
    here: Columns, r: Int64, p: Int64, starts: Int64, table: SensorTable, why: Int64, arrays: dict[str, Array]
) -> list[SensorFault]:
    """Walks only the sensors that have a rate and a step beyond it (or a jump pending); others cost a comparison."""
    limit = table.max_rate[r]
    inside = why != Reason.PHYSICAL_LIMIT
    index = np.flatnonzero(inside & ~np.isnan(limit))
    if not len(index):
        return []
    q, at, value = p[index], here.at[index], here.value[index]
    head = np.ones(len(index), np.bool_)
    head[1:] = q[1:] != q[:-1]
    known = ~head | arrays["known"][q]
    value_before = np.where(head, arrays["good"][q], np.roll(value, 1))
    at_before = np.where(head, arrays["good_at"][q], np.roll(at, 1))
    fast = known & too_fast(value - value_before, at - at_before, limit[index])
    first = np.flatnonzero(head)
    last = np.append(first[1:], len(index)) - 1
    odd = np.add.reduceat(fast.astype(np.int64), first) + arrays["jump_count"][q[first]] > 0
    calm = last[~odd]
    arrays["known"][q[calm]], arrays["good"][q[calm]], arrays["good_at"][q[calm]] = True, value[calm], at[calm]
    faults: list[SensorFault] = []
    for a, b in zip(first[odd], last[odd] + 1, strict=True):
        faults += walk(here, index[a:b], float(limit[index[a]]), why, arrays, int(q[a]))
    return faults


def too_fast(change: Float64, span: Int64, limit: Float64) -> Bool:
    return np.asarray(np.abs(change) * 1e6 > limit * span)


def walk(here: Columns, index: Int64, limit: float, why: Int64, arrays: dict[str, Array], s: int) -> list[SensorFault]:
    """One sensor, reading by reading."""
    m = {name: arrays[name][s].item() for name in FIELDS}
    sensor, faults = int(here.sensor[index[0]]), []
    for i in index.tolist():
        at, value = int(here.at[i]), float(here.value[i])
        if not m["known"] or abs(value - m["good"]) * 1e6 <= limit * (at - m["good_at"]):
            if m["jump_count"] == 1:
                faults.append(SensorFault(sensor, FaultKind.SPIKE, m["jump_since"], m["jump_at"], 1, "out and back"))
            m |= {"known": True, "good": value, "good_at": at, "jump_count": 0, "agree": 0}
            continue
        near = m["jump_count"] > 0 and abs(value - m["jump"]) * 1e6 <= limit * (at - m["jump_at"])
        m |= {"jump_since": m["jump_since"] if m["jump_count"] else at, "jump": value, "jump_at": at}
        m["jump_count"], m["agree"] = m["jump_count"] + 1, m["agree"] + 1 if near else 1
        accepted = m["agree"] >= AGREE
        if not accepted and why[i] in (Reason.NONE, *range(Reason.RATE_OF_CHANGE, Reason.LATE + 1)):
            why[i] = Reason.RATE_OF_CHANGE
        if m["jump_count"] >= 2:
            count = m["jump_count"] - accepted
            detail = f"faster than {limit:g} per second"
            found = SensorFault(sensor, FaultKind.RATE_OF_CHANGE, m["jump_since"], at, count, detail)
            if faults and faults[-1].started_at == found.started_at:
                faults.pop()
            faults.append(found)
        if accepted:
            m |= {"good": value, "good_at": at, "jump_count": 0, "agree": 0}
    for name, item in m.items():
        arrays[name][s] = item
    return faults
