"""The machine of approval against an oracle that is asked everything anew at every pass: whatever people, policies and
time do, in any order, nothing goes ahead that a policy holds, and nothing because time has passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import combinations_with_replacement
from typing import Any

import pytest
from django.contrib.auth.models import User
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from maintenance import approval_book, approvals, approvers, order_steps
from maintenance.approval_models import ApprovalDecision, ApprovalPolicy, ApprovalWait, Delegation
from maintenance.models import WorkOrder
from maintenance.refusals import Refused
from sensors.models import Membership
from tests import factories
from tests.integration.test_alarm_locks import in_thread
from tests.integration.test_approvals import NOW, WAITS, ask, decided, lay, status, sweep

MINUTE = timedelta(minutes=1)
SCOPES: list[dict[str, Any]] = [
    {},
    {"priority": "LOW"},
    {"maintenance_type": "INSPECTION"},
    {"most_cost": Decimal(100)},
]
SAYS: list[dict[str, Any]] = [
    {"answer": "GO_AHEAD"},
    {"answer": "WAIT", "wait_minutes": 30, "then": "KEEP"},
    {"answer": "WAIT", "wait_minutes": 30, "then": "REJECT"},
    {"answer": "WAIT", "wait_minutes": 30, "then": "REMIND", "reminders": 1},
]
BLANK: dict[str, Any] = {"wait_minutes": None, "then": "", "reminders": 0}
PERSONS = ("boss", "delegate", "worker")
LAY = st.tuples(st.just("lay"), st.integers(0, len(SCOPES) - 1), st.integers(0, len(SAYS) - 1))
MOVES = st.one_of(
    LAY,
    st.tuples(st.just("take"), st.integers(0, len(SCOPES) - 1)),
    st.tuples(st.just("wait"), st.sampled_from([1, 10, 29, 30, 31, 90])),
    st.tuples(st.sampled_from(["approve", "reject", "defer"]), st.sampled_from(PERSONS)),
    st.tuples(st.just("modify"), st.just("priority"), st.sampled_from(["LOW", "HIGH"])),
    st.tuples(st.just("modify"), st.just("expected_cost"), st.sampled_from([None, Decimal(100), Decimal(101)])),
    st.tuples(st.sampled_from(["cancel", "reopen"])),
)


class No(Exception):
    """The rules do not allow it."""


@dataclass
class Oracle:
    """One order, an inspection, as the page of approval has it; policies by their place in ``SCOPES``."""

    now: datetime = NOW
    policies: dict[int, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    laid: int = 0
    status: str = "REQUESTED"
    was_asked_for: bool = False
    said: dict[str, Any] = field(default_factory=lambda: {"priority": "LOW", "expected_cost": None})
    asked: tuple[int, int] | None = None
    until: datetime | None = None
    reminded: int = 0
    is_left: bool = False
    aside: datetime | None = None

    def holds(self) -> tuple[int, int, dict[str, Any]] | None:
        """A type outranks a priority, that a limit of costs."""
        cost = self.said["expected_cost"]
        fits = {0: True, 1: self.said["priority"] == "LOW", 2: True, 3: cost is not None and cost <= 100}
        places = [place for place in (2, 1, 3, 0) if place in self.policies and fits[place]]
        return (places[0], *self.policies[places[0]]) if places else None

    def forget(self) -> None:
        self.asked = self.until = self.aside = None
        self.reminded, self.is_left = 0, False

    def end(self, status: str) -> None:
        self.was_asked_for = self.status == "REQUESTED"
        self.status = status
        self.forget()

    def sweep(self) -> None:
        if self.status != "REQUESTED" or (self.aside is not None and self.now < self.aside):
            return
        self.aside = None
        held = self.holds()
        if held is None:
            self.forget()
        elif held[2]["answer"] == "GO_AHEAD":
            self.end("OPEN")
        elif self.asked != held[:2]:
            self.forget()
            self.asked, self.until = held[:2], self.now + 30 * MINUTE
        elif not self.is_left and self.until is not None and self.now >= self.until:
            self.time_is_up(held[2])

    def time_is_up(self, says: dict[str, Any]) -> None:
        if says["then"] == "REJECT":
            self.end("CANCELLED")
        elif self.reminded < says.get("reminders", 0):
            self.reminded, self.until = self.reminded + 1, self.now + 30 * MINUTE
        else:
            self.is_left = True

    # Moves

    def lay(self, place: int, says: int) -> None:
        self.laid += 1
        self.policies[place] = (self.laid, SAYS[says])

    def take(self, place: int) -> None:
        if self.policies.pop(place, None) is None:
            raise No

    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    def approve(self, person: str) -> None:
        self.require(person)
        self.end("OPEN")

    def reject(self, person: str) -> None:
        self.require(person)
        self.end("CANCELLED")

    def defer(self, person: str) -> None:
        self.require(person)
        self.forget()
        self.aside = self.now + 20 * MINUTE

    def modify(self, name: str, value: Any) -> None:
        self.require("boss")
        if self.said[name] == value:
            raise No
        self.said[name] = value

    def cancel(self) -> None:
        if self.status == "CANCELLED":
            raise No
        self.end("CANCELLED")

    def reopen(self) -> None:
        if self.status != "CANCELLED":
            raise No
        held = self.holds()
        waits = self.was_asked_for if held is None else held[2]["answer"] == "WAIT"
        self.status = "REQUESTED" if waits else "OPEN"

    def require(self, person: str) -> None:
        if person == "worker" or self.status != "REQUESTED":
            raise No


class Real:
    """The same moves on the real thing."""

    def __init__(self) -> None:
        self.site, self.now = factories.site(), NOW
        worker, delegate = (factories.user(site=self.site, role=Membership.Role.TECHNICIAN) for _ in range(2))
        self.people = {"boss": factories.user(site=self.site), "delegate": delegate, "worker": worker}
        given = Delegation(site=self.site, taker=delegate, from_at=NOW, until_at=NOW + timedelta(days=30))
        approvers.delegate(given, actor=self.people["boss"], now=NOW)
        self.policies: dict[int, ApprovalPolicy] = {}
        self.order = ask(self.site, worker)

    def lay(self, place: int, says: int) -> None:
        row = self.policies.get(place) or ApprovalPolicy(site=self.site, **SCOPES[place])
        for name, value in (BLANK | SAYS[says]).items():
            setattr(row, name, value)
        self.policies[place] = approval_book.save(row, actor=self.people["boss"])

    def take(self, place: int) -> None:
        if place not in self.policies:
            raise Refused
        approval_book.delete(self.policies.pop(place), actor=self.people["boss"])

    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    def approve(self, person: str) -> None:
        approvals.approve(self.order.pk, actor=self.people[person], now=self.now)

    def reject(self, person: str) -> None:
        approvals.reject(self.order.pk, actor=self.people[person], comment="no", now=self.now)

    def defer(self, person: str) -> None:
        until = self.now + 20 * MINUTE
        approvals.defer(self.order.pk, actor=self.people[person], until=until, comment="later", now=self.now)

    def modify(self, name: str, value: Any) -> None:
        approvals.modify(self.order.pk, actor=self.people["boss"], now=self.now, **{name: value})

    def cancel(self) -> None:
        order_steps.cancel(self.order.pk, actor=self.people["worker"], comment="not needed", now=self.now)

    def reopen(self) -> None:
        order_steps.reopen(self.order.pk, actor=self.people["worker"], comment="needed", now=self.now)


def possible(one: Real | Oracle, move: str, said: list[Any]) -> bool:
    """Whether it was done, and not refused."""
    try:
        getattr(one, move)(*said)
    except (Refused, No):
        return False
    return True


class Histories(TestCase):
    @settings(max_examples=60, deadline=None)
    @given(st.lists(LAY, max_size=2), st.lists(MOVES, max_size=14))
    def test_the_machine_does_what_the_rules_say(self, first: list[Any], moves: list[Any]) -> None:
        real, oracle = Real(), Oracle()
        for move, *said in [*first, *moves]:
            self.assertEqual(possible(real, move, said), possible(oracle, move, said), f"{move} {said}")
            sweep(real.now)
            oracle.sweep()
            self.same(real.order, oracle)
            before = decided(real.order)
            sweep(real.now)
            self.assertEqual(decided(real.order), before, "a second look at once did something")
        self.explained(real)

    def same(self, order: WorkOrder, oracle: Oracle) -> None:
        self.assertEqual(status(order), oracle.status)
        wait = ApprovalWait.objects.filter(order=order).first()
        self.assertEqual(wait is not None, oracle.status == "REQUESTED")
        if wait is not None:
            found = (wait.policy_id is not None, wait.until, wait.reminded, wait.is_left, wait.deferred_until)
            known = (oracle.asked is not None, oracle.until, oracle.reminded, oracle.is_left, oracle.aside)
            self.assertEqual(found, known)

    def explained(self, real: Real) -> None:
        """Each yes was a person's who may, in their own name, or a policy's that says so; none is time's."""
        rows = ApprovalDecision.objects.filter(order=real.order)
        boss, delegate = real.people["boss"], real.people["delegate"]
        for row in rows.filter(what="APPROVED"):
            self.assertIn((row.actor, row.for_whom), ((boss, None), (delegate, boss)))
        for row in rows.filter(what="WENT_AHEAD"):
            self.assertEqual(((row.policy_said or {})["answer"], row.actor), ("GO_AHEAD", None))
        yes = real.order.transitions.filter(action="APPROVED")
        self.assertEqual(yes.exclude(actor=None).count(), rows.filter(what="APPROVED").count())
        self.assertLessEqual(yes.filter(actor=None).count(), rows.filter(what="WENT_AHEAD").count())


# At the same time

DECISIONS = ("approve", "reject", "time", "policy")
PAIRS = list(combinations_with_replacement(DECISIONS, 2))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_of_what_is_decided_at_the_same_time_one_is_what_happened(pair: tuple[str, str]) -> None:
    site = factories.site()
    boss, worker = factories.user(site=site), factories.user(site=site, role=Membership.Role.TECHNICIAN)
    policy = lay(site, boss, **WAITS | {"then": "REJECT"})
    order = ask(site, worker)
    sweep(NOW)
    if "policy" in pair:
        policy.answer, policy.wait_minutes, policy.then = "GO_AHEAD", None, ""
        approval_book.save(policy, actor=boss)
    threads = [in_thread(lambda what=what: decide(what, order, boss)) for what in pair for _ in range(3)]
    for thread, _ in threads:
        thread.join(20)
    refused = [error for _, errors in threads for error in errors]
    assert all(isinstance(error, Refused) for error in refused), refused
    (end,) = decided(order)[1:]
    assert status(order) == ("CANCELLED" if end == "REJECTED" else "OPEN")
    assert order.transitions.count() == 2
    assert not ApprovalWait.objects.exists()
    kept, last = order.approval_decisions.latest("id"), order.transitions.latest("id")
    assert last.actor == kept.actor == (None if kept.by_agent else boss)
    assert kept.by_agent is ("By policy" in last.comment)
    ends = {"approve": "APPROVED", "reject": "REJECTED", "time": "REJECTED", "policy": "WENT_AHEAD"}
    says = ["policy" if what == "time" and "policy" in pair else what for what in pair]
    assert end in {ends[what] for what in says}


def decide(what: str, order: WorkOrder, boss: User) -> None:
    if what == "approve":
        approvals.approve(order.pk, actor=boss, now=NOW)
    elif what == "reject":
        approvals.reject(order.pk, actor=boss, comment="no", now=NOW)
    else:
        sweep(NOW + 60 * MINUTE)
