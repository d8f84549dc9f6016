"""Training windows as they are read from labels and work orders, and where they are shown."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from agents import learn
from maintenance.models import Alarm, WorkOrder
from sensors import labels, regimes
from sensors.models import Sensor
from tests import factories
from tests.client import client
from tests.factories import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]
HOUR = timedelta(hours=1)
API = "/api/v1/ml/training-windows/"


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site(), tag="P-1"), external_id="P-1/flow")


def order(sensor: Sensor, *, begin: int, end: int, mode: str = "VIB", **fields: Any) -> WorkOrder:
    of = {"site": sensor.site, "machine": sensor.machine, "failure_mode": mode, "priority": "HIGH"}
    alarm = Alarm.objects.create(
        **of, sensor=sensor, raised_at=NOON + begin * HOUR, is_active=False, is_acknowledged=True
    )
    row = {"maintenance_type": "CORRECTIVE_DEFERRED", "status": "CLOSED", "title": "Look", "findings": "Worn"}
    return WorkOrder.objects.create(
        **(of | row | {"alarm": alarm, "opened_at": NOON + (begin + 1) * HOUR, "completed_at": NOON + end * HOUR,
                       "closed_at": NOON + end * HOUR} | fields)
    )  # fmt: skip


def rows(sensor: Sensor) -> list[dict[str, Any]]:
    return [learn.plain(one) for one in learn.windows([sensor.site_id])]


def test_a_finished_order_is_a_window_from_its_alarm_to_its_completion(sensor: Sensor) -> None:
    made = order(sensor, begin=0, end=5, verdict="REAL", found_mode="ELU")
    (row,) = rows(sensor)
    assert (row["from_at"], row["to_at"]) == ("2026-03-01T12:00:00Z", "2026-03-01T17:00:00Z")
    assert (row["kind"], row["failure_mode"], row["said_by"], row["said_by_id"]) == (
        "FAULT", "ELU", "work-order", made.pk
    )  # fmt: skip
    assert (row["sensor"], row["used"]) == (None, True)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"verdict": "FALSE"}, ("FALSE_ALARM", "", False)),
        ({"verdict": "EXPECTED"}, ("EXPECTED", "", False)),
        ({"verdict": "SENSOR_FAULT"}, ("FALSE_ALARM", "", True)),
        ({"status": "COMPLETED"}, ("FAULT", "VIB", False)),
        ({"mode": "UNK"}, ("FAULT", "", False)),
    ],
)
def test_an_order_says_what_its_verdict_says(
    sensor: Sensor, fields: dict[str, Any], said: tuple[str, str, bool]
) -> None:
    order(sensor, begin=0, end=5, **fields)
    (row,) = rows(sensor)
    assert (row["kind"], row["failure_mode"], row["sensor"] == sensor.pk) == said


@pytest.mark.parametrize(
    "fields", [{"status": "CANCELLED"}, {"alarm": None}, {"maintenance_type": "INSPECTION"}, {"status": "OPEN"}]
)
def test_other_orders_say_nothing(sensor: Sensor, fields: dict[str, Any]) -> None:
    order(sensor, begin=0, end=5, **fields)
    assert rows(sensor) == []


def test_labels_regimes_and_orders_come_together(sensor: Sensor) -> None:
    actor = factories.user()
    at = {"machine": sensor.machine, "sensor": None, "actor": actor}
    label, _ = labels.add(**at, from_at=NOON, to_at=NOON + 2 * HOUR, kind="FALSE_ALARM")
    order(sensor, begin=1, end=5)
    taken_back, _ = labels.add(**at, from_at=NOON, to_at=NOON + HOUR, kind="FAULT")
    labels.retract(taken_back.pk, actor=actor)
    regimes.declare(machine=sensor.machine, sensor=sensor, since=NOON + HOUR, reason="New seal", actor=actor)
    found = rows(sensor)
    assert [(row["said_by"], row["used"]) for row in found] == [("label", True), ("label", True), ("work-order", False)]
    assert found[2]["left_out"] == f"contradicted: label {label.pk} says FALSE_ALARM"


def test_rest_lists_them_of_ones_own_sites_filtered_and_in_pages(sensor: Sensor) -> None:
    for n in range(3):
        order(sensor, begin=10 * n, end=10 * n + 2)
    order(sensor, begin=100, end=101, verdict="FALSE")
    http = client(factories.user(site=sensor.site, role="VIEWER"))
    body = http.get(f"{API}?page_size=3").json()
    assert (body["count"], len(body["results"]), body["results"][0]["tag"]) == (4, 3, "P-1")
    assert http.get(f"{API}?kind=FALSE_ALARM").json()["count"] == 1
    assert http.get(f"{API}?used=false").json()["count"] == 0
    assert http.get(f"{API}?machine={sensor.machine_id}&used=true").json()["count"] == 4
    assert http.get(f"{API}?kind=nonsense").status_code == 400
    stranger = client(factories.user(site=factories.site()))
    assert stranger.get(API).json()["count"] == stranger.get(f"{API}?site={sensor.site_id}").json()["count"] == 0


def test_the_page_shows_what_is_left_out_first(client: Client, sensor: Sensor) -> None:
    order(sensor, begin=0, end=5)
    order(sensor, begin=1, end=3, mode="OHE")
    client.force_login(factories.user(site=sensor.site, role="VIEWER", is_staff=True))
    page = client.get(reverse("training-windows"))
    assert [(title, count) for title, _, count, _ in page.context["tables"]] == [("Left out", 2), ("Taught", 0)]
    assert "says FAULT OHE" in page.content.decode()
    client.force_login(factories.user(is_staff=True))
    assert client.get(reverse("training-windows")).status_code == 403


def test_more_windows_cost_no_more_queries(sensor: Sensor) -> None:
    counts = []
    for n in range(2):
        for m in range(4):
            order(sensor, begin=20 * n + 4 * m, end=20 * n + 4 * m + 2)
        with CaptureQueriesContext(connection) as queries:
            rows(sensor)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 5


def test_the_command_writes_lines_json_or_csv(sensor: Sensor) -> None:
    order(sensor, begin=0, end=5)
    told = {}
    for how in ("", "--json", "--csv"):
        out = io.StringIO()
        call_command("training-windows", "--site", sensor.site.slug, *([how] if how else []), stdout=out)
        told[how] = out.getvalue()
    assert "1 windows, 0 left out" in told[""]
    assert json.loads(told["--json"]) == rows(sensor)
    (line,) = csv.DictReader(io.StringIO(told["--csv"]))
    assert (line["tag"], line["kind"], line["used"]) == ("P-1", "FAULT", "True")
    with pytest.raises(CommandError, match="no site"):
        call_command("training-windows", "--site", "nowhere")
