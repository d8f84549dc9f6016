"""Preventive plans and meters in the admin and over REST."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import shelves
from maintenance import meters, plans
from maintenance.models import WorkOrder
from maintenance.plan_models import Meter, MeterReading, Plan, PlanOccurrence
from sensors.models import Equipment, Membership, Site
from tests import factories
from tests.client import JSON, client, problem

pytestmark = pytest.mark.django_db

PAGE, METERS = "admin:maintenance_plan_", "admin:maintenance_meter_"
PATH, METER_PATH = "/api/v1/plans/", "/api/v1/meters/"
DAY = timedelta(days=1)
Role = Membership.Role


@pytest.fixture
def site() -> Site:
    return factories.site(time_zone="Europe/Rome")


@pytest.fixture
def machine(site: Site) -> Equipment:
    return factories.machine(site=site)


@pytest.fixture
def anna(site: Site) -> User:
    return factories.user(site=site, role=Role.ADMIN, is_staff=True)


@pytest.fixture
def desk(client: Client, anna: User) -> Client:
    client.force_login(anna)
    return client


def today() -> date:
    return timezone.now().date()


def form(machine: Equipment, **more: Any) -> dict[str, Any]:
    return {
        "site": machine.site_id, "machine": machine.pk, "kind": "WORK", "title": "Grease", "minutes": "30",
        "basis": "COMPLETION", "every": "1", "unit": "MONTH", "first_on": (today() + 3 * DAY).isoformat(),
        "due_time": "17:00", "lead_days": "2", "outside": "WAIT", "meter_lead": "0",
        "occurrences-TOTAL_FORMS": "0", "occurrences-INITIAL_FORMS": "0",
    } | more  # fmt: skip


def stored(machine: Equipment, actor: User, **fields: Any) -> Plan:
    said = {"title": "Grease", "every": 1, "first_on": today() - 2 * DAY} | fields
    return plans.add(Plan(site=machine.site, machine=machine, **said), actor=actor)


def listed(desk: Client, **query: str) -> list[Any]:
    return list(desk.get(reverse(f"{PAGE}changelist"), query).context["cl"].result_list)


# In the admin


def test_a_plan_is_previewed_before_it_is_saved_and_nothing_is_stored(desk: Client, machine: Equipment) -> None:
    page = desk.get(reverse(f"{PAGE}add")).content.decode()
    address = reverse(f"{PAGE}preview")
    assert f'formaction="{address}"' in page
    shown = desk.post(address, form(machine, first_on="2027-01-31"), headers={"HX-Request": "true"}).content.decode()
    assert shown.count("<tr><td>") == 10
    assert ["2027-01-31 17:00 CET" in shown, "2027-03-28 17:00 CEST" in shown, "<!doctype" in shown] == [1, 1, 0]
    wrong = desk.post(address, form(machine, every="")).content.decode()
    assert "Say when it comes again" in wrong
    assert not Plan.objects.exists()


def test_a_plan_is_added_changed_paused_and_resumed(desk: Client, machine: Equipment, anna: User) -> None:
    assert desk.post(reverse(f"{PAGE}add"), form(machine)).status_code == 302
    made = Plan.objects.get()
    assert (made.created_by, made.look_at is not None) == (anna, True)
    page = reverse(f"{PAGE}change", args=[made.pk])
    assert "to come" in desk.get(page).content.decode()
    assert desk.post(page, form(machine, title="Oil", every="2")).status_code == 302
    preview = desk.post(reverse(f"{PAGE}preview_of", args=[made.pk]), form(machine, every="7")).content.decode()
    assert "<!doctype" in preview
    made.refresh_from_db()
    assert (made.title, made.every) == ("Oil", 2)
    pause = reverse(f"{PAGE}pause", args=[made.pk])
    assert desk.post(pause, {"confirmed": "1"}).status_code == 200
    assert desk.post(pause, {"confirmed": "1", "comment": "Mothballed"}).status_code == 302
    text = desk.get(page).content.decode()
    assert ["Mothballed" in text, pause in text, reverse(f"{PAGE}resume", args=[made.pk]) in text] == [1, 0, 1]
    assert desk.post(reverse(f"{PAGE}resume", args=[made.pk]), {"confirmed": "1"}).status_code == 302
    assert listed(desk, standing="paused") == []
    assert desk.post(reverse(f"{PAGE}delete", args=[made.pk]), {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("__all__", {"first_on": ""}),
        ("season_last", {"season_first": "04-01"}),
        ("first_on", {"first_on": "2999-01-01"}),
        ("title", {"title": ""}),
    ],
)
def test_a_form_that_makes_no_sense_is_told_beside_its_field(
    desk: Client, machine: Equipment, field: str, wrong: dict[str, Any]
) -> None:
    answer = desk.post(reverse(f"{PAGE}add"), form(machine) | wrong)
    assert (answer.status_code, set(answer.context["adminform"].form.errors)) == (200, {field})
    assert not Plan.objects.exists()


def test_the_list_shows_what_is_overdue_and_the_order_that_is_open(
    desk: Client, machine: Equipment, anna: User
) -> None:
    assert "No preventive plan yet" in desk.get(reverse(f"{PAGE}changelist")).content.decode()
    late, later = stored(machine, anna), stored(machine, anna, first_on=today() + 40 * DAY, title="Oil")
    shelves.look()
    order = WorkOrder.objects.get()
    assert (listed(desk), listed(desk, standing="overdue")) == ([late, later], [late])
    assert listed(desk, standing="ordered") == [late]
    text = desk.get(reverse(f"{PAGE}changelist")).content.decode()
    assert ["overdue" in text, f"WO-{order.pk}" in text, "every month, from the completion" in text] == [1, 1, 1]


def test_work_that_was_done_is_recorded_by_a_technician_who_cannot_pause(
    client: Client, machine: Equipment, anna: User
) -> None:
    made = stored(machine, anna, first_on=today() + 9 * DAY)
    client.force_login(factories.user(site=machine.site, role=Role.TECHNICIAN, is_staff=True))
    page = client.get(reverse(f"{PAGE}change", args=[made.pk])).content.decode()
    done, pause = (reverse(f"{PAGE}{name}", args=[made.pk]) for name in ("record_done", "pause"))
    assert (done in page, pause in page, "Show the next ten" in page) == (True, False, False)
    assert client.post(pause, {"confirmed": "1", "comment": "x"}).status_code == 403
    assert client.post(reverse(f"{PAGE}preview"), form(machine)).status_code == 403
    said = {"confirmed": "1", "on": (today() - DAY).isoformat(), "comment": "With the repair"}
    assert client.post(done, said).status_code == 302
    made.refresh_from_db()
    assert (made.number, PlanOccurrence.objects.get().comment) == (2, "With the repair")


def test_a_meter_is_added_and_read_in_the_admin(desk: Client, machine: Equipment) -> None:
    assert "No meter yet" in desk.get(reverse(f"{METERS}changelist")).content.decode()
    said = {
        "site": machine.site_id, "machine": machine.pk, "name": "Hours", "unit": "HOURS", "source": "ENTERED",
        "readings-TOTAL_FORMS": "0", "readings-INITIAL_FORMS": "0",
    }  # fmt: skip
    wrong = desk.post(reverse(f"{METERS}add"), said | {"threshold": "3"})
    assert "neither" in wrong.content.decode()
    assert desk.post(reverse(f"{METERS}add"), said).status_code == 302
    row = Meter.objects.get()
    enter = reverse(f"{METERS}enter", args=[row.pk])
    for value, replaced in (("100", ""), ("90", ""), ("5", "on")):
        desk.post(enter, {"confirmed": "1", "value": value, "replaced": replaced})
    assert list(MeterReading.objects.order_by("at").values_list("value", "total")) == [(100, 100), (5, 100)]
    assert "100.0" in desk.get(reverse(f"{METERS}change", args=[row.pk])).content.decode()
    assert desk.post(reverse(f"{METERS}change", args=[row.pk]), said | {"name": "Run time"}).status_code == 302
    row.refresh_from_db()
    assert (row.name, row.total) == ("Run time", 100)


def test_lists_ask_as_often_for_many_as_for_one(desk: Client, machine: Equipment, anna: User) -> None:
    counts = []
    for _ in range(2):
        for n in range(4):
            row = meters.add(
                Meter(site=machine.site, machine=machine, name=f"m {len(counts)} {n}"), actor=anna
            )  # fmt: skip
            stored(machine, anna, meter=row, meter_every=5.0)
        shelves.look()
        asked = []
        for page in (reverse(f"{PAGE}changelist"), reverse(f"{METERS}changelist")):
            with CaptureQueriesContext(connection) as queries:
                assert desk.get(page).status_code == 200
            asked.append(len(queries))
        counts.append(asked)
    assert counts[0] == counts[1]
    assert max(counts[0]) <= 12


# Over REST


def body(machine: Equipment, **more: Any) -> dict[str, Any]:
    """A weekly plan due first tomorrow: ahead at every hour of the day, in every time zone."""
    said = {"site": machine.site_id, "machine": machine.pk, "title": "Grease", "every": 1, "unit": "WEEK"}
    return said | {"first_on": (today() + DAY).isoformat()} | more


def test_a_plan_lives_over_rest(machine: Equipment, anna: User) -> None:
    http = client(anna)
    shown = http.post(f"{PATH}preview/", body(machine), JSON).json()
    assert [one["due_on"] for one in shown] == [(today() + (1 + 7 * n) * DAY).isoformat() for n in range(10)]
    assert not Plan.objects.exists()
    made = http.post(PATH, body(machine, lead_days=2), JSON)  # which has begun by now in every time zone
    assert made.status_code == 201
    path = f"{PATH}{made.json()['id']}/"
    shelves.look()
    row = http.get(path).json()
    assert row["open_order"] == WorkOrder.objects.get().pk
    problem(http.post(f"{path}record-done/", {"comment": "x"}, JSON), status=409, name="conflict")
    assert http.patch(path, {"title": "Oil", "machine": 0}, JSON).json()["title"] == "Oil"
    problem(http.patch(path, {"season_first": "13-01", "season_last": "13-01"}, JSON), status=400, name="invalid")
    assert http.post(f"{path}pause/", {"reason": "Idle"}, JSON).json()["pause_reason"] == "Idle"
    problem(http.post(f"{path}pause/", {"reason": "Idle"}, JSON), status=409, name="conflict")
    assert [len(http.get(PATH, {"paused": flag}).json()["results"]) for flag in ("true", "false")] == [1, 0]
    assert http.post(f"{path}resume/", {}, JSON).json()["paused_at"] is None
    assert [one["number"] for one in http.get(f"{path}occurrences/").json()["results"]] == [1]
    assert len(http.get(f"{path}upcoming/").json()) == 10
    assert http.get(PATH, {"overdue": "true"}).json()["results"] == []
    Plan.objects.update(due_at=timezone.now() - DAY)
    assert [len(http.get(PATH, {"overdue": flag}).json()["results"]) for flag in ("true", "false")] == [1, 0]


@pytest.mark.parametrize("wrong", [{"first_on": None}, {"minutes": 0}, {"machine": 10**9}, {"every": "often"}])
def test_a_body_that_makes_no_sense_is_a_clear_problem(machine: Equipment, anna: User, wrong: dict[str, Any]) -> None:
    for path in (PATH, f"{PATH}preview/"):
        problem(client(anna).post(path, body(machine) | wrong, JSON), status=400, name="invalid")


def test_a_meter_lives_over_rest(machine: Equipment, anna: User) -> None:
    http = client(anna)
    made = http.post(METER_PATH, {"site": machine.site_id, "machine": machine.pk, "name": "Hours"}, JSON)
    assert made.status_code == 201
    path = f"{METER_PATH}{made.json()['id']}/"
    assert http.post(f"{path}enter/", {"value": 12.5}, JSON).json()["total"] == 12.5
    problem(http.post(f"{path}enter/", {"value": 3}, JSON), status=409, name="conflict")
    assert http.patch(path, {"name": "Run time"}, JSON).json()["name"] == "Run time"
    problem(http.patch(path, {"threshold": 3}, JSON), status=400, name="invalid")
    assert [one["value"] for one in http.get(f"{path}readings/").json()["results"]] == [12.5]


def test_only_an_administrator_writes_and_a_technician_records(machine: Equipment, anna: User) -> None:
    made = stored(machine, anna, first_on=today() + 9 * DAY)
    row = meters.add(Meter(site=machine.site, machine=machine, name="Hours"), actor=anna)
    path = f"{PATH}{made.pk}/"
    technician, viewer = (
        client(factories.user(site=machine.site, role=role)) for role in (Role.TECHNICIAN, Role.VIEWER)
    )
    for http in (technician, viewer):
        for answer in (
            http.post(PATH, body(machine), JSON), http.post(f"{PATH}preview/", body(machine), JSON),
            http.patch(path, {"title": "x"}, JSON), http.post(f"{path}pause/", {"reason": "x"}, JSON),
            http.post(f"{path}resume/", {}, JSON), http.patch(f"{METER_PATH}{row.pk}/", {"name": "x"}, JSON),
        ):  # fmt: skip
            problem(answer, status=403, name="forbidden")
    for url, said in ((f"{path}record-done/", {"comment": "x"}), (f"{METER_PATH}{row.pk}/enter/", {"value": 1})):
        problem(viewer.post(url, said, JSON), status=403, name="forbidden")
        assert technician.post(url, said, JSON).status_code == 200
    other = factories.machine(site=factories.site())
    problem(client(anna).post(PATH, body(other), JSON), status=400, name="invalid")
    problem(client(anna).post(PATH, body(machine) | {"machine": other.pk}, JSON), status=400, name="invalid")
