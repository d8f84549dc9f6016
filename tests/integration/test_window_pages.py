"""Maintenance windows in the admin and over REST."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import shelves
from maintenance import windows
from maintenance.models import MaintenanceWindow, Suppression
from sensors.models import Event, Membership, Site
from tests import factories
from tests.client import JSON, client, problem

pytestmark = pytest.mark.django_db

PAGE = "admin:maintenance_maintenancewindow_"
PATH = "/api/v1/maintenance-windows/"
DAY = timedelta(days=1)


@pytest.fixture
def site() -> Site:
    return factories.site(time_zone="Europe/Rome")


@pytest.fixture
def anna(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.ADMIN, is_staff=True)


@pytest.fixture
def desk(client: Client, anna: User) -> Client:
    client.force_login(anna)
    return client


def tomorrow() -> date:
    return timezone.now().date() + DAY


def form(site: Site, **more: Any) -> dict[str, Any]:
    return {
        "site": site.pk, "reason": "Cleaning", "first_on": tomorrow().isoformat(), "starts": "22:00", "minutes": "90",
    } | more  # fmt: skip


def running(site: Site, actor: User, **fields: Any) -> MaintenanceWindow:
    """One that began ten minutes ago."""
    local = datetime.now(site.zone) - timedelta(minutes=10)
    made = MaintenanceWindow(
        **{"site": site, "reason": "Works", "first_on": local.date(), "starts": local.time(), "minutes": 60} | fields
    )
    return windows.add(made, actor=actor)


def listed(desk: Client, **query: str) -> list[Any]:
    return list(desk.get(reverse(f"{PAGE}changelist"), query).context["cl"].result_list)


def errors(answer: HttpResponse) -> set[str]:
    return set(answer.context["adminform"].form.errors)  # type: ignore[attr-defined]


# In the admin


def test_a_window_is_added_with_its_weekdays(desk: Client, site: Site, anna: User) -> None:
    machine = factories.machine(site=site)
    assert desk.get(reverse(f"{PAGE}add")).status_code == 200
    last = (tomorrow() + 30 * DAY).isoformat()
    answer = desk.post(reverse(f"{PAGE}add"), form(site, equipment=machine.pk, weekdays=["5", "1"], last_on=last))
    assert answer.status_code == 302
    made = MaintenanceWindow.objects.get()
    assert (made.equipment, made.starts, made.weekdays, made.created_by) == (machine, time(22), [1, 5], anna)
    assert made.look_at is not None
    text = desk.get(reverse(f"{PAGE}changelist")).content.decode()
    assert f"Mon, Fri, 22:00 for 90 min, until {last}" in text
    assert "to come" in text
    coming = windows.upcoming(made, now=timezone.now())
    assert coming is not None
    assert f"{coming.begin.astimezone(made.site.zone):%a %Y-%m-%d %H:%M}" in text


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("__all__", {"weekdays": ["1"]}),
        ("last_on", {"weekdays": ["1"], "last_on": "2099-01-01"}),
        ("first_on", {"first_on": "2020-01-01"}),
        ("minutes", {"minutes": "0"}),
        ("weekdays", {"weekdays": ["8"]}),
        ("reason", {"reason": ""}),
    ],
)
def test_a_form_that_makes_no_sense_is_told_beside_its_field(
    desk: Client, site: Site, field: str, wrong: dict[str, Any]
) -> None:
    answer = desk.post(reverse(f"{PAGE}add"), form(site) | wrong)
    assert (answer.status_code, errors(answer)) == (200, {field})
    assert not MaintenanceWindow.objects.exists()


def test_equipment_of_another_site_is_not_on_offer(desk: Client, site: Site) -> None:
    foreign = factories.machine(site=factories.site())
    answer = desk.post(reverse(f"{PAGE}add"), form(site, equipment=foreign.pk))
    assert errors(answer) == {"equipment"}
    answer = desk.post(reverse(f"{PAGE}add"), form(foreign.site))
    assert errors(answer) == {"site"}


def test_a_running_window_is_changed_and_cancelled(desk: Client, site: Site, anna: User) -> None:
    machine = factories.machine(site=site)
    made = running(site, anna)
    shelves.look()
    page = reverse(f"{PAGE}change", args=[made.pk])
    assert "runs now" in desk.get(page).content.decode()
    said = form(site, first_on=made.first_on, starts=made.starts, minutes=120, reason=made.reason)
    assert desk.post(page, said).status_code == 302
    shelves.look()
    row = Suppression.objects.get()
    assert (row.machine, row.until) == (machine, row.from_at + timedelta(hours=2))
    cancel = reverse(f"{PAGE}cancel_window", args=[made.pk])
    assert cancel in desk.get(page).content.decode()
    assert desk.post(cancel, {"confirmed": "1"}).status_code == 200
    assert desk.post(cancel, {"confirmed": "1", "reason": "Strike"}).status_code == 302
    shelves.look()
    row.refresh_from_db()
    assert row.ended_by == anna
    assert "Strike" in desk.get(page).content.decode()
    assert cancel not in desk.get(page).content.decode()
    assert desk.post(page, said).status_code == 403
    assert desk.post(reverse(f"{PAGE}delete", args=[made.pk]), {"post": "yes"}).status_code == 403
    types = Event.objects.filter(subject=f"maintenance_window/{made.pk}").order_by("id")
    assert [one.type.split(".")[1] for one in types] == ["added", "changed", "cancelled"]


def test_the_list_shows_what_still_comes_unless_it_is_asked_for_more(desk: Client, site: Site, anna: User) -> None:
    assert "No maintenance window" in desk.get(reverse(f"{PAGE}changelist")).content.decode()
    kept, cancelled = running(site, anna), running(site, anna)
    over = MaintenanceWindow.objects.create(
        site=site, reason="Was", first_on=date(2026, 3, 1), starts=time(1), minutes=1
    )
    windows.cancel(cancelled.pk, actor=anna, reason="x")
    assert (listed(desk), listed(desk, standing="over")) == ([kept], [over])
    assert listed(desk, standing="cancelled") == [cancelled]
    assert len(listed(desk, standing="all", q="Was")) == 1


def test_the_list_asks_as_often_for_many_as_for_one(desk: Client, site: Site, anna: User) -> None:
    counts = []
    for more in (1, 8):
        for _ in range(more):
            running(site, anna, equipment=factories.machine(site=site))
        with CaptureQueriesContext(connection) as queries:
            desk.get(reverse(f"{PAGE}changelist"))
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("role", [Membership.Role.VIEWER, Membership.Role.TECHNICIAN, Membership.Role.INGEST])
def test_only_an_administrator_of_the_site_sets_windows(client: Client, site: Site, anna: User, role: str) -> None:
    made = running(site, anna)
    client.force_login(factories.user(site=site, role=role, is_staff=True))
    assert listed(client) == [made]
    assert client.get(reverse(f"{PAGE}change", args=[made.pk])).status_code == 200
    assert client.get(reverse(f"{PAGE}add")).status_code == 403
    assert client.post(reverse(f"{PAGE}change", args=[made.pk]), form(site)).status_code == 403
    cancel = reverse(f"{PAGE}cancel_window", args=[made.pk])
    assert client.post(cancel, {"confirmed": "1", "reason": "x"}).status_code == 403
    client.force_login(factories.user(site=factories.site(), role=Membership.Role.ADMIN, is_staff=True))
    assert listed(client) == []
    assert client.post(cancel, {"confirmed": "1", "reason": "x"}).status_code in (403, 404)
    assert MaintenanceWindow.objects.get().cancelled_at is None


# Over REST


def body(site: Site, **more: Any) -> dict[str, Any]:
    return {
        "site": site.pk, "reason": "Cleaning", "first_on": tomorrow().isoformat(), "starts": "22:00", "minutes": 90,
    } | more  # fmt: skip


def test_a_window_is_added_changed_and_cancelled_over_rest(site: Site, anna: User) -> None:
    http, machine = client(anna), factories.machine(site=site)
    answer = http.post(PATH, body(site, equipment=machine.pk), JSON)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["equipment"], made["weekdays"], made["created_by"]) == (machine.pk, [], anna.pk)
    row = MaintenanceWindow.objects.get()
    coming = windows.upcoming(row, now=timezone.now())
    assert coming is not None
    assert datetime.fromisoformat(made["upcoming"]["begin"]) == coming.begin
    changed = http.patch(f"{PATH}{row.pk}/", {"minutes": 30, "equipment": None}, JSON).json()
    assert (changed["minutes"], changed["equipment"], changed["reason"]) == (30, None, "Cleaning")
    assert len(http.get(f"{PATH}?cancelled=false").json()["results"]) == 1
    problem(http.post(f"{PATH}{row.pk}/cancel/", {}, JSON), status=400, name="invalid")
    done = http.post(f"{PATH}{row.pk}/cancel/", {"reason": "Strike"}, JSON).json()
    assert (done["upcoming"], done["cancel_reason"], done["cancelled_by"]) == (None, "Strike", anna.pk)
    problem(http.patch(f"{PATH}{row.pk}/", {"minutes": 60}, JSON), status=409, name="conflict")
    assert http.get(f"{PATH}?cancelled=false").json()["results"] == []
    assert http.delete(f"{PATH}{row.pk}/").status_code == 405


@pytest.mark.parametrize(
    "wrong",
    [{"weekdays": [1]}, {"weekdays": [9]}, {"weekdays": "x"}, {"minutes": 0}, {"first_on": "2020-01-01"},
     {"starts": "25:00"}, {"reason": ""}, {"last_on": "2030-01-01"}, {"equipment": 0}, {"site": 0}, {"site": None}],
)  # fmt: skip
def test_a_body_that_makes_no_sense_is_refused(site: Site, anna: User, wrong: dict[str, Any]) -> None:
    problem(client(anna).post(PATH, body(site) | wrong, JSON), status=400, name="invalid")
    assert not MaintenanceWindow.objects.exists()


def test_a_change_that_makes_no_sense_is_refused(site: Site, anna: User) -> None:
    made = running(site, anna)
    for wrong in ({"weekdays": [1]}, {"first_on": "2020-01-01"}, {"minutes": "long"}):
        problem(client(anna).patch(f"{PATH}{made.pk}/", wrong, JSON), status=400, name="invalid")
    made.refresh_from_db()
    assert made.minutes == 60


def test_windows_take_an_administrator_of_their_site(site: Site, anna: User) -> None:
    made = running(site, anna)
    technician = client(factories.user(site=site, role=Membership.Role.TECHNICIAN))
    stranger = client(factories.user(site=factories.site()))
    assert technician.get(f"{PATH}{made.pk}/").status_code == 200
    problem(technician.post(PATH, body(site), JSON), status=403, name="forbidden")
    problem(stranger.post(PATH, body(site), JSON), status=400, name="invalid")
    theirs = factories.machine(site=factories.site()).pk
    problem(client(anna).post(PATH, body(site, equipment=theirs), JSON), status=400, name="invalid")
    for http, status, name in ((technician, 403, "forbidden"), (stranger, 404, "not-found")):
        problem(http.patch(f"{PATH}{made.pk}/", {"minutes": 5}, JSON), status=status, name=name)
        problem(http.post(f"{PATH}{made.pk}/cancel/", {"reason": "x"}, JSON), status=status, name=name)
    problem(client().post(PATH, body(site), JSON), status=401, name="not-authenticated")
    assert stranger.get(PATH).json()["results"] == []
