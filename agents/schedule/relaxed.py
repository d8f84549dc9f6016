"""What any schedule costs at least: a linear programme that forgets who and where, and keeps capacity over time.

The horizon is cut into buckets. An order ends in one of them, in parts if need be, at what its cheapest end in there
costs, or is left out. Up to the end of each bucket no more work is done than the people who can do it, or the machine
it is done at, have time for. Each schedule gives a solution that costs no more, so the optimum is a bound.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, sparse

from agents.schedule import problem
from agents.schedule.book import Book, Room
from agents.schedule.problem import Instance, Order, Span, Visits

BUCKETS, MOST_BUCKETS = 16, 512
"""The more buckets the better the bound: twice as many each time, while there is time."""
LONGER = 3
"""So many times as long as the last it takes with twice as many, about."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """An order that ends in a bucket."""

    order: int
    bucket: int
    cost: int


def bound(instance: Instance, *, seconds: float) -> int:
    """Points; without a solution in time the cheapest place of each order by itself."""
    until = time.monotonic() + seconds
    book = Book(instance)
    fixed = pinned_cost(instance, instance.pinned)
    free = [one for one in instance.orders if one.id not in instance.pinned]
    rooms = {one.id: book.room(one) for one in free}
    lost = {one.id: problem.left_out(instance, one) for one in free}
    shifts = [shift for one in instance.persons for shift in one.shifts]
    least, buckets, took = fixed, BUCKETS, 0.0
    while buckets <= MOST_BUCKETS and (buckets == BUCKETS or until - time.monotonic() > LONGER * took):
        began = time.monotonic()
        edges = _edges(shifts, instance.horizon, buckets)
        pieces = [piece for one in free for piece in _pieces(instance, one, rooms[one.id], edges)]
        least = max(least, fixed + _alone(pieces, lost))
        together = _programme(instance, free, rooms, edges, pieces, lost, until - began) if pieces else None
        if together is None:
            return least
        least = max(least, fixed + together)
        buckets, took = 2 * buckets, time.monotonic() - began
    return least


def _alone(pieces: Iterable[_Piece], lost: dict[int, int]) -> int:
    """What each order costs at least if it were alone, together."""
    least = dict(lost)
    for piece in pieces:
        least[piece.order] = min(least[piece.order], piece.cost)
    return sum(least.values())


def pinned_cost(instance: Instance, visits: Visits) -> int:
    """Of the orders that are in ``visits`` alone."""
    persons = {one.id: one for one in instance.persons}
    return sum(
        problem.cost_of(instance, order, persons[visits[order.id].person], visits[order.id].start)
        for order in instance.orders
        if order.id in visits
    )


def _edges(shifts: Iterable[Span], horizon: int, buckets: int) -> list[int]:
    """Ends of buckets with about as much working time in each; the last is the horizon."""
    points = sorted({minute for begin, end in shifts for minute in range(begin, min(end, horizon), 15)})
    step = max(1, len(points) // buckets)
    return sorted({at for at in points[step::step] if 0 < at < horizon} | {horizon})


def _pieces(instance: Instance, order: Order, room: Room, edges: Sequence[int]) -> Iterable[_Piece]:
    """In each bucket its cheapest end, by whoever it is; nothing where it cannot end in there."""
    hourly = {one.id: one.hourly for one in instance.persons}
    cheapest = min((problem.labour(order, hourly[person]) for person in room), default=0)
    spans = sorted({span for spans in room.values() for span in spans})
    before = 0
    for bucket, edge in enumerate(edges):
        starts = [max(a, before + 1 - order.minutes) for a, b in spans if b > before and a + order.minutes <= edge]
        if starts:
            yield _Piece(order.id, bucket, problem.time_cost(order, min(starts)) + cheapest)
        before = edge


def _programme(
    instance: Instance, free: Sequence[Order], rooms: dict[int, Room], edges: Sequence[int], pieces: Sequence[_Piece],
    lost: dict[int, int], seconds: float,
) -> int | None:  # fmt: skip
    """Columns: the pieces, then of each group the work done up to each edge."""
    minutes = {one.id: one.minutes for one in free}
    groups = _groups(instance, free, rooms, edges)
    member: dict[int, list[int]] = defaultdict(list)
    for number, (orders, _) in enumerate(groups):
        for order in orders:
            member[order].append(number)
    n, width = len(pieces), len(edges)
    rows = {order: row for row, order in enumerate(minutes)}
    once = sparse.coo_matrix(
        (np.ones(n), ([rows[one.order] for one in pieces], range(n))), shape=(len(rows), n + len(groups) * width)
    )
    values, ys, xs = [], [], []
    for column, piece in enumerate(pieces):
        for group in member[piece.order]:
            values.append(float(minutes[piece.order]))
            ys.append(group * width + piece.bucket)
            xs.append(column)
    for row in range(len(groups) * width):
        values.append(-1.0)
        ys.append(row)
        xs.append(n + row)
        if row % width:
            values.append(1.0)
            ys.append(row)
            xs.append(n + row - 1)
    flow = sparse.coo_matrix((values, (ys, xs)), shape=(len(groups) * width, n + len(groups) * width))
    capacity = [float(most) for _, caps in groups for most in caps]
    saved = [float(one.cost - lost[one.order]) for one in pieces]
    solved = optimize.linprog(
        np.array(saved + [0.0] * len(capacity)), A_ub=once.tocsr(), b_ub=np.ones(len(rows)), A_eq=flow.tocsr(),
        b_eq=np.zeros(len(capacity)), bounds=[(0.0, None)] * n + [(0.0, most) for most in capacity], method="highs-ds",
        options={"time_limit": max(0.1, seconds)},
    )  # fmt: skip
    if solved.status != 0:
        return None
    value = sum(lost.values()) + float(solved.fun)
    return math.ceil(value - 1e-6 * abs(value) - 1e-3)


def _groups(
    instance: Instance, free: Sequence[Order], rooms: dict[int, Room], edges: Sequence[int]
) -> list[tuple[list[int], list[int]]]:
    """Orders that share people or a machine, with the time these have up to each edge."""
    persons = {one.id: one for one in instance.persons}
    who = {one.id: frozenset(rooms[one.id]) for one in free if rooms[one.id]}
    sets = set(who.values()) | {frozenset(persons)}
    found = []
    for able in sorted(sets, key=sorted):
        shifts = [shift for key in sorted(able) for shift in persons[key].shifts]
        found.append(([key for key, mine in who.items() if mine <= able], [_up_to(shifts, edge) for edge in edges]))
    machines: dict[int, list[int]] = defaultdict(list)
    for one in free:
        if one.id in who:
            machines[one.machine].append(one.id)
    for machine, orders in machines.items():
        if len(orders) > 1:
            windows = instance.machines.get(machine, ((0, instance.horizon),))
            found.append((orders, [_up_to(windows, edge) for edge in edges]))
    return found


def _up_to(spans: Iterable[Span], edge: int) -> int:
    return sum(max(0, min(end, edge) - max(0, begin)) for begin, end in spans)
