"""What staff press in the admin has its effect, once, in their name, after they were asked."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import orjson
import pytest
from django.contrib.auth.models import User
from django.contrib.messages import get_messages
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents.models import Run
from maintenance.models import Alarm, Anomaly, WorkOrder
from sensors import inbox
from sensors.models import DiscoveredSensor, Equipment, Label, Membership, Regime, Sensor
from tests import factories, plant
from tests.factories import NOON

pytestmark = pytest.mark.django_db


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


def page(row: object, button: str) -> str:
    kind = {Alarm: "maintenance_alarm", WorkOrder: "maintenance_workorder", Run: "agents_run",
            DiscoveredSensor: "sensors_discoveredsensor", Anomaly: "maintenance_anomaly", Sensor: "sensors_sensor",
            Equipment: "sensors_equipment", Label: "sensors_label", Regime: "sensors_regime"}[type(row)]  # type: ignore[index]  # fmt: skip
    return reverse(f"admin:{kind}_{button}", args=[row.pk])  # type: ignore[attr-defined]


def press(client: Client, row: object, button: str, **answers: object) -> HttpResponse:
    return client.post(page(row, button), {"confirmed": "1"} | answers)  # type: ignore[return-value]


def told(answer: HttpResponse) -> str:
    """What was said of what was done; where it was refused, at the form."""
    if answer.status_code == 200:
        return str(answer.context["form"].errors)  # type: ignore[attr-defined]
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))  # type: ignore[attr-defined]


def test_asking_alone_changes_nothing(desk: Client, rows: plant.Rows) -> None:
    assert desk.get(page(rows.alarm, "acknowledge")).status_code == 200
    assert desk.post(page(rows.alarm, "acknowledge"), {"comment": "x"}).status_code == 200
    rows.alarm.refresh_from_db()
    assert not rows.alarm.is_acknowledged


def test_an_alarm_is_acknowledged_with_a_comment(desk: Client, tina: User, rows: plant.Rows) -> None:
    assert press(desk, rows.alarm, "acknowledge", comment="Seen, on my way.").status_code == 302
    rows.alarm.refresh_from_db()
    assert (rows.alarm.is_acknowledged, rows.alarm.acknowledged_by) == (True, tina)
    last = rows.alarm.transitions.order_by("-id")[0]
    assert (last.action, last.actor, last.comment) == ("ACKNOWLEDGED", tina, "Seen, on my way.")


def test_an_alarm_that_somebody_acknowledged_meanwhile_is_told(desk: Client, rows: plant.Rows) -> None:
    press(desk, rows.alarm, "acknowledge")
    assert "acknowledged" in told(press(desk, rows.alarm, "acknowledge")).lower()
    assert rows.alarm.transitions.filter(action="ACKNOWLEDGED").count() == 1


def test_several_alarms_are_acknowledged_at_once(desk: Client, rows: plant.Rows) -> None:
    other = plant.rows(rows.machine.site)
    ticked = {"action": "acknowledge_selected", "_selected_action": [rows.alarm.pk, other.alarm.pk]}
    asked = desk.post(reverse("admin:maintenance_alarm_changelist"), ticked)
    assert asked.status_code == 200
    assert Alarm.objects.filter(is_acknowledged=True).count() == 0
    done = desk.post(reverse("admin:maintenance_alarm_changelist"), ticked | {"confirmed": "1", "comment": ""})
    assert done.status_code == 302
    assert Alarm.objects.filter(is_acknowledged=True).count() == 2


def test_a_comment_is_required_to_comment(desk: Client, rows: plant.Rows) -> None:
    assert "required" in press(desk, rows.alarm, "comment", comment=" ").content.decode()
    assert press(desk, rows.alarm, "comment", comment="Bearing is warm.").status_code == 302
    assert rows.alarm.transitions.filter(comment="Bearing is warm.").exists()


def test_a_work_order_goes_from_open_to_completed(desk: Client, tina: User, rows: plant.Rows) -> None:
    assert press(desk, rows.order, "assign", assignee=tina.pk).status_code == 302
    assert press(desk, rows.order, "start").status_code == 302
    assert "required" in press(desk, rows.order, "complete", findings="").content.decode()
    assert press(desk, rows.order, "complete", findings="Impeller cleaned.").status_code == 302
    rows.order.refresh_from_db()
    assert (rows.order.status, rows.order.findings, rows.order.assigned_to) == ("COMPLETED", "Impeller cleaned.", tina)
    assert [step.to_status for step in rows.order.transitions.all()] == ["OPEN", "ASSIGNED", "IN_PROGRESS", "COMPLETED"]


def test_what_an_alarm_opened_is_closed_with_what_it_was(desk: Client, tina: User, rows: plant.Rows) -> None:
    for name, said in (
        ("plan", {"start_0": "2026-03-05", "start_1": "07:00", "minutes": "60"}), ("assign", {"assignee": tina.pk}),
        ("start", {}), ("hold", {"comment": "No crane"}), ("resume", {}), ("complete", {"findings": "Cleaned"}),
    ):  # fmt: skip
        assert press(desk, rows.order, name, **said).status_code == 302, name
    assert "required" in press(desk, rows.order, "close", verdict="").content.decode()
    assert press(desk, rows.order, "close", verdict="REAL", found_mode="LOO", mechanism="2.4").status_code == 302
    rows.order.refresh_from_db()
    assert (rows.order.status, rows.order.verdict, rows.order.mechanism) == ("CLOSED", "REAL", "2.4")
    assert rows.order.label is not None
    assert rows.order.label.kind == "FAULT"
    assert press(desk, rows.order, "reopen", comment="It drips").status_code == 302


def test_a_work_order_is_cancelled_with_a_reason(desk: Client, rows: plant.Rows) -> None:
    assert "required" in press(desk, rows.order, "cancel", comment="").content.decode()
    assert press(desk, rows.order, "cancel", comment="Machine was scrapped.").status_code == 302
    rows.order.refresh_from_db()
    assert rows.order.status == "CANCELLED"


def test_only_people_who_may_work_on_it_are_offered(desk: Client, tina: User, rows: plant.Rows) -> None:
    others = {
        factories.user(site=rows.machine.site, role=Membership.Role.VIEWER),
        factories.user(site=factories.site(), role=Membership.Role.TECHNICIAN),
        factories.user(site=rows.machine.site, role=Membership.Role.TECHNICIAN, is_active=False),
    }
    form = desk.get(page(rows.order, "assign")).context["form"]
    offered = set(form.fields["assignee"].queryset)
    assert tina in offered
    assert not offered & others


def test_a_step_that_does_not_fit_is_refused_in_words(desk: Client, rows: plant.Rows) -> None:
    assert "open" in told(press(desk, rows.order, "start")).lower()
    rows.order.refresh_from_db()
    assert rows.order.status == "OPEN"


def test_only_buttons_that_fit_are_shown(desk: Client, tina: User, rows: plant.Rows) -> None:
    shown = desk.get(page(rows.order, "change")).content.decode()
    assert page(rows.order, "assign") in shown
    assert page(rows.order, "complete") not in shown
    press(desk, rows.order, "assign", assignee=tina.pk)
    assert page(rows.order, "start") in desk.get(page(rows.order, "change")).content.decode()


@pytest.fixture
def quiet_redis(redis_empty: None) -> Iterator[None]:
    yield


def test_a_failed_run_is_replayed_once(desk: Client, rows: plant.Rows, quiet_redis: None) -> None:
    assert page(rows.run, "replay") in desk.get(page(rows.run, "change")).content.decode()
    assert press(desk, rows.run, "replay").status_code == 302
    rows.run.refresh_from_db()
    assert rows.run.status == Run.Status.REPLAY
    assert "is not set aside" in told(press(desk, rows.run, "replay"))
    assert page(rows.run, "replay") not in desk.get(page(rows.run, "change")).content.decode()


def held(rows: plant.Rows) -> DiscoveredSensor:
    body = [{"sensor": "bearing.vib", "measured_at": "2022-03-01T00:00:00Z", "value": 2.5}]
    inbox.accept(site=rows.machine.site, user=None, body=orjson.dumps(body), received_at=timezone.now())
    return DiscoveredSensor.objects.get(external_id="bearing.vib")


def test_a_discovered_sensor_is_adopted_on_a_machine(desk: Client, rows: plant.Rows) -> None:
    found = held(rows)
    asked = desk.get(page(found, "adopt"))
    assert asked.context["form"].initial == {"name": "bearing.vib", "kind": "VIBRATION"}
    answers = {"equipment": rows.machine.pk, "name": "Bearing", "kind": "VIBRATION", "unit": "mm/s", "new_machine": ""}
    answer = press(desk, found, "adopt", **answers)
    made = Sensor.objects.get(external_id="bearing.vib")
    assert answer.headers["Location"] == reverse("admin:sensors_sensor_change", args=[made.pk])
    assert (made.machine, made.unit) == (rows.machine, "mm/s")
    assert set(found.parts.values_list("state", "lane")) == {("WAITING", rows.machine.lane)}


def test_a_discovered_sensor_is_adopted_with_a_new_machine(desk: Client, rows: plant.Rows) -> None:
    found = held(rows)
    press(desk, found, "adopt", equipment="", new_machine="P-77", name="Bearing", kind="VIBRATION", unit="")
    assert Sensor.objects.get(external_id="bearing.vib").machine.tag == "P-77"


@pytest.mark.parametrize("tag", ["", "P-77"])
def test_adopting_wants_either_a_machine_or_a_new_one(desk: Client, rows: plant.Rows, tag: str) -> None:
    found = held(rows)
    equipment = rows.machine.pk if tag else ""
    answer = press(desk, found, "adopt", equipment=equipment, new_machine=tag, name="B", kind="VIBRATION", unit="")
    assert "one of the two" in answer.content.decode()
    assert not Sensor.objects.filter(external_id="bearing.vib").exists()


def test_adopting_onto_a_tag_that_is_taken_is_told(desk: Client, rows: plant.Rows) -> None:
    found = held(rows)
    answer = press(
        desk, found, "adopt", equipment="", new_machine=rows.machine.tag, name="B", kind="VIBRATION", unit=""
    )
    assert "already exists" in told(answer)
    assert not Sensor.objects.filter(external_id="bearing.vib").exists()


def test_an_adopted_sensor_offers_no_adoption_again(desk: Client, rows: plant.Rows) -> None:
    found = held(rows)
    answers = {"equipment": rows.machine.pk, "name": "B", "kind": "VIBRATION", "unit": "", "new_machine": ""}
    press(desk, found, "adopt", **answers)
    assert page(found, "adopt") not in desk.get(page(found, "change")).content.decode()
    assert "adopted before" in told(press(desk, found, "adopt", **answers))


# What people know


def test_an_anomaly_is_labelled_with_its_window_filled_in(desk: Client, tina: User, rows: plant.Rows) -> None:
    Anomaly.objects.update(last_at=NOON + timedelta(hours=2, microseconds=5))
    asked = desk.get(page(rows.anomaly, "label"))
    form = asked.context["form"]
    assert (form.initial["from_at"], form.initial["to_at"]) == (NOON, NOON + timedelta(hours=2, seconds=1))
    assert form.initial["failure_mode"] == "LOO"
    text = asked.content.decode()
    assert 'value="2026-03-01 12:00:00"' in text
    assert 'value="2026-03-01 14:00:01"' in text
    said = {"kind": "FAULT", "failure_mode": "LOO", "of": "sensor", "from_at": "2026-03-01 12:00:00",
            "to_at": "2026-03-01 14:00:01", "note": "Impeller worn"}  # fmt: skip
    assert press(desk, rows.anomaly, "label", **said).status_code == 302
    made = Label.objects.exclude(pk=rows.label.pk).get()
    assert (made.kind, made.failure_mode, made.sensor, made.created_by) == ("FAULT", "LOO", rows.sensor, tina)
    assert (made.from_at, made.to_at) == (NOON, NOON + timedelta(hours=2, seconds=1))
    assert "Retract that first" in told(press(desk, rows.anomaly, "label", **said | {"kind": "FALSE_ALARM"}))
    assert press(desk, rows.anomaly, "label", **said | {"kind": "FALSE_ALARM", "of": "machine"}).status_code == 302
    whole = Label.objects.get(sensor=None)
    assert (whole.kind, whole.failure_mode) == ("FALSE_ALARM", "")


def test_a_window_that_is_none_is_told(desk: Client, rows: plant.Rows) -> None:
    said = {"kind": "FAULT", "failure_mode": "", "of": "sensor", "from_at": "2026-03-01 12:00:00",
            "to_at": "2026-03-01 11:00:00"}  # fmt: skip
    assert "ends before it begins" in told(press(desk, rows.anomaly, "label", **said))
    assert "Enter a valid date" in press(desk, rows.anomaly, "label", **said | {"to_at": "soon"}).content.decode()


def test_the_new_normal_is_declared_for_a_sensor_and_for_a_machine(desk: Client, tina: User, rows: plant.Rows) -> None:
    plant.readings(rows.sensor, [20.0, 21.0])
    said = {"since": "2026-03-01 12:30:00", "reason": "New set point"}
    for row, sensor in ((rows.sensor, rows.sensor), (rows.machine, None)):
        assert desk.get(page(row, "declare")).context["form"].initial["since"] == NOON + timedelta(hours=1)
        assert "required" in press(desk, row, "declare", since=said["since"]).content.decode()
        assert press(desk, row, "declare", **said).status_code == 302
        made = Regime.objects.get(since=NOON + timedelta(minutes=30), sensor=sensor)
        assert (made.machine, made.reason, made.created_by) == (rows.machine, "New set point", tina)


def test_a_component_has_no_new_normal_of_its_own(desk: Client, rows: plant.Rows) -> None:
    part = factories.machine(site=rows.machine.site, level="COMPONENT", parent=rows.machine)
    shown = desk.get(reverse("admin:sensors_equipment_change", args=[part.pk])).content.decode()
    assert page(part, "declare") not in shown
    assert "Choose a machine" in told(press(desk, part, "declare", since="2026-03-01 12:30:00", reason="x"))


@pytest.mark.parametrize("name", ["label", "regime"])
def test_what_was_said_is_retracted_once_and_stays(desk: Client, tina: User, rows: plant.Rows, name: str) -> None:
    row = getattr(rows, name)
    shown = reverse(f"admin:sensors_{name}_change", args=[row.pk])
    assert page(row, "retract") in desk.get(shown).content.decode()
    assert press(desk, row, "retract").status_code == 302
    row.refresh_from_db()
    assert row.retracted_by == tina
    assert "retracted before" in told(press(desk, row, "retract"))
    text = desk.get(shown).content.decode()
    assert page(row, "retract") not in text
    assert "&lt;b&gt;" in text
