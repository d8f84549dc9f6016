"""A schedule of not too many orders by constraint programming: the model for OR-Tools CP-SAT.

Each order has a start and, for each person who may do it, an interval that is there or not. Intervals of one person do
not overlap, nor do those of one machine; between two sites there is the way. What is left out costs what ``problem``
says. The model is exact: its optimum is the problem's, and its bound holds for the problem.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations

from ortools.sat.python import cp_model

from agents.schedule import problem
from agents.schedule.book import Book, Room
from agents.schedule.problem import LATE, WAITING, Instance, Order, Person, Visit, Visits

FOUND = (cp_model.OPTIMAL, cp_model.FEASIBLE)


@dataclass(frozen=True, slots=True)
class Found:
    """``visits`` of the free orders; None where none was found in time. ``bound``: of their cost alone."""

    visits: Visits | None
    bound: int


@dataclass(frozen=True, slots=True)
class _Choice:
    order: Order
    person: Person
    taken: cp_model.IntVar
    interval: cp_model.IntervalVar


class _Model:
    def __init__(self, instance: Instance, free: Collection[int], fixed: Visits, among: Collection[int] | None) -> None:
        self.instance, self.model = instance, cp_model.CpModel()
        self.orders = [one for one in instance.orders if one.id in free]
        self.persons = {one.id: one for one in instance.persons}
        self.starts: dict[int, cp_model.IntVar] = {}
        self.done: dict[int, cp_model.IntVar] = {}
        self.choices: dict[int, list[_Choice]] = defaultdict(list)
        self.cost: list[cp_model.LinearExprT] = []
        self.told: dict[tuple[int, int], cp_model.IntVar] = {}
        book = Book(instance, fixed)
        for order in self.orders:
            self._order(order, book.room(order, among=among))
        self._nobody_twice()
        self._no_machine_twice()
        self.model.minimize(cp_model.LinearExpr.sum(self.cost))

    def _order(self, order: Order, room: Room) -> None:
        """The order's start, who may do it, and what that costs."""
        model, name = self.model, str(order.id)
        lost = problem.left_out(self.instance, order)
        if not room:
            self.cost.append(lost)
            return
        domains = {
            person: cp_model.Domain.from_intervals([[a, b - order.minutes] for a, b in spans])
            for person, spans in room.items()
        }
        every = cp_model.Domain.from_intervals([[a, b - order.minutes] for spans in room.values() for a, b in spans])
        start = self.starts[order.id] = model.new_int_var_from_domain(every, f"start {name}")
        done = self.done[order.id] = model.new_bool_var(f"done {name}")
        for key, domain in domains.items():
            taken = model.new_bool_var(f"{key} does {name}")
            model.add_linear_expression_in_domain(start, domain).only_enforce_if(taken)
            interval = model.new_optional_fixed_size_interval_var(start, order.minutes, taken, f"{key} at {name}")
            choice = _Choice(order, self.persons[key], taken, interval)
            self.choices[order.id].append(choice)
            self.cost.append(problem.labour(order, choice.person.hourly) * taken)
        model.add(sum(one.taken for one in self.choices[order.id]) == done)
        self._when(order, start, done, every, lost)
        self._told(order, start, done)

    def _when(
        self, order: Order, start: cp_model.IntVar, done: cp_model.IntVar, every: cp_model.Domain, lost: int
    ) -> None:
        """Its points are what waiting and lateness cost where it is done, else what it costs to leave it out."""
        model, weight = self.model, WAITING[order.priority]
        most = problem.time_cost(order, every.max())
        points = model.new_int_var(0, max(most, lost), f"points {order.id}")
        model.add(points >= weight * (start - order.earliest)).only_enforce_if(done)
        if order.due is not None and every.max() + order.minutes > order.due:
            late = weight * (LATE * (start + order.minutes - order.due) + start - order.earliest)
            model.add(points >= late).only_enforce_if(done)
        model.add(points >= lost).only_enforce_if(done.negated())
        self.cost.append(points)

    def _told(self, order: Order, start: cp_model.IntVar, done: cp_model.IntVar) -> None:
        """What was published costs nothing more where it stays as it is."""
        told = self.instance.published.get(order.id)
        if told is None:
            return
        stays = self.model.new_bool_var(f"stays {order.id}")
        same = [one.taken for one in self.choices[order.id] if one.person.id == told.person]
        self.model.add(start == told.start).only_enforce_if(stays)
        self.model.add(sum(same) >= 1).only_enforce_if(stays)
        self.told[order.id, told.person] = stays
        self.cost.append(self.instance.move_cost * (done - stays))

    def _nobody_twice(self) -> None:
        by_person: dict[int, list[_Choice]] = defaultdict(list)
        for choices in self.choices.values():
            for choice in choices:
                by_person[choice.person.id].append(choice)
        for mine in by_person.values():
            self.model.add_no_overlap([one.interval for one in mine])
            for one, other in combinations(mine, 2):
                if one.order.site != other.order.site:
                    self._apart(one, other)

    def _apart(self, one: _Choice, other: _Choice) -> None:
        """Between two sites there is the way."""
        there = self.instance.way(one.order.site, other.order.site)
        back = self.instance.way(other.order.site, one.order.site)
        if not there and not back:
            return
        first = self.model.new_bool_var(f"{one.order.id} before {other.order.id}")
        a, b = self.starts[one.order.id], self.starts[other.order.id]
        both = [one.taken, other.taken]
        self.model.add(a + one.order.minutes + there <= b).only_enforce_if([*both, first])
        self.model.add(b + other.order.minutes + back <= a).only_enforce_if([*both, first.negated()])

    def _no_machine_twice(self) -> None:
        machines: dict[int, list[Order]] = defaultdict(list)
        for order in self.orders:
            if order.id in self.starts:
                machines[order.machine].append(order)
        for mine in machines.values():
            if len(mine) > 1:
                self.model.add_no_overlap([
                    self.model.new_optional_fixed_size_interval_var(
                        self.starts[one.id], one.minutes, self.done[one.id], f"machine at {one.id}"
                    )
                    for one in mine
                ])  # fmt: skip

    def hint(self, visits: Visits) -> None:
        for key, choices in self.choices.items():
            visit = visits.get(key)
            self.model.add_hint(self.done[key], visit is not None)
            for choice in choices:
                self.model.add_hint(choice.taken, visit is not None and visit.person == choice.person.id)
            if visit is not None:
                self.model.add_hint(self.starts[key], visit.start)
                for (order, person), stays in self.told.items():
                    if order == key:
                        told = self.instance.published[key]
                        self.model.add_hint(stays, (visit.person, visit.start) == (person, told.start))

    def visits(self, solver: cp_model.CpSolver) -> Visits:
        found = {}
        for key, choices in self.choices.items():
            for choice in choices:
                if solver.boolean_value(choice.taken):
                    start = solver.value(self.starts[key])
                    found[key] = Visit(key, choice.person.id, start, start + choice.order.minutes)
        return found


def solve(
    instance: Instance,
    *,
    free: Collection[int],
    fixed: Visits,
    hint: Visits,
    seconds: float,
    workers: int,
    seed: int = 1,
    among: Collection[int] | None = None,
) -> Found:
    """The best schedule of the orders ``free`` that is found in time, around visits that are ``fixed``; by the persons
    ``among``, if said: the bound holds for those alone.

    With ``workers`` 1 and a limit that is not reached the same comes out each time.
    """
    model = _Model(instance, free, fixed, among)
    model.hint(hint)
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = seconds
    solver.parameters.num_workers = workers
    solver.parameters.random_seed = seed
    status = solver.solve(model.model)
    if status not in FOUND:
        return Found(None, 0)
    return Found(model.visits(solver), math.ceil(solver.best_objective_bound - 1e-3))
