"""From verdicts on readings to events with an onset, a peak and an end.

Abnormal readings of one sensor belong to one event as long as fewer than ``QUIET`` normal ones and no gap of more
than ``GAP`` lie between them; so a short return to normal neither ends an event nor starts a new one. Only sensors
with an abnormal reading or an open event cost anything.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mlops.detectors.contract import Block, Scores
from mlops.state import Array, Fields, State
from sensors.columns import Bool, Int64

QUIET = 12
GAP = 24 * 3600 * 1_000_000

FIELDS: Fields = {
    "open": (np.bool_, (), 0),
    "started": (np.int64, (), 0),
    "last": (np.int64, (), 0),
    "normal": (np.int64, (), 0),  # the first normal reading after the last abnormal one, 0 = none
    "quiet": (np.int64, (), 0),  # normal readings since the last abnormal one
    "seen": (np.int64, (), 0),  # the newest reading while open
    "readings": (np.int64, (), 0),
    "kind": (np.int64, (), 0),
    "peak": (np.float64, (), 0),
    "peak_at": (np.int64, (), 0),
    "observed": (np.float64, (), 0),
    "low": (np.float64, (), 0),
    "high": (np.float64, (), 0),
    "since": (np.int64, (), 0),
}


@dataclass(frozen=True, slots=True)
class Event:
    """One stretch of abnormal readings of one sensor; ``kind`` is the verdict at its peak.

    ``contributors``: sensors with their shares at the peak, where the detector says; not of a peak that an earlier
    block has told of.
    """

    sensor: int
    started_at: int
    ended_at: int | None
    last_at: int
    readings: int
    kind: int
    peak: float
    peak_at: int
    observed: float
    low: float
    high: float
    since: int
    contributors: tuple[tuple[int, float], ...] = ()


def form(block: Block, scores: Scores, state: State) -> tuple[tuple[Event, ...], State]:
    """The events that these readings began, continued or ended, by (sensor, onset), and what is still open."""
    arrays = {name: array.copy() for name, array in state.arrays.items()}
    abnormal = np.add.reduceat((scores.verdict != 0).astype(np.int64), block.starts)
    touched = np.flatnonzero((abnormal > 0) | np.asarray(arrays["open"], np.bool_)[block.rows])
    events: list[Event] = []
    for i in touched:
        here = slice(int(block.starts[i]), int(block.starts[i] + block.counts[i]))
        row = int(block.rows[i])
        memory, found = walk(block, scores, here, recall(arrays, row, int(state.sensor[row])))
        for name, value in memory.items():
            arrays[name][row] = value
        events += found
    return tuple(events), State(state.sensor, arrays)


def cut(state: State, rows: Int64, at: Int64) -> tuple[Event, ...]:
    """The events that are open in these rows, as they are when they end for another reason than their readings.

    ``at``: of each row, when. What was normal again before then had ended with its first normal reading.
    """
    arrays = dict(state.arrays)
    found = []
    for row, end in zip(rows.tolist(), at.tolist(), strict=True):
        opened = recall(arrays, row, int(state.sensor[row]))
        if opened is not None:
            found.append(replace(opened.event, ended_at=opened.normal or max(opened.event.last_at, end)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Open:
    """An event that may go on, and the readings since its last abnormal one."""

    event: Event
    quiet: int
    normal: int
    seen: int


def recall(arrays: dict[str, Array], row: int, sensor: int) -> Open | None:
    if not arrays["open"][row]:
        return None
    kept = {name: arrays[name][row].item() for name in FIELDS}
    event = Event(
        sensor, kept["started"], None, kept["last"], kept["readings"], kept["kind"], kept["peak"], kept["peak_at"],
        kept["observed"], kept["low"], kept["high"], kept["since"],
    )  # fmt: skip
    return Open(event, kept["quiet"], kept["normal"], kept["seen"])


def remember(opened: Open | None) -> dict[str, float]:
    if opened is None:
        return {name: fill for name, (_, _, fill) in FIELDS.items()}
    e = opened.event
    return {
        "open": True, "started": e.started_at, "last": e.last_at, "normal": opened.normal, "quiet": opened.quiet,
        "seen": opened.seen, "readings": e.readings, "kind": e.kind, "peak": e.peak, "peak_at": e.peak_at,
        "observed": e.observed, "low": e.low, "high": e.high, "since": e.since,
    }  # fmt: skip


def walk(block: Block, scores: Scores, here: slice, opened: Open | None) -> tuple[dict[str, float], list[Event]]:
    """One sensor's readings: what to remember, and the events ended or still open."""
    at = block.columns.at[here]
    found = np.flatnonzero(scores.verdict[here])
    jump = np.diff(at, prepend=opened.seen if opened else at[0]) > GAP
    gaps = np.cumsum(jump, dtype=np.int64)
    done: list[Event] = []
    for group in groups(found, gaps):
        if opened and ended(opened, int(group[0]), int(gaps[group[0]])):
            done.append(close(opened, at, jump))
            opened = None
        fresh = gather(block, scores, group + here.start)
        event = merge(opened.event, fresh) if opened else fresh
        nxt = int(group[-1]) + 1
        after = int(at[nxt]) if nxt < len(at) and not jump[nxt] else 0
        gaps = gaps - gaps[group[-1]]
        opened = Open(event, -nxt, after, int(at[-1]))
    if opened:
        if ended(opened, len(at), int(gaps[-1])):
            done.append(close(opened, at, jump))
            opened = None
        else:
            normal = opened.normal or (int(at[0]) if opened.quiet == 0 else 0)
            opened = Open(opened.event, opened.quiet + len(at), normal, int(at[-1]))
            done.append(opened.event)
    return remember(opened), done


def groups(found: Int64, gaps: Int64) -> list[Int64]:
    """Positions of abnormal readings, split where the event between them ended."""
    if not len(found):
        return []
    apart = (np.diff(found) > QUIET) | (np.diff(gaps[found]) > 0)
    return np.split(found, np.flatnonzero(apart) + 1)


def ended(opened: Open, position: int, gaps: int) -> bool:
    """Whether it was over before the reading at ``position``; ``quiet`` may be negative: counted from position 0."""
    return gaps > 0 or opened.quiet + position >= QUIET


def close(opened: Open, at: Int64, jump: Bool) -> Event:
    normal = opened.normal or (int(at[0]) if opened.quiet == 0 and not jump[0] else opened.event.last_at)
    return replace(opened.event, ended_at=normal)


def gather(block: Block, scores: Scores, index: Int64) -> Event:
    """One event of these abnormal readings."""
    peak, first, last = int(index[np.argmax(scores.score[index])]), int(index[0]), int(index[-1])
    c = block.columns
    observed = c.value if scores.observed is None else scores.observed
    return Event(
        int(c.sensor[first]), int(c.at[first]), None, int(c.at[last]), len(index), int(scores.verdict[peak]),
        float(scores.score[peak]), int(c.at[peak]), float(observed[peak]), float(scores.low[peak]),
        float(scores.high[peak]), int(scores.since[first]), () if scores.shares is None else scores.shares.of(peak),
    )  # fmt: skip


def merge(old: Event, new: Event) -> Event:
    """The old event grown by the new one; the earlier of two equal peaks stays."""
    top = new if new.peak > old.peak else old
    return replace(
        top, started_at=old.started_at, last_at=new.last_at, readings=old.readings + new.readings, since=old.since
    )
