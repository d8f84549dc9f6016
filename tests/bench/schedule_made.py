"""Made instances of a maintenance schedule, the same for a seed: sites, people, machines, orders.

As in a plant with a backlog: early and late shifts, some people away, some skills rare, some machines that stand only
at times, parts that come later, a fifth of the orders from predictions with a due date soon.
"""

from __future__ import annotations

import random

from agents.schedule import problem
from agents.schedule.problem import DAY, Busy, Instance, Order, Person, Visit

DAYS, HOUR = 7, 60
SKILLS = ("alignment", "automation", "hv-switching", "hydraulics", "lifting", "welding")
QUARTERS = (2, 2, 3, 4, 4, 6, 8, 8, 12, 16, 24)
MEAN = 15 * sum(QUARTERS) / len(QUARTERS)
STARTS = (6 * HOUR, 8 * HOUR, 14 * HOUR)
PRIORITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")


def instance(orders: int, *, seed: int = 1, sites: int = 3, load: float = 0.7, days: int = DAYS) -> Instance:
    """So many people that ``load`` of their working time is needed. For each order there is somebody who can do it."""
    chance = random.Random(seed)
    needed = max(sites + 1, round(orders * MEAN / (load * 8 * HOUR * (days - days // 7 * 2))))
    persons = tuple(_person(chance, key, sites, days) for key in range(1, needed + 1))
    work = tuple(_order(chance, key, persons, days) for key in range(1, orders + 1))
    machines = {
        key: tuple((day * DAY + 6 * HOUR, day * DAY + 22 * HOUR) for day in range(days) if chance.random() < 0.6)
        for key in sorted({one.machine for one in work})
        if chance.random() < 0.3
    }
    travel = {(a, b): 30 + 15 * abs(a - b) for a in range(sites) for b in range(sites) if a != b}
    busy = tuple(
        Busy(at, at + 120, min(one.sites), person=one.id)
        for one in persons
        if chance.random() < 0.2
        for at in [chance.choice(one.shifts)[0] + 60]
    )
    return Instance(days * DAY, work, persons, machines, travel, busy)


def _order(chance: random.Random, key: int, persons: tuple[Person, ...], days: int) -> Order:
    minutes = 15 * chance.choice(QUARTERS)
    earliest = chance.choice((0, 0, 0, chance.randrange(days * DAY // 2)))
    priority = chance.choices(PRIORITIES, weights=(1, 3, 6, 4))[0]
    due = earliest + minutes + chance.randrange(DAY, days * DAY) if chance.random() < 0.7 else None
    if chance.random() < 0.2:  # from a prediction: the early bound less lead times
        due = problem.due_by(due, fails_from=earliest + minutes + chance.randrange(DAY, 5 * DAY), lead=8 * HOUR)
    somebody = chance.choice(persons)
    lasting = sorted(skill for skill, until in somebody.skills.items() if until >= days * DAY)
    skills = frozenset(chance.sample(lasting, min(len(lasting), chance.choice((0, 1, 1, 1, 2)))))
    site = chance.choice(sorted(somebody.sites))
    machine = chance.randrange(1, max(4, key)) * 10 + site
    return Order(key, machine, site, minutes, priority, skills, earliest, due, chance.randrange(10**6))


def _person(chance: random.Random, key: int, sites: int, days: int) -> Person:
    begins, away = chance.choice(STARTS), chance.randrange(days) if chance.random() < 0.3 else -1
    shifts = tuple(
        (day * DAY + begins, day * DAY + begins + 8 * HOUR) for day in range(days) if day % 7 < 5 and day != away
    )
    known = chance.sample(SKILLS, chance.choice((2, 3, 3, 4)))
    skills = {skill: chance.choice((days * DAY, days * DAY, days * DAY, days * DAY // 2)) for skill in known}
    home = key % sites
    reach = frozenset({home, *(site for site in range(sites) if chance.random() < 0.5)})
    return Person(key, shifts, skills, reach, chance.choice((30, 40, 50)))


def changed(before: Instance, visits: dict[int, Visit], *, seed: int = 2) -> Instance:
    """A day on, of what was published: a tenth of the orders are new, one person falls ill for two days."""
    chance = random.Random(seed)
    kept = [one for one in before.orders if chance.random() > 0.1]
    fresh = [
        Order(10**6 + n, one.machine, one.site, one.minutes, "HIGH", one.skills, 0, 2 * DAY)
        for n, one in enumerate(chance.sample(before.orders, max(1, len(before.orders) // 20)))
    ]
    ill = chance.choice(before.persons)
    persons = tuple(
        one if one.id != ill.id else Person(one.id, tuple(s for s in one.shifts if s[0] >= 2 * DAY), one.skills,
                                            one.sites, one.hourly)
        for one in before.persons
    )  # fmt: skip
    known = {one.id for one in kept}
    published = {key: visit for key, visit in visits.items() if key in known}
    return Instance(before.horizon, (*kept, *fresh), persons, before.machines, before.travel, before.busy,
                    published=published, move_cost=before.move_cost)  # fmt: skip
