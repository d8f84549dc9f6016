"""What the other sensors of a machine, and its own past, say a sensor should read.

Readings of a machine become instants (``instants``); of each instant every sensor's smoothed value is compared with
its level and with what the others make likely, and the largest difference is judged (``residuals``); an instant without
an alarm teaches (``lessons``).

A machine's sensors are taken in groups of ``WIDTH``, in the order of their ids; a group is judged by itself, and one
with a single sensor is not judged. What is remembered of a group is kept with each of its sensors that was heard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mlops.detectors import instants, residuals
from mlops.detectors.contract import Block, Scores, Shares
from mlops.detectors.residuals import WIDTH
from mlops.state import Array, Fields, State
from sensors.columns import Bool, Int64, SensorTable, starts


class Relation:
    """Each sensor against its own past and against the other sensors of its machine.

    ``false_alarms_per_week``: the budget of a machine (of each group of ``WIDTH`` of its sensors). One event is one of
    the machine: it stands at the sensor that led when it began, with the shares of all. The score is exp(-x), where
    something as far away comes x times a week by chance, by the tails of the machine's own past.
    """

    name = "relation"
    version = "1"
    kinds: tuple[str, ...] = ("RELATION_LOW", "RELATION_HIGH")
    by_machine = True
    needs: tuple[str, ...] = ()
    fields: Fields = {**residuals.SENSOR, **residuals.GROUP}

    def __init__(self, *, false_alarms_per_week: float = 1.0) -> None:
        self.false_alarms_per_week = false_alarms_per_week

    def judge(self, block: Block, table: SensorTable, state: State, frozen: Bool) -> tuple[Scores, State]:
        """See ``contract.Detector``. A verdict tells of the newest instant that is over: it comes with the sensor's
        next reading. An instant teaches where none of its readings is frozen."""
        groups = arrange(table.machine)
        arrays = seated(state.arrays, table.machine, groups.rank)
        every, kept = np.recarray(len(table), SENSORS), np.recarray(len(groups.first) - 1, GROUPS)
        spokesmen = groups.spokesmen(arrays["rank"] >= 0)
        for name in residuals.SENSOR:
            every[name] = arrays[name]
        for name in residuals.GROUP:
            kept[name] = arrays[name][spokesmen]
        begin, many = np.zeros(len(table), np.int64), np.zeros(len(table), np.int64)
        begin[block.rows], many[block.rows] = block.starts, block.counts
        c = block.columns
        rows = (groups.order, groups.first, groups.rank, begin, many, table.period, table.regime)
        given = instants.Given(*(np.require(one, requirements=["C", "W"]) for one in (*rows, c.at, c.value, frozen)))
        found = nothing(block)
        told = instants.walk(given, every, kept, found, self.false_alarms_per_week)
        fresh = {name: np.ascontiguousarray(every[name]) for name in residuals.SENSOR}
        heard = fresh["rank"] >= 0
        for name in residuals.GROUP:
            fresh[name] = np.where(heard, kept[name][groups.of_row], arrays[name])
        return told_of(found, told, groups, table), State(state.sensor, fresh)


@dataclass(frozen=True, slots=True)
class Groups:
    """Which sensors are judged together. ``order``: rows, group by group; ``first``: where in it each group begins, and
    its end; ``of_row``, ``rank``: of each row its group, and its place among the sensors of its machine."""

    order: Int64
    first: Int64
    of_row: Int64
    rank: Int64

    def spokesmen(self, heard: Bool) -> Int64:
        """Of each group a row that was heard, where there is one."""
        rows = self.order[self.first[:-1]].copy()
        there = np.flatnonzero(heard)
        rows[self.of_row[there]] = there
        return rows


def arrange(machine: Int64) -> Groups:
    """Groups of at most ``WIDTH`` rows of the same machine, in the order of the rows.

    >>> arrange(np.array([7, 8, 7])).order.tolist()
    [0, 2, 1]
    """
    order = np.argsort(machine, kind="stable")
    heads = starts(machine[order])
    place = np.arange(len(machine)) - np.repeat(heads, np.diff(np.append(heads, len(machine))))
    begins = place % WIDTH == 0
    of_row, rank = np.empty_like(order), np.empty_like(order)
    of_row[order], rank[order] = np.cumsum(begins) - 1, place
    return Groups(order, np.append(np.flatnonzero(begins), len(machine)), of_row, rank)


def seated(arrays: Mapping[str, Array], machine: Int64, rank: Int64) -> dict[str, Array]:
    """The arrays; of a machine in which a sensor has another place than it had, because one before it came or went, all
    as they start."""
    kept = {name: np.asarray(arrays[name]) for name in Relation.fields}
    moved = (kept["rank"] >= 0) & (kept["rank"] != rank)
    if not moved.any():
        return kept
    anew = np.isin(machine, machine[moved])
    for name, (_, _, fill) in Relation.fields.items():
        kept[name] = kept[name].copy()
        kept[name][anew] = fill
    return kept


def nothing(block: Block) -> instants.Found:
    """Of each reading that it is not judged yet, and room for the shares of all that could be abnormal."""
    n = len(block.columns)
    score, news, low, high = (np.full(n, np.nan) for _ in range(4))
    room = np.empty(n, np.int64), np.empty(n, np.int64), np.empty((n, WIDTH))
    return instants.Found(
        score, news, np.zeros(n, np.int8), low, high, block.columns.value.copy(), block.columns.at.copy(), *room
    )


def told_of(found: instants.Found, told: int, groups: Groups, table: SensorTable) -> Scores:
    """What was found, with the contributors of the first ``told`` places."""
    place = groups.first[found.group[:told], None] + np.arange(WIDTH)
    sensor = table.sensor[groups.order[place.clip(max=len(groups.order) - 1)]]
    shares = Shares(found.reading[:told].copy(), sensor, found.shares[:told].copy())
    return Scores(
        found.score, found.verdict, found.low, found.high, found.since, found.news, found.observed, shares
    )  # fmt: skip


SENSORS = np.dtype([(name, kind, shape) for name, (kind, shape, _) in residuals.SENSOR.items()], align=True)
GROUPS = np.dtype([(name, kind, shape) for name, (kind, shape, _) in residuals.GROUP.items()], align=True)
