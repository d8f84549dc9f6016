"""How an alarm system does over a period, in the figures of ISA-18.2 and IEC 62682.

Pure: numpy in, values out. Instants are int64 microseconds since the epoch, in event time. *An alarm* is a machine and
failure mode; *an activation* is each time it becomes active, and what is counted as annunciated. What the words mean
and what is asked for is data: ``maintenance.alarm_targets``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from maintenance.alarm_life import PRIORITIES
from maintenance.alarm_targets import TARGETS, Target, Verdict
from sensors.columns import DAY_US, SECOND_US, Bool, Float64, Int64

NEVER = int(np.iinfo(np.int64).max)
"""Instant of what has not happened."""
LIMITS = TARGETS.limits
TEN_US, HOUR_US = 600 * SECOND_US, 3_600 * SECOND_US
TEN_MINUTES = timedelta(microseconds=TEN_US)
TOP = 10
MOST_ACTORS = 50


@dataclass(frozen=True, slots=True)
class Activations:
    """n activations, in any order. ``returned``, ``acknowledged``: NEVER where it was not; ``priority``: position in
    ``PRIORITIES``; ``mode``: failure modes as text."""

    at: Int64
    returned: Int64
    acknowledged: Int64
    machine: Int64
    mode: NDArray[np.str_]
    priority: Int64

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: Int64 | Bool) -> Activations:
        return Activations(
            self.at[rows], self.returned[rows], self.acknowledged[rows], self.machine[rows], self.mode[rows],
            self.priority[rows],
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure beside its target; None where there is nothing it could be of."""

    value: float | None
    target: Target

    @property
    def verdict(self) -> Verdict:
        return self.target.verdict(self.value)


@dataclass(frozen=True, slots=True)
class Flood:
    """``start``: when the limit was passed; ``end``: when the rate had sunk, or the period's end; ``activations``: in
    the ten minutes before its start, and in it."""

    start: int
    end: int
    activations: int


@dataclass(frozen=True, slots=True)
class Actor:
    """An alarm with its activations, and how many of them chatter, fleet and flap; ``stale``: episodes that were."""

    machine: int
    mode: str
    activations: int
    share: float
    chattering: int
    fleeting: int
    flapping: int
    stale: int

    @property
    def is_nuisance(self) -> bool:
        return bool(self.chattering or self.fleeting or self.flapping or self.stale)


@dataclass(frozen=True, slots=True)
class Report:
    """``by_day``: activations of each 24 hours from the start on. ``top``: the ten most frequent alarms. ``nuisances``:
    those that chatter, fleet, flap or were stale, at most ``MOST_ACTORS``, most activations first."""

    start: int
    end: int
    operators: int
    activations: int
    alarms: int
    figures: tuple[Figure, ...]
    floods: tuple[Flood, ...]
    by_day: tuple[int, ...]
    top: tuple[Actor, ...]
    nuisances: tuple[Actor, ...]

    @property
    def days(self) -> float:
        return (self.end - self.start) / DAY_US

    @property
    def is_long_enough(self) -> bool:
        """Whether the period is as long as the targets are meant for."""
        return self.days >= TARGETS.days


@dataclass(frozen=True, slots=True)
class Nuisance:
    """Of n activations, whether each is part of a nuisance."""

    chattering: Bool
    fleeting: Bool
    flapping: Bool
    stale: Bool


def report(found: Activations, *, start: int, end: int, operators: int = 1) -> Report:
    """The figures of [start, end), as they are known at its end.

    ``found``: activations before the end; those from before the start count only where they last into the period, and
    only as stale. Raises ``ValueError`` where the period is empty or there is no operator.
    """
    if start >= end or operators < 1:
        raise ValueError("a report needs a period and one operator at least")
    found = found.take((found.at < end) & ((found.at >= start) | (found.returned > start)))
    found = found.take(np.argsort(found.at, kind="stable"))
    alarm, names = numbered(found)
    inside = found.at >= start
    at = found.at[inside]
    nuisance = nuisances(found, alarm, until=end)
    floods = floods_in(at, end=end, operators=operators)
    actors = _actors(alarm, names, inside, nuisance)
    alarms = int(np.count_nonzero(np.bincount(alarm[inside])))
    values = (
        _rates(at, start, end, operators)
        | _flooded(floods, start, end)
        | _nuisance_values(alarm, inside, nuisance)
        | {"stale_most": float(stale_by_day(found, start=start, end=end).max())}
        | _split(found.priority[inside])
        | {"top_ten": 100 * sum(actor.share for actor in actors[:TOP]) if alarms > TOP else None}
    )
    return Report(
        start, end, operators, len(at), alarms,
        figures=tuple(Figure(values[target.name], target) for target in TARGETS.metrics),
        floods=floods,
        by_day=tuple(per(at, start, end, DAY_US).tolist()),
        top=tuple(actor for actor in actors[:TOP] if actor.activations),
        nuisances=tuple(actor for actor in actors if actor.is_nuisance)[:MOST_ACTORS],
    )  # fmt: skip


def numbered(found: Activations) -> tuple[Int64, list[tuple[int, str]]]:
    """The number of each activation's alarm, and machine and mode of each number."""
    modes, mode = np.unique(found.mode, return_inverse=True)
    keys, alarm = np.unique(found.machine * max(1, len(modes)) + mode, return_inverse=True)
    names = [(int(key) // len(modes), str(modes[int(key) % len(modes)])) for key in keys]
    return alarm.astype(np.int64), names


def per(at: Int64, start: int, end: int, length: int) -> Int64:
    """How many of the instants are in each piece of that length; the last piece may be cut by the end."""
    return np.bincount((at - start) // length, minlength=-(-(end - start) // length)).astype(np.int64)


def nuisances(found: Activations, alarm: Int64, *, until: int) -> Nuisance:
    """``found`` in order of time. What still stands has stood ``until`` then."""
    chattering = bursts(alarm, found.at, number=LIMITS["chattering"], seconds=LIMITS["chattering_seconds"])
    flapping = np.zeros(len(found), np.bool_)
    slow = np.flatnonzero(~chattering)
    flapping[slow] = bursts(alarm[slow], found.at[slow], number=LIMITS["flapping"], seconds=LIMITS["flapping_seconds"])
    lasted = np.minimum(found.returned, until) - found.at
    returned = (found.returned < NEVER) & (lasted <= LIMITS["fleeting_seconds"] * SECOND_US)
    fleeting = returned & (found.acknowledged > found.returned)
    return Nuisance(chattering, fleeting, flapping, lasted > LIMITS["stale_seconds"] * SECOND_US)


def bursts(alarm: Int64, at: Int64, *, number: int, seconds: int) -> Bool:
    """Which activations are among ``number`` or more of one alarm that lie within so many seconds."""
    order = np.lexsort((at, alarm))
    whose, when = alarm[order], at[order]
    last = max(0, len(at) - number + 1)
    first = whose[:last] == whose[len(at) - last :]
    first &= when[len(at) - last :] - when[:last] <= seconds * SECOND_US
    edges = np.zeros(len(at) + 1, np.int64)
    edges[:last] += first
    edges[number : number + last] -= first
    found = np.zeros(len(at), np.bool_)
    found[order] = np.cumsum(edges[:-1]) > 0
    return found


def floods_in(at: Int64, *, end: int, operators: int = 1) -> tuple[Flood, ...]:
    """The floods among activations in order of time, by the number in the ten minutes up to each instant.

    One begins with the activation that makes it more than the limit, and ends when so many have left the window that
    it is less than the lower limit.
    """
    within = _up_to(at)
    left = np.searchsorted(at, at + TEN_US, "right") - np.searchsorted(at, at, "right")
    begins = at[within > LIMITS["flood_begins"] * operators]
    ends = at[left < LIMITS["flood_ends"] * operators] + TEN_US
    when = np.concatenate([begins, ends])
    order = np.argsort(when, kind="stable")
    on = np.repeat([True, False], [len(begins), len(ends)])[order]
    edges = np.flatnonzero(np.diff(on.astype(np.int8), prepend=0))
    turns = when[order][edges].tolist()
    floods = []
    for first, over in zip(turns[::2], turns[1::2], strict=True):  # the last window empties, so the last one ends
        until = min(over, end)
        before, among = np.searchsorted(at, [first - TEN_US, until], "right").tolist()
        floods.append(Flood(first, until, among - before))
    return tuple(floods)


def _up_to(at: Int64) -> Int64:
    """How many activations lie in the ten minutes up to each of them, itself included."""
    return np.searchsorted(at, at, "right") - np.searchsorted(at, at - TEN_US, "right")


def stale_by_day(found: Activations, *, start: int, end: int) -> Int64:
    """How many activations were stale at some time of each 24 hours from the start on."""
    first = np.maximum(found.at + LIMITS["stale_seconds"] * SECOND_US, start)
    over = np.minimum(found.returned, end)
    stale = over > first
    days = -(-(end - start) // DAY_US)
    steps = np.bincount((first[stale] - start) // DAY_US, minlength=days + 1)
    steps -= np.bincount((over[stale] - 1 - start) // DAY_US + 1, minlength=days + 1)
    return np.cumsum(steps)[:days].astype(np.int64)


def _rates(at: Int64, start: int, end: int, operators: int) -> dict[str, float | None]:
    hours, tens = per(at, start, end, HOUR_US), per(at, start, end, TEN_US)
    share = len(at) / operators / (end - start)
    return {
        "day_mean": share * DAY_US,
        "day_most": float(per(at, start, end, DAY_US).max()) / operators,
        "hour_mean": share * HOUR_US,
        "hour_most": float(hours.max()) / operators,
        "ten_mean": share * TEN_US,
        "ten_most": float(_up_to(at).max(initial=0)) / operators,
        "hours_busy": 100 * float((hours > LIMITS["busy_hour"] * operators).mean()),
        "tens_busy": 100 * float((tens > LIMITS["busy_ten"] * operators).mean()),
    }


def _flooded(floods: tuple[Flood, ...], start: int, end: int) -> dict[str, float | None]:
    lengths: Float64 = np.array([flood.end - flood.start for flood in floods], np.float64)
    return {
        "floods": float(len(floods)),
        "flood_longest": float(lengths.max(initial=0.0)) / (60 * SECOND_US),
        "flood_share": 100 * float(lengths.sum()) / (end - start),
    }


def _nuisance_values(alarm: Int64, inside: Bool, nuisance: Nuisance) -> dict[str, float | None]:
    """Alarms, not activations."""
    parts = {"chattering": nuisance.chattering, "fleeting": nuisance.fleeting, "flapping": nuisance.flapping}
    return {name: float(len(np.unique(alarm[inside & mask]))) for name, mask in parts.items()}


def _split(priority: Int64) -> dict[str, float | None]:
    if not len(priority):
        return {"low": None, "medium": None, "high": None}
    critical, high, medium, low = (
        100 * np.bincount(priority, minlength=len(PRIORITIES)) / len(priority)
    ).tolist()  # in the order of PRIORITIES
    return {"low": low, "medium": medium, "high": high + critical}


def _actors(alarm: Int64, names: list[tuple[int, str]], inside: Bool, nuisance: Nuisance) -> list[Actor]:
    """Every alarm, most activations first; of equals the one with the lower machine."""

    def count(mask: Bool) -> Int64:
        return np.bincount(alarm[mask], minlength=len(names)).astype(np.int64)

    total = count(inside)
    parts = [count(inside & one) for one in (nuisance.chattering, nuisance.fleeting, nuisance.flapping)]
    parts.append(count(nuisance.stale))
    whole = max(1, int(total.sum()))
    wanted = np.argsort(-total, kind="stable")
    odd = np.any(parts, axis=0)[wanted] if len(names) else np.zeros(0, np.bool_)
    kept = wanted[(np.arange(len(wanted)) < TOP) | (odd & (np.cumsum(odd) <= MOST_ACTORS))]
    return [_actor(names[k], total[k], whole, [part[k] for part in parts]) for k in kept.tolist()]


def _actor(name: tuple[int, str], activations: int, whole: int, parts: list[int]) -> Actor:
    chattering, fleeting, flapping, stale = map(int, parts)
    return Actor(*name, int(activations), int(activations) / whole, chattering, fleeting, flapping, stale)
