"""What a single sensor's own readings say against it beside limits, rates and standing still: a part of ``validate``.

Saturation (``rails``), a change of unit (``units``) and trouble of its clock (``clocks``), reading by reading in
compiled loops; pure.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agents import clocks, rails, units
from agents.findings import FaultKind, Reason, SensorFault
from mlops.detectors.compiled import compiled
from mlops.state import Array, Fields
from sensors.columns import Bool, Columns, Float64, Int64, SensorTable

FIELDS: Fields = {**rails.FIELDS, **units.FIELDS, **clocks.FIELDS}
LAYOUT = np.dtype([(name, kind, shape) for name, (kind, shape, _) in FIELDS.items()], align=True)
RAIL, UNIT, CLOCK = range(3)
ENDS = ("", "smallest", "largest")
PACES = ("", "", "closer together", "further apart")


class Given(NamedTuple):
    """Of each of K sensors its row, first reading and number of readings; of each of n readings the rest."""

    rows: Array
    starts: Array
    counts: Array
    at: Array
    value: Array
    credible: Array
    period: Array
    regime: Array
    received: Array


class Said(NamedTuple):
    """Of n readings, by ``RAIL``, ``UNIT`` and ``CLOCK``: what is said (0 = nothing), since when, in how many readings;
    and 1 + the place of the map of units."""

    what: Array
    since: Array
    many: Array
    map: Array


@compiled
def walk(given: Given, maps: Array, every: Array, said: Said) -> None:
    for k in range(len(given.rows)):
        kept = every[given.rows[k]]
        for i in range(given.starts[k], given.starts[k] + given.counts[k]):
            at, value = given.at[i], given.value[i]
            clock = clocks.follow(kept, at, given.period[i], given.received[i])
            if clock:
                ahead = clock == clocks.FROM_AHEAD
                said.what[i, CLOCK] = clock
                said.since[i, CLOCK] = kept.ahead_since if ahead else kept.clock_since
                said.many[i, CLOCK] = kept.ahead_count if ahead else kept.clock_count
            if not given.credible[i]:
                continue
            unit = units.follow(kept, at, value, maps, given.regime[i])
            if unit:
                said.what[i, UNIT], said.map[i] = unit, kept.unit_map
                said.since[i, UNIT], said.many[i, UNIT] = kept.unit_since, kept.unit_count
                continue
            rail = rails.follow(kept, at, value)
            if rail:
                said.what[i, RAIL] = rail
                said.since[i, RAIL], said.many[i, RAIL] = kept.rail_since[rail - 1], kept.rail_count[rail - 1]


def check(
    here: Columns, value: Float64, r: Int64, p: Int64, starts: Int64, table: SensorTable, received: Int64,
    credible: Bool, arrays: dict[str, Array],
) -> tuple[Int64, list[SensorFault]]:  # fmt: skip
    """Reason of each reading, ``NONE`` where nothing is said, and the faults; fills the memory.

    ``value``: rounded to the sensor's resolution, where it has one, to tell what is identical; ``received``: when each
    arrived, 0 = not known; ``credible``: possible so far.
    """
    n = len(p)
    every = np.recarray(len(arrays["varied"]), LAYOUT)
    for name in FIELDS:
        every[name] = arrays[name]
    counts = np.diff(np.append(starts, n))
    since, many = np.zeros((n, 3), np.int64), np.zeros((n, 3), np.int64)
    said = Said(np.zeros((n, 3), np.int8), since, many, np.zeros(n, np.int64))
    given = (p[starts], starts, counts, here.at, value, credible, table.period[r], table.regime[r], received)
    walk(Given(*(np.require(one, requirements=["C", "W"]) for one in given)), units.MAPS, every, said)
    for name in FIELDS:
        arrays[name][:] = every[name]
    reason = np.zeros(n, np.int64)
    what = said.what
    what[(what[:, UNIT] == units.HELD) & _beyond(here.value, table, r), UNIT] = 0
    reason[what[:, CLOCK] > 0] = Reason.CLOCK_RATE
    reason[what[:, RAIL] > 0] = Reason.SATURATED
    reason[what[:, CLOCK] == clocks.FROM_AHEAD] = Reason.CLOCK_AHEAD
    reason[what[:, UNIT] > 0] = Reason.UNIT_CHANGE
    return reason, [*_faults(here, p, said)]


def _beyond(value: Float64, table: SensorTable, r: Int64) -> Bool:
    """Which values pass a limit that people set: no suspicion keeps these from being judged."""
    low = np.fmax(table.low, table.low_low)[r]
    high = np.fmin(np.fmin(table.high, table.high_high), table.zone_c)[r]
    return np.asarray((value <= low) | (value >= high))


def _faults(here: Columns, p: Int64, said: Said) -> list[SensorFault]:
    """One of each stretch: as its last reading tells it."""
    found = []
    for check in (RAIL, UNIT, CLOCK):
        told = said.what[:, check] > (units.HELD if check == UNIT else 0)
        hits = np.flatnonzero(told)
        if not len(hits):
            continue
        began, rows = said.since[hits, check], p[hits]
        last = np.append((began[1:] != began[:-1]) | (rows[1:] != rows[:-1]), True)
        found += [_fault(here, int(i), check, said) for i in hits[last]]
    return found


def _fault(here: Columns, i: int, check: int, said: Said) -> SensorFault:
    what, count = int(said.what[i, check]), int(said.many[i, check])
    if check == RAIL:
        kind, detail = FaultKind.SATURATION, f"{count} readings identical with the {ENDS[what]} ever"
    elif check == UNIT:
        kind, detail = FaultKind.UNIT_CHANGE, f"level and spread as of another unit: {units.NAMES[said.map[i] - 1]}"
    elif what == clocks.FROM_AHEAD:
        kind, detail = FaultKind.CLOCK, f"ahead: {count} readings measured after they were received"
    else:
        kind, detail = FaultKind.CLOCK, f"time stamps {PACES[what]} than the sensor's period"
    return SensorFault(
        int(here.sensor[i]), kind, int(said.since[i, check]), int(here.at[i]), count, detail
    )  # fmt: skip
