"""Anomalies are stored once and only ever grow."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from maintenance import anomalies, sightings
from maintenance.models import Anomaly
from maintenance.sightings import Sighting
from sensors.columns import SECOND_US, from_instant
from sensors.models import Event, Sensor
from tests import factories

pytestmark = pytest.mark.django_db

NOON = from_instant(factories.NOON)


def sighting(sensor: Sensor, *, at: int = 0, lasts: int = 0, **fields: Any) -> Sighting:
    started = NOON + at * SECOND_US
    base: dict[str, Any] = {
        "detector": "limits", "detector_version": "1", "kind": "LIMIT_LOW", "ended_at": None,
        "last_at": started + lasts * SECOND_US, "readings": 1 + lasts, "peak_score": 0.75, "peak_at": started,
        "observed": 3.5, "expected_low": 4.0, "expected_high": None, "window_from": started, "window_to": started,
    }  # fmt: skip
    return Sighting(sensor_id=sensor.pk, started_at=started, **{**base, **fields})


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


def row(anomaly_id: int) -> dict[str, Any]:
    return Anomaly.objects.values().get(pk=anomaly_id)


def test_an_anomaly_knows_its_machine_its_site_and_the_mode_it_points_to(sensor: Sensor) -> None:
    (anomaly_id,) = anomalies.record([sighting(sensor, contributors=((sensor.pk, 1.0),))], run_id=1)
    found = Anomaly.objects.get(pk=anomaly_id)
    assert (found.site, found.machine, found.failure_mode) == (sensor.site, sensor.machine, "LOO")
    assert found.started_at == factories.NOON
    assert found.contributors == [[sensor.pk, 1.0]]
    assert not found.is_settled


def test_a_fault_of_the_sensor_is_told_apart_from_one_of_the_machine(sensor: Sensor) -> None:
    faults = [
        sightings.fault(sensor_id=sensor.pk, kind=kind, started_at=NOON, last_at=NOON, readings=1, detail="why")
        for kind in ("STUCK", "SPIKE")
    ]
    stuck, spike = anomalies.record(faults, run_id=1)
    assert stuck != spike
    found = Anomaly.objects.get(pk=stuck)
    assert (found.nature, found.failure_mode, found.detail) == ("INSTRUMENT", "AIR", "why")


def test_what_a_later_run_reports_grows_the_row_and_keeps_its_identity(sensor: Sensor) -> None:
    (first,) = anomalies.record([sighting(sensor)], run_id=1)
    worse = sighting(
        sensor, lasts=60, kind="LIMIT_LOW_LOW", peak_score=1.0, peak_at=NOON + 30 * SECOND_US, observed=0.5
    )
    assert anomalies.record([worse], run_id=2) == [first]
    found = Anomaly.objects.get(pk=first)
    assert (found.kind, found.observed, found.readings, found.peak_score) == ("LIMIT_LOW_LOW", 0.5, 61, 1.0)
    assert found.last_at == factories.NOON + timedelta(seconds=60)
    assert (found.first_run_id, found.last_run_id, found.ended_at) == (1, 2, None)
    anomalies.record([replace(worse, ended_at=worse.last_at + SECOND_US)], run_id=3)
    assert Anomaly.objects.get(pk=first).ended_at == factories.NOON + timedelta(seconds=61)


def test_an_older_report_never_shrinks_the_row(sensor: Sensor) -> None:
    grown = sighting(sensor, lasts=60, ended_at=NOON + 90 * SECOND_US, peak_score=1.0)
    (anomaly_id,) = anomalies.record([grown], run_id=2)
    before = row(anomaly_id)
    anomalies.record([sighting(sensor)], run_id=2)
    assert row(anomaly_id) == before


def test_the_same_report_again_changes_nothing_and_is_told_once(sensor: Sensor) -> None:
    (anomaly_id,) = anomalies.record([sighting(sensor)], run_id=1)
    before = row(anomaly_id)
    assert anomalies.record([sighting(sensor), sighting(sensor)], run_id=1) == [anomaly_id, anomaly_id]
    assert row(anomaly_id) == before
    assert Event.objects.filter(type="anomaly.detected", subject=f"anomaly/{anomaly_id}").count() == 1


def test_reports_in_any_order_end_in_the_same_row(sensor: Sensor) -> None:
    reports = [
        sighting(sensor, lasts=n, peak_score=0.5 + n / 100, peak_at=NOON + n * SECOND_US, observed=float(n))
        for n in range(6)
    ]
    ends = []
    for seed in range(5):
        random.Random(seed).shuffle(reports)
        Anomaly.objects.all().delete()
        for report in reports:
            anomalies.record([report], run_id=1)
        ends.append(Anomaly.objects.values("last_at", "readings", "peak_score", "observed", "window_to").get())
    assert all(end == ends[0] for end in ends)


def test_one_found_in_retrospect_is_a_row_of_its_own(sensor: Sensor) -> None:
    live, late = anomalies.record([sighting(sensor), sighting(sensor, retrospective=True)], run_id=1)
    assert live != late


def test_many_at_once_cost_as_many_queries_as_one(
    sensor: Sensor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    others = [factories.sensor(machine=sensor.machine) for _ in range(10)]
    for sensors in ([sensor], others):
        with django_assert_num_queries(3):  # sensors, anomalies, journal
            ids = anomalies.record([sighting(s, at=at) for s in sensors for at in (1, 2, 3)], run_id=1)
        stored = Anomaly.objects.in_bulk(ids)
        assert [stored[i].sensor_id for i in ids] == [s.pk for s in sensors for _ in range(3)]
    with django_assert_num_queries(0):
        assert anomalies.record([], run_id=1) == []


def test_a_sensor_that_does_not_exist_is_named(sensor: Sensor) -> None:
    with pytest.raises(anomalies.UnknownSensor, match=f"sensor {sensor.pk + 1}"):
        anomalies.record([replace(sighting(sensor), sensor_id=sensor.pk + 1)], run_id=1)
