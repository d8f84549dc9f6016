"""Schedules that are made in one pass: the fall-back of the solver, and what it is measured against. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from agents.schedule import problem
from agents.schedule.book import Book, Room, fits
from agents.schedule.problem import WAITING, Instance, Order, Visit, Visits


def greedy(instance: Instance) -> Visits:
    """The most urgent order first, each where it costs least."""
    persons = {one.id: one for one in instance.persons}

    def best(order: Order, room: Room) -> Visit:
        choices = [
            (problem.cost_of(instance, order, persons[p], at), at, p) for p, at in _starts(instance, order, room)
        ]
        _, start, person = min(choices)
        return Visit(order.id, person, start, start + order.minutes)

    return _in_turn(instance, sorted(_to_do(instance), key=lambda one: _urgency(instance, one)), best)


def whoever_is_free(instance: Instance) -> Visits:
    """First come, first served: whoever is free first does it, whatever it costs and whenever it is due."""

    def first(order: Order, room: Room) -> Visit:
        start, person = min((spans[0][0], person) for person, spans in room.items())
        return Visit(order.id, person, start, start + order.minutes)

    return _in_turn(instance, sorted(_to_do(instance), key=lambda one: (one.arrived, one.id)), first)


def _in_turn(instance: Instance, orders: Sequence[Order], choose: Callable[[Order, Room], Visit]) -> Visits:
    book, visits = Book(instance), dict(instance.pinned)
    for order in orders:
        room = book.room(order)
        if room:
            visits[order.id] = choose(order, room)
            book.write(visits[order.id])
    return visits


def _to_do(instance: Instance) -> list[Order]:
    return [one for one in instance.orders if one.id not in instance.pinned]


def _urgency(instance: Instance, order: Order) -> tuple[int, float, int]:
    """By priority; of one priority what is due first, and what is short before what is long."""
    due = instance.horizon if order.due is None else order.due
    return -WAITING[order.priority], due + order.minutes, order.id


def _starts(instance: Instance, order: Order, room: Room) -> list[tuple[int, int]]:
    """Of each person the first start, and of whom it was published for that one: nothing else can be the cheapest."""
    found = [(person, spans[0][0]) for person, spans in room.items()]
    told = instance.published.get(order.id)
    if told is not None and fits(room.get(told.person, ()), told.start, told.start + order.minutes):
        found.append((told.person, told.start))
    return found
