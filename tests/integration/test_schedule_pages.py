"""People and the schedule in the admin and over REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents.schedule import agent, steps
from agents.schedule.problem import Limits
from maintenance import schedules
from maintenance.models import WorkOrder
from maintenance.people_models import Absence, Skill, Worker, WorkerSkill, WorkingHours
from maintenance.schedule_models import Schedule, ScheduleVisit
from sensors.models import Event, Membership, Site
from tests import factories
from tests.client import JSON, client, problem
from tests.client import client as rest

pytestmark = pytest.mark.django_db

API = "/api/v1/"
ROLES = Membership.Role
FAST = Limits(1.0, workers=1)


@pytest.fixture
def site() -> Site:
    return factories.site()


@pytest.fixture
def boss(site: Site) -> User:
    return factories.user(site=site, role=ROLES.ADMIN, username="boss", is_staff=True)


@pytest.fixture
def anna(site: Site) -> Worker:
    user = factories.user(site=site, role=ROLES.TECHNICIAN, username="anna", is_staff=True)
    made = Worker.objects.create(site=site, user=user)
    day = {"days": 7, "every_days": 7, "starts": "00:00", "ends": "00:00"}
    WorkingHours.objects.create(worker=made, first_on=timezone.now().date() - timedelta(days=9), **day)
    return made


def order(site: Site) -> WorkOrder:
    return WorkOrder.objects.create(
        site=site, machine=factories.machine(site=site), title="Pump", maintenance_type="INSPECTION", priority="LOW",
        opened_at=timezone.now(), planned_minutes=30,
    )  # fmt: skip


@pytest.fixture
def proposal(site: Site, anna: Worker) -> Schedule:
    order(site)
    order(site)
    schedule = agent.perform(schedules.request(site, actor=None).pk, limits=FAST)
    assert schedule is not None
    return schedule


def url(name: str, *keys: object) -> str:
    return reverse(f"admin:maintenance_{name}", args=keys)


# Over REST


def test_an_administrator_asks_for_looks_at_and_publishes_a_schedule(site: Site, boss: User, anna: Worker) -> None:
    one, web = order(site), client(boss)
    asked = web.post(f"{API}schedules/", {"site": site.pk, "days": 3}, JSON)
    assert (asked.status_code, asked.json()["status"]) == (202, "REQUESTED")
    problem(web.post(f"{API}schedules/", {"site": site.pk}, JSON), status=409, name="conflict")
    assert agent.perform_waiting(limits=FAST) == [asked.json()["id"]]
    path = f"{API}schedules/{asked.json()['id']}/"
    shown = web.get(path).json()
    assert [visit["order"] for visit in shown["visits"]] == [one.pk]
    assert [(change["order"], change["kind"]) for change in shown["changes"]] == [(one.pk, "NEW")]
    assert web.post(f"{path}publish/").json()["status"] == "PUBLISHED"
    one.refresh_from_db()
    assert (one.status, one.assigned_to) == ("ASSIGNED", anna.user)
    problem(web.post(f"{path}discard/"), status=409, name="conflict")


def test_a_visit_is_pinned_moved_and_taken_out(site: Site, boss: User, anna: Worker, proposal: Schedule) -> None:
    web, row = client(boss), proposal.visits.all()[0]
    path = f"{API}schedule-visits/{row.pk}/"
    assert web.post(f"{path}pin/").json()["is_pinned"] is True
    assert web.post(f"{path}unpin/").json()["is_pinned"] is False
    later = (row.start_at + timedelta(days=2)).isoformat()
    moved = web.post(f"{path}move/", {"person": anna.user_id, "start": later}, JSON)
    assert (moved.status_code, moved.json()["is_pinned"]) == (200, True)
    past = (row.start_at - timedelta(days=2)).isoformat()
    refused = web.post(f"{path}move/", {"person": anna.user_id, "start": past}, JSON)
    problem(refused, status=409, name="conflict")
    assert web.delete(path).status_code == 204
    assert not ScheduleVisit.objects.filter(pk=row.pk).exists()


def test_a_list_of_schedules_does_not_read_their_visits(site: Site, boss: User, proposal: Schedule) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert client(boss).get(f"{API}schedules/").json()["results"][0]["id"] == proposal.pk
    assert not [one["sql"] for one in queries if "maintenance_schedulevisit" in one["sql"]]


def test_what_would_begin_after_all_that_is_planned_is_refused(boss: User, anna: Worker, proposal: Schedule) -> None:
    web, row = client(boss), proposal.visits.all()[0]
    for start in ("9999-12-31T23:59:00Z", "0001-01-01T00:00:00Z"):
        refused = web.post(f"{API}schedule-visits/{row.pk}/move/", {"person": anna.user_id, "start": start}, JSON)
        problem(refused, status=409, name="conflict")


@pytest.mark.parametrize("role", [ROLES.VIEWER, ROLES.TECHNICIAN])
def test_others_see_the_schedule_and_change_nothing(site: Site, proposal: Schedule, role: str) -> None:
    web, row = client(factories.user(site=site, role=role)), proposal.visits.all()[0]
    assert web.get(f"{API}schedules/{proposal.pk}/").status_code == 200
    for path in (f"schedules/{proposal.pk}/publish/", f"schedules/{proposal.pk}/discard/",
                 f"schedule-visits/{row.pk}/pin/", f"schedule-visits/{row.pk}/unpin/"):  # fmt: skip
        problem(web.post(f"{API}{path}"), status=403, name="forbidden")
    problem(web.post(f"{API}schedules/", {"site": site.pk}, JSON), status=403, name="forbidden")
    problem(web.delete(f"{API}schedule-visits/{row.pk}/"), status=403, name="forbidden")


def bodies(site: Site, anna: Worker) -> dict[str, dict[str, Any]]:
    skill = Skill.objects.create(site=site, code="hv", name="High voltage")
    other = factories.site()
    for name in ("boss", "anna"):
        Membership.objects.create(site=other, user=User.objects.get(username=name), role=ROLES.VIEWER)
    week = {"first_on": "2026-01-05", "days": 5, "every_days": 7, "starts": "08:00", "ends": "16:00"}
    return {
        "teams": {"site": site.pk, "name": "Mechanics"},
        "skills": {"site": site.pk, "code": "welding", "name": "Welding"},
        "workers": {"site": site.pk, "user": factories.user(site=site, role=ROLES.TECHNICIAN).pk},
        "worker-skills": {"worker": anna.pk, "skill": skill.pk, "expires_on": "2027-01-01"},
        "working-hours": {"worker": anna.pk, **week},
        "absences": {"worker": anna.pk, "from_at": "2026-03-02T00:00:00Z", "until_at": "2026-03-03T00:00:00Z"},
        "holidays": {"site": site.pk, "on": "2026-12-25", "name": "Christmas"},
        "travel": {"site": site.pk, "to_site": other.pk, "minutes": 30},
        "required-skills": {"site": site.pk, "skill": skill.pk, "failure_mode": "VIB"},
        "order-timings": {"order": order(site).pk, "lead_minutes": 60},
        "machine-hours": {"site": site.pk, "equipment": factories.machine(site=site).pk, **week},
    }


def test_each_list_of_people_is_written_by_administrators_alone(site: Site, boss: User, anna: Worker) -> None:
    web, technician = client(boss), client(anna.user)
    for name, body in bodies(site, anna).items():
        assert technician.post(f"{API}{name}/", body, JSON).status_code == 403, name
        made = web.post(f"{API}{name}/", body, JSON)
        assert made.status_code == 201, (name, made.content)
        path = f"{API}{name}/{made.json()['id']}/"
        assert technician.get(path).json() == made.json()
        problem(technician.delete(path), status=403, name="forbidden")
        assert web.patch(path, {}, JSON).status_code == 200, name
        assert web.delete(path).status_code == 204, name
    written = Event.objects.filter(actor="boss", site=site)
    assert written.filter(type__endswith=".added").count() == 11
    assert written.filter(type__endswith=".deleted").count() == 11


def test_what_makes_no_sense_is_told_by_field(site: Site, boss: User, anna: Worker) -> None:
    web, said = client(boss), bodies(site, anna)
    viewer = factories.user(site=site, role=ROLES.VIEWER)
    for name, field, value in (
        ("workers", "user", viewer.pk), ("required-skills", "failure_mode", "???"),
        ("absences", "until_at", "2026-03-01T00:00:00Z"), ("working-hours", "days", 9), ("travel", "to_site", site.pk),
    ):  # fmt: skip
        assert web.post(f"{API}{name}/", said[name] | {field: value}, JSON).status_code == 400, name


# In the admin


def test_a_schedule_is_asked_for_and_published_from_its_page(
    client: Client, site: Site, boss: User, anna: Worker
) -> None:
    client.force_login(boss)
    one = order(site)
    assert client.post(url("schedule_add"), {"site": site.pk, "days": 5}).status_code == 302
    agent.perform_waiting(limits=FAST)
    schedule = Schedule.objects.get()
    page = client.get(url("schedule_change", schedule.pk)).content.decode()
    assert "1 new" in page
    assert f"WO-{one.pk}: new" in page
    answer = client.post(url("schedule_publish", schedule.pk), {"confirmed": "1"}, follow=True)
    assert "Published" in answer.content.decode()
    one.refresh_from_db()
    assert one.assigned_to == anna.user


def test_a_schedules_page_leads_to_its_visits_and_shows_none(client: Client, boss: User, proposal: Schedule) -> None:
    client.force_login(boss)
    page, row = client.get(url("schedule_change", proposal.pk)).content.decode(), proposal.visits.all()[0]
    visits = f"{url('schedulevisit_changelist')}?schedule__id__exact={proposal.pk}"
    assert visits in page
    assert url("schedulevisit_change", row.pk) not in page
    assert url("schedulevisit_change", row.pk) in client.get(visits).content.decode()


def test_a_second_schedule_of_a_site_is_not_asked_for(client: Client, site: Site, boss: User) -> None:
    client.force_login(boss)
    schedules.request(site, actor=None)
    answer = client.post(url("schedule_add"), {"site": site.pk, "days": 5})
    assert "asked for already" in answer.content.decode()
    assert Schedule.objects.count() == 1


def test_a_visit_is_moved_from_its_page(client: Client, boss: User, anna: Worker, proposal: Schedule) -> None:
    client.force_login(boss)
    row = proposal.visits.all()[0]
    start = row.start_at + timedelta(days=1)
    said = {"confirmed": "1", "person": anna.user_id, "start_0": f"{start:%Y-%m-%d}", "start_1": f"{start:%H:%M:%S}"}
    client.post(url("schedulevisit_move", row.pk), said)
    row.refresh_from_db()
    assert (row.start_at, row.is_pinned) == (start, True)


def test_the_schedules_pages_have_the_sites_time(
    client: Client, site: Site, boss: User, anna: Worker, proposal: Schedule
) -> None:
    Site.objects.filter(pk=site.pk).update(time_zone="Asia/Kathmandu")
    client.force_login(boss)
    row = proposal.visits.all()[0]
    local = row.start_at.astimezone(ZoneInfo("Asia/Kathmandu"))
    page = client.get(url("schedule_change", proposal.pk)).content.decode()
    assert f"anna {local:%a %Y-%m-%d %H:%M}" in page
    assert "Times without a zone are in Asia/Kathmandu." in page
    asked = client.get(url("schedulevisit_move", row.pk)).content.decode()
    assert f'value="{local:%H:%M:%S}"' in asked
    assert "When it begins. In Asia/Kathmandu." in asked


def test_what_was_moved_is_told_as_it_is_now(client: Client, boss: User, anna: Worker, proposal: Schedule) -> None:
    client.force_login(boss)
    row = proposal.visits.all()[0]
    start = row.start_at + timedelta(days=1)
    said = {"confirmed": "1", "person": anna.user_id, "start_0": f"{start:%Y-%m-%d}", "start_1": f"{start:%H:%M:%S}"}
    answer = client.post(url("schedulevisit_move", row.pk), said, follow=True).content.decode()
    assert f"Moved: WO-{row.order_id}: anna, {start:%Y-%m-%d %H:%M} UTC." in answer
    answer = client.post(url("schedulevisit_take_out", row.pk), {"confirmed": "1"}, follow=True).content.decode()
    assert f"Taken out: WO-{row.order_id}: anna, {start:%Y-%m-%d %H:%M} UTC." in answer


def test_figures_are_those_of_before_people_changed_it(
    client: Client, boss: User, anna: Worker, proposal: Schedule
) -> None:
    client.force_login(boss)
    first, second = proposal.visits.all()
    pages = (url("schedule_change", proposal.pk), url("schedule_changelist"))
    assert all("by people" not in client.get(page).content.decode() for page in pages)
    steps.move(first.pk, actor=boss, person=anna.user, start=first.start_at + timedelta(days=2))
    steps.pin(second.pk, actor=boss)
    assert all(client.get(page).content.decode().count(", before 1 change by people") == 2 for page in pages)
    steps.take_out(second.pk, actor=boss)
    steps.publish(proposal.pk, actor=boss)
    assert all(client.get(page).content.decode().count(" at most, before 2 changes by people") == 1 for page in pages)
    web = rest(boss)
    assert web.get(f"{API}schedules/{proposal.pk}/").json()["changed"] == 2
    assert web.get(f"{API}schedules/").json()["results"][0]["changed"] == 2


def test_a_technician_may_not_publish_or_move(client: Client, anna: Worker, proposal: Schedule) -> None:
    client.force_login(anna.user)
    assert client.get(url("schedule_change", proposal.pk)).status_code == 200
    assert client.post(url("schedule_publish", proposal.pk), {"confirmed": "1"}).status_code == 403
    assert client.post(url("schedulevisit_pin", proposal.visits.all()[0].pk), {"confirmed": "1"}).status_code == 403
    assert client.get(url("schedule_add")).status_code == 403


def test_people_are_entered_and_kept_in_the_journal(client: Client, site: Site, boss: User, anna: Worker) -> None:
    client.force_login(boss)
    skill = Skill.objects.create(site=site, code="hv", name="High voltage")
    client.post(url("workerskill_add"), {"worker": anna.pk, "skill": skill.pk})
    assert WorkerSkill.objects.get().skill == skill
    other = Skill.objects.create(site=factories.site(), code="hv", name="High voltage")
    assert client.post(url("workerskill_add"), {"worker": anna.pk, "skill": other.pk}).status_code == 200
    away = {"worker": anna.pk, "from_at_0": "2026-03-02", "from_at_1": "08:00", "until_at_0": "2026-03-03",
            "until_at_1": "08:00"}  # fmt: skip
    assert client.post(url("absence_add"), away).status_code == 302
    assert Absence.objects.get().worker == anna
    assert list(Event.objects.filter(actor="boss").order_by("id").values_list("type", flat=True)) == [
        "worker_skill.added", "absence.added",
    ]  # fmt: skip


def test_a_schedules_page_asks_as_often_whatever_is_in_it(client: Client, site: Site, boss: User, anna: Worker) -> None:
    client.force_login(boss)
    counted = []
    for more in (2, 8):
        for _ in range(more):
            order(site)
        schedule = agent.perform(schedules.request(site, actor=None).pk, limits=FAST)
        assert schedule is not None
        with CaptureQueriesContext(connection) as queries:
            assert client.get(url("schedule_change", schedule.pk)).status_code == 200
        counted.append(len(queries))
    assert counted[0] == counted[1] <= 25
