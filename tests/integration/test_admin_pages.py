"""Every page of the admin opens, shows what it should, and asks the database a fixed number of questions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group
from django.db import connection
from django.db.models import Model
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from maintenance.models import Notification
from sensors.models import Batch, Equipment, Label, Reading, Regime, Sensor, SensorPresence
from tests import factories, outgoing, plant
from tests.factories import NOON

pytestmark = pytest.mark.django_db

PAGES = sorted(admin.site._registry.items(), key=lambda item: item[0]._meta.label)
IDS = [model._meta.label for model, _ in PAGES]


def url(model: type[Model], name: str, *keys: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=keys)


@pytest.fixture
def boss(client: Client) -> Client:
    client.force_login(factories.user(is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def rows() -> plant.Rows:
    Group.objects.create(name="Shift")
    made = plant.rows(factories.site())
    plant.readings(made.sensor, [20.0, 21.0, 9.93, 22.0])
    return made


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_every_list_page_and_form_opens(boss: Client, rows: plant.Rows, model: type[Model], page: Any) -> None:
    assert boss.get(url(model, "changelist")).status_code == 200
    row = model._default_manager.first()
    assert row is not None
    assert boss.get(url(model, "change", row.pk)).status_code == 200
    assert boss.get(url(model, "history", row.pk)).status_code == 200
    added = boss.get(url(model, "add"))
    assert added.status_code == (200 if page.has_add_permission(_asking(boss)) else 403)
    assert "DatabaseDefault" not in added.content.decode()


def _asking(client: Client) -> Any:
    return client.get(reverse("admin:index")).wsgi_request


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_an_empty_list_opens(boss: Client, model: type[Model], page: Any) -> None:
    assert boss.get(url(model, "changelist")).status_code == 200


@pytest.mark.parametrize(("model", "page"), PAGES, ids=IDS)
def test_searching_finds_without_failing(boss: Client, rows: plant.Rows, model: type[Model], page: Any) -> None:
    for words in ("machine", "7", "a b'c\"%"):
        assert boss.get(url(model, "changelist"), {"q": words}).status_code == 200


def test_every_list_asks_as_often_at_25_rows_as_at_5(boss: Client) -> None:
    lists = [url(model, "changelist") for model, _ in PAGES if model._meta.app_label != "auth"]
    boss.get(reverse("admin:index"))  # a session's first page writes where it is used from
    counted = []
    for more in (5, 20):
        for _ in range(more):
            plant.rows(factories.site())
        counted.append({page: _questions(boss, page) for page in lists})
    assert counted[0] == counted[1]
    assert max(counted[1].values()) <= 15


def _questions(client: Client, page: str) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert client.get(page).status_code == 200
    return len(queries)


def test_the_overview_asks_a_handful_of_questions(boss: Client) -> None:
    for _ in range(5):
        plant.rows(factories.site())
    boss.get(reverse("admin:index"))  # a session's first page writes where it is used from
    with CaptureQueriesContext(connection) as queries:
        page = boss.get(reverse("admin:index"))
    assert page.status_code == 200
    assert len(queries) <= 18  # one of them: whether there is a second factor to ask for


def test_the_overview_leads_to_filtered_lists(boss: Client, rows: plant.Rows) -> None:
    page = boss.get(reverse("admin:index"))
    tiles = {tile.name: tile for tile in page.context["tiles"]}
    assert {name: tile.figure for name, tile in tiles.items()} == {
        "Open alarms": "1", "Open work orders": "1", "Readings received": "2", "Messages failed": "1",
        "Failed runs": "1", "Unknown sensors": "1", "Silent sensors": "1", "Flow health": "well",
        "Nuisance alarms": "1",
    }  # fmt: skip
    assert tiles["Nuisance alarms"].note == "1 stale"
    assert [one.stale for one in boss.get(tiles.pop("Nuisance alarms").href).context["report"].nuisances] == [1]
    for tile in tiles.values():
        listed = boss.get(tile.href)
        assert listed.status_code == 200
        assert listed.context["cl"].result_count == 1


def test_the_overview_without_anything_says_so(boss: Client) -> None:
    text = boss.get(reverse("admin:index")).content.decode()
    assert "No alarm is open." in text
    assert "Nothing abnormal was found yet." in text


@pytest.mark.parametrize("period", ["day", "week", "month", "all", "nonsense"])
def test_a_sensors_page_draws_its_readings(boss: Client, rows: plant.Rows, period: str) -> None:
    text = boss.get(url(Sensor, "change", rows.sensor.pk), {"period": period}).content.decode()
    assert '<svg class="readings-chart"' in text
    assert "22 l/s" in text
    assert url(type(rows.anomaly), "change", rows.anomaly.pk) in text


@pytest.mark.parametrize("until", ["2026-03-01T13:30:00Z", "2026-03-01T13:30:00", "junk", "2026-13-45T00:00:00Z"])
def test_a_sensors_page_goes_back_in_time_and_bears_nonsense(boss: Client, rows: plant.Rows, until: str) -> None:
    assert boss.get(url(Sensor, "change", rows.sensor.pk), {"period": "day", "until": until}).status_code == 200


def test_a_sensor_without_readings_says_how_they_come(boss: Client) -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    assert "No readings yet" in boss.get(url(Sensor, "change", sensor.pk)).content.decode()


def test_an_anomalys_page_draws_what_was_expected(boss: Client, rows: plant.Rows) -> None:
    text = boss.get(url(type(rows.anomaly), "change", rows.anomaly.pk)).content.decode()
    assert "chart-expected" in text
    labels = f"{url(Label, 'changelist')}?machine__id__exact={rows.machine.pk}"
    assert labels in text
    assert boss.get(labels).context["cl"].result_count == 1
    assert "19 to 31 l/s" in text


def test_instants_are_written_with_their_zone(boss: Client, rows: plant.Rows) -> None:
    assert "2026-03-01 12:00:00 UTC" in boss.get(url(type(rows.alarm), "changelist")).content.decode()


def test_an_error_of_a_run_is_text_and_not_markup(boss: Client, rows: plant.Rows) -> None:
    text = boss.get(url(type(rows.run), "change", rows.run.pk)).content.decode()
    assert "&lt;b&gt;division by zero" in text


def test_a_channels_secret_is_never_shown_and_stays_when_left_empty(boss: Client, rows: plant.Rows) -> None:
    page = url(type(rows.channel), "change", rows.channel.pk)
    assert "s3cret" not in boss.get(page).content.decode()
    form = {
        "name": "Renamed", "kind": "EMAIL", "target": "b@example.org", "secret": "", "lowest_priority": "LOW",
        "language": "en", "digest_minutes": 0,
    }  # fmt: skip
    assert boss.post(page, form).status_code == 302
    rows.channel.refresh_from_db()
    assert (rows.channel.name, rows.channel.secret) == ("Renamed", "s3cret")


def test_a_machine_made_in_admin_has_its_lane(boss: Client) -> None:
    site = factories.site()
    form = {"site": site.pk, "level": "MACHINE", "tag": "P-1", "name": "Pump", "criticality": "HIGH"}
    assert boss.post(url(Equipment, "add"), form | EMPTY_INLINE).status_code == 302
    made = Equipment.objects.get()
    assert made.lane is not None
    assert made.machine == made


EMPTY_INLINE = {"sensors-TOTAL_FORMS": 0, "sensors-INITIAL_FORMS": 0}
SENSOR = {"external_id": "f", "name": "Flow", "kind": "FLOW", "deadband": 0, "lateness_seconds": 300,
          "alarm_readings": 1, "alarm_readings_of": 1, "rate_span_seconds": 60,
          "on_delay_seconds": 0, "off_delay_seconds": 0}  # fmt: skip


def test_a_sensor_made_in_admin_has_its_machine(boss: Client) -> None:
    machine = factories.machine(site=factories.site())
    assert boss.post(url(Sensor, "add"), SENSOR | {"site": machine.site_id, "equipment": machine.pk}).status_code == 302
    assert Sensor.objects.get().machine == machine


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"low": 5, "high": 3}, "Must be below high"),
        ({"external_id": "taken"}, "already exists"),
        ({"equipment": ""}, "This field is required"),
    ],
)
def test_a_wrong_sensor_is_told_in_the_form(boss: Client, wrong: dict[str, Any], told: str) -> None:
    machine = factories.machine(site=factories.site())
    factories.sensor(machine=machine, external_id="taken")
    form = SENSOR | {"site": machine.site_id, "equipment": machine.pk} | wrong
    answer = boss.post(url(Sensor, "add"), form)
    assert answer.status_code == 200
    assert told in answer.content.decode()


def test_renaming_a_sensor_to_a_name_that_is_taken_is_told_in_the_form(boss: Client) -> None:
    machine = factories.machine(site=factories.site())
    factories.sensor(machine=machine, external_id="taken")
    sensor = factories.sensor(machine=machine)
    form = SENSOR | {"equipment": machine.pk, "external_id": "taken"}
    answer = boss.post(url(Sensor, "change", sensor.pk), form)
    assert answer.status_code == 200
    assert "already exists" in answer.content.decode()


def test_a_sensor_with_readings_stays(boss: Client) -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    plant.readings(sensor, [1.0])
    answer = boss.post(url(Sensor, "delete", sensor.pk), {"post": "yes"})
    assert f"Readings of {sensor}" in answer.content.decode()
    assert Sensor.objects.filter(pk=sensor.pk).exists()
    assert Reading.objects.filter(sensor=sensor).exists()


def test_a_sensor_that_never_measured_can_go(boss: Client) -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    assert boss.post(url(Sensor, "delete", sensor.pk), {"post": "yes"}).status_code == 302
    assert not Sensor.objects.exists()


FLOWS_OWN = [
    "agents.JobRun",
    "agents.Run",
    "maintenance.Alarm",
    "maintenance.Anomaly",
    "maintenance.Attempt",
    "maintenance.Decision",
    "maintenance.LinkUse",
    "maintenance.Notification",
    "maintenance.Suppression",
    "maintenance.WorkOrder",
    "mlops.DriftCheck",
    "mlops.MachineState",
    "sensors.Batch",
    "sensors.BatchPart",
    "sensors.DiscoveredSensor",
    "sensors.Event",
    "sensors.Label",
    "sensors.ReadingConflict",
    "sensors.Regime",
    "sensors.SensorPresence",
]


@pytest.mark.parametrize("label", FLOWS_OWN)
def test_nobody_edits_what_the_flow_wrote(boss: Client, rows: plant.Rows, label: str) -> None:
    model = next(model for model, _ in PAGES if model._meta.label == label)
    row = model._default_manager.first()
    assert row is not None
    assert boss.get(url(model, "add")).status_code == 403
    assert boss.post(url(model, "change", row.pk), {}).status_code == 403
    assert boss.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403


def test_a_sensor_that_is_heard_again_is_no_longer_among_the_silent(boss: Client, rows: plant.Rows) -> None:
    page = url(SensorPresence, "changelist")
    text = boss.get(page).content.decode()
    assert rows.sensor.external_id in text
    assert "No sensor is silent." not in text
    SensorPresence.objects.update(heard_at=NOON + plant.HOUR)
    text = boss.get(page).content.decode()
    assert rows.sensor.external_id not in text
    assert "No sensor is silent." in text
    assert boss.get(url(SensorPresence, "change", rows.sensor.pk)).status_code == 302


def test_an_empty_list_of_labels_or_regimes_says_how_they_come_about(boss: Client) -> None:
    assert "POST /api/v1/labels/" in boss.get(url(Label, "changelist")).content.decode()
    assert "New normal" in boss.get(url(Regime, "changelist")).content.decode()


def test_the_overview_says_that_the_flow_is_well(boss: Client) -> None:
    tiles = {tile.name: tile for tile in boss.get(reverse("admin:index")).context["tiles"]}
    assert (tiles["Flow health"].figure, tiles["Flow health"].tone) == ("well", "fine")
    assert (tiles["Silent sensors"].figure, tiles["Silent sensors"].tone) == ("0", "fine")


def test_the_overview_says_what_is_stuck_and_leads_to_it(boss: Client) -> None:
    long_ago = timezone.now() - timedelta(hours=2)
    Notification.objects.filter(pk=outgoing.message("CONSOLE").pk).update(due_at=long_ago)
    tiles = {tile.name: tile for tile in boss.get(reverse("admin:index")).context["tiles"]}
    tile = tiles["Flow health"]
    assert (tile.figure, tile.tone) == ("1", "danger")
    assert tile.note == "overdue deliveries: 1, the oldest for 2 h"
    assert boss.get(tile.href).context["cl"].result_count == 1


def test_packed_readings_are_never_loaded_for_a_list(boss: Client, rows: plant.Rows) -> None:
    for model in (Batch, type(rows.part), type(rows.run)):
        with CaptureQueriesContext(connection) as queries:
            boss.get(url(model, "changelist"))
        assert not any('."columns"' in q["sql"] or '."verdicts"' in q["sql"] for q in queries)
