"""Who and what is taken when, and where there is room. Pure: no Django, and no solver."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping

from agents.schedule.problem import Busy, Instance, Order, Person, Span, Visit, Visits, meet, without

Room = Mapping[int, tuple[Span, ...]]
"""By person: the spans in which the work on one order may lie."""


class Book:
    """What is taken by pinned visits, other commitments, and the visits that are written into it."""

    def __init__(self, instance: Instance, visits: Visits | None = None) -> None:
        self.instance = instance
        self.orders = {one.id: one for one in instance.orders}
        self._persons: dict[int, list[Busy]] = defaultdict(list)
        self._machines: dict[int, list[Busy]] = defaultdict(list)
        for busy in instance.busy:
            self._take(busy)
        for visit in {**(visits or {}), **instance.pinned}.values():
            self.write(visit)

    def write(self, visit: Visit) -> None:
        order = self.orders[visit.order]
        self._take(Busy(visit.start, visit.end, order.site, visit.person, order.machine))

    def _take(self, busy: Busy) -> None:
        if busy.person is not None:
            self._persons[busy.person].append(busy)
        if busy.machine is not None:
            self._machines[busy.machine].append(busy)

    def room(self, order: Order, *, among: Collection[int] | None = None) -> Room:
        """Where an order may lie, by person (of those ``among``, if said); persons with no room are not named."""
        windows = self.instance.machines.get(order.machine, ((0, self.instance.horizon),))
        taken = [(busy.start, busy.end) for busy in self._machines[order.machine]]
        open_at = without(meet(windows, [(order.earliest, self.instance.horizon)]), taken)
        found = {}
        for person in able(self.instance.persons, order):
            if among is not None and person.id not in among:
                continue
            until = min((person.skills[skill] for skill in order.skills), default=self.instance.horizon)
            spans = without(meet(meet(person.shifts, open_at), [(0, until)]), self._blocks(person.id, order.site))
            wide = tuple(span for span in spans if span[1] - span[0] >= order.minutes)
            if wide:
                found[person.id] = wide
        return found

    def _blocks(self, person: int, site: int) -> Iterable[Span]:
        way = self.instance.way
        return [(busy.start - way(site, busy.site), busy.end + way(busy.site, site)) for busy in self._persons[person]]


def able(persons: Iterable[Person], order: Order) -> list[Person]:
    """Who works in an order's site and has all of its skills, expired or not, and is not kept from it."""
    return [
        one
        for one in persons
        if order.site in one.sites and order.skills <= one.skills.keys() and order.only in (None, one.id)
    ]


def fits(spans: Iterable[Span], start: int, end: int) -> bool:
    return any(begin <= start and end <= stop for begin, stop in spans)
