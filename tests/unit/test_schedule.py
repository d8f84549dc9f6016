"""Schedules: whatever the instance, nobody and nothing is booked twice; the checker sees what is wrong."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents.schedule import checker, exact, greedy, problem, relaxed, ruin, search
from agents.schedule.board import Board
from agents.schedule.book import Book
from agents.schedule.problem import Busy, Instance, Limits, Order, Person, Visit, Visits

TWO_DAYS = 2 * problem.DAY
SITES, SKILLS = (0, 1), ("hv", "hydraulics", "welding")
FAST = Limits(2.0, workers=1)


@st.composite
def spans(draw: Any) -> tuple[problem.Span, ...]:
    cuts = sorted(draw(st.sets(st.integers(0, TWO_DAYS), max_size=6)))
    return tuple(zip(cuts[::2], cuts[1::2], strict=False))


@st.composite
def instances(draw: Any) -> Instance:
    orders = [
        Order(
            key, draw(st.integers(1, 3)), draw(st.sampled_from(SITES)), draw(st.integers(1, 300)),
            draw(st.sampled_from(sorted(problem.WAITING))), draw(st.frozensets(st.sampled_from(SKILLS), max_size=2)),
            draw(st.integers(0, TWO_DAYS)) if draw(st.booleans()) else 0,
            draw(st.none() | st.integers(-100, TWO_DAYS)), draw(st.integers(0, 9)), draw(st.none() | st.just(1)),
        )
        for key in range(1, draw(st.integers(0, 9)) + 1)
    ]  # fmt: skip
    persons = [
        Person(
            key, draw(spans()), draw(st.dictionaries(st.sampled_from(SKILLS), st.integers(0, 2 * TWO_DAYS))),
            draw(st.frozensets(st.sampled_from(SITES))), draw(st.integers(0, 90)),
        )
        for key in range(1, draw(st.integers(0, 3)) + 1)
    ]  # fmt: skip
    machines = draw(st.dictionaries(st.integers(1, 3), spans()))
    busy = [
        Busy(at, at + draw(st.integers(1, 200)), draw(st.sampled_from(SITES)), draw(st.none() | st.integers(1, 3)),
             draw(st.none() | st.integers(1, 3)))
        for at in draw(st.lists(st.integers(0, TWO_DAYS), max_size=3))
    ]  # fmt: skip
    travel = {(a, b): draw(st.integers(0, 120)) for a in SITES for b in SITES if a != b}
    made = Instance(TWO_DAYS, tuple(orders), tuple(persons), machines, travel, tuple(busy))
    known = greedy.whoever_is_free(made)
    pinned = {key: visit for key, visit in known.items() if draw(st.booleans())}
    told = {key: visit for key, visit in known.items() if draw(st.booleans())}
    return replace(made, pinned=pinned, published=told)


def right(instance: Instance, visits: Visits) -> None:
    assert checker.violations(instance, visits) == []


@settings(max_examples=150, deadline=None)
@given(instances())
def test_what_is_made_in_one_pass_can_be_carried_out(instance: Instance) -> None:
    for visits in (greedy.greedy(instance), greedy.whoever_is_free(instance)):
        right(instance, visits)
        assert relaxed.bound(instance, seconds=5) <= problem.cost(instance, visits)


@settings(max_examples=150, deadline=None)
@given(instances())
def test_the_board_and_the_book_know_the_same_room(instance: Instance) -> None:
    visits = dict(greedy.greedy(instance))
    for key in [*visits][::2]:
        if key not in instance.pinned:
            del visits[key]
    board, known = Board(instance, visits), Book(instance, visits)
    for order in instance.orders:
        room = known.room(order)
        for choice in board.choices[order.id]:
            found = board.first(order, choice, since=order.earliest, before=instance.horizon)
            assert found == (room[choice.person][0][0] if choice.person in room else None)


@settings(max_examples=25, deadline=None)
@given(instances(), st.integers(0, 9))
def test_ruin_and_recreate_can_be_carried_out_and_costs_no_more(instance: Instance, seed: int) -> None:
    first = greedy.greedy(instance)
    found = ruin.improve(instance, first, seconds=0.05, seed=seed)
    right(instance, found)
    assert problem.cost(instance, found) <= problem.cost(instance, first)


@settings(max_examples=25, deadline=None)
@given(instances(), st.integers(0, 9))
def test_the_board_counts_what_the_schedule_costs(instance: Instance, seed: int) -> None:
    visits, chance = greedy.greedy(instance), random.Random(seed)
    board = Board(instance, visits)
    for _ in range(9):
        assert board.total == problem.cost(instance, board.visits)
        if board.visits:
            board.take(chance.choice(sorted(board.visits)))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(instances())
def test_what_the_solver_makes_can_be_carried_out_and_costs_no_more_than_greedy(instance: Instance) -> None:
    found = search.solve(instance, FAST)
    right(instance, found.visits)
    assert found.cost == problem.cost(instance, found.visits) <= problem.cost(instance, greedy.greedy(instance))
    assert relaxed.bound(instance, seconds=5) <= found.bound <= found.cost
    assert 0 <= found.gap <= 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(instances())
def test_neighbourhood_after_neighbourhood_can_be_carried_out(instance: Instance) -> None:
    found = search.solve(instance, replace(FAST, seconds=0.5), whole=2)
    right(instance, found.visits)
    assert found.bound <= found.cost == problem.cost(instance, found.visits)


DAY_SHIFT = ((480, 960),)
ANNA = Person(1, DAY_SHIFT, {"hv": TWO_DAYS}, frozenset({0, 1}), 60)
BRUNO = Person(2, DAY_SHIFT, {}, frozenset({0}), 30)


def order(key: int, **said: Any) -> Order:
    return Order(**{"id": key, "machine": key, "site": 0, "minutes": 60, "priority": "MEDIUM"} | said)


def day(*orders: Order, **said: Any) -> Instance:
    return Instance(**{"horizon": TWO_DAYS, "orders": orders, "persons": (ANNA, BRUNO)} | said)


def best(instance: Instance) -> Visits:
    found = search.solve(instance, FAST)
    right(instance, found.visits)
    assert found.cost == found.bound, "so few orders are solved to the end"
    return found.visits


def test_the_cheaper_of_two_people_who_are_free_does_it() -> None:
    assert best(day(order(1))) == {1: Visit(1, 2, 480, 540)}


def test_who_has_the_skill_does_it_while_it_lasts() -> None:
    needs = order(1, skills=frozenset({"hv"}))
    assert best(day(needs))[1].person == 1
    expires = replace(ANNA, skills={"hv": 539})
    assert best(day(needs, persons=(expires, BRUNO))) == {}


def test_nobody_is_at_two_sites_without_the_way_between_them() -> None:
    visits = best(day(order(1, priority="HIGH"), order(2, site=1), persons=(ANNA,), travel={(0, 1): 45, (1, 0): 45}))
    assert (visits[1].start, visits[2].start) == (480, 585)


def test_a_machine_is_worked_on_by_one_at_a_time_and_only_when_it_stands() -> None:
    visits = best(day(order(1), order(2, machine=1), machines={1: ((600, 800),)}))
    assert sorted((one.start, one.end) for one in visits.values()) == [(600, 660), (660, 720)]


def test_parts_are_waited_for() -> None:
    assert best(day(order(1, earliest=700)))[1].start == 700


def test_what_is_due_goes_before_what_only_waits() -> None:
    due = [order(1, due=None, minutes=30), order(2, due=545)]
    assert best(day(*due, persons=(BRUNO,)))[2].start == 480
    assert greedy.whoever_is_free(day(*due, persons=(BRUNO,)))[1].start == 480


def test_a_published_visit_moves_only_where_that_is_worth_it() -> None:
    told = {1: Visit(1, 1, 500, 560)}
    assert best(day(order(1), published=told)) == told
    assert best(day(order(1), published=told, move_cost=0)) == {1: Visit(1, 2, 480, 540)}


def test_a_pinned_visit_stays_whatever_it_costs() -> None:
    pin = {1: Visit(1, 1, 900, 960)}
    assert best(day(order(1), order(2, machine=1), pinned=pin))[1] == pin[1]


def test_an_order_longer_than_any_shift_is_left_out() -> None:
    assert best(day(order(1, minutes=500))) == {}


def test_due_is_the_early_bound_less_lead_times() -> None:
    assert problem.due_by(5_000, fails_from=3_000, lead=480) == 2_520
    assert problem.due_by(100, fails_from=3_000, lead=480) == 100


def test_greedy_is_there_where_the_solver_has_no_time() -> None:
    instance = day(*(order(key) for key in range(1, 9)))
    found = exact.solve(
        instance, free=range(1, 9), fixed={}, hint=greedy.greedy(instance), seconds=0.0, workers=1
    )  # fmt: skip
    assert found.visits is None


GOOD = {1: Visit(1, 1, 500, 560)}
WRONG: list[tuple[str, Instance, Visits]] = [
    ("minutes", day(order(1)), {1: Visit(1, 1, 500, 550)}),
    ("earliest", day(order(1, earliest=501)), GOOD),
    ("horizon", day(order(1), horizon=559), GOOD),
    ("site", day(order(1, site=1)), {1: Visit(1, 2, 500, 560)}),
    ("skill", day(order(1, skills=frozenset({"hv"}))), {1: Visit(1, 2, 500, 560)}),
    ("skill", day(order(1, skills=frozenset({"hv"})), persons=(replace(ANNA, skills={"hv": 559}),)), GOOD),
    ("only", day(order(1, only=2)), GOOD),
    ("shift", day(order(1)), {1: Visit(1, 1, 950, 1_010)}),
    ("machine", day(order(1), machines={1: ((0, 559),)}), GOOD),
    ("person-twice", day(order(1), order(2)), {**GOOD, 2: Visit(2, 1, 559, 619)}),
    ("person-twice", day(order(1), order(2, site=1), travel={(0, 1): 1}), {**GOOD, 2: Visit(2, 1, 560, 620)}),
    ("person-twice", day(order(1), busy=(Busy(0, 501, 0, person=1),)), GOOD),
    ("machine-twice", day(order(1), order(2, machine=1)), {**GOOD, 2: Visit(2, 2, 559, 619)}),
    ("machine-twice", day(order(1), busy=(Busy(559, 600, 0, machine=1),)), GOOD),
    ("pin", day(order(1), pinned={1: Visit(1, 1, 501, 561)}), GOOD),
    ("pin", day(order(1), pinned=GOOD), {}),
    ("order", day(order(1)), {2: Visit(2, 1, 500, 560)}),
    ("person", day(order(1)), {1: Visit(1, 3, 500, 560)}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "instance", "visits"), WRONG)
def test_the_checker_sees_what_is_wrong(rule: str, instance: Instance, visits: Visits) -> None:
    assert [one.rule for one in checker.violations(instance, visits)] == [rule]


def test_the_checker_leaves_a_good_schedule_alone() -> None:
    assert checker.violations(day(order(1), order(2, machine=1)), {**GOOD, 2: Visit(2, 2, 560, 620)}) == []
