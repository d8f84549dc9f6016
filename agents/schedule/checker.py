"""Counts what is wrong with a schedule. It knows nothing of how schedules are made, and looks at
nothing but what the instance says. Pure: no Django."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from agents.schedule.problem import Instance, Order, Person, Span, Visit, Visits


@dataclass(frozen=True, slots=True)
class Violation:
    """``rule`` names it; ``order`` is one of those it is about."""

    rule: str
    order: int
    detail: str


def violations(instance: Instance, visits: Visits) -> list[Violation]:
    """Everything that is wrong, in the order of the orders; nothing where the schedule can be carried out."""
    orders = {one.id: one for one in instance.orders}
    persons = {one.id: one for one in instance.persons}
    found = [wrong for key in sorted(visits) for wrong in _alone(instance, orders, persons, key, visits[key])]
    found += _persons_twice(instance, orders, visits.values())
    found += _machines_twice(instance, orders, visits.values())
    for key, pin in instance.pinned.items():
        if visits.get(key) != pin:
            found.append(Violation("pin", key, "A pinned visit was moved."))
    return sorted(found, key=lambda one: (one.order, one.rule))


def _alone(
    instance: Instance, orders: dict[int, Order], persons: dict[int, Person], key: int, visit: Visit
) -> Iterable[Violation]:
    """What is wrong with a visit as such."""
    order, person = orders.get(key), persons.get(visit.person)
    if order is None or visit.order != key:
        yield Violation("order", key, "There is no such order.")
        return
    if person is None:
        yield Violation("person", key, "There is no such person.")
        return
    yield from _when(instance, order, visit)
    yield from _who(order, person, visit)


def _when(instance: Instance, order: Order, visit: Visit) -> Iterable[Violation]:
    key = order.id
    if visit.end - visit.start != order.minutes:
        yield Violation("minutes", key, f"{visit.end - visit.start} instead of {order.minutes} minutes.")
    if visit.start < order.earliest or visit.start < 0:
        yield Violation("earliest", key, "It begins before it can.")
    if visit.end > instance.horizon:
        yield Violation("horizon", key, "It ends after the horizon.")
    windows = instance.machines.get(order.machine)
    if windows is not None and not _within(windows, visit):
        yield Violation("machine", key, "The machine cannot be worked on then.")


def _who(order: Order, person: Person, visit: Visit) -> Iterable[Violation]:
    key = order.id
    if order.site not in person.sites:
        yield Violation("site", key, "The person does not work in this site.")
    if order.only not in (None, person.id):
        yield Violation("only", key, "It is somebody else's.")
    for skill in sorted(order.skills):
        if person.skills.get(skill, -1) < visit.end:
            yield Violation("skill", key, f"The person does not have skill {skill} until the end.")
    if not _within(person.shifts, visit):
        yield Violation("shift", key, "It is not within a shift of the person.")


def _within(spans: Iterable[Span], visit: Visit) -> bool:
    return any(begin <= visit.start and visit.end <= end for begin, end in spans)


Line = tuple[int, int, int, int]
"""From, until, where, and for which order; -1 for something else."""


def _persons_twice(instance: Instance, orders: dict[int, Order], visits: Iterable[Visit]) -> Iterable[Violation]:
    """One after the other, with the way from site to site in between."""
    days: dict[int, list[Line]] = defaultdict(list)
    for visit in visits:
        if visit.order in orders:
            days[visit.person].append((visit.start, visit.end, orders[visit.order].site, visit.order))
    for busy in instance.busy:
        if busy.person is not None:
            days[busy.person].append((busy.start, busy.end, busy.site, -1))
    for person, lines in days.items():
        for (_, end, here, one), (start, _, there, other) in _after_another(lines):
            if start < end + instance.way(here, there):
                yield Violation("person-twice", max(one, other), f"Person {person} cannot be at both.")


def _machines_twice(instance: Instance, orders: dict[int, Order], visits: Iterable[Visit]) -> Iterable[Violation]:
    days: dict[int, list[Line]] = defaultdict(list)
    for visit in visits:
        if visit.order in orders:
            order = orders[visit.order]
            days[order.machine].append((visit.start, visit.end, order.site, visit.order))
    for busy in instance.busy:
        if busy.machine is not None:
            days[busy.machine].append((busy.start, busy.end, busy.site, -1))
    for machine, lines in days.items():
        for (_, end, _, one), (start, _, _, other) in _after_another(lines):
            if start < end:
                yield Violation("machine-twice", max(one, other), f"Machine {machine} is worked on twice.")


def _after_another(lines: Iterable[Line]) -> Iterable[tuple[Line, Line]]:
    """Each line after the first, with the one before it that ends last; not where neither is of an order."""
    last: Line | None = None
    for line in sorted(lines):
        if last is not None and max(last[3], line[3]) >= 0:
            yield last, line
        last = line if last is None or line[1] >= last[1] else last
