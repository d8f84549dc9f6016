"""Alarm settings for many sensors: which holds, where it comes from, that it reaches the flow; page and route."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from maintenance.models import Alarm
from sensors import alarm_settings, fleet, roster, sensor_defaults
from sensors.default_models import KINDS, SensorDefault
from sensors.models import Event, Sensor, Site
from tests import factories
from tests.client import client as rest
from tests.integration.test_admin_pages import SENSOR
from tests.integration.test_alarm_locks import in_thread, wait_until_blocked
from tests.integration.test_api_objects import feed

pytestmark = pytest.mark.django_db
URL = "/api/v1/sensor-defaults/"


@pytest.fixture
def site() -> Site:
    return factories.site()


def pump(site: Site, **fields: Any) -> Sensor:
    machine = factories.machine(site=site, equipment_class="PUMP")
    return factories.sensor(machine=machine, **{"kind": "TEMPERATURE", "unit": "°C"} | fields)


def lay(site: Site, **fields: Any) -> SensorDefault:
    row = SensorDefault(site=site, **fields)
    sensor_defaults.save(row, actor=factories.user(site=site))
    return row


def again(row: Sensor) -> Sensor:
    return Sensor.objects.get(pk=row.pk)


def test_kinds_are_those_of_sensors() -> None:
    assert list(KINDS) == Sensor.Kind.choices


def test_it_holds_for_the_sensors_of_its_scope_that_say_nothing_themselves(site: Site) -> None:
    plain, own = pump(site), pump(site, high=50.0)
    other_unit, other_kind = pump(site, unit="°F"), pump(site, kind="PRESSURE")
    fan = factories.sensor(machine=factories.machine(site=site), kind="TEMPERATURE", unit="°C")
    elsewhere = pump(factories.site())
    row = lay(site, equipment_class="pump", sensor_kind="TEMPERATURE", unit="°C", high=80.0, deadband=2.0)
    assert (again(plain).high, again(plain).deadband) == (80.0, 2.0)
    assert (again(own).high, again(own).deadband) == (50.0, 2.0)
    assert sensor_defaults.sources(again(own)) == {"high": "own", "deadband": row.pk}
    for sensor in (other_unit, other_kind, fan, elsewhere):
        assert (again(sensor).high, again(sensor).deadband) == (None, 0)
        assert sensor_defaults.sources(again(sensor)) == {}
    assert pump(site).high == 80.0  # a new one too
    assert sensor_defaults.used(row) == 3


def test_of_several_the_most_specific_that_says_a_setting_holds(site: Site) -> None:
    sensor = pump(site)
    lay(site, on_delay_seconds=1, off_delay_seconds=1, silent_after_seconds=60)
    lay(site, sensor_kind="TEMPERATURE", on_delay_seconds=2, off_delay_seconds=2)
    lay(site, equipment_class="PUMP", on_delay_seconds=3)
    now = again(sensor)
    assert (now.on_delay_seconds, now.off_delay_seconds, now.silent_after_seconds) == (3, 2, None)
    sensor.period_seconds = 300
    fleet.save_sensor(sensor)
    assert again(sensor).silent_after_seconds == 300  # as long as its period at least


def test_changing_and_deleting_reach_every_sensor_but_not_what_is_its_own(site: Site) -> None:
    plain, own = pump(site), pump(site, on_delay_seconds=5)
    row = lay(site, on_delay_seconds=10, alarm_readings=2, alarm_readings_of=3)
    row.on_delay_seconds, row.alarm_readings, row.alarm_readings_of = 20, None, None
    assert sensor_defaults.save(row, actor=factories.user(site=site)) == 2
    assert (again(plain).on_delay_seconds, again(plain).alarm_readings_of) == (20, 1)
    assert again(own).on_delay_seconds == 5
    sensor_defaults.delete(row, actor=factories.user(site=site))
    assert (again(plain).on_delay_seconds, again(own).on_delay_seconds) == (0, 5)
    events = Event.objects.filter(type__startswith="sensor_default.").order_by("id")
    assert [event.type for event in events] == [f"sensor_default.{it}" for it in ("added", "changed", "deleted")]
    assert [event.data["sensors"] for event in events] == [2, 2, 1]
    assert events[1].data["before"]["on_delay_seconds"] == 10


def test_a_sensor_can_be_without_what_the_default_says_and_take_it_back(site: Site) -> None:
    sensor = pump(site)
    row = lay(site, unit="°C", high=80.0)
    sensor.refresh_from_db()
    sensor.high = None
    fleet.save_sensor(sensor)
    assert (again(sensor).high, again(sensor).settings_from) == (None, {"high": "own"})
    fleet.save_sensor(sensor, own=())
    assert (again(sensor).high, again(sensor).settings_from) == (80.0, {"high": row.pk})


def test_what_does_not_go_with_a_sensors_own_settings_is_refused_and_changes_nothing(site: Site) -> None:
    plain, own = pump(site), pump(site, low=90.0)
    with pytest.raises(ValidationError, match=f"set on {own.external_id}.*Must be below high"):
        lay(site, unit="°C", high=80.0)
    assert not SensorDefault.objects.exists()
    assert again(plain).high is None


@pytest.mark.parametrize(
    "wrong",
    [{"high": 1.0}, {"unit": "°C", "low": 2.0, "high": 1.0}, {"alarm_readings": 2}, {"on_delay_seconds": 90_000},
     {"alarm_readings": 3, "alarm_readings_of": 2}, {"unit": "°C", "deadband": -1.0}],
)  # fmt: skip
def test_what_cannot_be_is_refused(site: Site, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        lay(site, **wrong)


def test_there_is_one_of_a_scope_and_limits_have_a_unit_in_the_database_too(site: Site) -> None:
    lay(site, sensor_kind="FLOW", on_delay_seconds=1)
    with pytest.raises(ValidationError, match="of this scope already"):
        lay(site, sensor_kind="FLOW", on_delay_seconds=2)
    for wrong in ({"sensor_kind": "FLOW"}, {"high": 1.0}, {"alarm_readings": 1}):
        with pytest.raises(IntegrityError), transaction.atomic():
            SensorDefault.objects.create(site=site, **wrong)


def test_the_class_a_sensor_stands_in_may_change(site: Site) -> None:
    sensor = pump(site)
    lay(site, equipment_class="FAN", unit="°C", high=60.0)
    machine = sensor.machine
    machine.equipment_class = "FAN"
    fleet.save_equipment(machine)
    assert again(sensor).high == 60.0
    machine.equipment_class = ""
    fleet.save_equipment(machine)
    assert again(sensor).high is None


def test_the_stages_see_it_with_the_next_reading_and_ask_no_more_than_without(site: Site) -> None:
    sensor = pump(site, kind="FLOW", unit="l/s")
    ids = np.array([sensor.pk], np.int64)
    feed(sensor, [95.0] * 3)
    assert not Alarm.objects.exists()
    counted = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            roster.table(ids)
        counted.append(len(queries))
    row = lay(site, equipment_class="PUMP", unit="l/s", high=90.0)
    assert roster.table(ids).high.tolist() == [90.0]
    with CaptureQueriesContext(connection) as queries:
        roster.table(ids)
    assert len(queries) <= counted[1]
    feed(sensor, [1.0] * 20 + [95.0] * 3)
    assert Alarm.objects.get().sensor == sensor
    sensor_defaults.delete(row, actor=factories.user(site=site))
    assert np.isnan(roster.table(ids).high).all()


def test_a_change_of_tuning_that_is_undone_gives_the_default_back(site: Site) -> None:
    sensor, actor = pump(site), factories.user(site=site)
    row = lay(site, on_delay_seconds=10)
    alarm_settings.change(sensor.pk, {"on_delay_seconds": 60}, reason="chatters", actor=actor)
    assert again(sensor).settings_from == {"on_delay_seconds": "own"}
    row.on_delay_seconds = 20
    sensor_defaults.save(row, actor=actor)
    assert again(sensor).on_delay_seconds == 60
    alarm_settings.undo(sensor.pk, actor=actor)
    assert (again(sensor).on_delay_seconds, again(sensor).settings_from) == (20, {"on_delay_seconds": row.pk})


@pytest.mark.django_db(transaction=True)
def test_a_sensor_that_is_saved_while_a_default_changes_misses_nothing() -> None:
    site = factories.site()
    machine = factories.machine(site=site)
    with transaction.atomic():
        lay(site, on_delay_seconds=10)
        thread, errors = in_thread(lambda: factories.sensor(machine=machine, external_id="late"))
        wait_until_blocked(thread)
    thread.join(10)
    assert errors == []
    assert Sensor.objects.get(external_id="late").on_delay_seconds == 10


@pytest.mark.django_db(transaction=True)
def test_who_changes_one_setting_leaves_what_another_one_has_changed_meanwhile() -> None:
    site = factories.site()
    admin, row = rest(factories.user(site=site)), lay(site, unit="°C", high=80.0)
    one, answers = f"{URL}{row.pk}/", []

    def patch() -> None:
        answers.append(admin.patch(one, {"low": 5.0}, content_type="application/json"))

    with transaction.atomic():
        sensor_defaults.change(row, {"high": 70.0}, actor=factories.user(site=site))
        thread, errors = in_thread(patch)
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, answers[0].status_code) == ([], 200)
    assert (answers[0].json()["low"], answers[0].json()["high"], answers[0].json()["revision"]) == (5.0, 70.0, 3)
    with transaction.atomic():
        sensor_defaults.delete(SensorDefault.objects.get(), actor=factories.user(site=site))
        thread, errors = in_thread(patch)
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, answers[1].status_code) == ([], 400)
    assert "deleted it meanwhile" in str(answers[1].json())
    assert not SensorDefault.objects.exists()


# The pages


def staff(site: Site, role: str = "ADMIN") -> Client:
    made = Client()
    made.force_login(factories.user(site=site, role=role, is_staff=True))
    return made


def test_the_sensors_page_takes_an_empty_setting_from_the_defaults_and_says_so(site: Site) -> None:
    sensor = pump(site, high=85.0, deadband=1.5)
    row = lay(site, unit="°C", low=5.0, high=80.0, high_high=95.0, deadband=2.0)
    page = reverse("admin:sensors_sensor_change", args=[sensor.pk])
    admin = staff(site)
    shown = admin.get(page).content.decode()
    assert "In force: 95 (by default)" in shown
    assert "default: " in shown
    assert reverse("admin:sensors_sensordefault_change", args=[row.pk]) in shown
    form = SENSOR | {
        "external_id": sensor.external_id, "equipment": sensor.equipment_id, "kind": "TEMPERATURE", "unit": "°C",
        "low": "", "high": 82, "high_high": "", "deadband": "", "alarm_readings": "", "alarm_readings_of": "",
        "rate_span_seconds": "", "on_delay_seconds": "", "off_delay_seconds": "", "without": ["high_high"],
    }  # fmt: skip
    answer = admin.post(page, form)
    assert answer.status_code == 302, answer.content.decode()
    now = again(sensor)
    assert (now.low, now.high, now.high_high, now.deadband, now.on_delay_seconds) == (5.0, 82.0, None, 2.0, 0)
    assert now.settings_from == {"low": row.pk, "deadband": row.pk, "high": "own", "high_high": "own"}
    wrong = admin.post(page, form | {"high": 4})
    assert "Must be below high" in wrong.content.decode()
    both = admin.post(page, form | {"without": ["high"]})
    assert "Either a value or without." in both.content.decode()
    viewer = staff(site, "VIEWER").get(page).content.decode()
    assert "the sensor&#x27;s own" in viewer or "the sensor's own" in viewer


def test_an_administrator_lays_one_down_changes_and_deletes_it(site: Site) -> None:
    sensor, admin = pump(site), staff(site)
    listing = reverse("admin:sensors_sensordefault_changelist")
    assert "Nothing is laid down" in admin.get(listing).content.decode()
    form = {"site": site.pk, "equipment_class": "PUMP", "sensor_kind": "TEMPERATURE", "unit": "°C", "high": 80}
    added = admin.post(reverse("admin:sensors_sensordefault_add"), form, follow=True).content.decode()
    assert "Sensors for which something else holds now: 1." in added
    row = SensorDefault.objects.get()
    page = reverse("admin:sensors_sensordefault_change", args=[row.pk])
    assert admin.post(page, {"high": 70}).status_code == 302
    assert again(sensor).high == 70.0
    Sensor.objects.filter(pk=sensor.pk).update(low=65.0)
    refused = admin.post(page, {"high": 60}, follow=True).content.decode()
    assert "does not go with what is set on" in refused
    assert again(sensor).high == 70.0
    assert admin.post(reverse("admin:sensors_sensordefault_delete", args=[row.pk]), {"post": "yes"}).status_code == 302
    assert (again(sensor).high, again(sensor).low) == (None, 65.0)
    for role in ("VIEWER", "TECHNICIAN"):
        assert staff(site, role).post(reverse("admin:sensors_sensordefault_add"), form).status_code == 403
    assert str(row) not in staff(factories.site()).get(listing).content.decode()


def test_the_list_asks_as_often_at_10_rows_as_at_2(site: Site) -> None:
    admin, counted = staff(site), []
    admin.get(reverse("admin:sensors_sensordefault_changelist"))
    for classes in ("AB", "CDEFGHIJ"):
        for name in classes:
            lay(site, equipment_class=name, on_delay_seconds=1)
        with CaptureQueriesContext(connection) as queries:
            admin.get(reverse("admin:sensors_sensordefault_changelist"))
        counted.append(len(queries))
    assert counted[0] == counted[1]


# REST


def test_over_rest_an_administrator_lays_down_changes_and_deletes(site: Site) -> None:
    sensor = pump(site)
    admin = rest(factories.user(site=site))
    body = {"site": site.pk, "sensor_kind": "TEMPERATURE", "unit": "°C", "high": 80.0}
    made = admin.post(URL, body, content_type="application/json")
    assert made.status_code == 201, made.json()
    row = made.json()
    shown = admin.get(f"/api/v1/sensors/{sensor.pk}/").json()
    assert (shown["high"], shown["settings_from"]) == (80.0, {"high": row["id"]})
    one = f"{URL}{row['id']}/"
    changed = admin.patch(one, {"high": None, "low": 5.0}, content_type="application/json").json()
    assert (changed["high"], changed["low"], changed["revision"]) == (None, 5.0, 2)
    assert (again(sensor).high, again(sensor).low) == (None, 5.0)
    assert admin.patch(one, {"high": 1.0}, content_type="application/json").status_code == 400
    Sensor.objects.filter(pk=sensor.pk).update(high=9.0)
    refused = admin.patch(one, {"low": 10.0}, content_type="application/json")
    assert "does not go with" in str(refused.json())
    assert admin.delete(one).status_code == 204
    assert again(sensor).low is None


def test_over_rest_others_may_not(site: Site) -> None:
    row = lay(site, on_delay_seconds=1)
    body = {"site": site.pk, "sensor_kind": "FLOW", "on_delay_seconds": 2}
    tina = rest(factories.user(site=site, role="TECHNICIAN"))
    assert tina.get(URL).json()["results"][0]["id"] == row.pk
    assert tina.post(URL, body, content_type="application/json").status_code == 403
    assert tina.delete(f"{URL}{row.pk}/").status_code == 403
    stranger = rest(factories.user(site=factories.site()))
    assert stranger.post(URL, body, content_type="application/json").status_code == 400
    assert stranger.delete(f"{URL}{row.pk}/").status_code == 404
    assert SensorDefault.objects.count() == 1
