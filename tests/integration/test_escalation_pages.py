"""Chains, rotas and escalations in the admin and over REST."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from maintenance.escalation_models import Chain, Escalation, Override, Rota, Shift
from maintenance.models import Alarm, Channel, Reader
from sensors.models import Membership, Site
from tests import factories, plant
from tests.client import JSON, client, problem

pytestmark = pytest.mark.django_db

API = "/api/v1/"
ROLES = Membership.Role


def url(model: type[Model], name: str, *keys: object) -> str:
    return reverse(f"admin:maintenance_{model._meta.model_name}_{name}", args=keys)


def member(site: Site, role: str = ROLES.TECHNICIAN, **fields: Any) -> User:
    return factories.user(site=site, role=role, password=None, **fields)


@pytest.fixture
def site() -> Site:
    return factories.site(time_zone="Europe/Lisbon")


@pytest.fixture
def boss(client: Client, site: Site) -> Client:
    """An administrator of the site, and no superuser."""
    client.force_login(member(site, ROLES.ADMIN, is_staff=True))
    return client


def reader(site: Site, name: str = "anna") -> Reader:
    return Reader.objects.create(site=site, user=member(site, username=name))


def steps(*rows: dict[str, object]) -> dict[str, object]:
    form: dict[str, object] = {"steps-TOTAL_FORMS": len(rows), "steps-INITIAL_FORMS": 0}
    for number, row in enumerate(rows):
        filled = {"position": number, "after_minutes": 5, "times": 1, "every_minutes": 10} | row
        form |= {f"steps-{number}-{name}": value for name, value in filled.items()}
    return form


def chain_form(site: Site, **fields: object) -> dict[str, object]:
    return {"site": site.pk, "name": "Night", "lowest_priority": "HIGH", "is_enabled": "on"} | fields


# Chains


def test_a_chain_is_made_with_its_steps(boss: Client, site: Site) -> None:
    anna = reader(site)
    answer = boss.post(
        url(Chain, "add"), chain_form(site) | steps({"reader": anna.pk}, {"reader": anna.pk, "times": ""})
    )
    assert answer.status_code == 302
    made = Chain.objects.get()
    assert list(made.steps.values_list("position", "reader", "times")) == [(0, anna.pk, 1), (1, anna.pk, None)]
    assert "anna after 5 min, then anna after 5 min" in boss.get(url(Chain, "changelist")).content.decode()


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([], "A chain needs a step"),
        ([{}], "Choose a person, a channel or a rota"),
        ([{"reader": "anna", "rota": "nights"}], "Choose a person, a channel or a rota"),
        ([{"reader": "anna", "times": ""}, {"rota": "nights"}], "Only the last step"),
        ([{"reader": "zoe"}], "Select a valid choice"),
    ],
)
def test_a_chain_that_makes_no_sense_is_told_in_the_form(
    boss: Client, site: Site, rows: list[dict[str, Any]], says: str
) -> None:
    keys = {
        "anna": reader(site).pk,
        "zoe": reader(factories.site(), "zoe").pk,
        "nights": Rota.objects.create(site=site, name="nights").pk,
    }
    filled = [{name: keys.get(value, value) for name, value in row.items()} for row in rows]
    answer = boss.post(url(Chain, "add"), chain_form(site) | steps(*filled))
    assert answer.status_code == 200
    assert says in answer.content.decode()
    assert not Chain.objects.exists()


def test_a_step_names_nobody_of_another_site_even_if_both_are_ones_own(client: Client, site: Site) -> None:
    client.force_login(factories.user(is_staff=True, is_superuser=True, password=None))
    zoe = reader(factories.site(), "zoe")
    answer = client.post(url(Chain, "add"), chain_form(site) | steps({"reader": zoe.pk}))
    assert "It belongs to another site." in answer.content.decode()


def test_two_enabled_chains_for_one_priority_are_refused(boss: Client, site: Site) -> None:
    Chain.objects.create(site=site, name="Day", lowest_priority="HIGH")
    answer = boss.post(url(Chain, "add"), chain_form(site) | steps({"reader": reader(site).pk}))
    assert "another enabled chain with this lowest priority" in answer.content.decode()


@pytest.mark.parametrize("role", [ROLES.VIEWER, ROLES.TECHNICIAN])
@pytest.mark.parametrize("model", [Chain, Rota])
def test_only_a_sites_administrator_edits_chains_and_rotas(client: Client, role: str, model: type[Model]) -> None:
    rows = plant.rows(factories.site())
    client.force_login(member(rows.machine.site, role, is_staff=True))
    row = model._default_manager.get()
    assert client.get(url(model, "change", row.pk)).status_code == 200
    assert client.post(url(model, "change", row.pk), {}).status_code == 403
    assert client.get(url(model, "add")).status_code == 403


# Rotas


def rota_form(site: Site, shift: dict[str, object], **fields: object) -> dict[str, object]:
    form = {"site": site.pk, "name": "Nights", "time_zone": ""} | fields
    form |= {"shifts-TOTAL_FORMS": 1, "shifts-INITIAL_FORMS": 0, "overrides-TOTAL_FORMS": 0}
    form |= {"overrides-INITIAL_FORMS": 0}
    usual = {"first_on": "2026-01-05", "days": 7, "every_days": 7, "starts": "08:00", "ends": "08:00"}
    return form | {f"shifts-0-{name}": value for name, value in (usual | shift).items()}


def test_a_rota_says_who_is_on_call_now_and_until_when(boss: Client, site: Site) -> None:
    anna, ben = reader(site), reader(site, "ben")
    assert boss.post(url(Rota, "add"), rota_form(site, {"reader": anna.pk})).status_code == 302
    made = Rota.objects.get()
    page = boss.get(url(Rota, "changelist")).content.decode()
    assert "anna" in page
    assert "Europe/Lisbon (of the site)" in page
    now = timezone.now()
    Override.objects.create(rota=made, reader=ben, from_at=now, until_at=now + timedelta(hours=1))
    assert "ben" in boss.get(url(Rota, "changelist")).content.decode()
    Shift.objects.all().delete()
    Override.objects.all().delete()
    assert "nobody" in boss.get(url(Rota, "changelist")).content.decode()


@pytest.mark.parametrize(
    ("shift", "fields", "says"),
    [
        ({"days": 8}, {}, "At most as many days in a row"),
        ({"days": 0}, {}, "greater than or equal to 1"),
        ({"last_on": "2026-01-01"}, {}, "The last day is before the first."),
        ({}, {"time_zone": "Mars/Base"}, "There is no such time zone"),
    ],
)
def test_a_rota_that_makes_no_sense_is_told_in_the_form(
    boss: Client, site: Site, shift: dict[str, object], fields: dict[str, object], says: str
) -> None:
    answer = boss.post(url(Rota, "add"), rota_form(site, {"reader": reader(site).pk} | shift, **fields))
    assert answer.status_code == 200
    assert says in answer.content.decode()


# Escalations


def test_the_list_shows_what_runs_and_what_is_next_and_is_not_edited(boss: Client, site: Site) -> None:
    plant.rows(site)
    running = Escalation.objects.get()
    page = boss.get(url(Escalation, "changelist")).content.decode()
    assert f"step 1 of 1: {running.plan[0]['name']}" in page
    assert re.search(r"\d\d:\d\d UTC, in \d", page)
    assert boss.post(url(Escalation, "change", running.pk), {}).status_code == 403
    Escalation.objects.update(ended="RAN_OUT", ended_at=timezone.now(), due_at=None)
    assert boss.get(url(Escalation, "changelist")).context["cl"].result_count == 0
    over = boss.get(url(Escalation, "changelist"), {"running": "over"})
    assert "ran out: nobody acknowledged" in over.content.decode()


def test_an_escalation_is_stopped_with_a_reason(client: Client, site: Site) -> None:
    plant.rows(site)
    row = Escalation.objects.get()
    client.force_login(member(site, is_staff=True, username="tina"))
    assert "Stop" in client.get(url(Escalation, "change", row.pk)).content.decode()
    page = f"{url(Escalation, 'changelist')}{row.pk}/stop/"
    assert client.post(page, {"confirmed": "1", "comment": ""}).status_code == 200
    assert client.post(page, {"confirmed": "1", "comment": "It is a drill"}).status_code == 302
    row.refresh_from_db()
    assert (row.ended, row.stop_reason, str(row.stopped_by)) == ("STOPPED", "It is a drill", "tina")


def test_a_viewer_does_not_stop_it(client: Client, site: Site) -> None:
    plant.rows(site)
    row = Escalation.objects.get()
    client.force_login(member(site, ROLES.VIEWER, is_staff=True))
    page = f"{url(Escalation, 'changelist')}{row.pk}/stop/"
    assert client.post(page, {"confirmed": "1", "comment": "x"}).status_code == 403
    assert Escalation.objects.get().ended_at is None


def test_an_alarms_page_says_who_is_called_and_stops_that(client: Client, site: Site) -> None:
    rows = plant.rows(site)
    row = Escalation.objects.get()
    client.force_login(member(site, is_staff=True, username="tina"))
    page = url(Alarm, "change", rows.alarm.pk)
    text = client.get(page).content.decode()
    assert url(Escalation, "change", row.pk) in text
    assert page in client.get(url(Escalation, "change", row.pk)).content.decode()
    assert f"step 1 of 1: {row.plan[0]['name']}" in text
    assert f"2026-03-01 12:00 UTC: {row.calls.get().whom}" in text
    stop = f"{url(Alarm, 'changelist')}{rows.alarm.pk}/stop-escalation/"
    assert stop in text
    assert "Say why" in client.get(stop).content.decode()
    assert client.post(stop, {"confirmed": "1", "comment": ""}).status_code == 200
    assert client.post(stop, {"confirmed": "1", "comment": "It is a drill"}).status_code == 302
    row.refresh_from_db()
    assert (row.ended, row.stop_reason, str(row.stopped_by)) == ("STOPPED", "It is a drill", "tina")
    text = client.get(page).content.decode()
    assert stop not in text
    of_it = client.get(url(Escalation, "changelist"), {"alarm__id__exact": rows.alarm.pk, "running": "all"})
    assert of_it.context["cl"].result_count == 1
    again = client.post(stop, {"confirmed": "1", "comment": "again"}, follow=True)
    assert "The escalation is over already." in again.content.decode()


def test_a_viewer_sees_an_alarms_escalation_and_does_not_stop_it(client: Client, site: Site) -> None:
    rows = plant.rows(site)
    client.force_login(member(site, ROLES.VIEWER, is_staff=True))
    stop = f"{url(Alarm, 'changelist')}{rows.alarm.pk}/stop-escalation/"
    text = client.get(url(Alarm, "change", rows.alarm.pk)).content.decode()
    assert "step 1 of 1" in text
    assert stop not in text
    assert client.post(stop, {"confirmed": "1", "comment": "x"}).status_code == 403
    assert Escalation.objects.get().ended_at is None


# REST


def test_an_alarm_shows_the_escalation_that_runs_over_rest(site: Site) -> None:
    rows = plant.rows(site)
    http, row, path = client(member(site)), Escalation.objects.get(), f"{API}alarms/"
    (listed,) = http.get(path).json()["results"]
    said = listed["escalation"]
    assert (said["id"], said["chain"], said["chain_name"]) == (row.pk, row.chain_id, row.chain_name)
    assert (said["step"], said["steps"], said["next"]) == (0, 1, f"step 1 of 1: {row.plan[0]['name']}")
    assert [call["whom"] for call in said["calls"]] == [row.calls.get().whom]
    assert said["due_at"] is not None
    http.post(f"{API}escalations/{row.pk}/stop/", {"reason": "A drill"}, JSON)
    assert http.get(f"{path}{rows.alarm.pk}/").json()["escalation"] is None


def test_a_list_of_alarms_with_escalations_costs_the_same_queries_whatever_its_length(site: Site) -> None:
    http, counts = client(member(site)), []
    for _ in range(2):
        plant.rows(site)
        with CaptureQueriesContext(connection) as queries:
            assert all(row["escalation"] for row in http.get(f"{API}alarms/").json()["results"])
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_escalations_are_read_and_stopped_over_rest(site: Site) -> None:
    plant.rows(site)
    http, row = client(member(site, username="tina")), Escalation.objects.get()
    (listed,) = http.get(f"{API}escalations/?running=true").json()["results"]
    assert (listed["id"], listed["step"], listed["ended"], listed["calls"][0]["outcome"]) == (row.pk, 0, "", "TOLD")
    assert (listed["plan"][0]["kind"], listed["plan"][0]["times"]) == ("rota", 1)
    problem(http.post(f"{API}escalations/{row.pk}/stop/", {}, JSON), status=400, name="invalid")
    stopped = http.post(f"{API}escalations/{row.pk}/stop/", {"reason": "A drill"}, JSON).json()
    assert (stopped["ended"], stopped["stop_reason"]) == ("STOPPED", "A drill")
    problem(http.post(f"{API}escalations/{row.pk}/stop/", {"reason": "x"}, JSON), status=409, name="conflict")
    assert http.get(f"{API}escalations/?running=true").json()["results"] == []


def test_who_is_on_call_is_read_over_rest(site: Site) -> None:
    anna, rota = reader(site), Rota.objects.create(site=site, name="Nights")
    Shift.objects.create(
        rota=rota, reader=anna, first_on="2026-01-01", days=1, every_days=1, starts="22:00", ends="06:00"
    )
    http = client(member(site, ROLES.VIEWER))
    answer = http.get(f"{API}rotas/{rota.pk}/on-call/?at=2026-07-01T23:00:00Z").json()
    assert answer == {
        "at": "2026-07-01T23:00:00Z",
        "persons": [{"reader": anna.pk, "user": anna.user_id, "name": "anna"}],
        "until": "2026-07-02T05:00:00Z",
    }
    assert http.get(f"{API}rotas/{rota.pk}/on-call/?at=2026-07-01T12:00:00Z").json()["persons"] == []
    problem(http.get(f"{API}rotas/{rota.pk}/on-call/?at=soon"), status=400, name="invalid")
    (listed,) = http.get(f"{API}rotas/").json()["results"]
    assert (listed["time_zone"], set(listed["on_call"])) == ("Europe/Lisbon", {"at", "persons", "until"})


@pytest.mark.parametrize("name", ["escalations", "rotas"])
def test_another_sites_rows_are_not_found(site: Site, name: str) -> None:
    plant.rows(site)
    key = {"escalations": Escalation, "rotas": Rota}[name]._default_manager.get().pk
    stranger = client(member(factories.site(), ROLES.ADMIN))
    assert stranger.get(f"{API}{name}/").json()["results"] == []
    problem(stranger.get(f"{API}{name}/{key}/"), status=404, name="not-found")
    if name == "rotas":
        problem(stranger.get(f"{API}rotas/{key}/on-call/"), status=404, name="not-found")
    else:
        problem(stranger.post(f"{API}escalations/{key}/stop/", {"reason": "x"}, JSON), status=404, name="not-found")
        viewer = client(member(site, ROLES.VIEWER))
        problem(viewer.post(f"{API}escalations/{key}/stop/", {"reason": "x"}, JSON), status=403, name="forbidden")


@pytest.mark.parametrize("name", ["escalations", "rotas"])
def test_a_list_costs_the_same_queries_whatever_its_length(site: Site, name: str) -> None:
    http, counts = client(member(site)), []
    for _ in range(2):
        plant.rows(site)
        with CaptureQueriesContext(connection) as queries:
            assert http.get(f"{API}{name}/").status_code == 200
        counts.append(len(queries))
    assert counts[0] == counts[1]
    assert Channel.objects.count() == 2
