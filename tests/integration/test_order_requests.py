"""Requesting work in the admin: by whom, for which machines, and what is told where it is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from maintenance.models import WorkOrder
from sensors.models import Equipment, Event, Membership, Site
from tests import factories
from tests.integration.test_work_orders import make_order

pytestmark = pytest.mark.django_db

PAGE = "/admin/maintenance/workorder/request-work/"
ROLES = Membership.Role


@pytest.fixture
def machine() -> Equipment:
    return factories.machine(site=factories.site(), tag="P-1", criticality="HIGH")


@pytest.fixture
def tina(machine: Equipment) -> User:
    return factories.user(site=machine.site, role=ROLES.TECHNICIAN, is_staff=True)


@pytest.fixture
def desk(client: Client, tina: User) -> Client:
    client.force_login(tina)
    return client


def said(machine: Equipment, **more: object) -> dict[str, object]:
    return {"machine": machine.pk, "title": "Guard is loose", "maintenance_type": "CORRECTIVE_IMMEDIATE"} | more


def test_work_is_requested_and_the_new_order_is_shown(desk: Client, tina: User, machine: Equipment) -> None:
    more = {"failure_mode": "VIB", "due_at": "2026-03-06T16:00", "expected_cost": "12.50", "hours_to_failure": "12",
            "description": "Rattles"}  # fmt: skip
    answer = desk.post(PAGE, said(machine, **more))
    made = WorkOrder.objects.get()
    assert answer.headers["Location"] == reverse("admin:maintenance_workorder_change", args=[made.pk])
    assert (made.status, made.requested_by, made.machine, made.site) == ("REQUESTED", tina, machine, machine.site)
    assert (made.priority, made.failure_mode, f"{made.due_at:%d %H:%M}") == ("CRITICAL", "VIB", "06 16:00")
    assert (str(made.expected_cost), made.description) == ("12.50", "Rattles")
    assert Event.objects.filter(type="work_order.requested", actor=tina.username).count() == 1
    assert "Requested: WO-" in desk.get(answer.headers["Location"]).content.decode()


def test_when_it_is_due_is_asked_for_in_the_time_zone_of_the_site(desk: Client, machine: Equipment) -> None:
    Site.objects.filter(pk=machine.site_id).update(time_zone="Europe/Rome")
    assert "In Europe/Rome." in desk.get(PAGE).content.decode()
    desk.post(f"{PAGE}?machine={machine.pk}", said(machine, due_at="2026-03-06T16:00"))
    assert f"{WorkOrder.objects.get().due_at:%d %H:%M %Z}" == "06 15:00 UTC"


def test_what_has_an_open_order_is_refused_with_a_link_to_it(desk: Client, machine: Equipment) -> None:
    known = make_order(site=machine.site, machine=machine, failure_mode="VIB", title="Worn <b>bearing</b>")
    text = desk.post(PAGE, said(machine, failure_mode="VIB")).content.decode()
    assert f'<a class="desk-link" href="{reverse("admin:maintenance_workorder_change", args=[known.pk])}">' in text
    assert "has an open order for this failure mode already" in text
    assert "Worn &lt;b&gt;" in text
    assert WorkOrder.objects.count() == 1
    assert desk.post(PAGE, said(machine, failure_mode="LOO")).status_code == 302


@pytest.mark.parametrize(
    "wrong",
    [{"title": " "}, {"maintenance_type": "MAGIC"}, {"failure_mode": "XYZ"}, {"due_at": "soon"}, {"machine": ""},
     {"expected_cost": "-1"}, {"hours_to_failure": "nan"}, {"title": "x" * 201}],
)  # fmt: skip
def test_what_is_wrong_is_told_beside_its_field(desk: Client, machine: Equipment, wrong: dict[str, Any]) -> None:
    answer = desk.post(PAGE, said(machine) | wrong)
    assert set(answer.context["form"].errors) == set(wrong)
    assert not WorkOrder.objects.exists()


def test_a_machines_page_leads_to_the_page_with_the_machine_filled_in(desk: Client, machine: Equipment) -> None:
    other = factories.machine(site=machine.site)
    button = reverse("admin:sensors_equipment_request_work", args=[machine.pk])
    assert button in desk.get(reverse("admin:sensors_equipment_change", args=[machine.pk])).content.decode()
    page = desk.get(button, follow=True)
    assert page.redirect_chain == [(f"{PAGE}?machine={machine.pk}", 302)]
    text = page.content.decode()
    assert f'<option value="{machine.pk}" selected>' in text
    assert f'<option value="{other.pk}">' in text
    assert f'href="{reverse("admin:sensors_equipment_change", args=[machine.pk])}">Back' in text
    part = factories.machine(site=machine.site, level="COMPONENT", parent=machine)
    assert "request-work" not in desk.get(reverse("admin:sensors_equipment_change", args=[part.pk])).content.decode()


@pytest.mark.parametrize("name", ["admin:maintenance_workorder_changelist", "order-board"])
def test_the_list_and_the_board_lead_there(desk: Client, machine: Equipment, name: str) -> None:
    assert f'href="{PAGE}"' in desk.get(reverse(name)).content.decode()


@pytest.mark.parametrize("key", ["", "0", "x", "\u00b2", "9" * 40])
def test_a_machine_that_is_none_is_filled_in_nowhere(desk: Client, machine: Equipment, key: str) -> None:
    page = desk.get(PAGE, {"machine": key})
    assert page.status_code == 200
    assert "selected>P-1" not in page.content.decode()


def test_only_machines_of_sites_in_which_somebody_acts_are_offered(
    desk: Client, tina: User, machine: Equipment
) -> None:
    read_only, foreign = factories.machine(site=factories.site()), factories.machine(site=factories.site())
    Membership.objects.create(site=read_only.site, user=tina, role=ROLES.VIEWER)
    line = factories.machine(site=machine.site, level="LINE")
    offered = desk.get(PAGE).context["form"].fields["machine"].queryset
    assert list(offered) == [machine]
    for one in (read_only, foreign, line):
        assert "machine" in desk.post(PAGE, said(one)).context["form"].errors
    assert not WorkOrder.objects.exists()
    shown = desk.get(reverse("admin:sensors_equipment_change", args=[read_only.pk])).content.decode()
    assert "request-work" not in shown


@pytest.mark.parametrize("role", [ROLES.VIEWER, ROLES.INGEST, None])
def test_who_may_not_request_sees_no_button_and_is_refused(
    client: Client, machine: Equipment, role: str | None
) -> None:
    site = None if role is None else machine.site
    client.force_login(factories.user(site=site, is_staff=True, **({"role": role} if role else {})))
    assert client.get(PAGE).status_code == 403
    assert client.post(PAGE, said(machine)).status_code == 403
    assert not WorkOrder.objects.exists()
    for page in (
        reverse("admin:maintenance_workorder_changelist"),
        reverse("order-board"),
        reverse("admin:sensors_equipment_change", args=[machine.pk]),
    ):
        assert "request-work" not in client.get(page).content.decode()


def test_an_order_is_found_by_its_number(desk: Client, machine: Equipment) -> None:
    first, second = (make_order(site=machine.site, machine=machine, failure_mode="") for _ in range(2))
    listed = reverse("admin:maintenance_workorder_changelist")
    for words in (f"WO-{second.pk}", f" wo-{second.pk} "):
        assert list(desk.get(listed, {"q": words}).context["cl"].result_list) == [second]
    assert list(desk.get(listed, {"q": f"WO-{10**17}"}).context["cl"].result_list) == []
    assert set(desk.get(listed, {"q": first.title}).context["cl"].result_list) == {first, second}
