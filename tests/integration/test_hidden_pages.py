"""Hiding alarms and bringing them back in the admin, and the list of all that is hidden."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from maintenance import suppressions
from maintenance.models import Alarm, Suppression
from sensors.models import Membership
from tests import factories, plant

pytestmark = pytest.mark.django_db

ALARMS = "admin:maintenance_alarm_"
HIDDEN = "admin:maintenance_suppression_"
SAID = {"reason": "Cable is loose", "minutes": "120"}


@pytest.fixture
def rows() -> plant.Rows:
    return plant.rows(factories.site())


@pytest.fixture
def tina(rows: plant.Rows) -> User:
    return factories.user(site=rows.machine.site, role=Membership.Role.TECHNICIAN, is_staff=True)


@pytest.fixture
def desk(client: Client, tina: User) -> Client:
    client.force_login(tina)
    return client


def press(client: Client, name: str, key: object, **answers: object) -> HttpResponse:
    return client.post(reverse(name, args=[key]), {"confirmed": "1"} | answers)  # type: ignore[return-value]


def told(answer: HttpResponse) -> str:
    """What was said of what was done; where it was refused, at the form."""
    if answer.status_code == 200:
        return str(answer.context["form"].errors)
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))  # type: ignore[attr-defined]


def shown(client: Client, alarm: Alarm) -> str:
    text: str = client.get(reverse(f"{ALARMS}change", args=[alarm.pk])).content.decode()
    return text


def test_an_alarm_is_shelved_and_brought_back(desk: Client, tina: User, rows: plant.Rows) -> None:
    assert "UNACK: active, not acknowledged" in shown(desk, rows.alarm)
    assert press(desk, f"{ALARMS}shelve", rows.alarm.pk, **SAID).status_code == 302
    row = Suppression.objects.exclude(pk=rows.suppression.pk).get()
    assert (row.created_by, row.reason, row.failure_mode) == (tina, "Cable is loose", rows.alarm.failure_mode)
    assert row.until is not None
    assert row.until - row.from_at == timedelta(hours=2)
    text = shown(desk, rows.alarm)
    assert "SHLVD: shelved" in text
    assert reverse(f"{ALARMS}shelve", args=[rows.alarm.pk]) not in text
    assert press(desk, f"{ALARMS}unshelve", rows.alarm.pk, comment="Fixed").status_code == 302
    assert "UNACK: active, not acknowledged" in shown(desk, rows.alarm)
    assert "not shelved" in told(press(desk, f"{ALARMS}unshelve", rows.alarm.pk))


def test_no_reason_and_more_time_than_policy_allows_are_told(
    desk: Client, rows: plant.Rows, settings: Settings
) -> None:
    settings.SHELVE_MAX_HOURS = 3
    asked = desk.get(reverse(f"{ALARMS}shelve", args=[rows.alarm.pk])).context["form"]
    assert [minutes for minutes, _ in asked.fields["minutes"].choices] == [15, 30, 60, 120, 180]
    assert "required" in press(desk, f"{ALARMS}shelve", rows.alarm.pk, minutes="60").content.decode()
    assert "Select a valid choice" in press(
        desk, f"{ALARMS}shelve", rows.alarm.pk, reason="x", minutes="1440"
    ).content.decode()  # fmt: skip
    assert Suppression.objects.count() == 1


@pytest.mark.parametrize(
    ("action", "said", "after"),
    [
        ("shelve_selected", SAID, "SHLVD"),
        ("unacknowledge_selected", {"comment": "Called away"}, "UNACK"),
    ],
)
def test_several_alarms_at_once(desk: Client, rows: plant.Rows, action: str, said: dict[str, str], after: str) -> None:
    plant.rows(rows.machine.site)
    Alarm.objects.update(is_acknowledged=True)
    ticked = {"action": action, "_selected_action": list(Alarm.objects.values_list("pk", flat=True))}
    assert desk.post(reverse(f"{ALARMS}changelist"), ticked).status_code == 200
    assert listed(desk, "alarm", state=after) == 0
    assert desk.post(reverse(f"{ALARMS}changelist"), ticked | said | {"confirmed": "1"}).status_code == 302
    assert listed(desk, "alarm", state=after) == 2
    if action == "shelve_selected":
        ticked["action"] = "unshelve_selected"
        desk.post(reverse(f"{ALARMS}changelist"), ticked | {"confirmed": "1", "comment": ""})
        assert listed(desk, "alarm", state="UNACK") == 2


def listed(client: Client, model: str, **query: str) -> int:
    page = client.get(reverse(f"admin:maintenance_{model}_changelist"), query)
    return len(page.context["cl"].result_list)


def test_an_alarm_is_assigned(desk: Client, tina: User, rows: plant.Rows) -> None:
    viewer = factories.user(site=rows.machine.site, role=Membership.Role.VIEWER)
    form = desk.get(reverse(f"{ALARMS}assign_alarm", args=[rows.alarm.pk])).context["form"]
    offered = set(form.fields["assignee"].queryset)
    assert (tina in offered, viewer in offered) == (True, False)
    assert press(desk, f"{ALARMS}assign_alarm", rows.alarm.pk, assignee=tina.pk, comment="").status_code == 302
    ticked = {"action": "assign_selected", "_selected_action": [rows.alarm.pk], "assignee": tina.pk, "confirmed": "1"}
    assert desk.post(reverse(f"{ALARMS}changelist"), ticked).status_code == 302
    assert Alarm.objects.get(pk=rows.alarm.pk).assigned_to == tina
    assert rows.alarm.transitions.filter(action="ASSIGNED", actor=tina).count() == 2


def test_the_list_of_what_is_hidden_says_by_whom_why_and_until_when(desk: Client, tina: User, rows: plant.Rows) -> None:
    press(desk, f"{ALARMS}shelve", rows.alarm.pk, **SAID)
    page = desk.get(reverse(f"{HIDDEN}changelist"))
    text = page.content.decode()
    row = Suppression.objects.latest("id")
    assert row.until is not None
    for words in (tina.username, "Cable is loose", f"{row.until:%Y-%m-%d %H:%M} UTC", "Probe is &lt;b&gt;loose"):
        assert words in text
    assert [one.active for one in page.context["cl"].result_list] == [1, 0]
    press(desk, f"{HIDDEN}end_shelving", row.pk, comment="Fixed")
    assert (listed(desk, "suppression"), listed(desk, "suppression", standing="ended")) == (1, 1)
    assert listed(desk, "suppression", standing="all") == 2
    assert reverse(f"{HIDDEN}end_shelving", args=[row.pk]) not in desk.get(
        reverse(f"{HIDDEN}change", args=[row.pk])
    ).content.decode()  # fmt: skip
    assert "not shelved" in told(press(desk, f"{HIDDEN}end_shelving", row.pk))


def test_what_is_ticked_in_it_comes_back(desk: Client, rows: plant.Rows) -> None:
    ticked = {"action": "unshelve_selected", "_selected_action": [rows.suppression.pk]}
    assert desk.post(reverse(f"{HIDDEN}changelist"), ticked).status_code == 200
    assert listed(desk, "suppression") == 1
    assert desk.post(reverse(f"{HIDDEN}changelist"), ticked | {"confirmed": "1", "comment": ""}).status_code == 302
    assert listed(desk, "suppression") == 0


def test_nothing_hidden_is_said_so(desk: Client, rows: plant.Rows) -> None:
    assert "Nothing is hidden" not in desk.get(reverse(f"{HIDDEN}changelist")).content.decode()
    suppressions.unshelve(rows.suppression.pk, actor=factories.user())
    assert "Nothing is hidden" in desk.get(reverse(f"{HIDDEN}changelist")).content.decode()


def test_the_list_asks_as_often_for_many_as_for_one(desk: Client, rows: plant.Rows) -> None:
    counts = []
    for more in (0, 8):
        for _ in range(more):
            suppressions.shelve(
                plant.rows(rows.machine.site).alarm.pk, actor=factories.user(), reason="x",
                until=timezone.now() + plant.HOUR, whole_machine=True,
            )  # fmt: skip
        for page in (f"{HIDDEN}changelist", f"{ALARMS}changelist"):
            with CaptureQueriesContext(connection) as queries:
                desk.get(reverse(page))
            counts.append(len(queries))
    assert counts[:2] == counts[2:]


def test_a_viewer_sees_what_is_hidden_and_brings_nothing_back(client: Client, rows: plant.Rows) -> None:
    client.force_login(factories.user(site=rows.machine.site, role=Membership.Role.VIEWER, is_staff=True))
    assert listed(client, "suppression") == 1
    assert press(client, f"{HIDDEN}end_shelving", rows.suppression.pk).status_code == 403
    assert press(client, f"{ALARMS}shelve", rows.alarm.pk, **SAID).status_code == 403
    client.force_login(factories.user(site=factories.site(), role=Membership.Role.ADMIN, is_staff=True))
    assert listed(client, "suppression") == 0
    assert press(client, f"{HIDDEN}end_shelving", rows.suppression.pk).status_code == 404
    assert Suppression.objects.get().ended_at is None
