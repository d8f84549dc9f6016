"""Where the next visit of a person may begin, kept up to date while visits are put in and taken out. Pure.

It says the same as ``book`` (a test holds the two together), only faster, for the search asks it thousands of times a
second.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.schedule import problem
from agents.schedule.book import able
from agents.schedule.problem import Instance, Order, Span, Visit, Visits

Taken = tuple[int, int, int]
"""From, until, and the site in which."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Somebody who may do an order: the labour that costs, and when the person's skills for it or the horizon end."""

    person: int
    labour: int
    until: int


class Board:
    """``visits`` are those on it, ``points`` what each order costs as it stands, ``total`` their sum."""

    def __init__(self, instance: Instance, visits: Visits) -> None:
        self.instance = instance
        self.orders = {one.id: one for one in instance.orders}
        self.shifts = {one.id: one.shifts for one in instance.persons}
        self.choices = {one.id: list(_choices(instance, one)) for one in instance.orders}
        self.left_out = {one.id: problem.left_out(instance, one) for one in instance.orders}
        self.visits: dict[int, Visit] = {}
        self.points = dict(self.left_out)
        self.total = sum(self.points.values())
        self.of_person: dict[int, list[int]] = defaultdict(list)
        self._persons: dict[int, list[Taken]] = defaultdict(list)
        self._machines: dict[int, list[Taken]] = defaultdict(list)
        for busy in instance.busy:
            taken = (busy.start, busy.end, busy.site)
            if busy.person is not None:
                insort(self._persons[busy.person], taken)
            if busy.machine is not None:
                insort(self._machines[busy.machine], taken)
        self._longest = max(instance.travel.values(), default=0)
        self._hourly = {one.id: one.hourly for one in instance.persons}
        for visit in visits.values():
            self.put(visit)

    def put(self, visit: Visit) -> None:
        order = self.orders[visit.order]
        taken = (visit.start, visit.end, order.site)
        insort(self._persons[visit.person], taken)
        insort(self._machines[order.machine], taken)
        self.of_person[visit.person].append(visit.order)
        self.visits[visit.order] = visit
        labour = problem.labour(order, self._hourly[visit.person])
        moved = problem.moved(self.instance, order, visit.person, visit.start)
        self._cost(order.id, problem.time_cost(order, visit.start) + labour + moved)

    def take(self, key: int) -> Visit:
        visit = self.visits.pop(key)
        order = self.orders[key]
        taken = (visit.start, visit.end, order.site)
        self._persons[visit.person].remove(taken)
        self._machines[order.machine].remove(taken)
        self.of_person[visit.person].remove(key)
        self._cost(key, self.left_out[key])
        return visit

    def _cost(self, key: int, points: int) -> None:
        self.total += points - self.points[key]
        self.points[key] = points

    def first(self, order: Order, choice: Choice, *, since: int, before: int) -> int | None:
        """The first minute from ``since`` on in which the person can begin the order; None: not earlier than
        ``before``."""
        windows = self.instance.machines.get(order.machine, ((0, self.instance.horizon),))
        mine, machine, way = self._persons[choice.person], self._machines[order.machine], self.instance.way
        length, at = order.minutes, max(0, since)
        while True:
            asked = at
            within = _within(self.shifts[choice.person], at, length)
            if within is None or within >= before or within + length > choice.until:
                return None
            at = within
            for begin, end, site in mine:
                if begin >= at + length + self._longest:
                    break
                if (
                    end + self._longest > at
                    and begin - way(order.site, site) < at + length
                    and end + way(site, order.site) > at
                ):
                    at = end + way(site, order.site)
            for begin, end, _ in machine:
                if begin < at + length and end > at:
                    at = end
            open_at = _within(windows, at, length)
            if open_at is None or open_at == asked:
                return open_at
            at = open_at

    def cheapest(self, order: Order, choices: Iterable[Choice]) -> Visit | None:
        """Where an order costs least among some people; None where it is cheaper left out, or has no place."""
        best, points, before = None, self.left_out[order.id], self.instance.horizon
        told = self.instance.published.get(order.id)
        for choice in choices:
            starts = [self.first(order, choice, since=order.earliest, before=before)]
            if told is not None and told.person == choice.person and told.start >= order.earliest:
                again = self.first(order, choice, since=told.start, before=self.instance.horizon)
                starts.append(again if again == told.start else None)
            for at in starts:
                if at is None:
                    continue
                moved = problem.moved(self.instance, order, choice.person, at)
                cost = problem.time_cost(order, at) + choice.labour + moved
                if cost < points:
                    best, points = Visit(order.id, choice.person, at, at + order.minutes), cost
                    before = min(before, self._latest(order, points))
        return best

    def _latest(self, order: Order, points: int) -> int:
        """Who begins at this minute or later costs at least as much as that, whoever it is."""
        return order.earliest + points // problem.WAITING[order.priority] + 1


def _choices(instance: Instance, order: Order) -> Iterable[Choice]:
    for person in able(instance.persons, order):
        until = min((person.skills[skill] for skill in order.skills), default=instance.horizon)
        yield Choice(person.id, problem.labour(order, person.hourly), min(until, instance.horizon))


def _within(spans: Sequence[Span], at: int, length: int) -> int | None:
    """The first minute from ``at`` on from which a length lies within one of some sorted spans."""
    for begin, end in spans:
        if end - length >= at and end - length >= begin:
            return max(at, begin)
    return None
