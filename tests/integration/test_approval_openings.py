"""Whatever opens a work order, or opens one again, goes by the policies of approval: every such place is known here."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from functools import partial

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from maintenance import approvals, order_steps, part_costs, plan_work, plans, reservations, stores
from maintenance.approval_models import ApprovalWait
from maintenance.models import WorkOrder
from maintenance.part_models import OrderPart, Part, Store
from maintenance.plan_models import Plan
from sensors.models import Membership, Sensor, Site
from tests import factories
from tests.integration.test_alarms import judge, see
from tests.integration.test_approvals import HOUR, NOW, WAITS, ask, decided, lay, status, sweep
from tests.unit.test_house_rules import PACKAGES, ROOT

pytestmark = pytest.mark.django_db

WRITES = ("create", "bulk_create", "get_or_create", "update_or_create", "update", "bulk_update")


@pytest.fixture
def site() -> Site:
    return factories.site(time_zone="Europe/Rome")


@pytest.fixture
def anna(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.ADMIN, username="anna")


# What opens orders


def by_request(site: Site, actor: User) -> WorkOrder:
    return ask(site, actor)


def by_alarm(site: Site, actor: User) -> WorkOrder:
    sensor = factories.sensor(machine=factories.machine(site=site, criticality="CRITICAL"))
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    return WorkOrder.objects.get(machine=sensor.machine)


def by_plan(site: Site, actor: User) -> WorkOrder:
    machine = factories.machine(site=site)
    made = plans.add(
        Plan(site=site, machine=machine, title="Grease", every=1, unit="WEEK", first_on=date(2026, 3, 9)), actor=actor,
        now=factories.NOON,
    )  # fmt: skip
    key = plan_work.look(made.pk, now=factories.NOON + timedelta(days=30))
    return WorkOrder.objects.get(pk=key)


def done(order: WorkOrder, actor: User) -> WorkOrder:
    """An order that was done an hour ago, at a time when no policy held."""
    ago = timezone.now() - HOUR
    WorkOrder.objects.filter(pk=order.pk).update(status="OPEN")
    order_steps.assign(order.pk, actor=actor, assignee=actor, now=ago)
    order_steps.start(order.pk, actor=actor, now=ago)
    return order_steps.complete(order.pk, actor=actor, findings="Tightened", now=ago)


def again_by_people(site: Site, actor: User) -> WorkOrder:
    order = WorkOrder.objects.filter(site=site, completed_at__isnull=False).get()
    return order_steps.reopen(order.pk, actor=actor, comment="Loose again")


def again_by_alarm(site: Site, actor: User) -> WorkOrder:
    order = WorkOrder.objects.filter(site=site, completed_at__isnull=False).get()
    sensor = Sensor.objects.get(machine=order.machine)
    see(sensor, run=2, at=100, ended=110, score=0.99)
    judge(sensor, run=2, clock=150)
    return WorkOrder.objects.get(pk=order.pk)


PLACES: dict[str, Callable[[Site, User], WorkOrder]] = {
    "maintenance.order_steps.request": by_request,
    "maintenance.work_orders._new": by_alarm,
    "maintenance.work_orders.apply": by_alarm,
    "maintenance.plan_work._open": by_plan,
    "maintenance.order_steps.reopen": again_by_people,
    "maintenance.work_orders._update": again_by_alarm,
}
"""Every function that makes rows of work orders, or opens some again, and how it comes to do so."""
PAST = {"maintenance.history_import._create", "maintenance.history_import._order"}
"""What makes orders that were over long ago: nobody has to approve them."""
AGAIN = (again_by_people, again_by_alarm)
HOW = dict.fromkeys(PLACES.values())
IDS = [how.__name__ for how in HOW]


def writing(source: str) -> Iterator[str]:
    """Functions of a module that make work orders, store several, change their table, or open orders again."""
    for function in ast.walk(ast.parse(source)):
        if isinstance(function, ast.FunctionDef) and any(map(_writes, ast.walk(function))):
            yield function.name


def _writes(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        sql = node.value.upper()
        return ("INSERT INTO" in sql or "UPDATE" in sql) and "MAINTENANCE_WORKORDER " in f"{sql} "
    if isinstance(node, ast.JoinedStr):
        said = ast.unparse(node)
        return "WorkOrder._meta" in said and ("INSERT" in said or "UPDATE" in said)
    if not isinstance(node, ast.Call):
        return False
    called = ast.unparse(node.func)
    if called.split(".")[-1] == "WorkOrder":
        return True
    owner, _, verb = called.rpartition(".")
    again = called in ("step", "order_moves.step") and any(ast.unparse(one) == "Action.REOPENED" for one in node.args)
    return again or (verb in WRITES and "WorkOrder.objects" in owner)


def test_every_place_that_opens_orders_is_known() -> None:
    found = {
        f"{package}.{path.stem}.{name}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts
        for name in writing(path.read_text("utf-8"))
    }
    assert found - PAST == set(PLACES), "What opens orders goes by approval_openings, and is opened here by PLACES."


@pytest.mark.parametrize(
    "code",
    [
        "WorkOrder(title='x').save()", "models.WorkOrder(**row)", "WorkOrder.objects.create(title='x')",
        "WorkOrder.objects.filter(pk=1).update(status='OPEN')", "WorkOrder.objects.bulk_create(rows)",
        "cursor.execute('INSERT INTO maintenance_workorder (id) VALUES (1)')",
        "cursor.execute(f'UPDATE {WorkOrder._meta.db_table} SET status = 1')",
        "order_moves.step(order, Action.REOPENED, actor=None, now=None)",
    ],
)  # fmt: skip
def test_a_place_that_opens_orders_is_found(code: str) -> None:
    assert list(writing(f"def sneak():\n    {code}\n")) == ["sneak"]


def before(how: object, site: Site, actor: User) -> None:
    """What has to be there: an order that was done, for what opens one again."""
    if how in AGAIN:
        done(by_alarm(site, actor), actor)


@pytest.mark.parametrize("how", HOW, ids=IDS)
def test_what_a_policy_lets_wait_is_requested_and_somebody_is_asked(
    site: Site, anna: User, how: Callable[[Site, User], WorkOrder]
) -> None:
    before(how, site, anna)
    policy = lay(site, anna, **WAITS)
    order = how(site, anna)
    assert (order.status, order.assigned_to, order.started_at) == ("REQUESTED", None, None)
    last = order.transitions.latest("id")
    assert (last.action, last.to_status) == ("REOPENED" if how in AGAIN else "REQUESTED", "REQUESTED")
    sweep(NOW)
    wait = ApprovalWait.objects.get()
    assert (wait.order, wait.policy, wait.until, wait.since) == (order, policy, NOW + HOUR, last.recorded_at)
    approvals.approve(order.pk, actor=anna, now=NOW)
    assert (status(order), decided(order)) == ("OPEN", ["WAITS", "APPROVED"])


@pytest.mark.parametrize("how", HOW, ids=IDS)
def test_what_a_policy_lets_go_ahead_is_open_with_the_policy_on_record(
    site: Site, anna: User, how: Callable[[Site, User], WorkOrder]
) -> None:
    before(how, site, anna)
    policy = lay(site, anna, answer="GO_AHEAD")
    order = how(site, anna)
    sweep(NOW)
    assert status(order) == "OPEN"
    kept = order.approval_decisions.get()
    assert (kept.what, kept.policy, kept.actor, kept.by_agent) == ("WENT_AHEAD", policy, None, True)


@pytest.mark.parametrize("how", HOW, ids=IDS)
def test_without_a_policy_only_what_people_request_waits(
    site: Site, anna: User, how: Callable[[Site, User], WorkOrder]
) -> None:
    before(how, site, anna)
    order = how(site, anna)
    sweep(NOW)
    assert status(order) == ("REQUESTED" if how is by_request else "OPEN")
    assert decided(order) == []


@pytest.mark.parametrize("how", HOW, ids=IDS)
def test_a_policy_on_trial_does_nothing_wherever_orders_come_from(
    site: Site, anna: User, how: Callable[[Site, User], WorkOrder]
) -> None:
    before(how, site, anna)
    lay(site, anna, **WAITS | {"then": "REJECT"}, is_trial=True)
    order = how(site, anna)
    sweep(NOW)
    sweep(NOW + 9 * HOUR)
    assert status(order) == ("REQUESTED" if how is by_request else "OPEN")
    assert list(order.approval_decisions.values_list("what", "is_trial")) == [("WAITS", True)]


@pytest.mark.parametrize("end", ["reject", "cancel"])
def test_what_was_never_approved_is_not_open_by_being_opened_again(site: Site, anna: User, end: str) -> None:
    tina = factories.user(site=site, role=Membership.Role.TECHNICIAN)
    order = ask(site, tina)
    if end == "reject":
        approvals.reject(order.pk, actor=anna, comment="No")
    else:
        order_steps.cancel(order.pk, actor=tina, comment="Not now")
    assert order_steps.reopen(order.pk, actor=tina, comment="But yes").status == "REQUESTED"
    assert order_steps.cancel(order.pk, actor=tina, comment="No").status == "CANCELLED"
    lay(site, anna, answer="GO_AHEAD")
    assert order_steps.reopen(order.pk, actor=tina, comment="By the policy").status == "OPEN"
    assert decided(order)[-1] == "WENT_AHEAD"


def test_an_order_that_is_opened_again_waits_its_whole_time_anew(site: Site, anna: User) -> None:
    lay(site, anna, answer="WAIT", wait_minutes=60, then="REJECT")
    order = ask(site, anna)
    sweep(NOW)
    order_steps.cancel(order.pk, actor=anna, comment="Not now")
    order_steps.reopen(order.pk, actor=anna, comment="After all")
    sweep(NOW + 2 * HOUR)
    assert (status(order), ApprovalWait.objects.get().until) == ("REQUESTED", NOW + 3 * HOUR)


def test_each_time_an_order_goes_ahead_it_is_on_record(site: Site, anna: User) -> None:
    lay(site, anna, answer="GO_AHEAD")
    order = by_plan(site, anna)
    for _ in range(2):
        order_steps.cancel(order.pk, actor=anna, comment="Not now")
        order_steps.reopen(order.pk, actor=anna, comment="After all")
    assert decided(order) == ["WENT_AHEAD"] * 3


def test_a_plan_goes_on_when_a_policy_rejects_its_order(site: Site, anna: User) -> None:
    lay(site, anna, answer="WAIT", wait_minutes=60, then="REJECT", maintenance_type="PREDETERMINED")
    order = by_plan(site, anna)
    made = Plan.objects.get()
    number = made.number
    sweep(NOW)
    sweep(NOW + HOUR)
    assert status(order) == "CANCELLED"
    made.refresh_from_db()
    one = made.occurrences.get(order=order)
    assert (one.outcome, one.by, made.number) == ("SKIPPED", None, number + 1)


def test_orders_that_come_back_cost_no_more_questions_where_no_site_has_a_policy(site: Site, anna: User) -> None:
    done(by_alarm(site, anna), anna)
    with CaptureQueriesContext(connection) as queries:
        again_by_alarm(site, anna)
    asked = [query["sql"] for query in queries if "approval" in query["sql"]]
    assert len(asked) == 1
    assert "maintenance_approvalpolicy" in asked[0]


# What an order costs


@pytest.fixture
def main(site: Site) -> Store:
    return Store.objects.create(site=site, name="Main")


@pytest.fixture
def bearing(site: Site, main: Store, anna: User) -> Part:
    found = Part.objects.create(site=site, number="P-1", name="Bearing", unit_cost="12.50")
    stores.receive(found.pk, store=main, quantity=Decimal(10), actor=anna)
    return found


def test_the_parts_that_are_planned_count_in_what_a_policy_allows(
    site: Site, anna: User, main: Store, bearing: Part
) -> None:
    lay(site, anna, most_cost=Decimal(100), answer="GO_AHEAD")
    lay(site, anna, **WAITS)
    cheap, dear = (ask(site, anna, expected_cost=Decimal("62.50")) for _ in range(2))
    reservations.reserve(cheap.pk, part=bearing, store=main, quantity=Decimal(3), actor=anna)
    reservations.reserve(dear.pk, part=bearing, store=main, quantity=Decimal(4), actor=anna)
    sweep(NOW)
    assert (status(cheap), status(dear)) == ("OPEN", "REQUESTED")
    assert cheap.approval_decisions.get().facts["cost"] == "100.00"
    assert dear.approval_decisions.get().facts["cost"] == "112.50"


def test_what_waits_reserves_nothing_until_it_is_approved(site: Site, anna: User, main: Store, bearing: Part) -> None:
    order = ask(site, anna)
    line = reservations.reserve(order.pk, part=bearing, store=main, quantity=Decimal(4), actor=anna)
    assert (line.wanted, line.reserved) == (4, 0)
    stores.receive(bearing.pk, store=main, quantity=Decimal(1), actor=anna)
    with pytest.raises(reservations.NotNow):
        reservations.issue(order.pk, part=bearing, store=main, quantity=Decimal(1), actor=anna)
    approvals.approve(order.pk, actor=anna)
    line.refresh_from_db()
    assert (line.reserved, line.short) == (4, 0)


def test_what_is_rejected_wants_no_parts_any_more(site: Site, anna: User, main: Store, bearing: Part) -> None:
    lay(site, anna, answer="WAIT", wait_minutes=60, then="REJECT")
    order = ask(site, anna)
    reservations.reserve(order.pk, part=bearing, store=main, quantity=Decimal(4), actor=anna)
    sweep(NOW)
    sweep(NOW + HOUR)
    assert status(order) == "CANCELLED"
    line = OrderPart.objects.get(order=order)
    assert (line.wanted, line.reserved) == (0, 0)


@pytest.mark.parametrize("act", ["plan", "release"])
def test_when_other_parts_are_planned_another_policy_may_hold(
    site: Site, anna: User, main: Store, bearing: Part, act: str
) -> None:
    order = ask(site, anna, expected_cost=Decimal(50))
    if act == "release":
        line = reservations.reserve(order.pk, part=bearing, store=main, quantity=Decimal(5), actor=anna)
    limit = lay(site, anna, most_cost=Decimal(100), answer="WAIT", wait_minutes=60, then="KEEP")
    beyond = lay(site, anna, answer="WAIT", wait_minutes=600, then="KEEP")
    sweep(NOW)
    assert ApprovalWait.objects.get().policy == (limit if act == "plan" else beyond)
    if act == "plan":
        reservations.reserve(order.pk, part=bearing, store=main, quantity=Decimal(5), actor=anna)
    else:
        reservations.release(line.pk, actor=anna)
    sweep(NOW)
    assert ApprovalWait.objects.get().policy == (beyond if act == "plan" else limit)


def test_what_an_order_costs_is_the_same_asked_one_by_one_and_by_hand(
    site: Site, anna: User, main: Store, bearing: Part
) -> None:
    free = Part.objects.create(site=site, number="P-2", name="Rag")
    orders = [ask(site, anna, expected_cost=cost) for cost in (None, Decimal(7), Decimal(7), Decimal(7))]
    for order in orders[1:]:
        approvals.approve(order.pk, actor=anna)
    reserve = partial(reservations.reserve, part=bearing, store=main, quantity=Decimal(2), actor=anna)
    line = reserve(orders[2].pk)
    reservations.issue(orders[2].pk, part=bearing, store=main, quantity=Decimal(1), actor=anna)
    Part.objects.filter(pk=bearing.pk).update(unit_cost=Decimal(20))
    reservations.reserve(orders[3].pk, part=free, store=main, quantity=Decimal(1), actor=anna)
    assert line.order_id == orders[2].pk
    wanted = [None, Decimal("7.00"), Decimal("39.50"), None]  # 7 said, 12.50 as it was issued, 20 as it costs now
    assert [part_costs.expected(order) for order in orders] == wanted
    rows = WorkOrder.objects.filter(site=site).order_by("id").annotate(all=part_costs.in_all()).values_list("all")
    assert [part_costs.rounded(cost) for (cost,) in rows] == wanted


def test_a_policy_of_a_site_says_nothing_of_another(site: Site, anna: User) -> None:
    other = factories.site(time_zone="Europe/Rome")
    lay(other, factories.user(site=other), **WAITS)
    assert by_alarm(site, anna).status == "OPEN"
    assert by_plan(site, anna).status == "OPEN"
