"""When sensors will be at their limits: told every hour, and shown where it is proven."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from agents import health, limit_forecasts
from mlops import limits
from mlops.limit_models import LimitForecast
from sensors import columns, regimes, store
from sensors.columns import SECOND_US, Float64
from sensors.models import Membership, Sensor, Site
from tests import factories
from tests.client import client, problem

pytestmark = pytest.mark.django_db
HOUR_US, DAYS = 3_600 * SECOND_US, 9


@pytest.fixture
def site() -> Site:
    return factories.site()


def filter_of(site: Site, *, high: float | None = 30.0, **fields: Any) -> Sensor:
    machine = factories.machine(site=site, equipment_class="FILTER")
    return factories.sensor(machine=machine, kind="PRESSURE", unit="bar", **({"high": high} | fields))


def clogging(hours: int = DAYS * 24) -> Float64:
    """It is at 21.6 after nine days, and at 25 a day and a half later."""
    return 0.1 * np.arange(hours) + np.random.default_rng(1).normal(0, 0.3, hours)


def end() -> datetime:
    return timezone.now().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)


def read(sensor: Sensor, value: Float64, *, until: datetime | None = None) -> None:
    """A reading half past each hour, the last one in the hour that begins at ``until``: so one begins that is not
    over."""
    last = columns.from_instant(until or end())
    at = last + (np.arange(len(value), dtype=np.int64) - len(value)) * HOUR_US + HOUR_US // 2
    at = np.append(at, last + 1)
    taken = columns.Columns(
        np.full(len(at), sensor.pk), at, np.append(value, value[-1]), np.arange(len(at), dtype=np.int32)
    )
    store.make_partitions(store.days_of(taken))
    store.insert(taken, quality=np.zeros(len(at), np.uint8), reason=np.zeros(len(at), np.uint8))


def proven(site: Site) -> None:
    """On other machines of the class it was borne out."""
    for _ in range(12):
        other = filter_of(site)
        LimitForecast.objects.create(
            machine=other.machine, sensor=other, limit_name="high", limit=30.0, day=end().date(), asked_at=end(),
            state="UNSURE", shares=[1.0, 1.0], tested_at=timezone.now(),
        )  # fmt: skip


def test_a_trend_that_leads_to_a_limit_is_told_with_its_times_and_hidden_while_it_is_not_proven(site: Site) -> None:
    sensor = filter_of(site, high=25.0, low=0.0)
    read(sensor, clogging())
    assert limit_forecasts.look_round() == 2
    high, low = LimitForecast.objects.get(limit_name="high"), LimitForecast.objects.get(limit_name="low")
    assert (high.machine, high.sensor, high.limit, high.asked_at) == (sensor.machine, sensor, 25.0, end())
    assert (high.state, high.is_proven, low.state) == ("TREND", False, "FAR")
    hours = [(value or 0) / 3_600 for value in (high.p10, high.p50, high.p90)]
    assert 20 < hours[0] < hours[1] < hours[2] < 48 and abs(hours[1] - 34) < 6
    assert high.origins == len(high.shares) and high.origins < 9
    assert limits.told(high) == limits.NOT_PROVEN


def test_an_hour_is_told_of_once_and_a_day_has_one_row(site: Site) -> None:
    sensor = filter_of(site)
    value = clogging()
    read(sensor, value[:-1], until=end() - timedelta(hours=1))
    assert [limit_forecasts.look_round() for _ in range(2)] == [1, 0]
    read(sensor, value[-1:])
    first = LimitForecast.objects.get()
    assert limit_forecasts.look_round() == 1
    rows = LimitForecast.objects.order_by("asked_at")
    assert rows.last().asked_at == end()  # type: ignore[union-attr]
    assert len(rows) == len({row.day for row in rows})
    assert rows.last().tested_at == first.tested_at  # type: ignore[union-attr]
    Sensor.objects.filter(pk=sensor.pk).update(high=28.0)
    assert limit_forecasts.look_round() == 1
    assert LimitForecast.objects.latest("id").limit == 28.0


def test_of_each_side_the_next_limit_counts_and_beyond_the_last_one_nothing_is_told(site: Site) -> None:
    sensor = filter_of(site, high=20.0, high_high=25.0)
    read(sensor, clogging())
    assert limit_forecasts.look_round() == 1
    assert LimitForecast.objects.get().limit_name == "high_high"
    LimitForecast.objects.all().delete()
    Sensor.objects.filter(pk=sensor.pk).update(high_high=21.0)
    assert limit_forecasts.look_round() == 0
    read(filter_of(site, high=None), clogging(48))
    assert limit_forecasts.look_round() == 0


def test_nothing_from_before_a_new_normal_counts(site: Site) -> None:
    sensor = filter_of(site)
    read(sensor, clogging())
    actor = factories.user(site=site)
    regimes.declare(
        machine=sensor.machine, sensor=None, since=end() - timedelta(hours=10), reason="New filter", actor=actor
    )
    limit_forecasts.look_round()
    assert [(row.state, row.shares) for row in LimitForecast.objects.all()] == [("UNSURE", [])]


def test_a_round_that_has_no_time_left_stops_and_who_has_waited_longest_comes_first(
    site: Site, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = filter_of(site), filter_of(site)
    for sensor in (first, second):
        read(sensor, clogging(48))
    settings.CELERY_TASK_SOFT_TIME_LIMIT = 0
    monkeypatch.setattr(limit_forecasts, "SHARE_OF_LIMIT", -1)
    assert limit_forecasts.look_round() == 0
    monkeypatch.setattr(limit_forecasts, "SHARE_OF_LIMIT", 1e9)
    LimitForecast.objects.create(
        machine=first.machine, sensor=first, limit_name="high", limit=30.0, day=end().date() - timedelta(days=3),
        asked_at=end() - timedelta(days=3), state="UNSURE", tested_at=timezone.now(),
    )  # fmt: skip
    sensors = list(limits.with_limits())
    assert [mine[0].pk for mine in limit_forecasts._by_machine(sensors)] == [second.pk, first.pk]


def test_where_it_is_proven_it_is_shown_over_rest_on_both_pages_and_in_the_health_of_the_machine(site: Site) -> None:
    proven(site)
    sensor = filter_of(site, high=25.0)
    read(sensor, clogging())
    limit_forecasts.look_round()
    row = LimitForecast.objects.get(sensor=sensor)
    assert row.is_proven and row.least is not None and row.least >= 0.7
    viewer = factories.user(site=site, role=Membership.Role.VIEWER, is_staff=True)
    http, desk = client(viewer), Client()
    desk.force_login(viewer)
    [told] = http.get("/api/v1/ml/forecast/", {"sensor": sensor.pk}).json()
    assert (told["limit_name"], told["state"], told["is_proven"]) == ("high", "TREND", True)
    assert told["p10"] == row.p10 and told["p50"] == row.p50
    for page in (f"equipment/{sensor.machine_id}", f"sensor/{sensor.pk}"):
        shown = desk.get(f"/admin/sensors/{page}/change/").content.decode()
        assert "Limits ahead" in shown and "high 25 bar" in shown and "(P10 to P90)" in shown
    now = timezone.now()
    found = health.of([sensor.machine], now=now)[sensor.machine_id]
    assert f"{sensor.external_id}, high limit: " in found.words["prognosis"] and found.index.parts["prognosis"] < 10
    LimitForecast.objects.filter(pk=row.pk).update(is_proven=False)
    [told] = http.get("/api/v1/ml/forecast/", {"sensor": sensor.pk}).json()
    assert (told["p10"], told["p50"], told["p90"], told["is_proven"]) == (None, None, None, False)
    assert limits.NOT_PROVEN in desk.get(f"/admin/sensors/sensor/{sensor.pk}/change/").content.decode()
    assert "no model" in health.of([sensor.machine], now=now)[sensor.machine_id].words["prognosis"]


def test_a_sensor_of_another_site_or_none_is_not_found(site: Site) -> None:
    http = client(factories.user(site=factories.site(), role=Membership.Role.ADMIN))
    problem(http.get("/api/v1/ml/forecast/", {"sensor": filter_of(site).pk}), status=404, name="not-found")
    problem(http.get("/api/v1/ml/forecast/", {"sensor": 2**40}), status=404, name="not-found")
    problem(http.get("/api/v1/ml/forecast/"), status=400, name="invalid")
    assert http.get("/api/v1/ml/forecast/", {"sensor": filter_of(site).pk}).status_code == 404


def test_of_one_machine_one_sensor_counts_as_a_witness(site: Site) -> None:
    first = filter_of(site)
    twin = factories.sensor(machine=first.machine, kind="PRESSURE", unit="bar", high=30.0)
    rows = [LimitForecast(sensor=one, limit_name="high", day=end().date(), shares=shares)
            for one, shares in ((first, [1.0]), (twin, [0.5, 0.5]))]  # fmt: skip
    assert limits.Book(rows).of(first) == [0.5, 0.5]


def test_old_ones_are_forgotten_and_a_round_asks_as_often_for_many_sensors_without_news(site: Site) -> None:
    counts = []
    for _ in range(3):
        sensor = filter_of(site)
        read(sensor, clogging(30))
        limit_forecasts.look_round()
        with CaptureQueriesContext(connection) as queries:
            limit_forecasts.look_round()
        counts.append(len(queries))
    assert counts[0] == counts[-1]
    assert limits.forget(before=timezone.now() + timedelta(days=1)) == 3
