"""Similar past cases as pages show them: by words and signals, with what fixed them, of one site alone."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from maintenance import similar
from maintenance.models import Alarm, PastOrder, WorkOrder
from maintenance.part_models import OrderPart, Part, Store
from sensors.models import Sensor
from tests import factories
from tests.bench import similar_cases
from tests.factories import NOON
from tests.integration.test_notifications import anomaly

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def sensor() -> Sensor:
    machine = factories.machine(site=factories.site(), tag="P-101")
    return factories.sensor(machine=machine, name="Drive end", kind="VIBRATION")


def done(sensor: Sensor, title: str, *, ago: int, **fields: Any) -> WorkOrder:
    at = NOON - ago * DAY
    row = {
        "site": sensor.site, "machine": sensor.machine, "failure_mode": "", "priority": "HIGH", "title": title,
        "maintenance_type": "CORRECTIVE_DEFERRED", "opened_at": at, "status": "CLOSED", "completed_at": at + DAY / 2,
        "closed_at": at + DAY, "findings": f"Fixed {title.lower()}",
    }  # fmt: skip
    return WorkOrder.objects.create(**(row | fields))


def shown(sensor: Sensor, *, ago: int, **fields: Any) -> None:
    at = NOON - ago * DAY
    row = {"started_at": at, "last_at": at + DAY / 8, "failure_mode": "VIB", "peak_score": 0.9, "kind": "LIMIT_HIGH"}
    anomaly(sensor, **(row | fields))


def open_order(sensor: Sensor, title: str, **fields: Any) -> WorkOrder:
    return done(sensor, title, ago=0, **({"status": "OPEN", "completed_at": None, "closed_at": None} | fields))


def test_an_orders_words_find_orders_of_the_same_trouble_in_its_site(sensor: Sensor) -> None:
    other = factories.sensor(machine=factories.machine(site=sensor.site))
    leak = done(other, "Seal leaking oil", ago=9)
    done(sensor, "Paint the guard", ago=3)
    done(sensor, "Oil leak at the seal", ago=2, status="CANCELLED")
    done(factories.sensor(machine=factories.machine(site=factories.site())), "Oil leak at the seal", ago=2)
    found = similar.like_order(open_order(sensor, "Oil leak, seal"))
    assert found[0].order == leak
    assert found[0].why.startswith("text ")
    assert "Paint the guard" not in [one.order.title for one in found]


def test_of_the_same_words_and_mode_the_one_comes_first_of_which_the_sensors_showed_the_same(sensor: Sensor) -> None:
    second = factories.sensor(machine=sensor.machine, kind="FLOW")
    orders = [done(sensor, "P-101: Vibration", ago=n, failure_mode="VIB") for n in (30, 20, 10)]
    shown(second, ago=30, kind="DEVIATION_LOW", peak_score=0.2)
    shown(sensor, ago=20)
    shown(sensor, ago=0)
    alarm = Alarm.objects.create(
        site=sensor.site, machine=sensor.machine, failure_mode="VIB", priority="HIGH", raised_at=NOON, sensor=sensor
    )
    found = similar.like_alarm(alarm)
    assert [one.order for one in found] == [orders[1], orders[0], orders[2]]
    assert found[0].likeness.parts["pattern"] == found[0].likeness.parts["shape"] == pytest.approx(1.0)
    assert "same failure mode" in found[0].why


def test_the_pages_show_what_fixed_them(client: Client, sensor: Sensor) -> None:
    past = done(sensor, "Bearing noise", ago=9, activity="REPLACE", findings="Bearing <b>worn</b>", failure_mode="VIB")
    store = Store.objects.create(site=sensor.site, name="Main")
    part = Part.objects.create(site=sensor.site, number="B-7", name="Bearing 6205")
    OrderPart.objects.create(order=past, part=part, store=store, wanted=2, issued=2, returned=1)
    imported = done(sensor, "Bearing noise again", ago=5)
    PastOrder.objects.create(order=imported, site=sensor.site, source="old", key="1", part="Gear box")
    order = open_order(sensor, "Noise of the bearing", failure_mode="VIB")
    alarm = Alarm.objects.create(
        site=sensor.site, machine=sensor.machine, failure_mode="VIB", priority="HIGH", raised_at=NOON, sensor=sensor
    )
    client.force_login(factories.user(site=sensor.site, role="VIEWER", is_staff=True))
    page = client.get(reverse("admin:maintenance_workorder_change", args=[order.pk])).content.decode()
    assert "Bearing &lt;b&gt;worn&lt;/b&gt;" in page and "1 B-7" in page and "Gear box" in page
    assert f"WO-{past.pk}" in client.get(reverse("admin:maintenance_alarm_change", args=[alarm.pk])).content.decode()


def test_nothing_alike_is_said(client: Client, sensor: Sensor) -> None:
    client.force_login(factories.user(site=sensor.site, role="VIEWER", is_staff=True))
    order = open_order(sensor, "Noise")
    page = client.get(reverse("admin:maintenance_workorder_change", args=[order.pk])).content.decode()
    assert "No completed work order of the site is like it." in page


def test_more_past_orders_cost_no_more_queries(sensor: Sensor) -> None:
    order, counts = open_order(sensor, "Vibration", failure_mode="VIB"), []
    shown(sensor, ago=0)
    for more in (3, 12):
        for n in range(more):
            done(sensor, f"Vibration {n}", ago=more * 20 + n, failure_mode="VIB")
            shown(sensor, ago=more * 20 + n)
        with CaptureQueriesContext(connection) as queries:
            similar.like_order(order)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 8


def test_the_benchmark_counts_hits_beside_a_draw_and_the_most_frequent(tmp_path: Any) -> None:
    head = "BscStartDate,Asset,OriginalShorttext,PMType,Cost,MajorSystem,Part,Action,FM\n"
    lines = [
        f"20{n // 300:02}-{1 + n // 28 % 12:02}-{1 + n % 28:02},A,{('oil leak','cracked tooth')[n % 2]} {n},PM01,1,"
        f"{('Hydraulics','Bucket')[n % 2]},Hose,Replace,Leak"
        for n in range(300)
    ]  # fmt: skip
    (tmp_path / "labelled_ABC.csv").write_text(head + "\n".join(lines))
    (tmp_path / "raw_DE.csv").write_text("BscStartDate,Asset,OriginalShorttext,PMType,Cost\n")
    orders = similar_cases.read(tmp_path)
    tally = similar_cases.measure(orders, name="system", distinct=True, every=5)
    assert tally.hits == {1: tally.asked, 3: tally.asked}
    assert tally.drawn[1] / tally.asked == pytest.approx(0.5, abs=0.05)
    assert len(list(similar_cases.bench(tmp_path, every=20))) == 16
