"""Alarm definitions on the real database: laid down by people, held to by decide, told again by time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents import notify, shelves
from agents.backtests import history
from maintenance import alarms, definition_book, notifications, re_alarms, suppressions
from maintenance.definition_models import AlarmDefinition
from maintenance.models import Alarm, AlarmTransition, Channel, Notification, WorkOrder
from maintenance.refusals import Refused
from sensors.models import Event, Membership, Sensor
from tests import client as rest
from tests import factories
from tests.factories import NOON
from tests.integration.test_alarms import actions, judge, see

pytestmark = pytest.mark.django_db

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
API = "/api/v1/alarm-definitions/"
PAGE = "admin:maintenance_alarmdefinition_"


@pytest.fixture
def sensor() -> Sensor:
    made = factories.sensor(machine=factories.machine(site=factories.site(), equipment_class="pump"))
    Channel.objects.create(site=made.site, kind="CONSOLE", name="log")
    return made


@pytest.fixture
def anna(sensor: Sensor) -> User:
    return factories.user(site=sensor.site, role=Membership.Role.ADMIN, is_staff=True)


def lay(sensor: Sensor, actor: User, **fields: Any) -> AlarmDefinition:
    asks = {} if fields.get("priority") == "ADVISORY" else {"response": "Look at the suction strainer"}
    return definition_book.save(AlarmDefinition(**{"site": sensor.site} | asks | fields), actor=actor)


def alarm(sensor: Sensor, *, run: int = 1, **fields: Any) -> Alarm:
    see(sensor, run=run, at=0, **fields)
    judge(sensor, run=run, clock=0, now=NOON)
    return Alarm.objects.get(machine=sensor.machine, is_open=True)


def of_run(run: int) -> list[str]:
    told = notifications.pending(run)
    return [row.event_type for row in notify.notify(told.transitions, told.recipients)]


# What is laid down holds


def test_the_definition_of_its_class_gives_an_alarm_its_priority_until_one_of_the_machine_does(
    sensor: Sensor, anna: User
) -> None:
    other = factories.sensor(machine=factories.machine(site=sensor.site, equipment_class="PUMP"))
    of_class = lay(sensor, anna, equipment_class=" Pump ", sensor_kind="FLOW", priority="CRITICAL")
    of_machine = lay(sensor, anna, machine=sensor.machine, priority="MEDIUM")
    made = {a.machine_id: (a.priority, a.definition) for a in (alarm(sensor), alarm(other, run=2))}
    assert made == {sensor.machine_id: ("MEDIUM", of_machine), other.machine_id: ("CRITICAL", of_class)}
    assert WorkOrder.objects.get().priority == "CRITICAL"
    assert history.of_machine(other.machine, [other])[1].definitions == definition_book.of_machines([other.machine])


def test_a_message_says_what_the_definition_says(sensor: Sensor, anna: User) -> None:
    lay(sensor, anna, cause="Fouled\nscreen", consequence="It runs dry", respond_within_minutes=20)
    alarm(sensor)
    told = notifications.pending(1)
    (row,) = notify.notify(told.transitions, told.recipients)
    assert row.payload["guidance"] == {
        "cause": "Fouled screen", "consequence": "It runs dry", "response": "Look at the suction strainer",
        "respond_within_minutes": 20,
    }  # fmt: skip


def test_an_advisory_tells_nobody_opens_no_order_and_asks_for_no_acknowledgement(sensor: Sensor, anna: User) -> None:
    lay(sensor, anna, priority="ADVISORY")
    noted = alarm(sensor, score=0.99)
    assert (noted.priority, noted.is_active, noted.is_acknowledged) == ("ADVISORY", True, True)
    with pytest.raises(Refused):
        alarms.acknowledge(noted.pk, actor=anna)
    with pytest.raises(Refused):
        alarms.unacknowledge(noted.pk, actor=anna, comment="why")
    shelf = suppressions.shelve(noted.pk, actor=anna, reason="why", until=NOON + HOUR, now=NOON)
    suppressions.expire(shelf.pk, now=NOON + HOUR)
    noted.refresh_from_db()
    assert noted.is_acknowledged
    see(sensor, run=2, at=0, ended=10, score=0.99)
    judge(sensor, run=2, clock=20)
    shelves.tell()
    assert (of_run(1), of_run(2), Notification.objects.count(), WorkOrder.objects.count()) == ([], [], 0, 0)
    assert actions() == ["NOTED", "SHELVED", "UNSHELVED", "RETURNED"]
    assert not Alarm.objects.get().is_open


def test_two_advisories_in_one_run_are_two_closed_rows(sensor: Sensor, anna: User) -> None:
    lay(sensor, anna, priority="ADVISORY")
    see(sensor, run=1, at=0, ended=10)
    see(sensor, run=1, at=30, ended=40)
    judge(sensor, run=1, clock=60)
    assert Alarm.objects.count() == 2
    assert list(Alarm.objects.order_by("transitions__id").values_list("is_open", "transitions__action")) == [
        (False, "NOTED"), (False, "RETURNED"), (False, "NOTED"), (False, "RETURNED"),
    ]  # fmt: skip


def test_an_advisory_that_rises_is_told_as_an_alarm_that_opens(sensor: Sensor, anna: User) -> None:
    lay(sensor, anna, priority="ADVISORY", anomaly_kind="LIMIT_LOW")
    alarm(sensor)
    see(sensor, run=2, at=0, last=30, kind="LIMIT_LOW_LOW", score=0.7)
    judge(sensor, run=2, clock=30)
    raised = Alarm.objects.get()
    assert (raised.priority, raised.is_acknowledged, raised.definition, actions()) == (
        "HIGH", False, None, ["NOTED", "OPENED"],
    )  # fmt: skip
    assert of_run(2) == ["alarm.opened", "work-order.opened"]


def test_advisories_are_in_the_list_and_have_a_filter_of_their_own(sensor: Sensor, anna: User, client: Client) -> None:
    lay(sensor, anna, priority="ADVISORY", machine=sensor.machine)
    alarm(sensor)
    alarm(factories.sensor(machine=factories.machine(site=sensor.site)), run=2)
    client.force_login(anna)
    page = reverse("admin:maintenance_alarm_changelist")
    for query, count in (({}, 2), ({"asks": "nothing"}, 1), ({"asks": "response"}, 1), ({"priority": "ADVISORY"}, 1)):
        assert len(client.get(page, query).context["cl"].result_list) == count
    http = rest.client(anna)
    for query, count in (("", 2), ("?advisory=true", 1), ("?advisory=false", 1), ("?priority=ADVISORY", 1)):
        assert len(http.get(f"/api/v1/alarms/{query}").json()["results"]) == count


def test_a_latching_alarm_stays_after_its_return_until_that_is_acknowledged(sensor: Sensor, anna: User) -> None:
    lay(sensor, anna, latching=True)
    latched = alarm(sensor)
    alarms.acknowledge(latched.pk, actor=anna)
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    latched.refresh_from_db()
    assert (latched.is_open, latched.is_active, latched.acknowledged_by) == (True, False, None)
    alarms.acknowledge(latched.pk, actor=anna, comment="Reset")
    latched.refresh_from_db()
    assert not latched.is_open


# Told again


def test_what_stands_is_told_again_so_often_and_no_more(sensor: Sensor, anna: User) -> None:
    lay(sensor, anna, re_alarm_seconds=3_600, re_alarm_count=2)
    standing = alarm(sensor)
    alarms.acknowledge(standing.pk, actor=anna, now=NOON + 30 * MINUTE)
    assert re_alarms.due(now=NOON + HOUR) == []
    assert not re_alarms.tell_again(standing.pk, now=NOON + HOUR)
    for n in (1.5, 2.5):
        assert re_alarms.due(now=NOON + n * HOUR) == [standing.pk]
        assert re_alarms.tell_again(standing.pk, now=NOON + n * HOUR)
        assert not re_alarms.tell_again(standing.pk, now=NOON + n * HOUR)
    assert re_alarms.due(now=NOON + 99 * HOUR) == []
    standing.refresh_from_db()
    assert (standing.is_acknowledged, standing.re_alarms) == (False, 2)
    assert list(AlarmTransition.objects.filter(action="RE_ALARMED").values_list("comment", flat=True)) == [
        "It is still active: told again, 1 of 2 times.", "It is still active: told again, 2 of 2 times.",
    ]  # fmt: skip
    shelves.tell()
    assert list(Notification.objects.values_list("event_type", flat=True)) == ["alarm.re_alarmed"] * 2


def test_the_sweep_tells_again(sensor: Sensor, anna: User) -> None:
    lay(sensor, anna, re_alarm_seconds=60, re_alarm_count=1)
    alarm(sensor)
    shelves.look()
    assert Notification.objects.get().subject_line.startswith("[LOW] Alarm still active: ")


@pytest.mark.parametrize("cause", ["return", "shelving", "definition", "deletion"])
def test_nothing_is_told_again_of_what_returned_is_hidden_or_is_no_longer_to_be(
    sensor: Sensor, anna: User, cause: str
) -> None:
    said = lay(sensor, anna, re_alarm_seconds=60, re_alarm_count=5)
    standing = alarm(sensor)
    if cause == "return":
        see(sensor, run=2, at=0, ended=10)
        judge(sensor, run=2, clock=20)
    elif cause == "shelving":
        suppressions.shelve(standing.pk, actor=anna, reason="why", until=NOON + HOUR, now=NOON)
    elif cause == "definition":
        said.re_alarm_seconds, said.re_alarm_count = None, 0
        definition_book.save(said, actor=anna)
    else:
        definition_book.delete(said, actor=anna)
    assert not re_alarms.tell_again(standing.pk, now=NOON + HOUR / 2)
    assert Alarm.objects.get().re_alarm_at is None


def test_late_data_starts_no_time(sensor: Sensor, anna: User) -> None:
    lay(sensor, anna, re_alarm_seconds=60, re_alarm_count=1)
    see(sensor, run=1, at=-500, ended=-400, last=-450, score=1.0, retrospective=True)
    judge(sensor, run=1, clock=None)
    assert re_alarms.due(now=NOON + 99 * HOUR) == []


# Laid down by whom, and how


@pytest.mark.parametrize(
    "fields",
    [
        {"response": ""}, {"priority": "ADVISORY", "response": "Look"}, {"priority": "ADVISORY", "latching": True},
        {"priority": "ADVISORY", "respond_within_minutes": 5}, {"re_alarm_seconds": 600}, {"re_alarm_count": 3},
        {"re_alarm_seconds": 10, "re_alarm_count": 1}, {"failure_mode": "XXX"}, {"anomaly_kind": "ODD"},
        {"respond_within_minutes": 0},
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(sensor: Sensor, anna: User, fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        lay(sensor, anna, **fields)


def test_a_scope_has_one_definition_and_is_of_one_site(sensor: Sensor, anna: User) -> None:
    lay(sensor, anna, sensor_kind="FLOW")
    for fields in (
        {"sensor_kind": "FLOW"},
        {"machine": sensor.machine, "equipment_class": "PUMP"},
        {"machine": factories.machine(site=factories.site())},
    ):
        with pytest.raises(ValidationError):
            lay(sensor, anna, **fields)


def test_each_change_is_in_the_journal_with_who_and_what(sensor: Sensor, anna: User) -> None:
    said = lay(sensor, anna, priority="LOW")
    said.priority = "HIGH"
    definition_book.save(said, actor=anna)
    definition_book.delete(said, actor=anna)
    kept = Event.objects.filter(type__startswith="alarm_definition.").order_by("id")
    assert [(e.type, e.actor) for e in kept] == [
        (f"alarm_definition.{what}", anna.username) for what in ("added", "changed", "deleted")
    ]
    assert (kept[1].data["before"]["priority"], kept[1].data["after"]["priority"]) == ("LOW", "HIGH")


def test_definitions_over_rest_are_read_by_members_and_laid_down_by_administrators(sensor: Sensor, anna: User) -> None:
    body: dict[str, Any] = {"site": sensor.site_id, "machine": sensor.machine_id, "response": "Look", "priority": "LOW"}
    http, tina = rest.client(anna), factories.user(site=sensor.site, role=Membership.Role.TECHNICIAN)
    stranger = factories.user(site=factories.site(), role=Membership.Role.ADMIN)
    rest.problem(rest.client(tina).post(API, body, rest.JSON), status=403, name="forbidden")
    for outsider_body in (body, body | {"site": 999_999}):
        assert rest.client(stranger).post(API, outsider_body, rest.JSON).status_code in (400, 422)
    made = http.post(API, body, rest.JSON)
    assert (made.status_code, made.json()["machine"], made.json()["revision"]) == (201, sensor.machine_id, 1)
    assert http.post(API, body, rest.JSON).status_code in (400, 422)
    row = f"{API}{made.json()['id']}/"
    for who, status in ((tina, 200), (stranger, 404)):
        assert rest.client(who).get(row).status_code == status
    changed = http.patch(row, {"priority": "HIGH", "machine": None}, rest.JSON).json()
    assert (changed["priority"], changed["machine"], changed["revision"]) == ("HIGH", sensor.machine_id, 2)
    assert http.patch(row, {"priority": "ADVISORY"}, rest.JSON).status_code in (400, 422)
    rest.problem(rest.client(tina).delete(row), status=403, name="forbidden")
    shown = alarm(sensor)
    said = http.get(f"/api/v1/alarms/{shown.pk}/").json()["definition"]
    assert (said["response"], said["revision"]) == ("Look", 2)
    assert http.delete(row).status_code == 204
    assert http.get(f"/api/v1/alarms/{shown.pk}/").json()["definition"] is None


def test_the_admin_lays_down_changes_and_deletes(sensor: Sensor, anna: User, client: Client) -> None:
    client.force_login(anna)
    form = {"site": sensor.site_id, "response": "Look", "priority": "HIGH", "failure_mode": "LOO", "re_alarm_count": 0}
    assert client.post(reverse(f"{PAGE}add"), form | {"priority": "ADVISORY"}).context["errors"]
    assert client.post(reverse(f"{PAGE}add"), form).status_code == 302
    said = AlarmDefinition.objects.get()
    assert (said.failure_mode, said.updated_by) == ("LOO", anna)
    page = client.get(reverse(f"{PAGE}change", args=[said.pk])).content.decode()
    assert sensor.external_id in page
    machine = client.get(reverse("admin:sensors_equipment_change", args=[sensor.machine_id])).content.decode()
    assert "What holds for its alarms" in machine
    assert reverse(f"{PAGE}change", args=[said.pk]) in machine
    assert "nothing laid down" in machine
    alarm(sensor)
    told = client.get(reverse("admin:maintenance_alarm_change", args=[Alarm.objects.get().pk])).content.decode()
    assert "Look" in told
    assert client.post(reverse(f"{PAGE}delete", args=[said.pk]), {"post": "yes"}).status_code == 302
    assert not AlarmDefinition.objects.exists()


def test_a_technician_reads_definitions_and_changes_none(sensor: Sensor, anna: User, client: Client) -> None:
    said = lay(sensor, anna)
    client.force_login(factories.user(site=sensor.site, role=Membership.Role.TECHNICIAN, is_staff=True))
    assert client.get(reverse(f"{PAGE}change", args=[said.pk])).status_code == 200
    assert client.get(reverse(f"{PAGE}add")).status_code == 403
    assert client.post(reverse(f"{PAGE}delete", args=[said.pk]), {"post": "yes"}).status_code == 403


def test_many_definitions_and_sensors_cost_the_machine_page_no_more_queries(
    sensor: Sensor, anna: User, client: Client
) -> None:
    client.force_login(anna)
    page = reverse("admin:sensors_equipment_change", args=[sensor.machine_id])
    counted = []
    for kind in ("FLOW", "LEVEL"):
        lay(sensor, anna, sensor_kind=kind)
        for _ in range(3):
            factories.sensor(machine=sensor.machine, kind=kind)
        with CaptureQueriesContext(connection) as queries:
            client.get(page)
        counted.append(len(queries))
    assert counted[0] == counted[1]
