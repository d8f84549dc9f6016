"""Delays that would quieten an alarm, from its own history: its anomalies decided again with other delays. Pure.

Delays are taken from what is there: on-delays from how long anomalies lasted, off-delays from the gaps between them.
Each pair is replayed through the stage that decides live. What would lose a labelled fault is out, and so is what would
leave nothing of the alarm: that is no longer quieter but gone, and for a person to say. Of the rest that come close to
the fewest activations, the shortest delays win, because a delay is paid for by everybody who waits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import numpy as np

from agents import decide
from maintenance.alarm_life import Action, Condition, Situation
from sensors.columns import SECOND_US, Int64

LONGEST_ON, LONGEST_OFF = 600, 3_600
"""Seconds: beyond them a delay hides more than it quietens."""
SHARES = (0.5, 0.75, 0.9, 0.95)
NEAR = 1.1
"""So close to the fewest activations is close enough."""
Fault = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Proposal:
    """Delays of a sensor in seconds; activations of its alarm with those it has and with these; ``faults``: labelled
    ones that the alarm told of in time, all of which it would still tell of."""

    sensor_id: int
    on: int
    off: int
    before: int
    after: int
    faults: int

    @property
    def words(self) -> str:
        return words(self.before, self.after, self.faults)


def words(before: int, after: int, faults: int) -> str:
    """What a proposal comes to; ``faults``: labelled ones, all of which are kept."""
    kept = f"{faults} of {faults} labelled faults kept" if faults else "no labelled fault in it"
    return f"activations {before} to {after}, {kept}"


def propose(
    conditions: Sequence[Condition], *, sensor_id: int, clock: int, faults: Sequence[Fault] = ()
) -> Proposal | None:
    """Delays for one of the sensors behind an alarm; None where none would help.

    ``conditions``: all of one machine and failure mode, with the delays their sensors have; ``clock``: the newest
    reading that counts, in microseconds; ``faults``: first and last instant of each.
    """
    mine = sorted((c for c in conditions if c.sensor_id == sensor_id), key=lambda c: c.started_at)
    if not mine:
        return None
    now = activations(conditions, clock=clock)
    told = _told(now, faults)
    tried: list[tuple[int, int, int]] = []
    for on, off in product(_on_delays(mine), _off_delays(mine)):
        found = activations(delayed(conditions, sensor_id=sensor_id, on=on, off=off), clock=clock)
        if len(found) and not (told & ~_told(found, faults)).any():
            tried.append((len(found), on, off))
    fewest = min(tried, default=(len(now), 0, 0))[0]
    if fewest >= len(now):
        return None
    close = [one for one in tried if one[0] <= NEAR * fewest and one[0] < len(now)]
    after, on, off = min(close, key=lambda one: (one[1] + one[2], one[0]))
    return Proposal(sensor_id, on, off, len(now), after, int(told.sum()))


def activations(conditions: Sequence[Condition], *, clock: int) -> Int64:
    """When the alarm becomes active, in order, if all of it is decided at once and nobody acknowledges."""
    (verdict,) = decide.decide([Situation(0, 0, "", "", "MEDIUM", clock, tuple(conditions))])
    on = (Action.OPENED, Action.REOPENED)
    return np.array([step.at for step in verdict.steps if step.action in on], np.int64)


def delayed(conditions: Sequence[Condition], *, sensor_id: int, on: int, off: int) -> list[Condition]:
    """The same with other delays of one sensor, in seconds."""
    on_us, off_us = on * SECOND_US, off * SECOND_US
    return [replace(c, on_delay=on_us, off_delay=off_us) if c.sensor_id == sensor_id else c for c in conditions]


def _told(at: Int64, faults: Sequence[Fault]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Of which faults the alarm became active while they lasted."""
    return np.array([bool(((at >= first) & (at <= last)).any()) for first, last in faults], np.bool_)


def _on_delays(mine: Sequence[Condition]) -> list[int]:
    """What the sensor has, and longer ones that outlast a share of its anomalies."""
    lasted = np.array([c.last_at - c.started_at for c in mine])
    return _longer(mine[0].on_delay, lasted, most=LONGEST_ON)


def _off_delays(mine: Sequence[Condition]) -> list[int]:
    """What the sensor has, and longer ones that bridge a share of the gaps between its anomalies."""
    gaps = [b.started_at - (a.ended_at or a.last_at) for a, b in pairwise(mine)]
    return _longer(mine[0].off_delay, np.array([gap for gap in gaps if gap > 0], np.int64), most=LONGEST_OFF)


def _longer(has: int, spans: Int64, *, most: int) -> list[int]:
    has_seconds = has // SECOND_US
    wanted = [int(np.quantile(spans, share)) // SECOND_US + 1 for share in SHARES] if len(spans) else []
    return sorted({has_seconds, *(seconds for seconds in wanted if has_seconds < seconds <= most)})
