"""Stock, its ledger, and what work orders want of it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext

from maintenance import approvals, order_steps, part_costs, reservations, shortages, stores
from maintenance.models import WorkOrder
from maintenance.part_models import Movement, OrderPart, Part, Stock, Store
from sensors.models import Event, Site
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db


def part(site: Site, **fields: Any) -> Part:
    number = f"P-{Part.objects.count() + 1}"
    base: dict[str, Any] = {"number": number, "name": "Bearing 6205", "unit_cost": "12.50", "lead_time_days": 9}
    return Part.objects.create(**{"site": site} | base | fields)


def store(site: Site, name: str = "Main") -> Store:
    return Store.objects.get_or_create(site=site, name=name)[0]


def order(site: Site, **fields: Any) -> WorkOrder:
    base: dict[str, Any] = {
        "machine": fields.get("machine") or factories.machine(site=site), "maintenance_type": "CORRECTIVE_DEFERRED",
        "priority": "MEDIUM", "title": "Change the bearing", "opened_at": NOON,
    }  # fmt: skip
    return WorkOrder.objects.create(**{"site": site} | base | fields)


def consistent() -> None:
    """Stock is the sum of its ledger, and what is reserved the sum of what orders have reserved."""
    for row in Stock.objects.all():
        moved = Movement.objects.filter(part=row.part_id, store=row.store_id)
        assert row.on_hand == moved.aggregate(all=Sum("quantity", default=Decimal(0)))["all"]
        held = OrderPart.objects.filter(part=row.part_id, store=row.store_id)
        assert row.reserved == held.aggregate(all=Sum("reserved", default=Decimal(0)))["all"]
        balance = Decimal(0)
        for quantity, left in moved.order_by("id").values_list("quantity", "on_hand"):
            balance += quantity
            assert left == balance >= 0


@pytest.fixture
def boss() -> User:
    return factories.user(is_superuser=True)


@pytest.fixture
def seal(boss: User) -> Part:
    """A part of which ten lie in the main store."""
    found = part(factories.site(), minimum=4)
    stores.receive(found.pk, store=store(found.site), quantity=Decimal(10), actor=boss)
    return found


def stock(of: Part, name: str = "Main") -> tuple[int, int]:
    row = Stock.objects.get(part=of, store__name=name)
    return int(row.on_hand), int(row.reserved)


def test_reserved_stock_is_not_available_to_others(seal: Part, boss: User) -> None:
    main, first, second = store(seal.site), order(seal.site), order(seal.site)
    line = reservations.reserve(first.pk, part=seal, store=main, quantity=Decimal(7), actor=boss)
    assert (line.reserved, line.short, stock(seal)) == (7, 0, (10, 7))
    with pytest.raises(stores.NotEnough, match=r"3 pcs of .* are free in Main, 7 more are reserved"):
        reservations.issue(second.pk, part=seal, store=main, quantity=Decimal(4), actor=boss)
    with pytest.raises(stores.NotEnough):
        stores.transfer(seal.pk, store=main, to_store=store(seal.site, "B"), quantity=Decimal(4), actor=boss)
    reservations.issue(second.pk, part=seal, store=main, quantity=Decimal(3), actor=boss)
    reservations.issue(first.pk, part=seal, store=main, quantity=Decimal(7), actor=boss)
    assert stock(seal) == (0, 0)
    consistent()


def test_issuing_consumes_the_reservation(seal: Part, boss: User) -> None:
    main, one = store(seal.site), order(seal.site)
    line = reservations.reserve(one.pk, part=seal, store=main, quantity=Decimal(4), actor=boss)
    line = reservations.issue_line(line.pk, quantity=Decimal(3), actor=boss)
    assert (line.wanted, line.reserved, line.used, stock(seal)) == (4, 1, 3, (7, 1))
    assert [row.used for row in reservations.issue_reserved(one.pk, actor=boss)] == [4]
    with pytest.raises(reservations.NothingWaits):
        reservations.issue_reserved(one.pk, actor=boss)
    line = reservations.give_back(line.pk, quantity=Decimal(2), actor=boss, reason="One was enough")
    assert (line.wanted, line.reserved, line.used, line.short, stock(seal)) == (2, 0, 2, 0, (8, 0))
    with pytest.raises(reservations.NotUsed, match="2 pcs"):
        reservations.give_back(line.pk, quantity=Decimal(3), actor=boss)
    consistent()


@pytest.mark.parametrize("end", ["cancel", "reject", "complete"])
def test_what_is_over_keeps_no_reservation_and_gets_none_back_when_it_is_reopened(
    seal: Part, boss: User, end: str
) -> None:
    one, waiting = order(seal.site), order(seal.site)
    more = {"part": seal, "store": store(seal.site), "actor": boss}
    reservations.reserve(one.pk, quantity=Decimal(8), **more)
    reservations.issue(one.pk, quantity=Decimal(1), **more)
    later = reservations.reserve(waiting.pk, quantity=Decimal(6), **more)
    assert (later.reserved, later.short) == (2, 4)
    if end == "complete":
        order_steps.assign(one.pk, actor=boss, assignee=boss)
        order_steps.start(one.pk, actor=boss)
        order_steps.complete(one.pk, actor=boss, findings="New seal")
    elif end == "reject":
        WorkOrder.objects.filter(pk=one.pk).update(status="REQUESTED")
        approvals.reject(one.pk, actor=boss, comment="Not now")
    else:
        order_steps.cancel(one.pk, actor=boss, comment="Scrapped")
    later.refresh_from_db()
    assert (later.reserved, later.short, stock(seal)) == (6, 0, (9, 6))
    order_steps.reopen(one.pk, actor=boss, comment="After all")
    line = one.parts.get()
    assert (line.wanted, line.reserved, line.used) == (1, 0, 1)
    kinds = list(Event.objects.filter(subject=f"order_part/{line.pk}").order_by("id").values_list("type", flat=True))
    assert kinds == ["part.reserved", "part.released"]
    consistent()


def test_parts_move_only_while_the_orders_status_allows_it(seal: Part, boss: User) -> None:
    one = order(seal.site)
    more = {"part": seal, "store": store(seal.site), "actor": boss, "quantity": Decimal(1)}
    for status in ("REQUESTED", "COMPLETED", "CLOSED", "CANCELLED"):
        WorkOrder.objects.filter(pk=one.pk).update(status=status, completed_at=NOON, findings="x", closed_at=NOON)
        for what in (reservations.reserve, reservations.issue)[status == "REQUESTED" :]:
            with pytest.raises(reservations.NotNow, match=f"is {status.lower()}"):
                what(one.pk, **more)
    WorkOrder.objects.filter(pk=one.pk).update(status="OPEN")
    line = reservations.issue(one.pk, **(more | {"quantity": Decimal(3)}))
    for status, allowed in (("COMPLETED", True), ("CANCELLED", True), ("CLOSED", False)):
        WorkOrder.objects.filter(pk=one.pk).update(status=status)
        if allowed:
            reservations.give_back(line.pk, quantity=Decimal(1), actor=boss)
        else:
            with pytest.raises(reservations.NotNow):
                reservations.give_back(line.pk, quantity=Decimal(1), actor=boss)
    assert stock(seal) == (9, 0)


def test_what_arrives_goes_to_the_most_urgent_that_waits(seal: Part, boss: User) -> None:
    main = store(seal.site)
    low, high = order(seal.site, priority="LOW"), order(seal.site, priority="HIGH")
    due = order(seal.site, priority="HIGH", due_at=NOON)
    for one in (low, high, due):
        reservations.reserve(one.pk, part=seal, store=main, quantity=Decimal(8), actor=boss)
    assert [one.parts.get().reserved for one in (low, high, due)] == [8, 2, 0]
    stores.receive(seal.pk, store=main, quantity=Decimal(9), actor=boss)
    assert [one.parts.get().reserved for one in (low, high, due)] == [8, 3, 8]
    stores.adjust(seal.pk, store=main, counted=Decimal(9), actor=boss, reason="Counted")
    assert [one.parts.get().reserved for one in (low, high, due)] == [0, 1, 8]
    consistent()


def test_a_reservation_that_is_released_is_free(seal: Part, boss: User) -> None:
    line = reservations.reserve(
        order(seal.site).pk, part=seal, store=store(seal.site), quantity=Decimal(12), actor=boss
    )
    assert line.short == 2
    done = reservations.release(line.pk, actor=boss)
    assert (done.wanted, done.reserved, stock(seal)) == (0, 0, (10, 0))
    with pytest.raises(reservations.NothingWaits):
        reservations.release(line.pk, actor=boss)


def test_stock_that_falls_below_its_minimum_is_told_once(seal: Part, boss: User) -> None:
    main, one, other = store(seal.site), order(seal.site), store(seal.site, "B")

    def told() -> list[str]:
        kinds = ("part.below_minimum", "part.restocked")
        return list(Event.objects.filter(type__in=kinds).order_by("id").values_list("type", flat=True))

    def below() -> bool:
        return shortages.below_minimum(shortages.with_stock(Part.objects.all())).exists()

    before = told()
    stores.transfer(seal.pk, store=main, to_store=other, quantity=Decimal(9), actor=boss)
    reservations.issue(one.pk, part=seal, store=other, quantity=Decimal(6), actor=boss)
    assert (told(), below()) == (before, False)
    for _ in range(2):
        reservations.issue(one.pk, part=seal, store=other, quantity=Decimal(1), actor=boss)
    assert (told(), below()) == ([*before, "part.below_minimum"], True)
    event = Event.objects.get(type="part.below_minimum")
    assert (event.subject, event.actor, event.data["on_hand"]) == (f"part/{seal.pk}", boss.username, "3.000")
    stores.adjust(seal.pk, store=main, counted=Decimal(3), actor=boss, reason="Found two")
    assert (told(), below()) == ([*before, "part.below_minimum", "part.restocked"], False)


def test_an_adjustment_says_why_and_changes_something(seal: Part, boss: User) -> None:
    main = store(seal.site)
    with pytest.raises(stores.NoReason):
        stores.adjust(seal.pk, store=main, counted=Decimal(3), actor=boss, reason=" ")
    with pytest.raises(stores.NoChange):
        stores.adjust(seal.pk, store=main, counted=Decimal(10), actor=boss, reason="Counted")
    for bad in (Decimal(-1), Decimal("NaN"), Decimal("Infinity"), Decimal("0.0001"), Decimal(10) ** 9):
        with pytest.raises(stores.NoAmount):
            stores.adjust(seal.pk, store=main, counted=bad, actor=boss, reason="Counted")
    stores.adjust(seal.pk, store=main, counted=Decimal("2.5"), actor=boss, reason="Counted")
    last = Movement.objects.order_by("-id")[0]
    assert (last.kind, last.quantity, last.on_hand, last.reason, last.actor) == (
        "ADJUST", Decimal("-7.5"), Decimal("2.5"), "Counted", boss,
    )  # fmt: skip
    assert last.value == Decimal("-93.75")


def test_stock_is_of_one_site_and_of_what_is_in_use(seal: Part, boss: User) -> None:
    main, elsewhere = store(seal.site), store(factories.site())
    one = Decimal(1)
    refused = [
        (stores.OtherSite, lambda: stores.receive(seal.pk, store=elsewhere, quantity=one, actor=boss)),
        (stores.OtherSite,
         lambda: reservations.reserve(order(elsewhere.site).pk, part=seal, store=main, quantity=one, actor=boss)),
        (stores.OtherSite,
         lambda: reservations.issue(order(elsewhere.site).pk, part=seal, store=elsewhere, quantity=one, actor=boss)),
        (stores.SameStore, lambda: stores.transfer(seal.pk, store=main, to_store=main, quantity=one, actor=boss)),
        (stores.NoAmount, lambda: stores.receive(seal.pk, store=main, quantity=Decimal(0), actor=boss)),
    ]  # fmt: skip
    Part.objects.filter(pk=seal.pk).update(is_active=False)
    late = lambda: reservations.reserve(order(seal.site).pk, part=seal, store=main, quantity=one, actor=boss)  # noqa: E731
    for kind, attempt in [*refused, (stores.NotInUse, late)]:
        with pytest.raises(kind):
            attempt()
    reservations.issue(order(seal.site).pk, part=seal, store=main, quantity=one, actor=boss)  # it is used up
    assert Movement.objects.count() == 2


def test_the_database_itself_holds_stock_above_zero(seal: Part) -> None:
    for wrong in ({"on_hand": -1}, {"reserved": 11}, {"reserved": -1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Stock.objects.filter(part=seal).update(**wrong)


def test_the_database_itself_keeps_the_ledger_as_it_is(seal: Part, boss: User) -> None:
    for alter in (
        lambda: Movement.objects.update(quantity=11), lambda: Movement.objects.update(reason="x"),
        lambda: Movement.objects.all().delete(),
    ):  # fmt: skip
        with pytest.raises(IntegrityError, match="never altered"), transaction.atomic():
            alter()
    User.objects.filter(pk=boss.pk).delete()
    row = Movement.objects.get()
    assert (row.quantity, row.actor) == (10, None)


def test_parts_cost_what_was_issued_less_what_came_back(seal: Part, boss: User) -> None:
    main, one, none = store(seal.site), order(seal.site), order(seal.site)
    line = reservations.issue(one.pk, part=seal, store=main, quantity=Decimal(3), actor=boss)
    assert part_costs.of_orders([one.pk, none.pk]) == {one.pk: Decimal("37.50"), none.pk: 0}
    Part.objects.filter(pk=seal.pk).update(unit_cost="99")
    reservations.give_back(line.pk, quantity=Decimal(1), actor=boss)
    assert part_costs.of_orders([one.pk]) == {one.pk: Decimal("25.00")}
    reservations.give_back(line.pk, quantity=Decimal(2), actor=boss)
    assert part_costs.of_orders([one.pk]) == {one.pk: 0}


def test_planning_is_told_what_is_short_and_when_it_can_be_there(seal: Part, boss: User) -> None:
    site = seal.site
    Site.objects.filter(pk=site.pk).update(time_zone="Pacific/Auckland")  # noon in UTC is the second of March there
    main, other, one = store(site), store(site, "B"), order(site)
    reservations.reserve(one.pk, part=seal, store=main, quantity=Decimal(12), actor=boss)
    (found,) = shortages.of_orders([one.pk], now=NOON)
    assert (found.short, found.elsewhere, found.earliest_on) == (2, 0, date(2026, 3, 11))
    stores.receive(seal.pk, store=other, quantity=Decimal(3), actor=boss)
    unknown = part(site, lead_time_days=None)
    late = reservations.reserve(one.pk, part=unknown, store=main, quantity=Decimal(1), actor=boss)
    both = [one.pk, order(site).pk]
    with CaptureQueriesContext(connection) as queries:
        first, second = shortages.of_orders(both, now=NOON)
    assert len(queries) == 1
    assert (first.elsewhere, first.earliest_on) == (3, date(2026, 3, 2))
    assert (second.part, second.short, second.earliest_on) == (str(unknown), 1, None)
    reservations.release(late.pk, actor=boss)
    assert [one.earliest_on for one in shortages.of_orders(both, now=NOON)] == [date(2026, 3, 2)]
