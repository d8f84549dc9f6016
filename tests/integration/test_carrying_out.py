"""Carrying out work orders: checklists, labour, costs, downtime, permits and sign-off."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from maintenance import (
    checklist_answers,
    checklists,
    downtimes,
    effort,
    order_costs,
    order_roles,
    order_steps,
    permits,
    sign_off,
)
from maintenance.checklist_models import Checklist, ChecklistItem, ChecklistTemplate, TemplateItem
from maintenance.effort_models import Downtime, Labour, LabourRate
from maintenance.models import WorkOrder
from maintenance.permit_models import PermitRule, WorkRules
from maintenance.refusals import Refused
from sensors.models import Event, Membership
from tests import factories
from tests.factories import NOON
from tests.integration.test_alarm_locks import in_thread, wait_until_blocked
from tests.integration.test_work_orders import in_progress, make_order

pytestmark = pytest.mark.django_db

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
EVENING = NOON + 8 * HOUR


@pytest.fixture
def boss() -> User:
    return factories.user(is_superuser=True)


@pytest.fixture
def order(boss: User) -> WorkOrder:
    """In progress since noon."""
    return in_progress(boss)


@pytest.fixture
def worker(order: WorkOrder) -> User:
    return factories.user(site=order.site, role=Membership.Role.TECHNICIAN)


def make_template(order: WorkOrder, **fields: object) -> ChecklistTemplate:
    """A tick that may be left out, a look, and a reading up to 4.5 mm/s."""
    made = ChecklistTemplate.objects.create(**{"site": order.site, "name": "Pump, monthly"} | fields)
    TemplateItem.objects.create(template=made, position=1, text="Strainer cleaned", is_required=False)
    TemplateItem.objects.create(template=made, position=2, text="Guard in place", kind="PASS_FAIL")
    TemplateItem.objects.create(template=made, position=3, text="Vibration", kind="READING", unit="mm/s", high=4.5)
    return made


def attached(order: WorkOrder, actor: User) -> tuple[ChecklistItem, ChecklistItem, ChecklistItem]:
    made = checklists.attach(order.pk, actor=actor, template=make_template(order), now=NOON)
    tick, look, reading = made.items.all()
    return tick, look, reading


# Checklists


def test_an_order_is_not_completed_while_required_items_are_unanswered(order: WorkOrder, worker: User) -> None:
    _, look, reading = attached(order, worker)
    with pytest.raises(checklists.Unanswered, match=r"Guard in place; Vibration\.$"):
        order_steps.complete(order.pk, actor=worker, findings="done")
    checklist_answers.answer(look.pk, actor=worker, passed=True)
    with pytest.raises(checklists.Unanswered, match=r": Vibration\.$"):
        order_steps.complete(order.pk, actor=worker, findings="done")
    answered = checklist_answers.answer(reading.pk, actor=worker, value=4.5, note=" at full load ", now=EVENING)
    assert (answered.passed, answered.note, answered.answered_by, answered.answered_at) == (
        True, "at full load", worker, EVENING,
    )  # fmt: skip
    assert order_steps.complete(order.pk, actor=worker, findings="done").status == "COMPLETED"
    events = Event.objects.filter(type="checklist.answered").order_by("id")
    told = list(events.values_list("data__item", "data__value", "actor"))
    assert told == [(look.pk, None, worker.username), (reading.pk, 4.5, worker.username)]


def test_a_change_of_the_template_does_not_change_what_is_at_orders(order: WorkOrder, worker: User) -> None:
    *_, reading = attached(order, worker)
    template = ChecklistTemplate.objects.get()
    template.items.filter(kind="READING").update(high=1.0, text="Changed")
    template.items.filter(kind="TICK").delete()
    assert list(Checklist.objects.get().items.values_list("text", flat=True)) == [
        "Strainer cleaned", "Guard in place", "Vibration",
    ]  # fmt: skip
    assert checklist_answers.answer(reading.pk, actor=worker, value=4.0).passed
    template.delete()
    assert Checklist.objects.get().template is None


def test_a_failed_item_requests_an_order_once_and_both_know_of_each_other(order: WorkOrder, worker: User) -> None:
    *_, reading = attached(order, worker)
    for value, note in ((7.1, "Bearing is hot"), (7.3, "again"), (2.0, "after greasing"), (9.9, "no use")):
        checklist_answers.answer(reading.pk, actor=worker, value=value, note=note)
    asked = WorkOrder.objects.exclude(pk=order.pk).get()
    assert (asked.status, asked.machine, asked.requested_by) == ("REQUESTED", order.machine, worker)
    assert (asked.title, asked.maintenance_type) == ("Failed: Vibration", "CORRECTIVE_DEFERRED")
    assert asked.description == (
        f"Pump, monthly, at WO-{order.pk}: Vibration: 7.1 mm/s, out of its limits. Bearing is hot"
    )
    reading.refresh_from_db()
    assert (reading.opened_order, asked.failed_item, reading.passed) == (asked, reading, False)


def test_a_failed_item_and_its_order_come_together_or_not_at_all(order: WorkOrder, worker: User) -> None:
    _, look, _ = attached(order, worker)
    with pytest.raises(RuntimeError), transaction.atomic():
        checklist_answers.answer(look.pk, actor=worker, passed=False)
        raise RuntimeError
    look.refresh_from_db()
    assert (look.passed, WorkOrder.objects.count()) == (None, 1)


def test_a_checklist_is_answered_only_while_somebody_works(order: WorkOrder, worker: User) -> None:
    _, look, _ = attached(order, worker)
    with pytest.raises(checklist_answers.NoSuchAnswer, match="all right"):
        checklist_answers.answer(look.pk, actor=worker)
    order_steps.hold(order.pk, actor=worker, comment="Lunch")
    with pytest.raises(checklist_answers.NotAtWork):
        checklist_answers.answer(look.pk, actor=worker, passed=True)


def test_what_cannot_be_attached_is_refused(order: WorkOrder, worker: User) -> None:
    off = make_template(order, name="off", is_enabled=False)
    bare = ChecklistTemplate.objects.create(site=order.site, name="bare")
    theirs = make_template(make_order())
    for template, refused in ((off, checklists.Disabled), (bare, checklists.NoItems), (theirs, checklists.OtherSite)):
        with pytest.raises(refused):
            checklists.attach(order.pk, actor=worker, template=template)
    order_steps.complete(order.pk, actor=worker, findings="done")
    with pytest.raises(checklists.IsOver):
        checklists.attach(order.pk, actor=worker, template=make_template(order))
    assert not Checklist.objects.exists()


def test_a_checklist_is_detached_until_somebody_answered(order: WorkOrder, worker: User) -> None:
    tick, *_ = attached(order, worker)
    other = factories.user(site=order.site, role=Membership.Role.TECHNICIAN)
    with pytest.raises(checklists.NotYours):
        checklists.detach(tick.checklist_id, actor=other)
    checklists.detach(tick.checklist_id, actor=worker)
    assert not Checklist.objects.exists()
    template = ChecklistTemplate.objects.get()
    again = checklists.attach(order.pk, actor=worker, template=template)
    checklist_answers.answer(again.items.all()[0].pk, actor=worker, passed=True)
    with pytest.raises(checklists.Answered):
        checklists.detach(again.pk, actor=worker)


@pytest.mark.django_db(transaction=True)
def test_of_an_attachment_and_a_completion_at_once_the_second_sees_the_first() -> None:
    boss = factories.user(is_superuser=True)
    order = in_progress(boss)
    template = make_template(order)
    with transaction.atomic():
        checklists.attach(order.pk, actor=boss, template=template)
        thread, errors = in_thread(lambda: order_steps.complete(order.pk, actor=boss, findings="done"))
        wait_until_blocked(thread)
    thread.join(10)
    assert [type(error) for error in errors] == [checklists.Unanswered]
    order.refresh_from_db()
    assert order.status == "IN_PROGRESS"


@pytest.mark.django_db(transaction=True)
def test_of_a_completion_and_an_attachment_at_once_the_second_sees_the_first() -> None:
    boss = factories.user(is_superuser=True)
    order = in_progress(boss)
    template = make_template(order)
    with transaction.atomic():
        order_steps.complete(order.pk, actor=boss, findings="done")
        thread, errors = in_thread(lambda: checklists.attach(order.pk, actor=boss, template=template))
        wait_until_blocked(thread)
    thread.join(10)
    assert [type(error) for error in errors] == [checklists.IsOver]
    assert not Checklist.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_two_who_find_the_same_fault_at_once_request_one_order() -> None:
    boss = factories.user(is_superuser=True)
    order = in_progress(boss)
    _, look, _ = attached(order, boss)
    with transaction.atomic():
        checklist_answers.answer(look.pk, actor=boss, passed=False)
        thread, errors = in_thread(lambda: checklist_answers.answer(look.pk, actor=boss, passed=False))
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, WorkOrder.objects.count()) == ([], 2)


# Labour and costs


def enter(order: WorkOrder, by: User, start: timedelta, length: int, **more: object) -> Labour:
    said = {"actor": by, "from_at": NOON + start, "minutes": length, "now": EVENING} | more
    return effort.enter_labour(order.pk, **said)  # type: ignore[arg-type]


def test_labour_keeps_the_hourly_cost_of_when_it_was_entered(order: WorkOrder, worker: User) -> None:
    first = enter(order, worker, HOUR, 30)
    rate = LabourRate.objects.create(site=order.site, worker=worker, hourly_cost=Decimal("50.00"))
    second = enter(order, worker, 2 * HOUR, 40)
    rate.hourly_cost = Decimal("80.00")
    rate.save()
    enter(order, worker, 3 * HOUR, 0, minutes=None, until_at=NOON + 4 * HOUR)
    effort.enter_cost(order.pk, actor=worker, kind="CONTRACTOR", text="Crane", amount=Decimal("380.50"))
    assert (first.hourly_cost, second.hourly_cost) == (None, Decimal("50.00"))
    costs = order_costs.of([order.pk], site_id=order.site_id)[order.pk]
    assert dict(costs.by_kind) == {"labour": Decimal("113.33"), "parts": 0, "other": Decimal("380.50")}
    assert (costs.total, costs.currency, costs.unpriced_minutes) == (Decimal("493.83"), "EUR", 30)


def test_an_order_on_which_nothing_was_spent_costs_nothing(order: WorkOrder) -> None:
    costs = order_costs.of([order.pk], site_id=order.site_id)[order.pk]
    assert (costs.total, costs.unpriced_minutes) == (Decimal("0.00"), 0)


@pytest.mark.parametrize(
    "said",
    [{"minutes": None}, {"minutes": 0}, {"minutes": 1_441}, {"until_at": NOON + HOUR}, {"minutes": 60, "now": NOON},
     {"minutes": None, "until_at": NOON}, {"minutes": 10**9}, {"from_at": datetime(9999, 12, 31, 23, 59, tzinfo=UTC)}],
)  # fmt: skip
def test_labour_that_makes_no_sense_is_refused(order: WorkOrder, worker: User, said: dict[str, object]) -> None:
    with pytest.raises(effort.NoSpan):
        enter(order, worker, timedelta(), 10, **said)
    assert not Labour.objects.exists()


def test_labour_is_of_people_of_the_site_and_for_others_an_administrator_enters_it(
    order: WorkOrder, worker: User, boss: User
) -> None:
    other = factories.user(site=order.site, role=Membership.Role.TECHNICIAN)
    with pytest.raises(effort.NotYours):
        enter(order, worker, HOUR, 10, worker=other)
    line = enter(order, boss, HOUR, 10, worker=other)
    with pytest.raises(effort.NotYours):
        effort.withdraw_labour(line.pk, actor=worker)
    effort.withdraw_labour(line.pk, actor=other)
    with pytest.raises(order_roles.NotAWorker):
        enter(order, boss, HOUR, 10, worker=factories.user(site=order.site, role=Membership.Role.VIEWER))
    kinds = list(Event.objects.filter(type__startswith="labour.").order_by("id").values_list("type", "actor"))
    assert kinds == [("labour.entered", boss.username), ("labour.withdrawn", other.username)]


def test_what_an_order_took_is_entered_from_its_beginning_until_it_is_closed(order: WorkOrder, boss: User) -> None:
    waiting = make_order(site=order.site, machine=order.machine, failure_mode="VIB")
    with pytest.raises(effort.NotBegun):
        enter(waiting, boss, HOUR, 10)
    order_steps.complete(order.pk, actor=boss, findings="done", now=NOON + HOUR)
    line = enter(order, boss, timedelta(), 60)
    cost = effort.enter_cost(order.pk, actor=boss, kind="OTHER", text="Bus", amount=Decimal(2))
    order_steps.close(order.pk, actor=boss)
    attempts: list[Callable[[], object]] = [
        lambda: enter(order, boss, 2 * HOUR, 10), lambda: effort.withdraw_labour(line.pk, actor=boss),
        lambda: effort.enter_cost(order.pk, actor=boss, kind="OTHER", text="Bus", amount=Decimal(2)),
        lambda: effort.withdraw_cost(cost.pk, actor=boss),
    ]  # fmt: skip
    for attempt in attempts:
        with pytest.raises(effort.IsClosed):
            attempt()


SPANS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 200), st.integers(1, 60)), min_size=1, max_size=10
)


class AnyLines(TestCase):
    """Against an oracle that compares every pair by hand."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.boss = factories.user(is_superuser=True)
        cls.orders = [in_progress(cls.boss), in_progress(cls.boss)]
        cls.people = [factories.user(is_superuser=True), factories.user(is_superuser=True)]

    @settings(max_examples=25, deadline=None)
    @given(SPANS)
    def test_nobody_works_twice_at_a_time_whatever_is_entered(self, tries: list[tuple[int, int, int, int]]) -> None:
        kept: list[tuple[int, int, int]] = []
        for of, who, start, minutes in tries:
            clash = any(who == w and start < until and start + minutes > begin for w, begin, until in kept)
            try:
                enter(self.orders[of], self.boss, start * MINUTE, minutes, worker=self.people[who])
            except effort.AtTwoPlaces:
                self.assertTrue(clash)
            else:
                self.assertFalse(clash)
                kept.append((who, start, start + minutes))
        self.assertEqual(Labour.objects.count(), len(kept))

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 200), st.integers(0, 60)), min_size=1, max_size=10))
    def test_a_machine_is_down_once_at_a_time_whatever_is_entered(self, tries: list[tuple[int, int, int]]) -> None:
        """No minutes: it lasts."""
        kept: list[tuple[int, int, float]] = []
        for which, start, minutes in tries:
            until = start + minutes if minutes else float("inf")
            clash = any(which == w and start < end and until > begin for w, begin, end in kept)
            end_at = NOON + (start + minutes) * MINUTE if minutes else None
            try:
                down(self.orders[which], self.boss, NOON + start * MINUTE, end_at)
            except downtimes.DownAlready:
                self.assertTrue(clash)
            else:
                self.assertFalse(clash)
                kept.append((which, start, until))
        self.assertEqual(Downtime.objects.count(), len(kept))


@pytest.mark.django_db(transaction=True)
def test_of_two_entries_of_the_same_time_at_once_one_is_kept() -> None:
    boss = factories.user(is_superuser=True)
    orders = [in_progress(boss), in_progress(boss)]
    with transaction.atomic():
        enter(orders[0], boss, HOUR, 30)
        thread, errors = in_thread(lambda: enter(orders[1], boss, HOUR + 29 * MINUTE, 30))
        wait_until_blocked(thread)
    thread.join(10)
    assert [type(error) for error in errors] == [effort.AtTwoPlaces]
    assert Labour.objects.count() == 1


# Downtime


def down(order: WorkOrder, actor: User, from_at: datetime, until_at: datetime | None = None) -> Downtime:
    return downtimes.begin(
        order.machine, actor=actor, from_at=from_at, until_at=until_at, reason="BREAKDOWN", order_id=order.pk,
        now=EVENING,
    )  # fmt: skip


def test_a_downtime_lasts_until_it_is_ended(order: WorkOrder, worker: User) -> None:
    begun = down(order, worker, NOON)
    with pytest.raises(downtimes.DownAlready, match="breakdown from 2026-03-01 12:00"):
        down(order, worker, NOON + HOUR)
    with pytest.raises(downtimes.NoSpan):
        downtimes.end(begun.pk, actor=worker, until_at=NOON, now=EVENING)
    assert downtimes.end(begun.pk, actor=worker, now=NOON + 2 * HOUR).until_at == NOON + 2 * HOUR
    with pytest.raises(downtimes.Ended):
        downtimes.end(begun.pk, actor=worker, now=EVENING)
    assert down(order, worker, NOON + 2 * HOUR).until_at is None


def test_a_downtime_that_makes_no_sense_is_refused(order: WorkOrder, worker: User) -> None:
    for from_at, until_at in ((EVENING + HOUR, None), (NOON, NOON), (NOON, EVENING + HOUR)):
        with pytest.raises(downtimes.NoSpan):
            down(order, worker, from_at, until_at)
    elsewhere = factories.machine(site=order.site)
    with pytest.raises(downtimes.OtherMachine):
        downtimes.begin(elsewhere, actor=worker, from_at=NOON, reason="OTHER", order_id=order.pk, now=EVENING)


def test_a_downtime_is_withdrawn_by_whoever_entered_it_or_an_administrator(order: WorkOrder, worker: User) -> None:
    begun = down(order, worker, NOON)
    other = factories.user(site=order.site, role=Membership.Role.TECHNICIAN)
    with pytest.raises(downtimes.NotYours):
        downtimes.withdraw(begun.pk, actor=other)
    downtimes.withdraw(begun.pk, actor=worker)
    assert not Downtime.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_downtimes_of_a_machine_at_once_one_is_kept() -> None:
    boss = factories.user(is_superuser=True)
    order = in_progress(boss)
    with transaction.atomic():
        down(order, boss, NOON)
        thread, errors = in_thread(lambda: down(order, boss, NOON + HOUR, NOON + 2 * HOUR))
        wait_until_blocked(thread)
    thread.join(10)
    assert ([type(error) for error in errors], Downtime.objects.count()) == ([downtimes.DownAlready], 1)


def test_the_database_holds_that_nothing_overlaps_by_itself(order: WorkOrder, worker: User) -> None:
    down(order, worker, NOON)
    enter(order, worker, HOUR, 30)
    late = {"from_at": NOON + HOUR, "until_at": NOON + 2 * HOUR}
    with pytest.raises(IntegrityError, match="downtime_of_one_machine_apart"), transaction.atomic():
        Downtime.objects.create(site=order.site, machine=order.machine, reason="OTHER", **late)
    with pytest.raises(IntegrityError, match="labour_of_one_person_apart"), transaction.atomic():
        Labour.objects.create(order=order, worker=worker, **late)
    connection.check_constraints()


# Permits and sign-off


def rules(order: WorkOrder, *kinds: str, **fields: object) -> WorkRules:
    made = WorkRules.objects.create(**{"site": order.site} | fields)
    for kind in kinds:
        PermitRule.objects.create(rules=made, maintenance_type="CORRECTIVE_DEFERRED", kind=kind)
    return made


def test_work_that_needs_a_permit_does_not_begin_without_a_valid_one(boss: User) -> None:
    order = make_order()
    worker = factories.user(site=order.site, role=Membership.Role.TECHNICIAN)
    rules(order, "LOCK_OUT")
    checklists.attach(order.pk, actor=boss, template=make_template(order, permit_kind="HOT_WORK"))
    order_steps.assign(order.pk, actor=boss, assignee=worker)

    def start() -> WorkOrder:
        return order_steps.start(order.pk, actor=worker, now=NOON)

    def issue(kind: str, start: timedelta, end: timedelta) -> object:
        at = {"valid_from": NOON + start, "valid_until": NOON + end, "now": NOON - 9 * HOUR}
        return permits.issue(order.pk, actor=boss, kind=kind, **at)

    with pytest.raises(permits.NoPermit, match="lock-out, tag-out, hot work"):
        start()
    issue("HOT_WORK", -HOUR, HOUR)
    issue("LOCK_OUT", HOUR, 2 * HOUR)  # not yet
    issue("LOCK_OUT", -HOUR, timedelta())  # not any more
    with pytest.raises(permits.NoPermit, match=r": lock-out, tag-out\.$"):
        start()
    good = permits.issue(order.pk, actor=boss, kind="LOCK_OUT", valid_until=NOON + HOUR, now=NOON)
    permits.revoke(good.pk, actor=boss, reason="Wrong breaker", now=NOON)
    with pytest.raises(permits.NoPermit):
        start()
    permits.issue(order.pk, actor=boss, kind="LOCK_OUT", valid_until=NOON + HOUR, now=NOON)
    assert start().status == "IN_PROGRESS"
    order_steps.hold(order.pk, actor=worker, comment="Night", now=NOON)
    with pytest.raises(permits.NoPermit):
        order_steps.resume(order.pk, actor=worker, now=NOON + HOUR)


def test_a_permit_of_whoever_is_given_the_work_afterwards_counts_for_nothing(boss: User) -> None:
    order = make_order()
    rules(order, "LOCK_OUT")
    admin = factories.user(site=order.site, role=Membership.Role.ADMIN)
    permits.issue(order.pk, actor=admin, kind="LOCK_OUT", valid_until=NOON + HOUR, now=NOON)
    order_steps.assign(order.pk, actor=boss, assignee=admin)
    with pytest.raises(permits.NoPermit):
        order_steps.start(order.pk, actor=admin, now=NOON)
    permits.issue(order.pk, actor=boss, kind="LOCK_OUT", valid_until=NOON + HOUR, now=NOON)
    assert order_steps.start(order.pk, actor=admin, now=NOON).status == "IN_PROGRESS"


def test_only_an_administrator_takes_off_a_checklist_that_asks_for_a_permit() -> None:
    order = make_order()
    member = factories.user(site=order.site, role=Membership.Role.TECHNICIAN)
    made = checklists.attach(order.pk, actor=member, template=make_template(order, permit_kind="HOT_WORK"))
    with pytest.raises(checklists.NotYours):
        checklists.detach(made.pk, actor=member)
    checklists.detach(made.pk, actor=factories.user(site=order.site, role=Membership.Role.ADMIN))
    assert not Checklist.objects.exists()


def test_a_checklist_that_needs_a_permit_is_not_slipped_in_while_somebody_works(order: WorkOrder, boss: User) -> None:
    with pytest.raises(permits.NoPermit):
        checklists.attach(order.pk, actor=boss, template=make_template(order, permit_kind="HOT_WORK"))
    assert not Checklist.objects.exists()


def test_a_permit_is_issued_by_an_administrator_who_does_not_do_the_work(order: WorkOrder, worker: User) -> None:
    said = {"kind": "HOT_WORK", "valid_until": NOON + HOUR, "now": NOON}
    admin = factories.user(site=order.site, role=Membership.Role.ADMIN)
    assignee = order.assigned_to
    assert assignee is not None
    for actor, refused in ((worker, permits.NotAnIssuer), (assignee, permits.NotForOneself)):
        with pytest.raises(refused):
            permits.issue(order.pk, actor=actor, **said)  # type: ignore[arg-type]
    with pytest.raises(permits.NoSpan):
        permits.issue(order.pk, actor=admin, kind="HOT_WORK", valid_until=NOON, now=NOON)
    made = permits.issue(order.pk, actor=admin, **said)  # type: ignore[arg-type]
    with pytest.raises(permits.NotAnIssuer):
        permits.revoke(made.pk, actor=worker, reason="why")
    with pytest.raises(permits.NoReason):
        permits.revoke(made.pk, actor=admin, reason=" ")
    permits.revoke(made.pk, actor=admin, reason="Over")
    with pytest.raises(permits.Revoked):
        permits.revoke(made.pk, actor=admin, reason="Twice")


@pytest.mark.parametrize("four_eyes", [True, False])
def test_where_four_eyes_are_asked_for_who_did_the_work_does_not_close_it(
    order: WorkOrder, worker: User, four_eyes: bool
) -> None:
    rules(order, four_eyes=four_eyes)
    helper = factories.user(site=order.site, role=Membership.Role.TECHNICIAN)
    enter(order, helper, HOUR, 10)
    order_steps.complete(order.pk, actor=worker, findings="done", now=NOON + 3 * HOUR)
    assert sign_off.worked_on(order) == {order.assigned_to_id, helper.pk, worker.pk}
    if not four_eyes:
        assert order_steps.close(order.pk, actor=worker).status == "CLOSED"
        return
    for hand in (worker, helper, order.assigned_to):
        assert hand is not None
        with pytest.raises(sign_off.SameEyes):
            order_steps.close(order.pk, actor=hand)
    admin = factories.user(site=order.site, role=Membership.Role.ADMIN)
    assert order_steps.close(order.pk, actor=admin).status == "CLOSED"
    assert order.transitions.get(action="CLOSED").actor == admin


def test_every_refusal_says_what_to_do() -> None:
    modules = (checklists, checklist_answers, downtimes, effort, permits, sign_off)
    found = [one for module in modules for one in vars(module).values() if isinstance(one, type)]
    refusals = [one for one in found if issubclass(one, Refused) and one is not Refused]
    assert len(refusals) > 20
    assert all(one.__doc__ for one in refusals)
