"""Approval on the real database: policies, people, delegates, time and racing sweeps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agents import approve, notify, sweeper
from maintenance import (
    approval_asks,
    approval_book,
    approvals,
    approvers,
    notifications,
    order_moves,
    order_steps,
    reservations,
)
from maintenance.approval_models import ApprovalDecision, ApprovalPolicy, ApprovalWait, Delegation
from maintenance.models import Alarm, Channel, Notification, Reader, WorkOrder
from maintenance.order_roles import NotAnApprover
from maintenance.part_models import Part, Store
from maintenance.refusals import Refused
from sensors.models import Event, Membership, Sensor, Site
from tests import factories
from tests.client import client
from tests.integration.test_alarm_locks import in_thread, wait_until_blocked
from tests.integration.test_alarms import judge, see

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
NOW = datetime(2031, 5, 5, 9, tzinfo=UTC)
"""Later than every row is made: what is due by the clock is due then."""
WAITS: dict[str, Any] = {"answer": "WAIT", "wait_minutes": 60, "then": "KEEP"}


@pytest.fixture
def site() -> Site:
    return factories.site()


@pytest.fixture
def anna(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.ADMIN, username="anna")


@pytest.fixture
def tina(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.TECHNICIAN, username="tina")


def lay(site: Site, actor: User, **fields: Any) -> ApprovalPolicy:
    return approval_book.save(ApprovalPolicy(**{"site": site} | fields), actor=actor)


def ask(site: Site, actor: User, **fields: Any) -> WorkOrder:
    said = {"title": "Paint it", "maintenance_type": "INSPECTION", "priority": "LOW"}
    return order_steps.request(factories.machine(site=site), actor=actor, **said | fields)


def open_by_alarm(site: Site, *, run: int = 1) -> WorkOrder:
    """What decide opens for a critical machine."""
    sensor = factories.sensor(machine=factories.machine(site=site, criticality="CRITICAL"))
    see(sensor, run=run, at=0)
    judge(sensor, run=run, clock=0)
    return WorkOrder.objects.get(machine=sensor.machine)


def sweep(at: datetime) -> None:
    approve.look(now=at)


def decided(order: WorkOrder) -> list[str]:
    return list(order.approval_decisions.order_by("id").values_list("what", flat=True))


def status(order: WorkOrder) -> str:
    return WorkOrder.objects.get(pk=order.pk).status


def mailbox(site: Site, user: User | None, name: str) -> Channel:
    reader = None if user is None else Reader.objects.create(site=site, user=user)
    return Channel.objects.create(site=site, kind="EMAIL", name=name, target=f"{name}@example.org", reader=reader)


def told() -> list[tuple[str, str]]:
    return list(Notification.objects.order_by("id").values_list("event_type", "channel__name"))


# Without a policy


def test_without_a_policy_all_is_as_it_was(site: Site, tina: User) -> None:
    opened, asked = open_by_alarm(site), ask(site, tina)
    for hours in range(3):
        sweep(NOW + hours * 1000 * HOUR)
    assert (status(opened), status(asked)) == ("OPEN", "REQUESTED")
    assert list(opened.transitions.values_list("action", "to_status")) == [("OPENED", "OPEN")]
    assert not ApprovalDecision.objects.exists()
    wait = ApprovalWait.objects.get()
    assert (wait.order, wait.policy, wait.until, wait.due_at) == (asked, None, None, None)
    assert not wait.is_overdue(NOW)


# What alarms open


def test_what_an_alarm_opens_goes_ahead_by_a_policy_that_is_named(site: Site, anna: User) -> None:
    lay(site, anna, **WAITS)
    policy = lay(site, anna, confidence="CREDIBLE", answer="GO_AHEAD")
    order = open_by_alarm(site)
    assert status(order) == "OPEN"
    kept = order.approval_decisions.get()
    assert (kept.what, kept.by_agent, kept.actor, kept.policy, kept.policy_revision) == (
        "WENT_AHEAD", True, None, policy, 1,
    )  # fmt: skip
    assert kept.facts == {"maintenance_type": order.maintenance_type, "priority": "HIGH", "confidence": "CREDIBLE",
                          "cost": None}  # fmt: skip
    assert "work-order.opened" in of_run(1, site)


def test_what_an_alarm_opens_is_requested_where_the_policy_says_wait(site: Site, anna: User) -> None:
    lay(site, anna, maintenance_type="INSPECTION", answer="GO_AHEAD")
    policy = lay(site, anna, **WAITS)
    order = open_by_alarm(site)
    assert status(order) == "REQUESTED"
    assert list(order.transitions.values_list("action", "from_status", "to_status")) == [("REQUESTED", "", "REQUESTED")]
    assert Event.objects.filter(type="work_order.requested").count() == 1
    assert "work-order.opened" not in of_run(1, site)
    sweep(NOW)
    kept = order.approval_decisions.get()
    assert (kept.what, kept.policy, kept.until, kept.asked) == ("WAITS", policy, NOW + HOUR, None)
    approvals.approve(order.pk, actor=anna, now=NOW)
    assert status(order) == "OPEN"
    assert not ApprovalWait.objects.exists()


def of_run(run: int, site: Site) -> list[str]:
    Channel.objects.get_or_create(site=site, kind="CONSOLE", name="log")
    pending = notifications.pending(run)
    return [row.event_type for row in notify.notify(pending.transitions, pending.recipients)]


def test_the_confidence_is_what_triage_made_of_the_alarm(site: Site, anna: User) -> None:
    lay(site, anna, answer="GO_AHEAD")
    lay(site, anna, confidence="DOUBTFUL", **WAITS)
    sensor = factories.sensor(machine=factories.machine(site=site, criticality="CRITICAL"))
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    order = WorkOrder.objects.get()
    WorkOrder.objects.filter(pk=order.pk).update(status="REQUESTED")
    Alarm.objects.update(verdict="DOUBTFUL")
    assert approval_asks.look(order.pk, now=NOW) == "ASK"
    Alarm.objects.update(verdict="CREDIBLE")
    assert approval_asks.look(order.pk, now=NOW + HOUR) == "GO_AHEAD"
    assert status(order) == "OPEN"


def test_opening_many_orders_asks_no_more_than_opening_one(site: Site, anna: User) -> None:
    lay(site, anna, **WAITS)
    counted = []
    for n, machines in enumerate((1, 8), start=1):
        sensors = [
            factories.sensor(machine=factories.machine(site=site, criticality="CRITICAL")) for _ in range(machines)
        ]
        for sensor in sensors:
            see(sensor, run=n, at=0)
        with CaptureQueriesContext(connection) as queries:
            judge(*sensors, run=n, clock=0)
        counted.append(len(queries))
    assert WorkOrder.objects.filter(status="REQUESTED").count() == 9
    assert counted[0] == counted[1]


def test_an_order_that_is_raised_while_it_waits_waits_by_the_policy_of_its_new_priority(site: Site, anna: User) -> None:
    lay(site, anna, **WAITS)
    urgent = lay(site, anna, priority="CRITICAL", answer="GO_AHEAD")
    order = open_by_alarm(site)
    sweep(NOW)
    sensor = Sensor.objects.get(machine=order.machine)
    see(sensor, run=2, at=0, kind="LIMIT_LOW_LOW", detector="other")
    judge(sensor, run=2, clock=0)
    assert WorkOrder.objects.get().priority == "CRITICAL"
    sweep(NOW)
    assert status(order) == "OPEN"
    assert order.approval_decisions.latest("id").policy == urgent


# What time does


def test_time_up_reminds_and_hands_on_then_leaves_it_and_never_approves(site: Site, anna: User, tina: User) -> None:
    boss = factories.user(site=site, username="boss")
    lay(site, anna, answer="WAIT", approver=anna, wait_minutes=60, then="REMIND", then_approver=boss, reminders=2)
    order = ask(site, tina)
    for minutes in (0, 59, 60, 61, 120, 180, 999_999):
        sweep(NOW + minutes * MINUTE)
    assert decided(order) == ["WAITS", "REMINDED", "REMINDED", "LEFT"]
    assert list(order.approval_decisions.order_by("id").values_list("asked__username", flat=True)) == [
        "anna", "boss", "boss", "boss",
    ]  # fmt: skip
    wait = ApprovalWait.objects.get()
    assert (wait.asked, wait.reminded, wait.is_left, wait.due_at) == (boss, 2, True, None)
    assert wait.is_overdue(NOW)
    assert status(order) == "REQUESTED"


def test_time_up_rejects_in_nobodys_name(site: Site, anna: User, tina: User) -> None:
    policy = lay(site, anna, answer="WAIT", wait_minutes=60, then="REJECT")
    order = ask(site, tina)
    sweep(NOW)
    sweep(NOW + HOUR)
    assert status(order) == "CANCELLED"
    last = order.transitions.latest("id")
    assert (last.action, last.actor, last.comment) == (
        "REJECTED", None, f"By policy {policy.pk}, revision 1 (any work): its time was up.",
    )  # fmt: skip
    assert Event.objects.get(type="work_order.rejected").actor == ""
    assert decided(order) == ["WAITS", "REJECTED"]
    assert not ApprovalWait.objects.exists()


def test_a_request_goes_ahead_by_policy_with_no_actor(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, most_cost=Decimal(500), answer="GO_AHEAD")
    lay(site, anna, **WAITS)
    cheap, dear, unknown = (ask(site, tina, expected_cost=cost) for cost in (Decimal(500), Decimal(501), None))
    sweep(NOW)
    assert [status(one) for one in (cheap, dear, unknown)] == ["OPEN", "REQUESTED", "REQUESTED"]
    last = cheap.transitions.latest("id")
    assert (last.action, last.actor) == ("APPROVED", None)
    assert "any work, up to 500" in last.comment


def test_a_changed_policy_asks_anew_and_a_deleted_one_lets_wait_without_limit(
    site: Site, anna: User, tina: User
) -> None:
    policy = lay(site, anna, answer="WAIT", wait_minutes=60, then="REJECT")
    order = ask(site, tina)
    sweep(NOW)
    policy.wait_minutes = 600
    approval_book.save(policy, actor=anna)
    sweep(NOW + HOUR)
    assert (ApprovalWait.objects.get().until, ApprovalWait.objects.get().policy_revision) == (NOW + 11 * HOUR, 2)
    approval_book.delete(policy, actor=anna)
    sweep(NOW + 99 * DAY)
    assert (status(order), ApprovalWait.objects.get().until) == ("REQUESTED", None)
    assert decided(order) == ["WAITS", "WAITS"]
    kept = order.approval_decisions.latest("id")
    assert (kept.policy, kept.policy_revision, kept.policy_said["wait_minutes"]) == (None, 2, 600)


def test_who_may_no_longer_approve_is_not_asked(site: Site, anna: User, tina: User) -> None:
    gone = factories.user(site=site, username="gone")
    lay(site, anna, **WAITS | {"approver": gone})
    Membership.objects.filter(user=gone).delete()
    ask(site, tina)
    sweep(NOW)
    assert ApprovalWait.objects.get().asked is None


def test_what_was_cancelled_meanwhile_waits_no_longer(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, **WAITS)
    order = ask(site, tina)
    sweep(NOW)
    order_steps.cancel(order.pk, actor=tina, comment="Not needed")
    assert not ApprovalWait.objects.exists()
    sweep(NOW + MINUTE)
    assert not ApprovalWait.objects.exists()
    assert decided(order) == ["WAITS"]


def test_the_sweep_runs_it(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, **WAITS)
    ask(site, tina)
    sweeper.sweep()
    assert ApprovalWait.objects.get().until is not None


def test_a_pass_with_nothing_to_do_asks_three_questions(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, **WAITS)
    ask(site, tina)
    sweep(NOW)
    with CaptureQueriesContext(connection) as queries:
        sweep(NOW + MINUTE)
    reads = [query for query in queries if query["sql"].startswith("SELECT")]
    assert len(reads) == 3


# On trial


def test_parts_that_pass_the_limit_are_planned_by_who_may_approve(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, **WAITS)
    lay(site, anna, answer="GO_AHEAD", wait_minutes=None, then="", most_cost=Decimal(100))
    order = ask(site, tina, expected_cost=Decimal(50))
    sweep(NOW)
    assert status(order) == "OPEN"
    store = Store.objects.create(site=site, name="Main")
    seal = Part.objects.create(site=site, number="S-1", name="Seal", unit_cost=Decimal(30))
    wanted: dict[str, Any] = {"part": seal, "store": store, "quantity": Decimal(1)}
    reservations.reserve(order.pk, **wanted, actor=tina)
    with pytest.raises(reservations.CostsTooMuch):
        reservations.reserve(order.pk, **wanted, actor=tina)
    assert order.parts.get().wanted == 1
    reservations.reserve(order.pk, **wanted, actor=anna)
    reservations.reserve(order.pk, **wanted, actor=tina)
    assert order.parts.get().wanted == 3


def test_what_was_said_may_be_taken_back(site: Site, anna: User, tina: User) -> None:
    order = ask(site, tina, expected_cost=Decimal(50), due_at=NOW)
    approvals.modify(order.pk, actor=anna, expected_cost=None, due_at=None, now=NOW)
    order.refresh_from_db()
    assert (order.expected_cost, order.due_at) == (None, None)


def test_a_trial_is_recorded_and_nothing_is_done(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, answer="WAIT", wait_minutes=60, then="REJECT", is_trial=True)
    opened, asked = open_by_alarm(site), ask(site, tina)
    for minutes in (0, 1, 61, 9999):
        sweep(NOW + minutes * MINUTE)
    assert (status(opened), status(asked)) == ("OPEN", "REQUESTED")
    for order in (opened, asked):
        kept = order.approval_decisions.get()
        assert (kept.what, kept.is_trial, kept.by_agent) == ("WAITS", True, True)
        assert kept.policy_said["then"] == "REJECT"
        assert order.transitions.count() == 1
    assert not Notification.objects.exists()


def test_what_is_on_trial_leaves_what_holds_to_do_its_work(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, **WAITS)
    lay(site, anna, answer="GO_AHEAD", is_trial=True)
    order = ask(site, tina)
    sweep(NOW)
    assert status(order) == "REQUESTED"
    assert sorted(order.approval_decisions.values_list("what", "is_trial")) == [("WAITS", False), ("WENT_AHEAD", True)]


# People


def test_an_order_is_set_aside_and_asked_for_anew_when_that_is_over(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, answer="WAIT", wait_minutes=60, then="REJECT")
    order = ask(site, tina)
    sweep(NOW)
    approvals.defer(order.pk, actor=anna, until=NOW + DAY, comment="Budget", now=NOW)
    wait = ApprovalWait.objects.get()
    assert (wait.deferred_until, wait.defer_reason, wait.deferred_by) == (NOW + DAY, "Budget", anna)
    sweep(NOW + 2 * HOUR)
    lay(site, anna, priority="LOW", answer="GO_AHEAD")
    sweep(NOW + 3 * HOUR)
    assert status(order) == "REQUESTED"
    approval_book.delete(ApprovalPolicy.objects.get(priority="LOW"), actor=anna)
    sweep(NOW + DAY)
    wait.refresh_from_db()
    assert (wait.deferred_until, wait.until, wait.defer_reason) == (None, NOW + DAY + HOUR, "")
    assert decided(order) == ["WAITS", "DEFERRED", "WAITS"]
    assert order.transitions.filter(action="DEFERRED", comment="until 2031-05-06 09:00 UTC: Budget").exists()


@pytest.mark.parametrize("until", [NOW, NOW - DAY, NOW + 367 * DAY])
def test_it_is_set_aside_until_an_instant_to_come(site: Site, anna: User, tina: User, until: datetime) -> None:
    order = ask(site, tina)
    with pytest.raises(approvals.NoSuchTime):
        approvals.defer(order.pk, actor=anna, until=until, comment="Budget", now=NOW)
    with pytest.raises(approvals.NoReason):
        approvals.defer(order.pk, actor=anna, until=NOW + DAY, comment=" ", now=NOW)
    assert not ApprovalDecision.objects.exists()


def test_a_change_keeps_what_it_was_and_another_policy_may_hold(site: Site, anna: User, tina: User) -> None:
    lay(site, anna, **WAITS)
    lay(site, anna, priority="MEDIUM", answer="GO_AHEAD")
    order = ask(site, tina)
    sweep(NOW)
    approvals.modify(order.pk, actor=anna, priority="MEDIUM", due_at=NOW, comment="Hurry", now=NOW)
    last = order.transitions.latest("id")
    assert last.comment == "priority: LOW → MEDIUM; due at: nothing → 2031-05-05 09:00 UTC. Hurry"
    assert (last.action, last.from_status, last.to_status, last.actor) == ("MODIFIED", "REQUESTED", "REQUESTED", anna)
    sweep(NOW)
    assert status(order) == "OPEN"
    with pytest.raises(order_moves.NotPossible):
        approvals.modify(order.pk, actor=anna, priority="HIGH")


def test_a_change_has_to_make_sense(site: Site, anna: User, tina: User) -> None:
    order = ask(site, tina)
    with pytest.raises(approvals.NothingChanged):
        approvals.modify(order.pk, actor=anna, priority="LOW")
    with pytest.raises(ValidationError):
        approvals.modify(order.pk, actor=anna, priority="SOON")
    order.refresh_from_db()
    assert (order.priority, order.transitions.count()) == ("LOW", 1)


def test_only_administrators_decide(site: Site, anna: User, tina: User) -> None:
    order = ask(site, tina)
    stranger = factories.user(site=factories.site(), role=Membership.Role.ADMIN)
    for person in (tina, stranger):
        for act in (
            lambda person=person: approvals.approve(order.pk, actor=person),
            lambda person=person: approvals.reject(order.pk, actor=person, comment="no"),
            lambda person=person: approvals.modify(order.pk, actor=person, priority="HIGH"),
            lambda person=person: approvals.defer(order.pk, actor=person, until=NOW, comment="x", now=NOW - DAY),
        ):
            with pytest.raises(NotAnApprover):
                act()
    assert order.transitions.count() == 1


# Delegation


def give(site: Site, giver: User, taker: User, **fields: Any) -> Delegation:
    spans = {"from_at": NOW - DAY, "until_at": NOW + DAY}
    return approvers.delegate(Delegation(**{"site": site, "taker": taker} | spans | fields), actor=giver, now=NOW)


def test_a_delegate_decides_in_their_own_name_and_it_says_for_whom(site: Site, anna: User, tina: User) -> None:
    give(site, anna, tina)
    order = ask(site, tina)
    approvals.approve(order.pk, actor=tina, comment="Go", now=NOW)
    last, kept = order.transitions.latest("id"), order.approval_decisions.get()
    assert (last.actor, last.comment) == (tina, "Go (delegate of anna)")
    assert (kept.actor, kept.for_whom, kept.by_agent) == (tina, anna, False)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda given, anna, tina: approvers.end(given.pk, actor=anna, now=NOW),
        lambda given, anna, tina: Delegation.objects.update(until_at=NOW),
        lambda given, anna, tina: Delegation.objects.update(from_at=NOW + MINUTE),
        lambda given, anna, tina: Membership.objects.filter(user=anna).update(role="TECHNICIAN"),
        lambda given, anna, tina: Membership.objects.filter(user=tina).update(role="VIEWER"),
        lambda given, anna, tina: User.objects.filter(pk=anna.pk).update(is_active=False),
        lambda given, anna, tina: Delegation.objects.update(site=factories.site()),
    ],
    ids=["ended", "over", "to come", "giver is none any more", "taker may not act", "giver is gone", "elsewhere"],
)
def test_a_delegation_holds_no_longer_than_it_should(site: Site, anna: User, tina: User, spoil: Any) -> None:
    order = ask(site, tina)
    spoil(give(site, anna, tina), anna, tina)
    with pytest.raises(NotAnApprover):
        approvals.approve(order.pk, actor=tina, now=NOW)


def test_nobody_gives_what_they_do_not_have(site: Site, anna: User, tina: User) -> None:
    other = factories.user(site=site, role=Membership.Role.TECHNICIAN)
    give(site, anna, tina)
    with pytest.raises(ValidationError, match="Only an administrator"):
        give(site, tina, other)
    with pytest.raises(ValidationError, match="yourself"):
        give(site, anna, anna)
    with pytest.raises(ValidationError, match="able to act on orders"):
        give(site, anna, factories.user(site=site, role=Membership.Role.VIEWER))
    with pytest.raises(ValidationError, match="over already"):
        give(site, anna, other, until_at=NOW)
    with pytest.raises(approvers.NotYours):
        approvers.end(Delegation.objects.get().pk, actor=other, now=NOW)


# Who is told


def test_who_is_asked_is_told_and_so_are_their_delegates_and_shared_channels(
    site: Site, anna: User, tina: User
) -> None:
    boss = factories.user(site=site, username="boss")
    other = factories.user(site=site, role=Membership.Role.TECHNICIAN)
    for user, name in ((anna, "anna"), (tina, "tina"), (boss, "boss"), (other, "other"), (None, "all")):
        mailbox(site, user, name)
    give(site, anna, tina)
    lay(site, anna, answer="WAIT", approver=anna, wait_minutes=60, then="REMIND", then_approver=boss, reminders=1)
    order = ask(site, other)
    sweep(NOW)
    assert told() == [("work-order.waits", name) for name in ("anna", "tina", "all")]
    sweep(NOW + HOUR)
    assert told()[3:] == [("work-order.waits", name) for name in ("boss", "all")]
    row = Notification.objects.latest("id")
    assert row.subject_line.startswith("[LOW] Waits for approval: Paint it")
    assert (row.payload["reminder"], row.payload["asked"], row.payload["then"]) == (True, "boss", "REMIND")
    approvals.reject(order.pk, actor=boss, comment="Next year", now=NOW + HOUR)
    sweep(NOW + 2 * HOUR)
    sweep(NOW + 2 * HOUR)
    assert told()[5:] == [("work-order.rejected", name) for name in ("other", "all")]


def test_when_it_is_approved_everybody_who_works_there_is_told(site: Site, anna: User, tina: User) -> None:
    mailbox(site, tina, "tina")
    mailbox(site, None, "all")
    order = ask(site, tina)
    approvals.approve(order.pk, actor=anna)
    approve.tell()
    assert approve.tell() == []
    assert told() == [("work-order.opened", "tina"), ("work-order.opened", "all")]


# The record


def test_nothing_is_approved_in_a_persons_name_whatever_writes(site: Site, anna: User, tina: User) -> None:
    order, policy = ask(site, tina), lay(site, anna, **WAITS)
    base = {"site": site, "order": order, "what": "APPROVED", "facts": {}, "at": NOW, "policy": policy}
    for n, wrong in enumerate([
        {"by_agent": True, "actor": anna, "policy_said": {}, "policy_revision": 1},
        {"by_agent": True, "for_whom": anna, "policy_said": {}, "policy_revision": 1},
        {"by_agent": True}, {"by_agent": False, "is_trial": True}, {"by_agent": False, "what": "REJECTED"},
    ]):  # fmt: skip
        with pytest.raises(IntegrityError), transaction.atomic():
            ApprovalDecision.objects.create(**base | wrong, key=str(n))


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"answer": "GO_AHEAD", "wait_minutes": 5}, "__all__"),
        ({"answer": "WAIT"}, "__all__"),
        ({"answer": "WAIT", "then": "KEEP"}, "__all__"),
        ({"answer": "WAIT", "wait_minutes": 5, "then": "REMIND"}, "__all__"),
        ({"answer": "WAIT", "wait_minutes": 5, "then": "KEEP", "reminders": 1}, "__all__"),
        ({"answer": "WAIT", "wait_minutes": 0, "then": "KEEP"}, "wait_minutes"),
        ({"answer": "GO_AHEAD", "most_cost": -1}, "most_cost"),
        ({"answer": "YES"}, "answer"),
    ],
)
def test_a_policy_says_all_it_has_to(site: Site, anna: User, said: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as error:
        lay(site, anna, **said)
    assert field in error.value.message_dict
    outsider = factories.user(site=factories.site())
    with pytest.raises(ValidationError, match="no administrator of this site"):
        lay(site, anna, **WAITS | {"approver": outsider})
    assert not ApprovalPolicy.objects.exists()


def test_a_scope_has_one_policy(site: Site, anna: User) -> None:
    lay(site, anna, **WAITS)
    with pytest.raises(ValidationError, match="a policy of this scope already"):
        lay(site, anna, answer="GO_AHEAD")
    lay(site, anna, answer="GO_AHEAD", is_trial=True)


def test_what_people_lay_down_is_in_the_journal(site: Site, anna: User) -> None:
    policy = lay(site, anna, **WAITS)
    policy.wait_minutes = 5
    approval_book.save(policy, actor=anna)
    approval_book.delete(policy, actor=anna)
    events = list(Event.objects.filter(type__startswith="approval_policy").order_by("id"))
    assert [one.type.rpartition(".")[2] for one in events] == ["added", "changed", "deleted"]
    assert (events[1].data["before"]["wait_minutes"], events[1].data["after"]["wait_minutes"]) == (60, 5)


# Racing


@pytest.mark.django_db(transaction=True)
def test_of_racing_sweeps_one_asks_and_one_rejects() -> None:
    site = factories.site()
    anna = factories.user(site=site)
    lay(site, anna, answer="WAIT", wait_minutes=60, then="REJECT")
    order = ask(site, anna)
    for at in (NOW, NOW + HOUR):
        done: list[str] = []
        threads = [
            in_thread(lambda at=at, done=done: done.append(approval_asks.look(order.pk, now=at))) for _ in range(6)
        ]
        for thread, _ in threads:
            thread.join(20)
        assert [error for _, errors in threads for error in errors] == []
        assert (len(done), done.count("NOTHING")) == (6, 5)
    assert decided(order) == ["WAITS", "REJECTED"]
    assert order.transitions.count() == 2


@pytest.mark.django_db(transaction=True)
def test_who_approves_while_the_time_runs_out_is_not_overruled() -> None:
    site = factories.site()
    anna = factories.user(site=site)
    lay(site, anna, answer="WAIT", wait_minutes=60, then="REJECT")
    order = ask(site, anna)
    sweep(NOW)
    with transaction.atomic():
        approvals.approve(order.pk, actor=anna, now=NOW + HOUR)
        thread, errors = in_thread(lambda: approval_asks.look(order.pk, now=NOW + HOUR))
        wait_until_blocked(thread)
    thread.join(10)
    assert errors == []
    assert (status(order), decided(order)) == ("OPEN", ["WAITS", "APPROVED"])


@pytest.mark.django_db(transaction=True)
def test_a_policy_that_changes_while_an_order_is_looked_at_for_the_first_time_is_not_missed() -> None:
    site = factories.site()
    anna = factories.user(site=site)
    policy = lay(site, anna, **WAITS)
    order = ask(site, anna)
    with transaction.atomic():
        policy.wait_minutes = 5
        approval_book.save(policy, actor=anna)
        thread, errors = in_thread(lambda: approval_asks.look(order.pk, now=NOW))
        wait_until_blocked(thread)
    thread.join(10)
    assert errors == []
    assert ApprovalWait.objects.get().policy_revision == 2


@pytest.mark.django_db(transaction=True)
def test_who_changes_one_field_of_a_policy_leaves_what_another_one_has_changed_meanwhile() -> None:
    site = factories.site()
    anna = factories.user(site=site)
    policy, http, answers = lay(site, anna, **WAITS), client(anna), []

    def patch() -> None:
        path = f"/api/v1/approval-policies/{policy.pk}/"
        answers.append(http.patch(path, {"approver": anna.username}, content_type="application/json"))

    with transaction.atomic():
        approval_book.change(policy, {"wait_minutes": 5}, actor=anna)
        thread, errors = in_thread(patch)
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, answers[0].status_code) == ([], 200)
    kept = ApprovalPolicy.objects.get()
    assert (kept.wait_minutes, kept.approver, kept.revision) == (5, anna, 3)
    with transaction.atomic():
        approval_book.delete(kept, actor=anna)
        thread, errors = in_thread(patch)
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, answers[1].status_code) == ([], 400)
    assert not ApprovalPolicy.objects.exists()


# Whatever people and time do


class Histories(TestCase):
    """Random lives of a request under a policy: what is on record explains how it stands."""

    @settings(max_examples=15, deadline=None)
    @given(
        st.sampled_from(["REMIND", "REJECT", "KEEP"]),
        st.lists(st.tuples(st.sampled_from(["sweep", "defer", "modify", "policy", "approve"]), st.integers(0, 90)),
                 max_size=12),
    )  # fmt: skip
    def test_it_is_open_only_where_somebody_approved(self, then: str, moves: list[tuple[str, int]]) -> None:
        site = factories.site()
        anna = factories.user(site=site)
        policy = lay(site, anna, answer="WAIT", wait_minutes=60, then=then, reminders=2 if then == "REMIND" else 0)
        order, now, approved = ask(site, anna), NOW, False
        for n, (move, minutes) in enumerate(moves):
            now += minutes * MINUTE
            try:
                if move == "sweep":
                    sweep(now)
                elif move == "defer":
                    approvals.defer(order.pk, actor=anna, until=now + HOUR, comment="later", now=now)
                elif move == "modify":
                    approvals.modify(order.pk, actor=anna, description=str(n), now=now)
                elif move == "policy":
                    policy.wait_minutes = 30 + n
                    approval_book.save(policy, actor=anna)
                elif n > 6:
                    approvals.approve(order.pk, actor=anna, now=now)
                    approved = True
            except Refused:
                self.assertNotEqual(status(order), "REQUESTED", move)
        self.assertEqual(status(order) == "OPEN", approved)
        rejected = order.approval_decisions.filter(what="REJECTED")
        self.assertEqual(status(order) == "CANCELLED", rejected.exists())
        self.assertFalse(rejected.exclude(by_agent=True).exists())
        if status(order) != "REQUESTED":
            self.assertFalse(ApprovalWait.objects.filter(order=order).exists())
        before = decided(order), order.transitions.count()
        sweep(now)
        sweep(now)
        after = decided(order), order.transitions.count()
        sweep(now)
        self.assertEqual((decided(order), order.transitions.count()), after)
        self.assertLessEqual(len(after[0]) - len(before[0]), 1)
