"""Hiding alarms over REST."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from maintenance.models import Suppression
from sensors.models import Membership
from tests import factories, plant
from tests.client import JSON, client, problem

pytestmark = pytest.mark.django_db

API = "/api/v1/"


@pytest.fixture
def rows() -> plant.Rows:
    made = plant.rows(factories.site())
    made.suppression.delete()
    return made


@pytest.fixture
def tina(rows: plant.Rows) -> User:
    return factories.user(site=rows.machine.site, role=Membership.Role.TECHNICIAN)


@pytest.fixture
def http(tina: User) -> Client:
    return client(tina)


def shelf(hours: int = 2, **more: object) -> dict[str, object]:
    return {"reason": "Cable is loose", "until": (timezone.now() + timedelta(hours=hours)).isoformat()} | more


def test_an_alarm_is_shelved_and_unshelved(http: Client, tina: User, rows: plant.Rows) -> None:
    path = f"{API}alarms/{rows.alarm.pk}/"
    answer = http.post(f"{path}shelve/", shelf(one_shot=True), JSON)
    assert (answer.status_code, answer.json()["state"], answer.json()["suppression"]) == (200, "SHLVD", "SHELVED")
    (listed,) = http.get(f"{API}suppressions/?standing=true").json()["results"]
    assert (listed["reason"], listed["one_shot"], listed["created_by"], listed["ended_at"]) == (
        "Cable is loose", True, tina.pk, None,
    )  # fmt: skip
    problem(http.post(f"{path}shelve/", shelf(), JSON), status=409, name="conflict")
    after = http.post(f"{path}unshelve/", {"comment": "Fixed"}, JSON).json()
    assert (after["state"], after["suppression"]) == ("UNACK", "")
    assert [step["action"] for step in after["transitions"]] == ["OPENED", "SHELVED", "UNSHELVED"]
    problem(http.post(f"{path}unshelve/", {}, JSON), status=409, name="conflict")
    assert http.get(f"{API}suppressions/?standing=true").json()["results"] == []
    assert len(http.get(f"{API}suppressions/?standing=false").json()["results"]) == 1


def test_shelving_without_reason_or_end_or_for_too_long_is_refused(http: Client, rows: plant.Rows) -> None:
    path = f"{API}alarms/{rows.alarm.pk}/shelve/"
    for wrong in ({}, {"reason": "x"}, {"until": "2030-01-01T00:00:00Z"}, shelf() | {"reason": ""}):
        problem(http.post(path, wrong, JSON), status=400, name="invalid")
    for hours, words in ((-1, "must lie ahead"), (25, "At most 24 hours")):
        told = problem(http.post(path, shelf(hours), JSON), status=409, name="conflict")
        assert words in told["detail"]
    assert not Suppression.objects.exists()


def test_an_acknowledgement_is_taken_back_and_an_alarm_assigned(http: Client, tina: User, rows: plant.Rows) -> None:
    path = f"{API}alarms/{rows.alarm.pk}/"
    problem(http.post(f"{path}unacknowledge/", {"comment": "x"}, JSON), status=409, name="conflict")
    http.post(f"{path}acknowledge/", {}, JSON)
    problem(http.post(f"{path}unacknowledge/", {}, JSON), status=400, name="invalid")
    assert http.post(f"{path}unacknowledge/", {"comment": "Called away"}, JSON).json()["state"] == "UNACK"
    problem(http.post(f"{path}assign/", {"assignee": "nobody"}, JSON), status=400, name="invalid")
    answer = http.post(f"{path}assign/", {"assignee": tina.username, "comment": "Yours"}, JSON)
    assert answer.json()["assigned_to"] == tina.pk
    assert answer.json()["transitions"][-1]["comment"] == f"To {tina.username}. Yours"


def test_alarms_are_found_by_their_state(http: Client, rows: plant.Rows) -> None:
    for state, count in (("UNACK", 1), ("SHLVD", 0), ("NORM", 0)):
        assert len(http.get(f"{API}alarms/?state={state}").json()["results"]) == count
    http.post(f"{API}alarms/{rows.alarm.pk}/shelve/", shelf(whole_machine=True), JSON)
    for state, count in (("UNACK", 0), ("SHLVD", 1), ("OOSRV", 0)):
        assert len(http.get(f"{API}alarms/?state={state}").json()["results"]) == count
    problem(http.get(f"{API}alarms/?state=LOUD"), status=400, name="invalid")


@pytest.mark.parametrize("act", ["shelve", "unshelve", "unacknowledge", "assign"])
def test_it_takes_a_role_that_acts_in_the_site(rows: plant.Rows, act: str) -> None:
    path = f"{API}alarms/{rows.alarm.pk}/{act}/"
    viewer = factories.user(site=rows.machine.site, role=Membership.Role.VIEWER)
    problem(client(viewer).post(path, shelf(), JSON), status=403, name="forbidden")
    problem(client(factories.user(site=factories.site())).post(path, shelf(), JSON), status=404, name="not-found")
    problem(client().post(path, shelf(), JSON), status=401, name="not-authenticated")


def test_suppressions_are_those_of_ones_own_sites(http: Client, rows: plant.Rows) -> None:
    theirs = plant.rows(factories.site()).suppression
    assert http.get(f"{API}suppressions/").json()["results"] == []
    problem(http.get(f"{API}suppressions/{theirs.pk}/"), status=404, name="not-found")
    assert http.post(f"{API}suppressions/", {}, JSON).status_code == 405
