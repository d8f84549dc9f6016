"""Operating rules and states in the admin and over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from agents import shelves
from maintenance import operating
from maintenance.models import Suppression
from maintenance.operating_models import OperatingState
from sensors.models import Equipment, Event, Membership, Sensor
from sensors.operating_models import OperatingRule
from tests import factories
from tests.client import JSON, client, problem

pytestmark = pytest.mark.django_db

RULES, STATES = "/api/v1/operating-rules/", "/api/v1/operating-states/"
RULE_PAGE, STATE_PAGE = "admin:sensors_operatingrule_", "admin:maintenance_operatingstate_"


@pytest.fixture
def machine() -> Equipment:
    return factories.machine(site=factories.site(), equipment_class="PUMP")


@pytest.fixture
def speed(machine: Equipment) -> Sensor:
    return factories.sensor(machine=machine, kind="SPEED")


@pytest.fixture
def anna(machine: Equipment) -> User:
    return factories.user(site=machine.site, role=Membership.Role.ADMIN, is_staff=True, username="anna")


@pytest.fixture
def tina(machine: Equipment) -> User:
    return factories.user(site=machine.site, role=Membership.Role.TECHNICIAN, is_staff=True, username="tina")


@pytest.fixture
def told(machine: Equipment) -> OperatingRule:
    return OperatingRule.objects.create(site=machine.site, machine=machine, off_hides=["ALL"])


def desk(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def form(machine: Equipment, **more: Any) -> dict[str, Any]:
    return {
        "site": machine.site_id, "machine": machine.pk, "off_below": "10", "running_above": "50",
        "startup_seconds": "300", "off_hides": ["ALL"], "startup_hides": ["VIB", "LOO"], "holds_minutes": "30",
        "most_hours": "24",
    } | more  # fmt: skip


# In the admin


def test_a_rule_is_laid_down_changed_and_deleted(client: Client, machine: Equipment, speed: Sensor, anna: User) -> None:
    page = desk(client, anna)
    assert "An operating rule says" in page.get(reverse(f"{RULE_PAGE}changelist")).content.decode()
    assert page.get(reverse(f"{RULE_PAGE}add")).status_code == 200
    assert page.post(reverse(f"{RULE_PAGE}add"), form(machine, sensor=speed.pk)).status_code == 302
    row = OperatingRule.objects.get()
    assert (row.off_hides, row.startup_hides, row.updated_by, row.sensor) == (["ALL"], ["VIB", "LOO"], anna, speed)
    text = page.get(reverse(f"{RULE_PAGE}changelist")).content.decode()
    assert f"sensor {speed}: off below 10, running from 50" in text
    one = reverse(f"{RULE_PAGE}change", args=[row.pk])
    assert page.get(one).status_code == 200
    assert page.post(one, form(machine, sensor=speed.pk, off_hides=["LOO"])).status_code == 302
    row.refresh_from_db()
    assert (row.off_hides, row.revision) == (["LOO"], 2)
    assert page.post(reverse(f"{RULE_PAGE}delete", args=[row.pk]), {"post": "yes"}).status_code == 302
    assert list(Event.objects.filter(type__startswith="operating_rule").values_list("actor", flat=True)) == ["anna"] * 3


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("off_hides", {"off_hides": ["ALL", "VIB"]}),
        ("sensor_kind", {"sensor_kind": "SMELL"}),
        ("most_hours", {"most_hours": "745"}),
        ("__all__", {}),
        ("__all__", {"sensor_kind": "SPEED", "machine": ""}),
    ],
)
def test_a_rule_that_makes_no_sense_is_told_beside_its_field(
    client: Client, machine: Equipment, speed: Sensor, anna: User, field: str, wrong: dict[str, Any]
) -> None:
    sensor = {} if field == "__all__" else {"sensor": speed.pk}
    answer = desk(client, anna).post(reverse(f"{RULE_PAGE}add"), form(machine) | sensor | wrong)
    assert answer.status_code == 200
    assert set(answer.context["adminform"].form.errors) == {field}


def test_a_sensor_of_another_machine_is_refused(client: Client, machine: Equipment, anna: User) -> None:
    other = factories.sensor(machine=factories.machine(site=machine.site))
    answer = desk(client, anna).post(reverse(f"{RULE_PAGE}add"), form(machine, sensor=other.pk))
    assert set(answer.context["adminform"].form.errors) == {"sensor"}


def test_a_technician_tells_the_state_and_sees_what_it_hides(
    client: Client, machine: Equipment, told: OperatingRule, tina: User
) -> None:
    page = desk(client, tina)
    assert "No machine whose state is known" in page.get(reverse(f"{STATE_PAGE}changelist")).content.decode()
    assert page.get(reverse(f"{STATE_PAGE}add")).status_code == 200
    said = {"machine": machine.pk, "state": "OFF", "reason": "End of shift"}
    for _ in range(2):
        assert page.post(reverse(f"{STATE_PAGE}add"), said).status_code == 302
    row = OperatingState.objects.get()
    assert (row.state, row.source, row.told_by) == ("OFF", "tina: End of shift", tina)
    assert Suppression.objects.get(ended_at=None).operating == row
    text = page.get(reverse(f"{STATE_PAGE}changelist"), {"state__exact": "OFF"}).content.decode()
    assert "tina: End of shift" in text
    assert "holds until" in text
    one = reverse(f"{STATE_PAGE}change", args=[row.pk])
    assert "Tell the state" in page.get(one).content.decode()
    button = reverse(f"{STATE_PAGE}tell_state", args=[row.pk])
    assert page.get(button).status_code == 200
    assert page.post(button, {"state": "RUNNING", "reason": "", "confirmed": "yes"}).status_code == 302
    row.refresh_from_db()
    assert row.state == "RUNNING"
    history = page.get(reverse("admin:sensors_event_changelist"), {"q": f"operating-state/{row.pk}"})
    assert len(history.context["cl"].result_list) == 2


def test_a_machine_without_a_rule_has_no_state_to_tell(client: Client, machine: Equipment, tina: User) -> None:
    said = {"machine": machine.pk, "state": "OFF", "reason": ""}
    answer = desk(client, tina).post(reverse(f"{STATE_PAGE}add"), said)
    assert "No operating rule holds" in answer.content.decode()


def test_who_only_reads_tells_nothing_and_a_technician_lays_down_nothing(
    client: Client, machine: Equipment, told: OperatingRule, tina: User
) -> None:
    page = desk(client, tina)
    assert page.get(reverse(f"{RULE_PAGE}add")).status_code == 403
    assert page.post(reverse(f"{RULE_PAGE}change", args=[told.pk]), form(machine)).status_code == 403
    row = operating.tell(machine, "OFF", actor=tina)
    viewer = desk(client, factories.user(site=machine.site, role=Membership.Role.VIEWER, is_staff=True))
    assert viewer.get(reverse(f"{STATE_PAGE}changelist")).status_code == 200
    assert viewer.get(reverse(f"{STATE_PAGE}add")).status_code == 403
    button = reverse(f"{STATE_PAGE}tell_state", args=[row.pk])
    assert viewer.post(button, {"state": "RUNNING", "confirmed": "yes"}).status_code == 403


def test_a_member_who_only_reads_in_the_machines_site_cannot_tell_it(
    client: Client, machine: Equipment, told: OperatingRule, tina: User
) -> None:
    viewer = factories.user(site=machine.site, role=Membership.Role.VIEWER, is_staff=True)
    Membership.objects.create(site=factories.site(), user=viewer, role=Membership.Role.TECHNICIAN)
    said = {"machine": machine.pk, "state": "OFF", "reason": ""}
    assert desk(client, viewer).post(reverse(f"{STATE_PAGE}add"), said).status_code == 403
    assert not OperatingState.objects.exists()


# Over REST


def test_a_rule_is_laid_down_over_rest_and_followed(machine: Equipment, speed: Sensor, anna: User) -> None:
    http = client(anna)
    said = {"site": machine.site_id, "machine": machine.pk, "sensor": speed.pk, "off_below": 10, "running_above": 50}
    answer = http.post(RULES, said | {"off_hides": ["ALL"]}, JSON)
    assert answer.status_code == 201, answer.content
    path = f"{RULES}{answer.json()['id']}/"
    changed = http.patch(path, {"startup_seconds": 60, "startup_hides": ["VIB"]}, JSON).json()
    assert (changed["startup_seconds"], changed["off_hides"], changed["revision"]) == (60, ["ALL"], 2)
    problem(http.post(RULES, said | {"off_hides": ["ALL"]}, JSON), status=400, name="invalid")
    problem(http.patch(path, {"off_hides": ["XXX"]}, JSON), status=400, name="invalid")
    problem(http.patch(path, {"sensor": 0}, JSON), status=400, name="invalid")
    assert http.delete(path).status_code == 204
    assert not OperatingRule.objects.exists()


def test_a_control_system_tells_and_what_it_hid_comes_back(machine: Equipment, told: OperatingRule, tina: User) -> None:
    http = client(tina)
    off = http.post(STATES, {"machine": machine.pk, "state": "OFF"}, JSON)
    assert (off.status_code, off.json()["state"], off.json()["told_by"]) == (200, "OFF", tina.pk)
    assert http.get(f"/api/v1/suppressions/?operating={off.json()['id']}&standing=true").json()["results"]
    early = http.post(STATES, {"machine": machine.pk, "state": "RUNNING", "at": "2020-01-01T00:00:00Z"}, JSON)
    problem(early, status=409, name="conflict")
    assert http.post(STATES, {"machine": machine.pk, "state": "RUNNING"}, JSON).json()["state"] == "RUNNING"
    assert http.get(f"{STATES}?state=RUNNING").json()["results"][0]["machine"] == machine.pk
    Suppression.objects.update(until=Suppression.objects.get().from_at + timedelta(microseconds=1))
    shelves.look()
    assert http.get("/api/v1/suppressions/?standing=true").json()["results"] == []


def test_roles_and_sites_are_kept_apart_over_rest(machine: Equipment, told: OperatingRule, tina: User) -> None:
    said = {"machine": machine.pk, "state": "OFF"}
    problem(client(tina).patch(f"{RULES}{told.pk}/", {"most_hours": 5}, JSON), status=403, name="forbidden")
    problem(client(tina).delete(f"{RULES}{told.pk}/"), status=403, name="forbidden")
    problem(
        client(tina).post(RULES, {"site": machine.site_id, "equipment_class": "X", "off_hides": ["ALL"]}, JSON),
        status=403, name="forbidden",
    )  # fmt: skip
    for role in (Membership.Role.VIEWER, Membership.Role.INGEST):
        user = factories.user(site=machine.site, role=role)
        problem(client(user).post(STATES, said, JSON), status=403, name="forbidden")
    stranger = client(factories.user(site=factories.site()))
    problem(stranger.post(STATES, said, JSON), status=400, name="invalid")
    problem(stranger.patch(f"{RULES}{told.pk}/", {"most_hours": 5}, JSON), status=404, name="not-found")
    bare = factories.machine(site=machine.site)
    problem(client(tina).post(STATES, {"machine": bare.pk, "state": "OFF"}, JSON), status=409, name="conflict")
    assert not OperatingState.objects.exists()
