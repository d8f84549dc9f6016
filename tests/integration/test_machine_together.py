"""What the other sensors say, in the live flow: one anomaly and one alarm for a fault, with its contributors."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from maintenance.models import Alarm, Anomaly
from sensors.models import Sensor
from tests import factories
from tests.integration.test_pipeline import START, flow
from tests.unit.test_relation import machine

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

ROWS, FAULT = 700, 560


def rig() -> list[Sensor]:
    unit = factories.machine(site=factories.site())
    return [factories.sensor(machine=unit) for _ in range(4)]


def send(sensors: list[Sensor], *, rows_each: int) -> None:
    """Rows of a machine whose second sensor leaves the others behind, a little."""
    value = machine(4, ROWS)
    value[1, FAULT:] += 2.5
    for first in range(0, ROWS, rows_each):
        flow(
            sensors[0].site,
            [
                {"sensor": s.pk, "measured_at": (START + timedelta(seconds=n)).isoformat(), "value": value[k, n]}
                for n in range(first, min(first + rows_each, ROWS))
                for k, s in enumerate(sensors)
            ],
        )


def found() -> list[Anomaly]:
    return list(Anomaly.objects.filter(detector="relation"))


def test_a_fault_of_a_machine_is_one_anomaly_at_its_leading_sensor_and_opens_one_alarm() -> None:
    sensors = rig()
    send(sensors, rows_each=100)
    (one,) = found()
    assert (one.sensor, one.machine, one.kind) == (sensors[1], sensors[1].machine, "RELATION_HIGH")
    assert START + timedelta(seconds=FAULT) <= one.started_at < START + timedelta(seconds=FAULT + 30)
    assert one.contributors[0][0] == sensors[1].pk
    assert {sensor_id for sensor_id, _ in one.contributors} == {s.pk for s in sensors}
    assert sum(share for _, share in one.contributors) == pytest.approx(1.0)
    assert one.observed is not None and one.expected_high is not None and one.observed > one.expected_high
    assert Alarm.objects.get().sensor == sensors[1]


def test_it_is_the_same_anomaly_however_the_readings_come_in() -> None:
    kept = []
    for rows_each in (ROWS, 97):
        Anomaly.objects.all().delete()
        sensors = rig()
        send(sensors, rows_each=rows_each)
        (one,) = found()
        place = {s.pk: k for k, s in enumerate(sensors)}
        shares = [(place[sensor_id], share) for sensor_id, share in one.contributors]
        kept.append(
            (place[one.sensor_id], one.started_at, one.last_at, one.readings, one.peak_at, one.observed, shares)
        )
    assert kept[0] == kept[1]


def test_the_page_of_an_anomaly_names_the_contributors(
    client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    sensors = rig()
    send(sensors, rows_each=ROWS)
    (one,) = found()
    client.force_login(factories.user(site=sensors[0].site, is_staff=True))
    url = reverse("admin:maintenance_anomaly_change", args=[one.pk])
    client.get(url)
    with django_assert_max_num_queries(40):
        page = client.get(url).content.decode()
    assert "relation high" in page
    for sensor_id, share in one.contributors:
        link = reverse("admin:sensors_sensor_change", args=[sensor_id])
        name = next(s.external_id for s in sensors if s.pk == sensor_id)
        assert link in page and name in page and f"</a> {share:.0%}" in page
    Anomaly.objects.filter(pk=one.pk).update(contributors=[])
    assert client.get(url).status_code == 200
