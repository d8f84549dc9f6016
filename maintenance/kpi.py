"""The figures of maintenance over a period, from orders, times out of service and alarms. Pure: columns in, values out.

Formulas and sources: ``maintenance.kpi_book``. Instants and lengths are int64 microseconds; ``NEVER`` = not yet. What
is not over at the end of the period counts as still running there, whatever came later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from maintenance import intervals, survival
from maintenance.isa182 import NEVER, Activations
from maintenance.kpi_book import BOOK, Entry
from maintenance.survival import Curve
from sensors.columns import DAY_US, SECOND_US, Bool, Int64

HOUR_US, MINUTE_US = 3_600 * SECOND_US, 60 * SECOND_US
CORRECTIVE = ("CORRECTIVE_IMMEDIATE", "CORRECTIVE_DEFERRED")
FORESEEN = ("PREDICTIVE", "CONDITION_BASED")
WAS_NONE = ("FALSE", "EXPECTED", "SENSOR_FAULT")
"""Verdicts by which a corrective order was for no failure of the machine."""


@dataclass(frozen=True, slots=True)
class Orders:
    """n orders that were to be done, in any order. ``due``: as asked, else by the plan; ``minutes``: planned, 0 where
    nobody said; ``planned``: its time was set before it began, or predetermined; ``cost``: in hundredths, 0 where none
    is on record; ``part``: of the machine, empty where unknown."""

    id: Int64
    machine: Int64
    mode: NDArray[np.str_]
    part: NDArray[np.str_]
    kind: NDArray[np.str_]
    verdict: NDArray[np.str_]
    opened: Int64
    completed: Int64
    closed: Int64
    due: Int64
    minutes: Int64
    cost: Int64
    planned: Bool
    reopened: Bool

    def __len__(self) -> int:
        return len(self.id)

    def take(self, index: Bool | Int64) -> Orders:
        return Orders(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(frozen=True, slots=True)
class Stretches:
    """Times of machines in which something lasted: somebody worked on one, or it was out of service for maintenance.
    ``order``: that it was for, 0 = none; ``end``: NEVER while it lasts."""

    order: Int64
    machine: Int64
    begin: Int64
    end: Int64

    def take(self, index: Bool | Int64) -> Stretches:
        return Stretches(*(getattr(self, field.name)[index] for field in fields(self)))

    def and_then(self, more: Stretches) -> Stretches:
        columns = ((getattr(one, field.name) for one in (self, more)) for field in fields(self))
        return Stretches(*(np.concatenate(tuple(column)) for column in columns))


@dataclass(frozen=True, slots=True)
class Figure:
    """``value``: None where there is nothing it could be of; ``low``, ``high``: 95 %, None = open or without.

    ``events``: what it counts, such as failures. ``running``: times that were not over, or could not be told; of the
    backlog, orders without an estimate.
    """

    entry: Entry
    value: float | None = None
    low: float | None = None
    high: float | None = None
    events: int = 0
    running: int = 0


@dataclass(frozen=True, slots=True)
class Period:
    """[start, end), and since when each machine is observed."""

    start: int
    end: int
    since: Mapping[int, int]

    def holds(self, at: Int64) -> Bool:
        return np.asarray((at >= self.start) & (at < self.end))


def failures(orders: Orders) -> Orders:
    """Those by which a machine failed: corrective, unless it turned out that nothing was wrong with it."""
    return orders.take(np.isin(orders.kind, CORRECTIVE) & ~np.isin(orders.verdict, WAS_NONE))


def observed(period: Period) -> int:
    """For how long the machines were observed, together."""
    return sum(max(0, period.end - max(period.start, since)) for since in period.since.values())


def out_of_service(found: Stretches, period: Period) -> int:
    """For how long machines were out of service while observed, together; what overlaps on one machine counts once."""
    order = np.lexsort((found.begin, found.machine))
    machine, begin, end = found.machine[order], found.begin[order], np.minimum(found.end[order], period.end)
    keys, firsts = np.unique(machine, return_index=True)
    total = 0
    for key, first, last in zip(keys.tolist(), firsts, [*firsts[1:], len(machine)], strict=False):
        since = max(period.start, period.since[key])
        reached = np.maximum.accumulate(np.append(since, end[first:last]))
        left = np.maximum(begin[first:last], reached[:-1])
        total += int(np.maximum(end[first:last] - left, 0).sum())
    return total


def figures(
    orders: Orders, worked: Stretches, out: Stretches, alarms: Activations, period: Period
) -> tuple[Figure, ...]:
    """Every figure, in the order of the book. ``worked``: on orders; ``out``: machines, of service for maintenance."""
    failed = failures(orders)
    down, seen = out_of_service(out, period), observed(period)
    return (
        mtbf(int(period.holds(failed.opened).sum()), seen - down),
        mttr(failed, worked, period),
        mtta(alarms, period),
        _figure("availability", value=100 * (seen - down) / seen if seen else None, events=len(out.order)),
        planned_share(orders, period),
        backlog(orders, period),
        schedule_compliance(orders, period),
        first_time_fix(failed, period),
        false_alarms(orders, period),
        warning_time(orders, period),
    )


def mtbf(count: int, operating: int) -> Figure:
    hours = operating / HOUR_US
    if hours <= 0:
        return _figure("mtbf", events=count)
    low, high = intervals.events(count, hours)
    return _figure("mtbf", value=hours / count if count else None, low=low, high=high, events=count)


def mttr(failed: Orders, worked: Stretches, period: Period) -> Figure:
    """Of failures in the period. One that is completed without a record of the work has no time that is known."""
    known = period.holds(failed.opened) & (np.isin(failed.id, worked.order) | (failed.completed >= period.end))
    some = failed.take(known)
    return _mean("mttr", some.opened, some.completed, period, unit=HOUR_US)


def mtta(alarms: Activations, period: Period) -> Figure:
    """Of activations in the period; one that came again before anybody acknowledged it had waited until then."""
    order = np.lexsort((alarms.at, alarms.mode, alarms.machine))
    at, seen = alarms.at[order], alarms.acknowledged[order]
    again = np.full(len(at), period.end, np.int64)
    if len(at) > 1:
        same = (alarms.machine[order][1:] == alarms.machine[order][:-1]) & (
            alarms.mode[order][1:] == alarms.mode[order][:-1]
        )
        again[:-1][same] = at[1:][same]
    inside = period.holds(at)
    until = np.minimum(again, period.end)[inside]
    return _mean_until("mtta", at[inside], seen[inside], until, unit=MINUTE_US)


def planned_share(orders: Orders, period: Period) -> Figure:
    done = period.holds(orders.completed)
    return _share("planned_share", int((done & orders.planned).sum()), int(done.sum()))


def backlog(orders: Orders, period: Period) -> Figure:
    """As of the end of the period; ``running``: orders without an estimate."""
    left = orders.take((orders.opened < period.end) & (orders.completed >= period.end))
    return _figure(
        "backlog", value=int(left.minutes.sum()) / 60, events=len(left), running=int((left.minutes == 0).sum())
    )


def schedule_compliance(orders: Orders, period: Period) -> Figure:
    due = period.holds(orders.due)
    return _share("schedule_compliance", int((due & (orders.completed <= orders.due)).sum()), int(due.sum()))


def first_time_fix(failed: Orders, period: Period) -> Figure:
    """``running``: repairs of which it is not known yet whether they last, and those without a failure mode."""
    reach = BOOK.fixed_days * DAY_US
    done = period.holds(failed.completed)
    told = (done & (failed.completed < period.end - reach) & (failed.mode != "")) | (
        failed.reopened & (failed.opened < period.end) & (failed.completed >= period.start)
    )
    again = next_opened(failed, failed, after=failed.completed)
    lasted = ~failed.reopened & (again > np.minimum(failed.completed, NEVER - reach) + reach)
    made = _share("first_time_fix", int((told & lasted).sum()), int(told.sum()))
    return Figure(made.entry, made.value, made.low, made.high, made.events, int((done & ~told).sum()))


def false_alarms(orders: Orders, period: Period) -> Figure:
    judged = period.holds(orders.closed) & np.isin(orders.verdict, ("REAL", "FALSE", "SENSOR_FAULT"))
    return _share("false_alarms", int((judged & (orders.verdict != "REAL")).sum()), int(judged.sum()))


def warning_time(orders: Orders, period: Period) -> Figure:
    found = warnings(orders, period)
    low, high = found.median_bounds
    value = None if found.median is None else found.median / HOUR_US
    return _figure(
        "warning_time", value=value, low=None if low is None else low / HOUR_US,
        high=None if high is None else high / HOUR_US, events=found.ended, running=found.running,
    )  # fmt: skip


def warnings(orders: Orders, period: Period) -> Curve:
    """How long before the failure each foreseen one was known; the work done first, or the end, cuts that short."""
    seen = orders.take(np.isin(orders.kind, FORESEEN) & (orders.verdict == "REAL") & period.holds(orders.opened))
    failed = next_opened(failures(orders), seen, after=seen.opened)
    until = np.minimum(seen.completed, period.end)
    return survival.curve((np.minimum(failed, until) - seen.opened).astype(np.float64), failed <= until)


def next_opened(of: Orders, these: Orders, *, after: Int64) -> Int64:
    """When, after an instant each, the next of some orders opened for the same machine and mode; NEVER where none."""
    modes = np.unique(np.concatenate((of.mode, these.mode)))
    known = of.machine * len(modes) + np.searchsorted(modes, of.mode)
    asked = these.machine * len(modes) + np.searchsorted(modes, these.mode)
    order = np.lexsort((of.opened, known))
    known, opened = known[order], of.opened[order]
    found = np.full(len(these), NEVER, np.int64)
    for key in np.unique(asked[these.mode != ""]).tolist():
        first, last = np.searchsorted(known, (key, key + 1))
        mine = np.flatnonzero(asked == key)
        place = first + np.searchsorted(opened[first:last], after[mine], side="right")
        came = place < last
        found[mine[came]] = opened[place[came]]
    return found


def _figure(name: str, **values: float | int | None) -> Figure:
    return Figure(BOOK.entries[name], **values)  # type: ignore[arg-type]


def _share(name: str, hits: int, of: int) -> Figure:
    if not of:
        return _figure(name)
    low, high = intervals.share(hits, of)
    return _figure(name, value=100 * hits / of, low=100 * low, high=100 * high, events=of)


def _mean(name: str, begin: Int64, end: Int64, period: Period, *, unit: int) -> Figure:
    return _mean_until(name, begin, end, np.full(len(begin), period.end, np.int64), unit=unit)


def _mean_until(name: str, begin: Int64, end: Int64, until: Int64, *, unit: int) -> Figure:
    """The mean of times of which each was looked at until an instant; longer ones were still running then."""
    ended = end < until
    time = int((np.minimum(end, until) - begin).sum()) / unit
    count, running = int(ended.sum()), int((~ended).sum())
    if time <= 0:
        return _figure(name, value=0.0 if count else None, events=count, running=running)
    low, high = intervals.mean_time(count, time)
    return _figure(name, value=time / count if count else None, low=low, high=high, events=count, running=running)
