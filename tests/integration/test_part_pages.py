"""Parts, tools and their buttons in the admin, and over REST."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from maintenance import reservations, stores, tools
from maintenance.models import WorkOrder
from maintenance.part_models import Movement, OrderPart, Part, Stock, Store, Tool, ToolLoan
from sensors.models import Event, Membership, Site
from tests import factories
from tests.client import JSON, client, problem
from tests.factories import NOON
from tests.integration.test_parts import order, part, store

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]
ROLES = Membership.Role


@pytest.fixture
def site() -> Site:
    return factories.site()


@pytest.fixture
def tina(site: Site) -> User:
    return factories.user(site=site, role=ROLES.TECHNICIAN, is_staff=True, username="tina")


@pytest.fixture
def boss(site: Site) -> User:
    return factories.user(site=site, role=ROLES.ADMIN, is_staff=True)


@pytest.fixture
def seal(site: Site, boss: User) -> Part:
    found = part(site, number="S-1", minimum=4)
    stores.receive(found.pk, store=store(site), quantity=Decimal(10), actor=boss)
    return found


@pytest.fixture
def one(site: Site) -> WorkOrder:
    return order(site)


def page(row: Any, name: str) -> str:
    return reverse(f"admin:maintenance_{row._meta.model_name}_{name}", args=[row.pk])


def press(http: Client, row: Any, button: str, **answers: Any) -> str:
    """What the person is told."""
    answer = http.post(page(row, button), {"confirmed": "1"} | answers)
    if answer.status_code == 200:
        return str(answer.context["form"].errors)
    assert answer.status_code == 302, answer
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def test_a_technician_runs_the_parts_of_an_order_from_its_page(
    client: Client, tina: User, seal: Part, one: WorkOrder
) -> None:
    client.force_login(tina)
    main = store(one.site)
    assert "no part &#x27;Q&#x27;" in press(client, one, "reserve", number="Q", store=main.pk, quantity="2")
    assert "Reserved for" in press(client, one, "reserve", number="s-1", store=main.pk, quantity="12")
    shown = client.get(page(one, "change")).content.decode()
    for words in ("S-1 Bearing 6205", "12 pcs", "There at the earliest", page(one, "issue"), page(one, "give_back")):
        assert words in shown
    form = client.get(page(one, "issue")).context["form"]
    assert form.initial == {"number": "S-1", "store": main.pk, "quantity": 10}
    assert "Issued for" in press(client, one, "issue", number="S-1", store=main.pk, quantity="1")
    assert "Issued for" in press(client, one, "issue_reserved")
    assert "are free in Main" in press(client, one, "issue", number="S-1", store=main.pk, quantity="1")
    line = one.parts.get()
    assert (line.used, line.short) == (10, 2)
    assert "Released of" in press(client, one, "release", line=line.pk)
    assert "Returned of" in press(client, one, "give_back", line=line.pk, quantity="0.5", reason="left over")
    assert list(Movement.objects.filter(order=one).values_list("kind", "quantity", "actor")) == [
        ("RETURN", Decimal("0.5"), tina.pk), ("ISSUE", -9, tina.pk), ("ISSUE", -1, tina.pk),
    ]  # fmt: skip
    assert "118.75" in client.get(page(one, "change")).content.decode()
    WorkOrder.objects.filter(pk=one.pk).update(status="CLOSED", completed_at=NOON, closed_at=NOON, findings="x")
    shown = client.get(page(one, "change")).content.decode()
    assert page(one, "issue") not in shown
    assert page(one, "give_back") not in shown


def test_what_is_refused_is_asked_again_with_what_was_answered(
    client: Client, tina: User, seal: Part, one: WorkOrder
) -> None:
    client.force_login(tina)
    main = store(one.site)
    said = {"confirmed": "1", "number": "S-1", "store": main.pk, "quantity": "11"}
    answer = client.post(page(one, "issue"), said)
    assert answer.status_code == 200
    assert "are free in Main" in str(answer.context["form"].non_field_errors())
    text = answer.content.decode()
    assert "are free in Main" in text
    assert 'value="11"' in text
    assert 'value="S-1"' in text
    assert not Movement.objects.filter(order=one).exists()


def test_adjusting_takes_an_administrator_and_receiving_does_not(
    client: Client, tina: User, boss: User, seal: Part
) -> None:
    client.force_login(tina)
    main, other = store(seal.site), store(seal.site, "B")
    assert "Received" in press(client, seal, "receive", store=main.pk, quantity="5", reason="Note 4711")
    moved = press(client, seal, "transfer", store=main.pk, to_store=other.pk, quantity="3", reason="")
    assert "Transferred" in moved
    count = {"confirmed": "1", "store": main.pk, "counted": "1", "reason": "Counted"}
    assert client.post(page(seal, "adjust"), count).status_code == 403
    assert page(seal, "adjust") not in client.get(page(seal, "change")).content.decode()
    client.force_login(boss)
    assert page(seal, "adjust") in client.get(page(seal, "change")).content.decode()
    assert "required" in press(client, seal, "adjust", store=main.pk, counted="1", reason="")
    assert "Adjusted" in press(client, seal, "adjust", store=main.pk, counted="1", reason="Counted")
    assert {s.store.name: s.on_hand for s in seal.stocks.select_related("store")} == {"Main": 1, "B": 3}


def test_a_viewer_presses_no_button_and_another_sites_row_is_not_there(
    client: Client, boss: User, seal: Part, one: WorkOrder
) -> None:
    laser = Tool.objects.create(site=one.site, store=store(one.site), number="T-1", name="Laser")
    tools.issue(laser.pk, holder=boss, actor=boss)
    buttons = [(seal, b) for b in ("receive", "transfer", "adjust")] + [(laser, "lend"), (laser, "take_back")]
    buttons += [(one, b) for b in ("reserve", "issue", "issue_reserved", "release", "give_back")]
    viewer = factories.user(site=one.site, role=ROLES.VIEWER, is_staff=True)
    stranger = factories.user(site=factories.site(), role=ROLES.ADMIN, is_staff=True)
    for user, status in ((viewer, 403), (stranger, 404)):
        client.force_login(user)
        for row, button in buttons:
            assert client.post(page(row, button), {"confirmed": "1"}).status_code == status, (user, button)
    client.force_login(viewer)
    for row, button in buttons:
        assert page(row, button) not in client.get(page(row, "change")).content.decode()
    assert (Movement.objects.count(), ToolLoan.objects.filter(returned_at=None).count()) == (1, 1)


def test_a_form_offers_the_stores_of_its_site_only(client: Client, tina: User, seal: Part, one: WorkOrder) -> None:
    client.force_login(tina)
    theirs = store(factories.site(), "Theirs")
    for row, button, said in ((seal, "receive", {}), (one, "reserve", {"number": "S-1"})):
        assert "Theirs" not in client.get(page(row, button)).content.decode()
        assert "not one of the available choices" in press(client, row, button, store=theirs.pk, quantity="1", **said)
    foreign = part(theirs.site, number="F-1")
    told = press(client, one, "reserve", number=foreign.number, store=store(one.site).pk, quantity="1")
    assert "no part" in told


def test_the_list_of_parts_shows_what_is_below_its_minimum(client: Client, boss: User, seal: Part) -> None:
    client.force_login(boss)
    few, unused = part(seal.site, minimum=3), part(seal.site, minimum=3, is_active=False)
    listed = client.get(reverse("admin:maintenance_part_changelist"), {"level": "below"}).context["cl"].result_list
    assert [row.pk for row in listed] == [few.pk]
    for level, wanted in (("none", {few.pk, unused.pk}), ("some", {seal.pk})):
        url = reverse("admin:maintenance_part_changelist")
        assert {row.pk for row in client.get(url, {"level": level}).context["cl"].result_list} == wanted


def test_master_data_is_an_administrators_and_journaled(client: Client, boss: User, tina: User, site: Site) -> None:
    url = reverse("admin:maintenance_part_add")
    lines = {f"stocks-{name}_FORMS": "0" for name in ("TOTAL", "INITIAL", "MIN_NUM", "MAX_NUM")}
    said = {"site": site.pk, "number": "N-1", "name": "Nut", "unit": "pcs", "unit_cost": "0.0350", "minimum": "2.5"}
    client.force_login(tina)
    assert client.post(url, said | lines).status_code == 403
    client.force_login(boss)
    assert client.post(url, said | lines | {"is_active": "on"}).status_code == 302
    event = Event.objects.get(type="part.added")
    assert (event.site, event.data["after"]["unit_cost"], event.data["after"]["minimum"]) == (site, "0.035", "2.5")
    nut = Part.objects.get()
    assert client.post(page(nut, "delete"), {"post": "yes"}).status_code == 302
    assert list(Part.objects.all()) == []


def test_the_ledger_is_read_only(client: Client, boss: User, seal: Part) -> None:
    client.force_login(boss)
    row = Movement.objects.get()
    for name in ("change", "delete"):
        assert client.post(page(row, name), {"quantity": "1", "post": "yes"}).status_code == 403
    assert client.get(reverse("admin:maintenance_movement_add")).status_code == 403
    assert client.get(reverse("admin:maintenance_movement_changelist"), {"part__id__exact": seal.pk}).status_code == 200


def fill(one: WorkOrder, boss: User, n: int) -> None:
    for _ in range(n):
        bolt = part(one.site)
        stores.receive(bolt.pk, store=store(one.site), quantity=Decimal(1), actor=boss)
        reservations.reserve(one.pk, part=bolt, store=store(one.site), quantity=Decimal(2), actor=boss)
        tool = Tool.objects.create(site=one.site, store=store(one.site), number=f"T-{Tool.objects.count()}", name="x")
        tools.issue(tool.pk, holder=boss, order=one, actor=boss)


def test_pages_and_lists_ask_as_often_for_many_parts_as_for_few(client: Client, boss: User, one: WorkOrder) -> None:
    client.force_login(boss)
    http = _client(boss)
    counted = []
    for n in (2, 8):
        fill(one, boss, n)
        urls = [page(one, "change"), *(reverse(f"admin:maintenance_{m}_changelist") for m in LISTS)]
        asked = {url: _questions(client, url) for url in urls}
        asked |= {url: _questions(http, f"/api/v1/{url}/") for url in ROUTES}
        counted.append(asked)
    assert counted[0] == counted[1]
    assert max(counted[1][url] for url in ROUTES) <= 6
    assert counted[1][page(one, "change")] <= 31


LISTS = ("part", "store", "stock", "movement", "tool", "toolloan")
ROUTES = ("parts", "stores", "stocks", "stock-movements", "work-order-parts", "tools", "tool-loans")
_client = client


def _questions(http: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert http.get(url).status_code == 200
    return len(queries)


def test_a_tool_is_issued_and_comes_back(client: Client, tina: User, boss: User, one: WorkOrder) -> None:
    client.force_login(tina)
    laser = Tool.objects.create(site=one.site, store=store(one.site), number="T-1", name="Laser")
    assert page(laser, "take_back") not in client.get(page(laser, "change")).content.decode()
    assert "Issued" in press(client, laser, "lend", assignee=boss.pk, order=one.pk)
    assert f"That is {boss}" in press(client, laser, "lend", assignee=tina.pk)
    shown = client.get(page(one, "change")).content.decode()
    assert "T-1 Laser" in shown
    url = reverse("admin:maintenance_tool_changelist")
    for out, wanted in (("out", [laser]), ("mine", []), ("in", [])):
        assert list(client.get(url, {"out": out}).context["cl"].result_list) == wanted
    assert "Back" in press(client, laser, "take_back", remark="Battery is flat")
    assert "Nobody has the tool" in press(client, laser, "take_back", remark="")
    loan = ToolLoan.objects.get()
    assert (loan.holder, loan.issued_by, loan.returned_by, loan.remark) == (boss, tina, tina, "Battery is flat")
    kinds = Event.objects.filter(subject=f"tool/{laser.pk}").order_by("id").values_list("type", flat=True)
    assert list(kinds) == ["tool.issued", "tool.returned"]


def test_a_tool_goes_to_somebody_who_works_there_and_while_it_is_in_use(site: Site, tina: User, boss: User) -> None:
    laser = Tool.objects.create(site=site, store=store(site), number="T-1", name="Laser")
    with pytest.raises(tools.Refused):
        tools.issue(laser.pk, holder=factories.user(site=site, role=ROLES.VIEWER), actor=boss)
    with pytest.raises(stores.OtherSite):
        tools.issue(laser.pk, holder=tina, order=order(factories.site()), actor=boss)
    Tool.objects.filter(pk=laser.pk).update(is_active=False)
    with pytest.raises(tools.ToolNotInUse):
        tools.issue(laser.pk, holder=tina, actor=boss)


def test_parts_over_rest_from_the_shelf_to_the_order(site: Site, tina: User, boss: User, one: WorkOrder) -> None:
    chief, http = client(boss), client(tina)
    main = chief.post("/api/v1/stores/", {"site": site.pk, "name": "Main"}, JSON).json()["id"]
    body = {"site": site.pk, "number": "S-1", "name": "Seal", "unit_cost": "4.5", "minimum": "5", "lead_time_days": 3}
    problem(http.post("/api/v1/parts/", body, JSON), status=403, name="forbidden")
    made = chief.post("/api/v1/parts/", body, JSON)
    assert (made.status_code, made.json()["on_hand"]) == (201, "0.000")
    seal = f"/api/v1/parts/{made.json()['id']}/"
    assert http.post(f"{seal}receive/", {"store": main, "quantity": "6"}, JSON).json()["on_hand"] == "6.000"
    count = {"store": main, "counted": "4", "reason": "Count"}
    problem(http.post(f"{seal}adjust/", count, JSON), status=403, name="forbidden")
    assert chief.post(f"{seal}adjust/", count, JSON).json()["on_hand"] == "4.000"
    assert [row["number"] for row in http.get("/api/v1/parts/?below_minimum=true").json()["results"]] == ["S-1"]
    want = {"order": one.pk, "part": made.json()["id"], "store": main, "quantity": "5"}
    line = http.post("/api/v1/work-order-parts/", want, JSON).json()
    assert (line["reserved"], line["short"], line["earliest_on"] is not None) == ("4.000", "1.000", True)
    mine = f"/api/v1/work-order-parts/{line['id']}/"
    assert http.post(f"{mine}issue/", {"quantity": "3"}, JSON).json()["used"] == "3.000"
    problem(http.post(f"{mine}issue/", {"quantity": "2"}, JSON), status=409, name="conflict")
    assert http.post(f"{mine}return/", {"quantity": "1"}, JSON).json()["used"] == "2.000"
    for bad in ("0", "-1", "NaN", "0.0001", "x"):
        problem(http.post(f"{mine}issue/", {"quantity": bad}, JSON), status=400, name="invalid")
    assert http.post(f"{mine}release/", {}, JSON).json()["reserved"] == "0.000"
    kinds = [row["kind"] for row in http.get(f"/api/v1/stock-movements/?order={one.pk}").json()["results"]]
    assert sorted(kinds) == ["ISSUE", "RETURN"]
    assert Stock.objects.get().on_hand == 2
    problem(chief.delete(seal), status=409, name="conflict")


def test_rest_takes_no_rows_of_another_site(site: Site, tina: User, boss: User, one: WorkOrder, seal: Part) -> None:
    foreign = order(factories.site())
    theirs, bolt = store(foreign.site), part(foreign.site)
    http = client(tina)
    mine = {"order": one.pk, "part": seal.pk, "store": store(site).pk, "quantity": "1"}
    for name, row in (("order", foreign), ("part", bolt), ("store", theirs)):
        answer = http.post("/api/v1/work-order-parts/", mine | {name: row.pk}, JSON)
        problem(answer, status=400, name="invalid")
        assert "among yours" in answer.content.decode()
    problem(
        http.post(f"/api/v1/parts/{seal.pk}/receive/", {"store": theirs.pk, "quantity": "1"}, JSON), status=400,
        name="invalid",
    )  # fmt: skip
    viewer = client(factories.user(site=site, role=ROLES.VIEWER))
    problem(viewer.post("/api/v1/work-order-parts/", mine, JSON), status=403, name="forbidden")
    assert OrderPart.objects.count() == 0
    assert Store.objects.filter(site=site).count() == 1


def test_tools_over_rest(site: Site, tina: User, boss: User, one: WorkOrder) -> None:
    chief, http = client(boss), client(tina)
    body = {"site": site.pk, "store": store(factories.site()).pk, "number": "T-1", "name": "Laser"}
    problem(chief.post("/api/v1/tools/", body, JSON), status=400, name="invalid")
    made = chief.post("/api/v1/tools/", body | {"store": store(site).pk}, JSON).json()
    tool = f"/api/v1/tools/{made['id']}/"
    out = http.post(f"{tool}issue/", {"assignee": "tina", "order": one.pk}, JSON).json()["out"]
    assert (out["holder"], out["order"], out["returned_at"]) == (tina.pk, one.pk, None)
    problem(http.post(f"{tool}issue/", {"assignee": "tina"}, JSON), status=409, name="conflict")
    stranger = factories.user(site=factories.site(), role=ROLES.TECHNICIAN)
    problem(http.post(f"{tool}issue/", {"assignee": stranger.username}, JSON), status=400, name="invalid")
    assert len(http.get("/api/v1/tools/?is_out=true").json()["results"]) == 1
    assert http.post(f"{tool}take-back/", {}, JSON).json()["out"] is None
    assert [row["holder"] for row in http.get("/api/v1/tool-loans/?is_out=false").json()["results"]] == [tina.pk]
