"""Stock against an oracle, whatever is tried; and in a hundred threads at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Min, Sum
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from maintenance import order_steps, part_costs, reservations, stores
from maintenance.models import WorkOrder
from maintenance.part_models import Movement, OrderPart, Part, Stock, Store
from maintenance.refusals import Refused
from tests import factories
from tests.integration.test_parts import consistent, order, part, store

ACTS = ["receive", "adjust", "transfer", "reserve", "issue", "give_back", "release", "cancel", "reopen"]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(ACTS), st.integers(0, 1), st.integers(0, 1), st.integers(0, 9),
    ),
    max_size=14,
)  # fmt: skip
"""What, with which order, in which store, how much."""


class Oracle:
    """Two stores, two orders, one part, in plain integers: slow and obvious."""

    def __init__(self) -> None:
        self.lies = [0, 0]
        self.wanted, self.reserved, self.used = ({(o, s): 0 for o in (0, 1) for s in (0, 1)} for _ in range(3))
        self.over = [False, False]

    def free(self, s: int) -> int:
        return self.lies[s] - self.reserved[0, s] - self.reserved[1, s]

    def take(self, what: str, o: int, s: int, n: int) -> bool:
        """Do it, and say whether it is allowed; then whoever waits gets what is free, the first order first."""
        done: bool = getattr(self, what)(o, s, n)
        for t in (0, 1):
            for p in (0, 1):
                more = min(self.free(t), self.wanted[p, t] - self.reserved[p, t] - self.used[p, t])
                self.reserved[p, t] += max(0, more)
        return done

    def receive(self, o: int, s: int, n: int) -> bool:
        self.lies[s] += n
        return n > 0

    def adjust(self, o: int, s: int, n: int) -> bool:
        if n == self.lies[s]:
            return False
        self.lies[s] = n
        for p in (1, 0):
            self.reserved[p, s] -= min(self.reserved[p, s], max(0, -self.free(s)))
        return True

    def transfer(self, o: int, s: int, n: int) -> bool:
        if not 0 < n <= self.free(s):
            return False
        self.lies[s] -= n
        self.lies[1 - s] += n
        return True

    def reserve(self, o: int, s: int, n: int) -> bool:
        if self.over[o] or not n:
            return False
        self.wanted[o, s] += n
        return True

    def issue(self, o: int, s: int, n: int) -> bool:
        own = min(n, self.reserved[o, s])
        if self.over[o] or not n or n - own > self.free(s):
            return False
        self.lies[s] -= n
        self.reserved[o, s] -= own
        self.used[o, s] += n
        self.wanted[o, s] = max(self.wanted[o, s], self.reserved[o, s] + self.used[o, s])
        return True

    def give_back(self, o: int, s: int, n: int) -> bool:
        if not 0 < n <= self.used[o, s]:
            return False
        self.lies[s] += n
        self.used[o, s] -= n
        self.wanted[o, s] -= n
        return True

    def release(self, o: int, s: int, n: int) -> bool:
        if self.over[o] or self.wanted[o, s] == self.used[o, s]:
            return False
        self.wanted[o, s], self.reserved[o, s] = self.used[o, s], 0
        return True

    def cancel(self, o: int, s: int, n: int) -> bool:
        if self.over[o]:
            return False
        self.over[o] = True
        for t in (0, 1):
            self.wanted[o, t], self.reserved[o, t] = self.used[o, t], 0
        return True

    def reopen(self, o: int, s: int, n: int) -> bool:
        was, self.over[o] = self.over[o], False
        return was


def attempt(what: str, boss: User, bolt: Part, one: WorkOrder, here: Store, there: Store, n: Decimal) -> bool:
    """Do it for real, and say whether it was allowed."""
    said: dict[str, Any] = {"actor": boss, "quantity": n}
    line = OrderPart.objects.filter(order=one, store=here).first()
    key = line.pk if line else 0
    tries: dict[str, Callable[[], object]] = {
        "receive": lambda: stores.receive(bolt.pk, store=here, **said),
        "adjust": lambda: stores.adjust(bolt.pk, store=here, counted=n, actor=boss, reason="x"),
        "transfer": lambda: stores.transfer(bolt.pk, store=here, to_store=there, **said),
        "reserve": lambda: reservations.reserve(one.pk, part=bolt, store=here, **said),
        "issue": lambda: reservations.issue(one.pk, part=bolt, store=here, **said),
        "give_back": lambda: reservations.give_back(key, **said),
        "release": lambda: reservations.release(key, actor=boss),
        "cancel": lambda: order_steps.cancel(one.pk, actor=boss, comment="x"),
        "reopen": lambda: order_steps.reopen(one.pk, actor=boss, comment="x"),
    }
    try:
        tries[what]()
    except (Refused, OrderPart.DoesNotExist):
        return False
    return True


class WhateverIsTried(TestCase):
    @settings(max_examples=40, deadline=None)
    @given(STEPS)
    def test_stock_reservations_and_refusals_are_those_of_the_oracle(
        self, steps: list[tuple[str, int, int, int]]
    ) -> None:
        boss, site, oracle = factories.user(is_superuser=True), factories.site(), Oracle()
        bolt = part(site, unit_cost="2", number="bolt")
        both, orders = [store(site), store(site, "B")], [order(site, priority="HIGH"), order(site)]
        for what, o, s, n in steps:
            done = attempt(what, boss, bolt, orders[o], both[s], both[1 - s], Decimal(n))
            assert oracle.take(what, o, s, n) is done, (what, o, s, n)
        for t, one in enumerate(both):
            row = Stock.objects.filter(store=one).first()
            assert (row.on_hand if row else 0) == oracle.lies[t]
        for (o, t), used in oracle.used.items():
            line = OrderPart.objects.filter(order=orders[o], store=both[t]).first()
            assert (line.reserved, line.used, line.wanted) == (
                oracle.reserved[o, t], used, oracle.wanted[o, t]
            ) if line else not used  # fmt: skip
        costs = part_costs.of_orders([one.pk for one in orders])
        assert [costs[one.pk] for one in orders] == [2 * sum(oracle.used[o, t] for t in (0, 1)) for o in (0, 1)]
        consistent()


def at_once(works: list[Callable[[], object]]) -> tuple[list[Exception], list[Exception]]:
    """Run all at the same time, each on a connection of its own: what was refused, and what went wrong."""
    refused: list[Exception] = []
    wrong: list[Exception] = []
    ready = threading.Barrier(len(works))

    def body(work: Callable[[], object]) -> None:
        try:
            connection.ensure_connection()
            ready.wait(60)
            work()
        except Refused as refusal:
            refused.append(refusal)
        except Exception as error:
            wrong.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=body, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    return refused, wrong


@pytest.mark.django_db(transaction=True)
def test_a_hundred_issues_at_once_take_what_is_there_and_no_more() -> None:
    boss, site = factories.user(is_superuser=True), factories.site()
    bolt, main = part(site), store(site)
    orders = [order(site) for _ in range(10)]
    stores.receive(bolt.pk, store=main, quantity=Decimal(61), actor=boss)
    held = reservations.reserve(orders[0].pk, part=bolt, store=main, quantity=Decimal(11), actor=boss)

    def issue(one: WorkOrder) -> Callable[[], object]:
        return lambda: reservations.issue(one.pk, part=bolt, store=main, quantity=Decimal(1), actor=boss)

    refused, wrong = at_once([issue(orders[1 + n % 9]) for n in range(100)])
    assert wrong == []
    assert (len(refused), {type(one) for one in refused}) == (50, {stores.NotEnough})
    row = Stock.objects.get()
    assert (row.on_hand, row.reserved) == (11, 11)  # what one order has reserved, no other took
    facts = Movement.objects.aggregate(sum=Sum("quantity"), least=Min("on_hand"))
    assert facts == {"sum": row.on_hand, "least": 11}
    held.refresh_from_db()
    assert (held.reserved, Movement.objects.filter(kind="ISSUE").count()) == (11, 50)
    consistent()


@pytest.mark.django_db(transaction=True)
def test_everything_at_once_neither_locks_up_nor_loses_a_part() -> None:
    boss, site = factories.user(is_superuser=True), factories.site()
    parts, both = [part(site), part(site)], [store(site), store(site, "B")]
    orders = [order(site) for _ in range(4)]
    works: list[Callable[[], object]] = []
    for n in range(60):
        said: dict[str, Any] = {"quantity": Decimal(1 + n % 3), "actor": boss}
        one, bolt, here = orders[n % 4], parts[n % 2], both[(n // 2) % 2]
        works.append([
            lambda bolt=bolt, here=here, said=said: stores.receive(bolt.pk, store=here, **said),
            lambda one=one, bolt=bolt, here=here, said=said: reservations.reserve(
                one.pk, part=bolt, store=here, **said
            ),
            lambda one=one, bolt=bolt, here=here, said=said: reservations.issue(one.pk, part=bolt, store=here, **said),
            lambda bolt=bolt, n=n, said=said: stores.transfer(
                bolt.pk, store=both[n % 2], to_store=both[1 - n % 2], **said
            ),
            lambda one=one: order_steps.cancel(one.pk, actor=boss, comment="x"),
            lambda one=one: reservations.issue_reserved(one.pk, actor=boss),
        ][n % 6])  # type: ignore[misc]  # each takes nothing: what it is of is bound  # fmt: skip
    _, wrong = at_once(works)
    assert wrong == []
    assert not OrderPart.objects.filter(order__status="CANCELLED", reserved__gt=0).exists()
    consistent()
