"""N of M and limits of the rate of change, from a reading to the alarm; set in admin, shown by REST."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from maintenance.models import Alarm, Anomaly
from sensors.models import Sensor
from tests import factories
from tests.client import client
from tests.integration.test_admin_pages import SENSOR
from tests.integration.test_pipeline import START, flow, readings, sensor

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

MINUTE = timedelta(minutes=1)


def found(one: Sensor, kinds: str) -> list[tuple[Any, ...]]:
    rows = Anomaly.objects.filter(sensor=one, kind__startswith=kinds).order_by("started_at")
    return list(rows.values_list("kind", "started_at", "ended_at", "readings", "observed", "expected_high"))


def cut(one: Sensor, values: list[float], length: int) -> None:
    for first in range(0, len(values), length):
        flow(one.site, readings(one, values[first : first + length], first=first))


@pytest.mark.parametrize("length", [40, 3, 1])
def test_a_limit_counts_when_n_of_the_last_m_readings_are_beyond_however_they_come(length: int) -> None:
    one = sensor(alarm_readings=3, alarm_readings_of=5)
    cut(one, [1.0, 12.0, 13.0, 1.1, 1.0, 1.2, 1.0, 12.0, 1.0, 13.0, 1.1, 14.0, 1.0] + [1.0, 1.1] * 6, length)
    at = START + 11 * MINUTE
    assert found(one, "LIMIT") == [("LIMIT_HIGH", at, at + MINUTE, 1, 14.0, 10.0)]
    assert Alarm.objects.get(machine=one.machine).sensor == one


@pytest.mark.parametrize("length", [60, 7])
def test_what_changes_too_fast_alarms_before_it_reaches_a_limit_by_the_direction_it_goes(length: int) -> None:
    one = sensor(
        kind="TEMPERATURE", high=90.0, rise_per_minute=2.0, fall_per_minute=5.0, rate_span_seconds=240,
    )  # fmt: skip
    slow = [20.0 + 0.5 * n for n in range(20)]
    fast = [slow[-1] + 3.0 * n for n in range(1, 15)]
    back = [fast[-1] - 4.0 * n for n in range(1, 8)]
    cut(one, slow + fast + back + [back[-1]] * 20, length)
    ((kind, started, _, _, observed, high),) = found(one, "RATE")
    assert kind == "RATE_HIGH"
    assert START + 22 * MINUTE <= started <= START + 24 * MINUTE
    assert observed > high
    assert not found(one, "LIMIT")
    alarm = Alarm.objects.get(machine=one.machine, failure_mode="OHE")
    assert not alarm.is_active


def test_what_was_set_is_laid_down_in_the_database_too() -> None:
    one = sensor()
    for wrong in ({"alarm_readings": 3}, {"alarm_readings": 0}, {"alarm_readings_of": 33}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Sensor.objects.filter(pk=one.pk).update(**wrong)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"alarm_readings": 4, "alarm_readings_of": 3}, "no more can be beyond"),
        ({"alarm_readings": 2, "alarm_readings_of": 33}, "less than or equal to 32"),
        ({"rise_per_minute": -1}, "greater than or equal to 0"),
        ({"fall_per_minute": 60, "max_rate": 1.0}, "below max rate, 60 a minute"),
        ({"rate_span_seconds": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any], text: str) -> None:
    machine = factories.machine(site=factories.site())
    with pytest.raises(ValidationError, match=text):
        factories.sensor(machine=machine, **wrong)


def test_a_sites_administrator_sets_them_on_the_sensors_page_and_the_machines_page_shows_them(client: Client) -> None:
    one = sensor()
    client.force_login(factories.user(site=one.site, role="ADMIN", is_staff=True))
    form = SENSOR | {
        "external_id": one.external_id, "equipment": one.equipment_id, "high": 10, "alarm_readings": 3,
        "alarm_readings_of": 5, "rise_per_minute": 2.5, "rate_span_seconds": 120, "unit": "°C",
    }  # fmt: skip
    answer = client.post(reverse("admin:sensors_sensor_change", args=[one.pk]), form)
    assert answer.status_code == 302, answer.content.decode()
    one.refresh_from_db()
    assert (one.alarm_readings, one.alarm_readings_of, one.rise_per_minute, one.rate_span_seconds) == (3, 5, 2.5, 120)
    shown = client.get(reverse("admin:sensors_equipment_change", args=[one.machine_id])).content.decode()
    assert "3 of 5" in shown
    assert "rise 2.5 °C/min over 120 s" in shown


def test_the_machines_page_costs_the_same_queries_whatever_its_sensors(client: Client) -> None:
    one = sensor(rise_per_minute=1.0)
    client.force_login(factories.user(site=one.site, role="ADMIN", is_staff=True))
    page, counted = reverse("admin:sensors_equipment_change", args=[one.machine_id]), []
    client.get(page)
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            client.get(page)
        counted.append(len(queries))
        for _ in range(3):
            factories.sensor(machine=one.machine, alarm_readings=2, alarm_readings_of=3, rise_per_minute=1.0)
    assert counted[0] == counted[1]


def test_rest_shows_them() -> None:
    one = sensor(alarm_readings=2, alarm_readings_of=3, fall_per_minute=1.5, silent_after_seconds=90)
    http = client(factories.user(site=one.site))
    shown = http.get(f"/api/v1/sensors/{one.pk}/").json()
    wanted = {
        "alarm_readings": 2, "alarm_readings_of": 3, "rise_per_minute": None, "fall_per_minute": 1.5,
        "rate_span_seconds": 60, "silent_after_seconds": 90,
    }  # fmt: skip
    assert {name: shown[name] for name in wanted} == wanted
