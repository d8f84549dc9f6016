"""The health of machines as read from what is stored: its parts, its pages, REST, and how often it asks."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import health
from agents.health import Health
from maintenance.models import Alarm, Anomaly, Suppression, WorkOrder
from maintenance.plan_models import Meter, Plan
from mlops.models import Prediction
from sensors import columns, labels, regimes, store
from sensors.models import Sensor, Site
from tests import factories, plant
from tests.client import client, problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
API = "/api/v1/"


@pytest.fixture
def sensor() -> Sensor:
    made = factories.sensor(machine=factories.machine(site=factories.site()))
    measured(made)
    return made


def measured(sensor: Sensor, *, ago: timedelta = HOUR) -> None:
    one = columns.Columns(
        np.array([sensor.pk]), np.array([columns.from_instant(timezone.now() - ago)]), np.array([1.0]),
        np.zeros(1, np.int32),
    )  # fmt: skip
    store.make_partitions(store.days_of(one))
    store.insert(one, quality=np.zeros(1, np.uint8), reason=np.zeros(1, np.uint8))


def anomaly(sensor: Sensor, **fields: Any) -> Anomaly:
    at = timezone.now() - fields.pop("ago", HOUR)
    return Anomaly.objects.create(
        **{
            "site": sensor.site, "sensor": sensor, "machine": sensor.machine, "detector": "limits",
            "detector_version": "1", "kind": "LIMIT_HIGH_HIGH", "failure_mode": "VIB", "started_at": at - HOUR,
            "last_at": at, "ended_at": at, "readings": 3, "peak_score": 1.0, "peak_at": at, "window_from": at,
            "window_to": at, "first_run_id": 1, "last_run_id": 1, "verdict": "CREDIBLE",
        }
        | fields
    )  # fmt: skip


def prediction(sensor: Sensor, outputs: dict[str, Any], **fields: Any) -> Prediction:
    at = timezone.now()
    told = {name: {"unit": unit, "value": value} for name, (value, unit) in outputs.items()}
    row = {"name": "life", "version": 1, "alias": "CHAMPION", "is_shown": True, "asked_at": at, "from_at": at - DAY}
    return Prediction.objects.create(machine=sensor.machine, outputs=told, **(row | fields))


def order(sensor: Sensor, **fields: Any) -> WorkOrder:
    now = timezone.now()
    of = {"site": sensor.site, "machine": sensor.machine, "title": "Oil", "maintenance_type": "INSPECTION"}
    return WorkOrder.objects.create(**(of | {"priority": "MEDIUM", "opened_at": now, "due_at": now - DAY} | fields))


def alarm(sensor: Sensor, **fields: Any) -> Alarm:
    of = {"site": sensor.site, "machine": sensor.machine, "sensor": sensor, "raised_at": timezone.now()}
    return Alarm.objects.create(**(of | {"failure_mode": "VIB", "priority": "CRITICAL"} | fields))


def of(sensor: Sensor) -> Health:
    return health.of([sensor.machine], now=timezone.now())[sensor.machine_id]


def test_a_machine_that_is_measured_and_says_nothing_is_well(sensor: Sensor) -> None:
    found = of(sensor)
    assert found.index.parts == {
        "anomalies": 100.0,
        "prognosis": None,
        "overdue": 100.0,
        "age": pytest.approx(100, abs=0.1),
    }
    assert found.index.value == pytest.approx(100, abs=0.1)
    assert found.words["prognosis"] == health.NO_MODEL


def test_nothing_is_known_of_a_machine_that_was_not_measured_for_long() -> None:
    silent = factories.sensor(machine=factories.machine(site=factories.site()))
    assert of(silent).index.value is None
    measured(silent, ago=8 * DAY)
    assert (of(silent).index.value, of(silent).words["anomalies"]) == (None, health.NOTHING_MEASURED)


def test_credible_anomalies_of_the_week_count_and_others_do_not(sensor: Sensor) -> None:
    for fields in (
        {"verdict": "FALSE_POSITIVE"}, {"verdict": "DOUBTFUL", "detector": "other"},
        {"nature": "INSTRUMENT", "kind": "STUCK"}, {"ago": 8 * DAY},
    ):  # fmt: skip
        anomaly(sensor, **fields)
    assert of(sensor).index.parts["anomalies"] == 100.0
    anomaly(sensor, detector="adaptive")
    once = of(sensor)
    assert once.words["anomalies"].startswith("1 credible in 7 days, 1 severe")
    assert once.index.parts["anomalies"] == pytest.approx(59.6, abs=0.3)
    anomaly(sensor, detector="relation", ended_at=None)
    assert (of(sensor).index.value or 0) < (once.index.value or 0)
    assert of(sensor).words["anomalies"].endswith("still lasts")


def test_what_a_person_called_normal_counts_no_more(sensor: Sensor) -> None:
    seen, actor = anomaly(sensor), factories.user()
    label, _ = labels.add(
        machine=sensor.machine, sensor=None, from_at=seen.started_at, to_at=seen.last_at, kind="FALSE_ALARM",
        actor=actor,
    )  # fmt: skip
    assert of(sensor).index.parts["anomalies"] == 100.0
    labels.retract(label.pk, actor=actor)
    assert (of(sensor).index.parts["anomalies"] or 0) < 60
    regimes.declare(machine=sensor.machine, sensor=sensor, since=timezone.now(), reason="New seal", actor=actor)
    assert of(sensor).index.parts["anomalies"] == 100.0


def test_an_open_alarm_holds_it_down_unless_it_is_meant(sensor: Sensor) -> None:
    alarm(sensor)
    assert (of(sensor).index.value, of(sensor).index.limited_by) == (25.0, "CRITICAL")
    now = timezone.now()
    hides = Suppression.objects.create(
        site=sensor.site, machine=sensor.machine, kind="BY_DESIGN", reason="Off", from_at=now, until=now + HOUR
    )
    assert of(sensor).index.limited_by == ""
    Suppression.objects.filter(pk=hides.pk).update(ended_at=now)
    Alarm.objects.update(is_active=False, is_acknowledged=True)
    assert of(sensor).index.limited_by == ""


def test_the_worst_of_what_models_say_is_the_prognosis(sensor: Sensor) -> None:
    prediction(sensor, {"rul_p50": (15 * 86_400.0, "s"), "coverage_proven": (1.0, "")})
    prediction(sensor, {"health": (0.9, "")}, name="health")
    found = of(sensor)
    assert found.index.parts["prognosis"] == pytest.approx(50, abs=0.1)
    assert found.words["prognosis"].startswith("life 1: 15 d left")
    prediction(sensor, {"health": (0.2, "")}, name="health", version=2)
    assert of(sensor).index.parts["prognosis"] == pytest.approx(20)


@pytest.mark.parametrize(
    ("outputs", "fields"),
    [
        ({"rul_p50": (10.0, "s"), "coverage_proven": (0.0, "")}, {}),
        ({"rul_p50": (10.0, "s")}, {"is_shown": False}),
        ({"rul_p50": (None, "s")}, {}),
        ({"p50": (10.0, "bar")}, {}),
        ({"rul_p50": (10.0, "s")}, {"asked_at": timezone.now() - 8 * DAY}),
    ],
    ids=["unproven", "shadow", "says nothing", "no time", "old"],
)
def test_a_prognosis_is_unknown_unless_a_model_may_say_so(
    sensor: Sensor, outputs: dict[str, Any], fields: dict[str, Any]
) -> None:
    prediction(sensor, outputs, **fields)
    assert of(sensor).index.parts["prognosis"] is None


def test_overdue_orders_and_plans_without_an_order_count(sensor: Sensor) -> None:
    order(sensor, due_at=timezone.now() + DAY)
    order(sensor, status="CANCELLED")
    assert of(sensor).index.parts["overdue"] == 100.0
    order(sensor)
    assert of(sensor).words["overdue"] == "1 overdue, the oldest by 1 d"
    late = timezone.now() - 2 * DAY
    Plan.objects.create(
        site=sensor.site, machine=sensor.machine, title="Belt", every=1, first_on=late.date(), due_at=late
    )
    assert of(sensor).words["overdue"] == "2 overdue, the oldest by 2 d"


def test_age_is_of_running_hours_where_a_meter_counts_them(sensor: Sensor) -> None:
    order(sensor, due_at=None, opened_at=timezone.now() - timedelta(days=3652.5))
    assert of(sensor).index.parts["age"] == pytest.approx(50)
    Meter.objects.create(site=sensor.site, machine=sensor.machine, name="Hours", total=17_532.0, read_at=timezone.now())
    assert of(sensor).index.parts["age"] == pytest.approx(90)


def crowd(site: Site, count: int) -> list[Sensor]:
    found = [factories.sensor(machine=factories.machine(site=site)) for _ in range(count)]
    for one in found:
        measured(one)
        anomaly(one)
        alarm(one)
        order(one)
        prediction(one, {"health": (0.5, "")})
    return found


def test_many_machines_cost_the_queries_of_one() -> None:
    sensors = crowd(factories.site(), 6)
    with CaptureQueriesContext(connection) as one:
        health.of([sensors[0].machine], now=timezone.now())
    with CaptureQueriesContext(connection) as all_:
        found = health.of([sensor.machine for sensor in sensors], now=timezone.now())
    assert len(one) == len(all_) <= 10
    assert {each.index.limited_by for each in found.values()} == {"CRITICAL"}


def test_rest_tells_of_ones_own_sites_alone_and_in_pages(sensor: Sensor) -> None:
    crowd(sensor.site, 3)
    stranger, member = client(factories.user(site=factories.site())), client(factories.user(site=sensor.site))
    one = f"{API}equipment/{sensor.machine_id}/health/"
    problem(stranger.get(one), status=404, name="not-found")
    problem(member.get(f"{API}equipment/nonsense/health/"), status=404, name="not-found")
    assert stranger.get(f"{API}equipment-health/").json()["results"] == []
    body = member.get(one).json()
    assert (body["level"], [part["name"] for part in body["parts"]]) == (
        "good", ["anomalies", "prognosis", "overdue", "age"]
    )  # fmt: skip
    page = member.get(f"{API}equipment-health/?page_size=3").json()
    assert len(page["results"]) == 3 and page["next"]
    assert page["results"][0]["limited_by"] == "CRITICAL"
    listed = member.get(f"{API}equipment-health/?tag={sensor.machine.tag}").json()["results"]
    assert [row | {"at": ""} for row in listed] == [body | {"at": ""}]


def test_the_pages_show_it_with_its_parts_the_worst_first(client: Client, sensor: Sensor) -> None:
    member = factories.user(site=sensor.site, role="VIEWER", is_staff=True)
    client.force_login(member)
    theirs = plant.rows(factories.site()).machine
    (sick,) = crowd(sensor.site, 1)
    text = client.get(reverse("admin:sensors_equipment_change", args=[sick.machine_id])).content.decode()
    assert "25 bad" in text and "held down by an open alarm" in text and "1 credible in 7 days" in text
    listed = client.get(reverse("machine-health"))
    assert [machine.pk for machine, _ in listed.context["lines"]] == [sick.machine_id, sensor.machine_id]
    assert theirs.tag not in client.get(reverse("machine-health"), {"site": theirs.site_id}).content.decode()
    counts = []
    for more in (0, 5):
        crowd(sensor.site, more)
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse("machine-health"))
        counts.append(len(queries))
    assert counts[0] == counts[1]
    client.force_login(factories.user(is_staff=True))
    assert client.get(reverse("machine-health")).status_code == 403
