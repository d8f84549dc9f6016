"""What is to be scheduled, and what a schedule costs, as values. Pure: no Django, and no solver.

Times are whole minutes since the instant the schedule begins. A *span* is from one minute up to another, which is no
longer part of it. Nothing is interrupted: a visit lies within one shift of its person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Span = tuple[int, int]
DAY = 24 * 60

WAITING = {"CRITICAL": 8, "HIGH": 4, "MEDIUM": 2, "LOW": 1}
"""Points for each minute that an order of a priority waits to begin."""
LATE = 10
"""So many times as much for each minute that it ends too late."""
LEFT_OUT = 7 * DAY
"""An order that is left out costs as much as one that begins so many minutes after the horizon."""


@dataclass(frozen=True, slots=True)
class Order:
    """``earliest``: parts are there from; ``due``: to be done by then, None = whenever; ``arrived``: place in line;
    ``only``: nobody else may do it."""

    id: int
    machine: int
    site: int
    minutes: int
    priority: str
    skills: frozenset[str] = frozenset()
    earliest: int = 0
    due: int | None = None
    arrived: int = 0
    only: int | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """``shifts``: sorted, apart from each other, less holidays and absences; ``skills``: each with the minute in which
    it expires; ``sites``: where the person may work; ``hourly``: points an hour."""

    id: int
    shifts: tuple[Span, ...]
    skills: Mapping[str, int] = field(default_factory=dict)
    sites: frozenset[int] = frozenset()
    hourly: int = 0


@dataclass(frozen=True, slots=True)
class Visit:
    """Who does an order, from when until when."""

    order: int
    person: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Busy:
    """A person, a machine or both have something else to do, in a site."""

    start: int
    end: int
    site: int
    person: int | None = None
    machine: int | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """``machines``: the spans in which a machine may be worked on, any time where it is not named; ``travel``: minutes
    from one site to another; ``pinned``: stays as it is; ``published``: what people were told, and ``move_cost`` what
    it costs to tell them otherwise."""

    horizon: int
    orders: tuple[Order, ...]
    persons: tuple[Person, ...]
    machines: Mapping[int, tuple[Span, ...]] = field(default_factory=dict)
    travel: Mapping[tuple[int, int], int] = field(default_factory=dict)
    busy: tuple[Busy, ...] = ()
    pinned: Mapping[int, Visit] = field(default_factory=dict)
    published: Mapping[int, Visit] = field(default_factory=dict)
    move_cost: int = 600

    def way(self, one: int, other: int) -> int:
        """Minutes from a site to another."""
        return 0 if one == other else self.travel.get((one, other), 0)


Visits = Mapping[int, Visit]
"""By order; one that is left out is not in it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a search. ``seconds``: of all of it; ``workers``: threads of the solver."""

    seconds: float
    workers: int = 2
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Solution:
    """``bound``: no schedule costs less."""

    visits: Visits
    cost: int
    bound: int
    method: str

    @property
    def gap(self) -> float:
        """How much of the cost may be too much at most, as a share of it."""
        return (self.cost - self.bound) / self.cost if self.cost > 0 else 0.0


def due_by(due: int | None, *, fails_from: int | None, lead: int) -> int | None:
    """When an order is to be done: by what was said, and by the early bound of the predicted failure less lead times.

    >>> due_by(900, fails_from=1000, lead=240), due_by(None, fails_from=None, lead=240)
    (760, None)
    """
    known = [at for at in (due, None if fails_from is None else fails_from - lead) if at is not None]
    return min(known, default=None)


def cost(instance: Instance, visits: Visits) -> int:
    """Points of a schedule; fewer are better."""
    persons = {one.id: one for one in instance.persons}
    total = 0
    for order in instance.orders:
        visit = visits.get(order.id)
        total += (
            left_out(instance, order) if visit is None else cost_of(instance, order, persons[visit.person], visit.start)
        )
    return total


def cost_of(instance: Instance, order: Order, person: Person, start: int) -> int:
    """Points of one visit: waiting, being late, the person's time, and telling people otherwise."""
    return time_cost(order, start) + labour(order, person.hourly) + moved(instance, order, person.id, start)


def time_cost(order: Order, start: int) -> int:
    weight = WAITING[order.priority]
    late = 0 if order.due is None else max(0, start + order.minutes - order.due)
    return weight * (max(0, start - order.earliest) + LATE * late)


def labour(order: Order, hourly: int) -> int:
    return hourly * order.minutes // 60


def moved(instance: Instance, order: Order, person: int, start: int) -> int:
    """What it costs that a published visit is now another one."""
    told = instance.published.get(order.id)
    return 0 if told is None or (told.person, told.start) == (person, start) else instance.move_cost


def left_out(instance: Instance, order: Order) -> int:
    """Points of an order that is not in the schedule."""
    told = instance.move_cost if order.id in instance.published else 0
    dearest = max((one.hourly for one in instance.persons), default=0)
    after = max(instance.horizon, order.earliest) + LEFT_OUT
    return time_cost(order, after) + labour(order, dearest) + told


def meet(ones: Iterable[Span], others: Sequence[Span]) -> list[Span]:
    """Where spans of two sorted rows overlap.

    >>> meet([(0, 10), (20, 30)], [(5, 25)])
    [(5, 10), (20, 25)]
    """
    found = ((max(a, c), min(b, d)) for a, b in ones for c, d in others)
    return sorted((begin, end) for begin, end in found if begin < end)


def without(spans: Iterable[Span], blocks: Iterable[Span]) -> list[Span]:
    """What is left of spans outside of some blocks.

    >>> without([(0, 10)], [(2, 4), (3, 5)])
    [(0, 2), (5, 10)]
    """
    left = list(spans)
    for begin, end in blocks:
        left = [part for a, b in left for part in ((a, min(b, begin)), (max(a, end), b)) if part[0] < part[1]]
    return left
