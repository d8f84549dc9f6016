"""The schedule of an instance within a time limit, with a bound of what any schedule costs.

The greedy schedule is improved by taking visits out and putting them back one by one (``ruin``), which finds most of
what there is to find. Then few orders are solved as a whole from there (``exact``); of many, a neighbourhood at a time
is put back by the same model, so that what is known never gets worse: large neighbourhood search (Shaw 1998). Where
neither finds anything in time, the greedy schedule is there.
"""

from __future__ import annotations

import random
import time

import structlog

from agents.schedule import exact, greedy, problem, relaxed, ruin
from agents.schedule.book import able
from agents.schedule.problem import Instance, Limits, Solution, Visits

log = structlog.get_logger(__name__)

WHOLE = 60
"""So many orders are solved as a whole."""
NEIGHBOURS, PERSONS = 14, 3
"""Orders in a neighbourhood, and the people among whom they are shared out."""
ROUND_SECONDS = 1.0
SHARE_OF_BOUND = 0.25
"""Of the time, what the bound of many orders may take."""
SHARE_OF_RUIN = {True: 0.25, False: 0.8}
"""Of the time that is left then, by whether the orders are solved as a whole."""


def solve(instance: Instance, limits: Limits, *, whole: int = WHOLE) -> Solution:
    """The best schedule found in time; up to `whole` free orders are solved as one. Pinned visits stay."""
    until = time.monotonic() + limits.seconds
    first = greedy.greedy(instance)
    free = {one.id for one in instance.orders} - instance.pinned.keys()
    bound = relaxed.bound(instance, seconds=limits.seconds * SHARE_OF_BOUND)
    few = len(free) <= whole
    left = max(0.1, until - time.monotonic())
    best = ruin.improve(instance, first, seconds=left * SHARE_OF_RUIN[few], seed=limits.seed)
    cost = problem.cost(instance, best)
    method = "search" if cost < problem.cost(instance, first) else "greedy"
    if few:
        found = exact.solve(
            instance, free=free, fixed=instance.pinned, hint=best, seconds=max(0.1, until - time.monotonic()),
            workers=limits.workers, seed=limits.seed,
        )  # fmt: skip
        bound = max(bound, found.bound + relaxed.pinned_cost(instance, instance.pinned))
        best, cost, method = _better(instance, best, cost, method, found)
    else:
        best, cost, method = _improve(instance, best, cost, method, limits, until)
    return Solution(best, cost, min(bound, cost), method)


def _better(instance: Instance, best: Visits, cost: int, method: str, found: exact.Found) -> tuple[Visits, int, str]:
    if found.visits is None:
        log.warning("agents.schedule.nothing-in-time", orders=len(instance.orders))
        return best, cost, method
    visits = {**found.visits, **instance.pinned}
    points = problem.cost(instance, visits)
    return (visits, points, "cp-sat") if points <= cost else (best, cost, method)


def _improve(
    instance: Instance, best: Visits, cost: int, method: str, limits: Limits, until: float
) -> tuple[Visits, int, str]:
    """Neighbourhood after neighbourhood until the time is up."""
    chance, around = random.Random(limits.seed), _Neighbours(instance)
    number = 0
    while (left := until - time.monotonic()) > 0.2:
        number += 1
        free, among = around.pick(best, chance)
        fixed = {key: visit for key, visit in best.items() if key not in free}
        found = exact.solve(
            instance, free=free, fixed=fixed, hint=best, seconds=min(ROUND_SECONDS, left), workers=limits.workers,
            seed=limits.seed + number, among=among,
        )  # fmt: skip
        if found.visits is None:
            continue
        visits = {**fixed, **found.visits}
        points = problem.cost(instance, visits)
        if points <= cost:
            method = "search" if points < cost else method
            best, cost = visits, points
    return best, cost, method


class _Neighbours:
    """What is taken out and put back together: an order that costs more than it would have to, and what a few of the
    people who can do it do about the time at which it could be done."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.orders = {one.id: one for one in instance.orders if one.id not in instance.pinned}
        self.keys = list(self.orders)
        self.able = {key: [p.id for p in able(instance.persons, one)] for key, one in self.orders.items()}
        self.least = {key: problem.time_cost(one, one.earliest) for key, one in self.orders.items()}

    def pick(self, visits: Visits, chance: random.Random) -> tuple[set[int], set[int]]:
        """Orders, and the persons among whom they are shared out anew: who does one of them now is one of these."""
        seed = chance.choices(self.keys, weights=[self._regret(key, visits) + 1 for key in self.keys])[0]
        mine = self.able[seed]
        among = set(chance.sample(mine, min(PERSONS, len(mine))))
        if seed in visits:
            among.add(visits[seed].person)
        latest = visits[seed].start if seed in visits else self.instance.horizon
        at = chance.randint(self.orders[seed].earliest, max(self.orders[seed].earliest, latest))
        theirs = [one for key, one in visits.items() if one.person in among and key in self.orders and key != seed]
        theirs.sort(key=lambda one: abs(one.start - at))
        return {seed, *(one.order for one in theirs[: NEIGHBOURS - 1])}, among

    def _regret(self, key: int, visits: Visits) -> int:
        order, visit = self.orders[key], visits.get(key)
        if visit is None:
            return problem.left_out(self.instance, order) - self.least[key]
        return problem.time_cost(order, visit.start) - self.least[key]
