"""Ruin and recreate: a few visits are taken out of a schedule and put back one after the other, each where it costs
least, thousands of times (Schrimpf et al. 2000; that what stands near each other is taken out, Christiaens and Vanden
Berghe 2020). A schedule that is a little dearer than the best so far is kept too, the less so the nearer the end
(threshold accepting, Dueck and Scheuer 1990). Pure.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from agents.schedule import problem
from agents.schedule.board import Board
from agents.schedule.problem import WAITING, Instance, Order, Visit, Visits

PEOPLE, EACH = 3, 3
"""So many people's visits are taken out at most, and so many of each."""
TRIED = 6
"""Orders of which the one that costs most beyond its least is taken out first."""
PATIENCE = 0.5
"""A schedule may be dearer than the best by this share of what an order costs on average, in the beginning."""
OTHERS = 8
"""So many people are asked, beside those whose visits were taken out, who does an order: on average."""


def improve(instance: Instance, visits: Visits, *, seconds: float, seed: int = 1) -> Visits:
    """The best schedule that is found in time; never dearer than ``visits``. Pinned visits stay."""
    board, chance = Board(instance, visits), random.Random(seed)
    free = [one.id for one in instance.orders if one.id not in instance.pinned and board.choices[one.id]]
    if not free:
        return visits
    least = {key: _least(board, key) for key in free}
    best, cost = dict(board.visits), board.total
    patience = PATIENCE * cost / len(board.orders)
    began = time.monotonic()
    while (share := (time.monotonic() - began) / seconds) < 1:
        before = _round(board, free, least, chance)
        allowed = cost + patience * (1 - share)
        if board.total < cost:
            best, cost = dict(board.visits), board.total
        elif board.total > allowed:
            _back(board, before)
    return best


def _least(board: Board, key: int) -> int:
    """What an order costs at least."""
    order = board.orders[key]
    return min(one.labour for one in board.choices[key]) + problem.time_cost(order, order.earliest)


def _round(board: Board, free: Sequence[int], least: dict[int, int], chance: random.Random) -> dict[int, Visit | None]:
    """Take some out and put them back; where they were before."""
    seed = max(chance.choices(free, k=TRIED), key=lambda key: board.points[key] - least[key])
    out = _near(board, seed, chance)
    before = {key: board.take(key) if key in board.visits else None for key in out}
    freed = {visit.person for visit in before.values() if visit is not None}
    for key in sorted(out, key=_turn(board, chance)):
        order, choices = board.orders[key], board.choices[key]
        others = OTHERS / len(choices)
        visit = board.cheapest(order, [one for one in choices if one.person in freed or chance.random() < others])
        if visit is not None:
            board.put(visit)
    return before


def _near(board: Board, seed: int, chance: random.Random) -> list[int]:
    """An order, and what some of those who can do it do about a time at which it could be done."""
    order, visit, mine = board.orders[seed], board.visits.get(seed), board.choices[seed]
    latest = board.instance.horizon if visit is None else visit.start
    at = chance.randint(order.earliest, max(order.earliest, latest))
    people = {one.person for one in chance.sample(mine, min(len(mine), chance.randint(1, PEOPLE)))}
    found = [seed]
    for person in sorted(people):
        theirs = [key for key in board.of_person[person] if key != seed and key not in board.instance.pinned]
        theirs.sort(key=lambda key: abs(board.visits[key].start - at))
        found += theirs[: chance.randint(1, EACH)]
    return found


def _turn(board: Board, chance: random.Random) -> Callable[[int], tuple[float, float]]:
    """In which turn they are put back: by urgency, by points a minute, the longest first, or by chance."""
    which, due = chance.randrange(4), board.instance.horizon

    def turn(key: int) -> tuple[float, float]:
        order: Order = board.orders[key]
        if which == 0:
            return -WAITING[order.priority], (due if order.due is None else order.due) + order.minutes
        if which == 1:
            return -WAITING[order.priority] / order.minutes, order.earliest
        return (-order.minutes, order.earliest) if which == 2 else (chance.random(), 0)

    return turn


def _back(board: Board, before: dict[int, Visit | None]) -> None:
    for key in before:
        if key in board.visits:
            board.take(key)
    for visit in before.values():
        if visit is not None:
            board.put(visit)
