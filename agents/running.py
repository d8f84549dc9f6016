"""What readings say of whether machines run: of the sensors by which a rule says so. Pure.

Only readings in order count, good or uncertain ones: what comes late says nothing of now. One that stands still
counts, though it is bad: a machine that is off shows one number for longer than it ever did.
"""

from __future__ import annotations

import numpy as np

from agents.findings import Quality, Reason
from maintenance.operating_life import State, Word, Words
from sensors.columns import Bool, Columns, Int64, SensorTable, UInt8

STANDING_STILL = (Reason.STUCK, Reason.SATURATED)


def words(
    columns: Columns, table: SensorTable, *, keep: Bool, quality: UInt8, reason: UInt8, late: Bool
) -> dict[int, Words]:
    """By machine, what its readings say. ``columns``: n readings sorted by (sensor, at); ``keep``, ``quality``,
    ``reason``, ``late``: what validate says of them, length n.

    Between the two bounds it is what it was. Costs nothing where no sensor of the table shows whether its machine runs.
    """
    shown: Int64 = np.flatnonzero(~np.isnan(table.off_below))
    found: dict[int, Words] = {}
    for row in shown.tolist():
        begin, end = np.searchsorted(columns.sensor, [table.sensor[row], table.sensor[row] + 1])
        mine = slice(begin, end)
        in_order = keep[mine] & ~late[mine] & (reason[mine] != Reason.OUT_OF_ORDER)
        counts = np.flatnonzero(in_order & ((quality[mine] != Quality.BAD) | np.isin(reason[mine], STANDING_STILL)))
        if len(counts):
            at, value = columns.at[mine][counts], columns.value[mine][counts]
            runs = value >= table.running_above[row]
            says = np.flatnonzero(runs | (value < table.off_below[row]))
            turns = says[np.flatnonzero(np.diff(runs[says], prepend=~runs[says[:1]]))]
            changes = tuple(Word(State.RUNNING if runs[i] else State.OFF, int(at[i])) for i in turns)
            found[int(table.machine[row])] = Words(changes, int(at[-1]))
    return found
