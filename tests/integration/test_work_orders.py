"""A work order's life in people's hands."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from maintenance import approvals, order_moves, order_roles, order_steps, order_verdicts
from maintenance.models import Alarm, Suppression, WorkOrder, WorkOrderTransition
from maintenance.refusals import Refused
from sensors.models import Event, Label, Membership
from tests import factories
from tests.integration.test_notifications import anomaly

pytestmark = pytest.mark.django_db

ORACLE: dict[str, dict[str, str]] = {
    "approve": {},
    "reject": {},
    "plan": {"OPEN": "PLANNED", "PLANNED": "PLANNED", "ASSIGNED": "ASSIGNED"},
    "assign": {"OPEN": "ASSIGNED", "PLANNED": "ASSIGNED", "ASSIGNED": "ASSIGNED", "ON_HOLD": "ON_HOLD"},
    "start": {"ASSIGNED": "IN_PROGRESS"},
    "hold": {"IN_PROGRESS": "ON_HOLD"},
    "resume": {"ON_HOLD": "IN_PROGRESS"},
    "complete": {"IN_PROGRESS": "COMPLETED"},
    "close": {"COMPLETED": "CLOSED"},
    "cancel": dict.fromkeys(("OPEN", "PLANNED", "ASSIGNED", "IN_PROGRESS", "ON_HOLD"), "CANCELLED"),
    "reopen": dict.fromkeys(("COMPLETED", "CLOSED", "CANCELLED"), "OPEN"),
}
"""What is done in which status, and where it leads, of an order that nobody had to request."""


def make_order(**fields: object) -> WorkOrder:
    machine = factories.machine(site=factories.site())
    base = {
        "site": machine.site, "machine": machine, "failure_mode": "LOO", "maintenance_type": "CORRECTIVE_DEFERRED",
        "priority": "HIGH", "title": "Low output", "opened_at": factories.NOON,
    }  # fmt: skip
    return WorkOrder.objects.create(**{**base, **fields})


@pytest.fixture
def order() -> WorkOrder:
    return make_order()


@pytest.fixture
def worker(order: WorkOrder) -> User:
    return factories.user(site=order.site, role=Membership.Role.TECHNICIAN)


def test_an_order_is_assigned_started_and_completed_with_findings(order: WorkOrder, worker: User) -> None:
    order_steps.assign(order.pk, actor=worker, assignee=worker)
    order_steps.start(order.pk, actor=worker, now=factories.NOON)
    order_steps.complete(order.pk, actor=worker, findings="Replaced the seal", now=factories.NOON)
    order.refresh_from_db()
    assert (order.status, order.assigned_to, order.findings) == ("COMPLETED", worker, "Replaced the seal")
    assert (order.started_at, order.completed_at) == (factories.NOON, factories.NOON)
    history = list(order.transitions.values_list("action", "from_status", "to_status", "actor"))
    assert history == [
        ("ASSIGNED", "OPEN", "ASSIGNED", worker.pk),
        ("STARTED", "ASSIGNED", "IN_PROGRESS", worker.pk),
        ("COMPLETED", "IN_PROGRESS", "COMPLETED", worker.pk),
    ]
    told = list(Event.objects.filter(type__startswith="work_order").order_by("id").values_list("type", "actor"))
    names = [f"work_order.{what}" for what in ("assigned", "started", "completed")]
    assert told == [(name, worker.username) for name in names]


def test_an_order_may_change_hands_before_the_work_begins(order: WorkOrder, worker: User) -> None:
    other = factories.user(site=order.site, role=Membership.Role.ADMIN)
    order_steps.assign(order.pk, actor=worker, assignee=worker)
    assert order_steps.assign(order.pk, actor=worker, assignee=other).assigned_to == other
    order_steps.start(order.pk, actor=other)
    with pytest.raises(order_moves.NotPossible, match="in progress: it cannot be assigned"):
        order_steps.assign(order.pk, actor=worker, assignee=worker)


def test_an_order_is_not_completed_without_findings(order: WorkOrder, worker: User) -> None:
    order_steps.assign(order.pk, actor=worker, assignee=worker)
    order_steps.start(order.pk, actor=worker)
    with pytest.raises(order_steps.NoFindings, match="what was found and done"):
        order_steps.complete(order.pk, actor=worker, findings="  ")
    order.refresh_from_db()
    assert order.status == "IN_PROGRESS"


def test_an_order_is_cancelled_with_a_reason_and_stays_so(order: WorkOrder, worker: User) -> None:
    with pytest.raises(order_steps.NoReason, match="Say why"):
        order_steps.cancel(order.pk, actor=worker, comment="")
    order_steps.cancel(order.pk, actor=worker, comment="Machine is scrapped")
    assert order.transitions.get().comment == "Machine is scrapped"
    for again in (
        lambda: order_steps.cancel(order.pk, actor=worker, comment="twice"),
        lambda: order_steps.start(order.pk, actor=worker),
    ):
        with pytest.raises(order_moves.NotPossible, match="is cancelled"):
            again()
    assert order.transitions.count() == 1


@pytest.mark.parametrize("role", [Membership.Role.VIEWER, Membership.Role.INGEST, None])
def test_an_order_is_given_only_to_somebody_who_may_work_in_its_site(order: WorkOrder, role: str | None) -> None:
    stranger = factories.user(site=order.site, role=role) if role else factories.user(site=factories.site())
    with pytest.raises(order_roles.NotAWorker, match=stranger.username):
        order_steps.assign(order.pk, actor=stranger, assignee=stranger)
    order.refresh_from_db()
    assert order.status == "OPEN"


def test_an_account_that_is_closed_gets_no_orders(order: WorkOrder, worker: User) -> None:
    worker.is_active = False
    worker.save(update_fields=["is_active"])
    with pytest.raises(order_roles.NotAWorker):
        order_steps.assign(order.pk, actor=worker, assignee=worker)


def test_the_row_is_locked_while_its_status_is_looked_at(order: WorkOrder, worker: User) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        order_steps.assign(order.pk, actor=worker, assignee=worker)
    assert any("FOR NO KEY UPDATE" in query["sql"] for query in queries)


def test_an_order_that_does_not_exist_is_said_so(order: WorkOrder, worker: User) -> None:
    with pytest.raises(WorkOrder.DoesNotExist):
        order_steps.start(order.pk + 1, actor=worker)


def in_progress(worker: User, **fields: object) -> WorkOrder:
    order = make_order(**fields)
    order_steps.assign(order.pk, actor=worker, assignee=worker, now=factories.NOON)
    return order_steps.start(order.pk, actor=worker, now=factories.NOON)


def test_a_request_waits_for_an_administrator(order: WorkOrder, worker: User) -> None:
    boss = factories.user(site=order.site, role=Membership.Role.ADMIN)
    asked = order_steps.request(
        order.machine, actor=worker, title="Guard is loose", maintenance_type="CORRECTIVE_DEFERRED", priority="LOW"
    )
    assert (asked.status, asked.requested_by, asked.failure_mode) == ("REQUESTED", worker, "")
    for early in (
        lambda: order_steps.assign(asked.pk, actor=worker, assignee=worker),
        lambda: order_steps.start(asked.pk, actor=worker),
    ):
        with pytest.raises(order_moves.NotPossible, match="is requested"):
            early()
    with pytest.raises(order_roles.NotAnApprover):
        approvals.approve(asked.pk, actor=worker)
    assert approvals.approve(asked.pk, actor=boss).status == "OPEN"
    with pytest.raises(order_moves.NotPossible, match="cannot be rejected"):
        approvals.reject(asked.pk, actor=boss, comment="no")
    assert list(asked.transitions.values_list("action", "actor")) == [("REQUESTED", worker.pk), ("APPROVED", boss.pk)]


def test_a_rejected_request_says_why_and_is_over(order: WorkOrder, worker: User) -> None:
    boss = factories.user(site=order.site, role=Membership.Role.ADMIN)
    asked = order_steps.request(
        order.machine, actor=worker, title="Paint it", maintenance_type="PREDETERMINED", priority="LOW"
    )
    with pytest.raises(order_steps.NoReason):
        approvals.reject(asked.pk, actor=boss, comment=" ")
    assert approvals.reject(asked.pk, actor=boss, comment="Is scrapped in May").status == "CANCELLED"


def test_what_has_an_open_order_is_not_requested_again(order: WorkOrder, worker: User) -> None:
    with pytest.raises(order_steps.OneIsOpen, match=f"WO-{order.pk}"):
        order_steps.request(
            order.machine, actor=worker, title="Low output", maintenance_type="INSPECTION", priority="LOW",
            failure_mode="LOO",
        )  # fmt: skip
    for _ in range(2):  # without a failure mode there may be any number
        order_steps.request(
            order.machine, actor=worker, title="Sweep", maintenance_type="PREDETERMINED", priority="LOW"
        )
    assert WorkOrder.objects.filter(machine=order.machine).count() == 3


def test_a_plan_keeps_who_was_assigned(order: WorkOrder, worker: User) -> None:
    with pytest.raises(order_steps.NoTime):
        order_steps.plan(order.pk, actor=worker, start=factories.NOON, minutes=0)
    assert order_steps.plan(order.pk, actor=worker, start=factories.NOON, minutes=90).status == "PLANNED"
    order_steps.assign(order.pk, actor=worker, assignee=worker)
    later = factories.NOON + timedelta(days=1)
    moved = order_steps.plan(order.pk, actor=worker, start=later, minutes=60)
    assert (moved.status, moved.assigned_to, moved.planned_start) == ("ASSIGNED", worker, later)


def test_a_machine_is_out_of_service_exactly_while_somebody_works(order: WorkOrder, worker: User) -> None:
    begun = in_progress(worker, site=order.site, machine=order.machine, failure_mode="VIB")

    def out() -> bool:
        return Suppression.objects.filter(work_order=begun, ended_at=None).exists()

    assert out()
    with pytest.raises(order_steps.NoReason):
        order_steps.hold(begun.pk, actor=worker, comment="")
    held = order_steps.hold(begun.pk, actor=worker, comment="The seal is on its way")
    assert (held.status, held.hold_reason, out()) == ("ON_HOLD", "The seal is on its way", False)
    assert (order_steps.resume(begun.pk, actor=worker).hold_reason, out()) == ("", True)
    order_steps.complete(begun.pk, actor=worker, findings="New seal")
    assert not out()


def test_a_reopened_order_is_as_if_nobody_had_begun(order: WorkOrder, worker: User) -> None:
    done = in_progress(worker, site=order.site, machine=order.machine, failure_mode="VIB")
    order_steps.complete(done.pk, actor=worker, findings="Balanced")
    order_steps.close(done.pk, actor=worker, mechanism="1.2", activity="ADJUST")
    again = order_steps.reopen(done.pk, actor=worker, comment="It shakes as before")
    assert (again.status, again.assigned_to, again.completed_at, again.closed_at) == ("OPEN", None, None, None)
    assert again.transitions.count() == 5
    order_steps.cancel(again.pk, actor=worker, comment="Twice")
    make_order(site=order.site, machine=order.machine, failure_mode="VIB")
    with pytest.raises(order_steps.OneIsOpen):
        order_steps.reopen(again.pk, actor=worker, comment="After all")


def test_what_is_put_on_record_is_from_the_lists(order: WorkOrder, worker: User) -> None:
    done = in_progress(worker, site=order.site, machine=order.machine, failure_mode="VIB")
    order_steps.complete(done.pk, actor=worker, findings="Worn bearing")
    with pytest.raises(order_steps.UnknownMode):
        order_steps.close(done.pk, actor=worker, found_mode="XYZ")
    with pytest.raises(ValidationError) as refused:
        order_steps.close(done.pk, actor=worker, mechanism="9.9")
    assert set(refused.value.message_dict) == {"mechanism"}
    closed = order_steps.close(done.pk, actor=worker, found_mode="VIB", mechanism="2.4", cause="OPERATION")
    assert (closed.status, closed.get_mechanism_display(), closed.label) == ("CLOSED", "Wear", None)


def alarmed(worker: User) -> WorkOrder:
    """A completed order that an alarm opened, with two anomalies behind it and one that is none of its own."""
    order = in_progress(worker)
    sensor = factories.sensor(machine=order.machine)
    alarm = Alarm.objects.create(
        site=order.site, machine=order.machine, sensor=sensor, failure_mode="LOO", priority="HIGH", occurrences=2,
        raised_at=factories.NOON, is_active=True, peak_score=0.9,
    )  # fmt: skip
    for hours, mode in ((-1, "LOO"), (2, "LOO"), (1, "VIB"), (-9, "LOO")):
        at = factories.NOON + timedelta(hours=hours)
        anomaly(sensor, failure_mode=mode, started_at=at, last_at=at + timedelta(hours=1, minutes=1))
    WorkOrder.objects.filter(pk=order.pk).update(alarm=alarm, opened_at=factories.NOON)
    return order_steps.complete(
        order.pk, actor=worker, findings="Worn impeller", now=factories.NOON + timedelta(hours=5)
    )


@pytest.mark.parametrize(
    ("verdict", "kind", "mode"),
    [("REAL", "FAULT", "LOO"), ("FALSE", "FALSE_ALARM", ""), ("EXPECTED", "EXPECTED", ""),
     ("SENSOR_FAULT", "FALSE_ALARM", "")],
)  # fmt: skip
def test_a_verdict_labels_the_window_of_the_anomalies_behind_the_order(
    worker: User, verdict: str, kind: str, mode: str
) -> None:
    order = alarmed(factories.user(is_superuser=True))
    with pytest.raises(order_steps.NoVerdict):
        order_steps.close(order.pk, actor=worker)
    closed = order_steps.close(order.pk, actor=worker, verdict=verdict)
    label = Label.objects.get()
    assert closed.label == label
    assert (label.kind, label.failure_mode, label.created_by) == (kind, mode, worker)
    hours = ((at - factories.NOON) / timedelta(hours=1) for at in (label.from_at, label.to_at))
    assert [round(hour) for hour in hours] == [-1, 3]
    assert (label.sensor is not None) is (verdict == "SENSOR_FAULT")


def test_an_order_is_not_closed_against_what_somebody_labelled(worker: User) -> None:
    order = alarmed(factories.user(is_superuser=True))
    boss = factories.user(is_superuser=True)
    order_steps.close(order.pk, actor=boss, verdict="REAL")
    order_steps.reopen(order.pk, actor=boss, comment="Again")
    order_steps.assign(order.pk, actor=boss, assignee=boss)
    order_steps.start(order.pk, actor=boss, now=factories.NOON)
    order_steps.complete(order.pk, actor=boss, findings="Nothing", now=factories.NOON + timedelta(hours=5))
    with pytest.raises(order_verdicts.LabelledOtherwise, match="says something else"):
        order_steps.close(order.pk, actor=boss, verdict="FALSE")
    order.refresh_from_db()
    assert (order.status, Label.objects.get().kind) == ("COMPLETED", "FAULT")


def test_who_closes_a_closed_order_hears_of_the_order_and_not_of_labels(worker: User) -> None:
    order = alarmed(factories.user(is_superuser=True))
    order_steps.close(order.pk, actor=worker, verdict="REAL")
    with pytest.raises(order_moves.NotPossible, match=f"Order {order.pk} is closed: it cannot be closed"):
        order_steps.close(order.pk, actor=worker, verdict="FALSE")
    assert Label.objects.get().kind == "FAULT"


class AnyOrderOfSteps(TestCase):
    """Against a small oracle: the transition table, walked by hand."""

    @classmethod
    def setUpTestData(cls) -> None:
        cls.person = factories.user(is_superuser=True)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(st.sampled_from(list(ORACLE)), max_size=12))
    def test_whatever_people_try_the_history_is_one_unbroken_line(self, tries: list[str]) -> None:
        order, person, status = make_order(), self.person, "OPEN"
        more: dict[str, dict[str, object]] = {
            "assign": {"assignee": person}, "complete": {"findings": "done"}, "cancel": {"comment": "why"},
            "plan": {"start": factories.NOON, "minutes": 5}, "hold": {"comment": "why"}, "reopen": {"comment": "why"},
            "reject": {"comment": "why"},
        }  # fmt: skip
        for what in tries:
            after = ORACLE[what].get(status)
            try:
                getattr(approvals if what in ("approve", "reject") else order_steps, what)(
                    order.pk, actor=person, **more.get(what, {})
                )
            except Refused:
                self.assertIsNone(after, f"{what} in {status} was refused")
            else:
                self.assertIsNotNone(after, f"{what} in {status} was done")
                status = after or ""
            order.refresh_from_db()
            self.assertEqual(order.status, status)
            out = Suppression.objects.filter(work_order=order, ended_at=None).count()
            self.assertEqual(out, int(status == "IN_PROGRESS"))
        steps = list(WorkOrderTransition.objects.filter(order=order).values_list("from_status", "to_status"))
        ends = ["OPEN", *(after for _, after in steps)]
        self.assertEqual([before for before, _ in steps], ends[:-1])
