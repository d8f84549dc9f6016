"""A work order's life in people's hands."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from maintenance import work_orders
from maintenance.models import WorkOrder, WorkOrderTransition
from maintenance.refusals import Refused
from sensors.models import Event, Membership
from tests import factories

pytestmark = pytest.mark.django_db


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
    work_orders.assign(order.pk, actor=worker, assignee=worker)
    work_orders.start(order.pk, actor=worker, now=factories.NOON)
    work_orders.complete(order.pk, actor=worker, findings="Replaced the seal", now=factories.NOON)
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
    work_orders.assign(order.pk, actor=worker, assignee=worker)
    assert work_orders.assign(order.pk, actor=worker, assignee=other).assigned_to == other
    work_orders.start(order.pk, actor=other)
    with pytest.raises(work_orders.NotPossible, match="in progress: it cannot be assigned"):
        work_orders.assign(order.pk, actor=worker, assignee=worker)


def test_an_order_is_not_completed_without_findings(order: WorkOrder, worker: User) -> None:
    work_orders.assign(order.pk, actor=worker, assignee=worker)
    work_orders.start(order.pk, actor=worker)
    with pytest.raises(work_orders.NoFindings, match="what was found and done"):
        work_orders.complete(order.pk, actor=worker, findings="  ")
    order.refresh_from_db()
    assert order.status == "IN_PROGRESS"


def test_an_order_is_cancelled_with_a_reason_and_stays_so(order: WorkOrder, worker: User) -> None:
    with pytest.raises(work_orders.NoReason, match="Say why"):
        work_orders.cancel(order.pk, actor=worker, comment="")
    work_orders.cancel(order.pk, actor=worker, comment="Machine is scrapped")
    assert order.transitions.get().comment == "Machine is scrapped"
    for again in (
        lambda: work_orders.cancel(order.pk, actor=worker, comment="twice"),
        lambda: work_orders.start(order.pk, actor=worker),
    ):
        with pytest.raises(work_orders.NotPossible, match="is cancelled"):
            again()
    assert order.transitions.count() == 1


@pytest.mark.parametrize("role", [Membership.Role.VIEWER, Membership.Role.INGEST, None])
def test_an_order_is_given_only_to_somebody_who_may_work_in_its_site(order: WorkOrder, role: str | None) -> None:
    stranger = factories.user(site=order.site, role=role) if role else factories.user(site=factories.site())
    with pytest.raises(work_orders.NotAWorker, match=stranger.username):
        work_orders.assign(order.pk, actor=stranger, assignee=stranger)
    order.refresh_from_db()
    assert order.status == "OPEN"


def test_an_account_that_is_closed_gets_no_orders(order: WorkOrder, worker: User) -> None:
    worker.is_active = False
    worker.save(update_fields=["is_active"])
    with pytest.raises(work_orders.NotAWorker):
        work_orders.assign(order.pk, actor=worker, assignee=worker)


def test_the_row_is_locked_while_its_status_is_looked_at(order: WorkOrder, worker: User) -> None:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        work_orders.assign(order.pk, actor=worker, assignee=worker)
    assert any("FOR NO KEY UPDATE" in query["sql"] for query in queries)


def test_an_order_that_does_not_exist_is_said_so(order: WorkOrder, worker: User) -> None:
    with pytest.raises(WorkOrder.DoesNotExist):
        work_orders.start(order.pk + 1, actor=worker)


class AnyOrderOfSteps(TestCase):
    @classmethod
    def setUpTestData(cls) -> None:
        cls.person = factories.user(is_superuser=True)

    @settings(max_examples=25, deadline=None)
    @given(st.lists(st.sampled_from(["assign", "start", "complete", "cancel"]), max_size=6))
    def test_whatever_people_try_the_history_is_one_unbroken_line(self, tries: list[str]) -> None:
        order, person = make_order(), self.person
        more: dict[str, dict[str, object]] = {
            "assign": {"assignee": person}, "complete": {"findings": "done"}, "cancel": {"comment": "why"},
        }  # fmt: skip
        for what in tries:
            try:
                getattr(work_orders, what)(order.pk, actor=person, **more.get(what, {}))
            except Refused:
                continue
        steps = list(WorkOrderTransition.objects.filter(order=order).values_list("from_status", "to_status"))
        order.refresh_from_db()
        ends = ["OPEN", *(after for _, after in steps)]
        self.assertEqual([before for before, _ in steps], ends[:-1])
        self.assertEqual(order.status, ends[-1])
