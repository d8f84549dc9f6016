"""Meters of sensors: running totals counted from stored readings by the sweep."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from maintenance import meters
from maintenance.models import WorkOrder
from maintenance.plan_models import Meter, MeterReading, Plan
from sensors import columns, store
from sensors.models import Equipment, Sensor
from tests import factories
from tests.factories import NOON
from tests.integration.test_plans import meter, plan, sweep

pytestmark = pytest.mark.django_db

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def machine() -> Equipment:
    return factories.machine(site=factories.site())


@pytest.fixture
def anna(machine: Equipment) -> User:
    return factories.user(site=machine.site)


@pytest.fixture
def sensor(machine: Equipment) -> Sensor:
    return factories.sensor(machine=machine)


def read(sensor: Sensor, values: list[float], *, start: datetime, step: timedelta = HOUR, quality: int = 0) -> None:
    at = columns.from_instant(start) + np.arange(len(values), dtype=np.int64) * (step // timedelta(microseconds=1))
    ids = np.full(len(values), sensor.pk, np.int64)
    taken = columns.Columns(ids, at, np.array(values, np.float64), np.arange(len(values), dtype=np.int32))
    store.make_partitions(store.days_of(taken))
    marks = np.full(len(values), quality, np.uint8)
    store.insert(taken, quality=marks, reason=marks * 0)


def counted(row: Meter, *, now: datetime) -> float:
    """The total after the sweep's looks, as many as it takes to catch up."""
    while row.pk in meters.due(now=now):
        meters.look(row.pk, now=now)
    row.refresh_from_db()
    return row.total


def test_a_counter_goes_on_through_resets_and_bad_readings(machine: Equipment, anna: User, sensor: Sensor) -> None:
    row = meter(machine, anna, source="COUNTER", sensor=sensor)
    assert counted(row, now=NOON) == 0
    read(sensor, [1_000.0, 1_005.0, 1_009.0], start=NOON)
    assert counted(row, now=NOON + 3 * HOUR) == 1_009
    read(sensor, [9e9], start=NOON + 190 * MINUTE, quality=meters.BAD)
    read(sensor, [2.0, 6.0], start=NOON + 4 * HOUR)
    assert counted(row, now=NOON + 6 * HOUR) == 1_015
    assert (row.value, row.read_at) == (6, NOON + 5 * HOUR)
    read(sensor, [8.0], start=NOON + 3 * DAY)
    assert counted(row, now=NOON + 3 * DAY + HOUR) == 1_017
    assert [reading.total for reading in MeterReading.objects.all()] == [1_017, 1_015]


@pytest.mark.parametrize("step", [MINUTE, 20 * MINUTE])
def test_running_hours_and_starts_are_those_of_the_readings_however_often_it_looks(
    machine: Equipment, anna: User, sensor: Sensor, step: timedelta
) -> None:
    rng = np.random.default_rng(1)
    number = 40 * HOUR // step
    values = np.repeat(rng.choice([0.0, 10.0], number), 3)[:number].tolist()
    read(sensor, values, start=NOON, step=step)
    end = NOON + 40 * HOUR
    hours = meter(machine, anna, source="ABOVE", sensor=sensor, threshold=5.0)
    starts = meter(machine, anna, source="ABOVE", sensor=sensor, threshold=5.0, name="Starts", unit="STARTS")
    once = meter(machine, anna, source="ABOVE", sensor=sensor, threshold=5.0, name="Once")
    for minutes in range(0, 40 * 60, 97):
        for row in (hours, starts):
            meters.look(row.pk, now=NOON + minutes * MINUTE)
    want = sum(value > 5 for value in values) * (step / HOUR)
    assert counted(hours, now=end) == pytest.approx(want)
    assert counted(once, now=end) == pytest.approx(want)
    ups = sum(a <= 5 < b for a, b in pairwise(values))
    assert counted(starts, now=end) == ups


def test_readings_that_come_late_count_as_if_in_time(machine: Equipment, anna: User, sensor: Sensor) -> None:
    row = meter(machine, anna, source="ABOVE", sensor=sensor, threshold=5.0)
    read(sensor, [0.0], start=NOON + 6 * HOUR)
    assert counted(row, now=NOON + 6 * HOUR) == 0
    read(sensor, [10.0] * 12, start=NOON + HOUR, step=15 * MINUTE)
    assert counted(row, now=NOON + 6 * HOUR + meters.AGAIN) == pytest.approx(3 + 0.75)
    assert counted(row, now=NOON + 60 * HOUR) == pytest.approx(3.75)


def test_a_long_history_is_caught_up_in_parts(machine: Equipment, anna: User, sensor: Sensor) -> None:
    row = meter(machine, anna, source="COUNTER", sensor=sensor)
    read(sensor, [float(n % 700) for n in range(80 * 24)], start=NOON)
    end = NOON + 80 * DAY
    looks = 0
    while meters.due(now=end):
        with CaptureQueriesContext(connection) as asked:
            meters.look(row.pk, now=end)
        looks += 1
        assert len(asked) <= 14
    row.refresh_from_db()
    values = [n % 700 for n in range(80 * 24)]
    assert row.total == sum(b - a if b >= a else b for a, b in zip([0, *values], values, strict=False))
    assert (looks, row.look_at) == (3, end + meters.AGAIN)
    assert row.per_day == pytest.approx(24, rel=0.05)
    assert meters.look(row.pk, now=end) is False


def test_a_sensors_meter_opens_the_order_of_its_plan(machine: Equipment, anna: User, sensor: Sensor) -> None:
    row = meter(machine, anna, source="COUNTER", sensor=sensor)
    read(sensor, [100.0], start=NOON + MINUTE)
    sweep(NOON + HOUR)
    row.refresh_from_db()
    plan(machine, anna, every=None, first_on=None, meter=row, meter_every=50, basis="DUE", now=NOON + HOUR)
    assert (Plan.objects.get().target, Plan.objects.get().look_at) == (150, None)
    read(sensor, [149.0], start=NOON + 2 * HOUR)
    sweep(NOON + 3 * HOUR)
    assert not WorkOrder.objects.exists()
    read(sensor, [151.0], start=NOON + 4 * HOUR)
    sweep(NOON + 5 * HOUR)
    sweep(NOON + 6 * HOUR)
    assert WorkOrder.objects.get().due_at == NOON + 5 * HOUR


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("__all__", {"source": "COUNTER", "sensor": None}),
        ("__all__", {"source": "ABOVE"}),
        ("__all__", {"source": "ENTERED"}),
        ("threshold", {"source": "ABOVE", "threshold": float("inf")}),
        ("unit", {"unit": "MILES"}),
    ],
)
def test_a_meter_that_makes_no_sense_is_refused(
    machine: Equipment, anna: User, sensor: Sensor, field: str, wrong: dict[str, Any]
) -> None:
    said: dict[str, Any] = {"source": "COUNTER", "sensor": sensor}
    with pytest.raises(ValidationError) as refused:
        meter(machine, anna, **said | wrong)
    assert set(refused.value.message_dict) == {field}


def test_a_meter_is_of_its_machines_sensor_and_a_sensors_is_not_entered(
    machine: Equipment, anna: User, sensor: Sensor
) -> None:
    other = factories.machine(site=machine.site)
    with pytest.raises(ValidationError, match="another machine"):
        meter(other, anna, source="COUNTER", sensor=sensor)
    row = meter(machine, anna, source="COUNTER", sensor=sensor)
    with pytest.raises(meters.NotEntered):
        meters.enter(row.pk, actor=anna, value=5)
