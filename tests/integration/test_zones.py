"""Vibration graded by ISO 20816-3, from a reading to the work order, in admin and over REST."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import IntegrityError, connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents import sweeper
from agents.doorbell import Bell
from maintenance.models import Alarm, Anomaly, WorkOrder
from sensors import fleet, inbox, roster
from sensors.models import Equipment, Sensor
from tests import factories
from tests.client import client

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]


def vibration(**machine: Any) -> Sensor:
    made = {"machine_group": 2, "support_class": "RIGID", "criticality": "HIGH"} | machine
    pump = factories.machine(site=factories.site(), **made)
    return factories.sensor(machine=pump, kind="VIBRATION", unit="mm/s")


def send(sensor: Sensor, values: list[float], *, first: int = 0) -> None:
    items = [
        {
            "sensor": sensor.external_id,
            "measured_at": (factories.NOON - timedelta(days=1) + timedelta(minutes=first + n)).isoformat(),
            "value": value,
        }
        for n, value in enumerate(values)
    ]
    accepted = inbox.accept(
        site=sensor.site, user=None, body=json.dumps(items).encode(), received_at=factories.NOON
    )  # fmt: skip
    sweeper.work_off(Bell("ingest", lane) for lane in accepted.lanes)


def test_zone_c_alarms_and_zone_d_raises_the_alarm_and_calls_for_work() -> None:
    sensor = vibration()
    send(sensor, [1.2, 2.0, 2.9, 3.0])
    assert Anomaly.objects.get().kind == "ZONE_C"
    assert Alarm.objects.get().priority == "MEDIUM"
    assert Alarm.objects.get().failure_mode == "VIB"
    assert not WorkOrder.objects.exists()
    send(sensor, [4.6, 4.4], first=4)
    assert Anomaly.objects.get().kind == "ZONE_D"
    assert Alarm.objects.get().priority == "HIGH"
    assert WorkOrder.objects.get().priority == "HIGH"
    send(sensor, [2.7] + [2.0] * 20, first=6)
    assert not Alarm.objects.get().is_active


def test_limits_of_the_sensor_count_beside_its_zones() -> None:
    sensor = vibration()
    Sensor.objects.filter(pk=sensor.pk).update(high=2.0)
    send(sensor, [1.0, 3.0])
    assert set(Anomaly.objects.values_list("detector", "kind")) == {("limits", "LIMIT_HIGH"), ("zones", "ZONE_C")}


@pytest.mark.parametrize("lacking", [{"machine_group": None}, {"support_class": ""}])
def test_without_group_or_class_nothing_is_graded(lacking: dict[str, Any]) -> None:
    send(vibration(**lacking), [1.0, 99.0])
    assert not Anomaly.objects.exists()


def test_a_component_has_its_machines_group_and_class_or_its_own() -> None:
    sensor = vibration()
    motor = fleet.save_equipment(
        Equipment(site=sensor.site, parent=sensor.machine, level="COMPONENT", tag="motor", name="motor")
    )
    one = factories.sensor(machine=motor, kind="VIBRATION", unit="mm/s")
    assert roster.table(np.array([one.pk])).zone_d.max() == 4.5
    motor.machine_group = 1
    fleet.save_equipment(motor)
    assert roster.table(np.array([one.pk])).zone_d.max() == 7.1
    one.refresh_from_db()
    assert one.vibration_zones.c_d == 7.1


def test_a_group_that_is_none_is_refused_by_the_database() -> None:
    sensor = vibration()
    with pytest.raises(IntegrityError):
        Equipment.objects.filter(pk=sensor.machine_id).update(machine_group=7)


def signed_in(sensor: Sensor) -> Client:
    browser = Client()
    browser.force_login(factories.user(site=sensor.site, is_staff=True, is_superuser=True))
    return browser


def page(sensor: Sensor) -> str:
    return signed_in(sensor).get(reverse("admin:sensors_sensor_change", args=[sensor.pk])).content.decode()


def test_the_page_of_a_sensor_shows_its_zones_or_says_why_it_has_none() -> None:
    sensor = vibration()
    assert "By ISO 20816-3 zone B begins at 1.4 mm/s" in page(sensor)
    send(sensor, [1.0, 3.0])
    shown = page(sensor)
    assert "Zone C now." in shown
    assert "zone D" in shown  # a line of the picture
    Equipment.objects.filter(pk=sensor.machine_id).update(support_class="")
    assert "Not graded by ISO 20816-3. Its equipment has no support class." in page(sensor)
    Sensor.objects.filter(pk=sensor.pk).update(kind="FLOW")
    assert "ISO 20816" not in page(sensor)


def test_group_and_class_are_set_on_the_page_of_the_equipment() -> None:
    sensor = vibration(machine_group=None, support_class="")
    machine = sensor.machine
    address = reverse("admin:sensors_equipment_change", args=[machine.pk])
    browser = signed_in(sensor)
    assert "machine_group" in browser.get(address).content.decode()
    form = {
        "tag": machine.tag, "name": machine.name, "criticality": "HIGH", "equipment_class": "", "parent": "",
        "machine_group": "3", "support_class": "FLEXIBLE", "sensors-TOTAL_FORMS": "0", "sensors-INITIAL_FORMS": "0",
    }  # fmt: skip
    assert browser.post(address, form).status_code == 302
    machine.refresh_from_db()
    assert (machine.machine_group, machine.support_class) == (3, "FLEXIBLE")


def test_zones_over_rest_cost_no_query_a_sensor() -> None:
    sensor = vibration()
    api = client(factories.user(site=sensor.site))

    def ask() -> tuple[list[dict[str, Any]], int]:
        with CaptureQueriesContext(connection) as queries:
            answer = api.get("/api/v1/sensors/")
        return answer.json()["results"], len(queries)

    (one,), before = ask()
    assert one["vibration_zones"] == {"a_b": 1.4, "b_c": 2.8, "c_d": 4.5}
    assert one["zones_refused"] == ""
    for unit in ("g", "mm/s", "in/s"):
        factories.sensor(machine=factories.machine(site=sensor.site), kind="VIBRATION", unit=unit)
    found, after = ask()
    assert after == before
    assert sum("cannot be converted" in one["zones_refused"] for one in found) == 1
    assert sum("no machine group" in one["zones_refused"] for one in found) == 2
    machine = api.get(f"/api/v1/equipment/{sensor.machine_id}/").json()
    assert (machine["machine_group"], machine["support_class"]) == (2, "RIGID")
