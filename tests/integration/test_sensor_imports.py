"""Sensors from files where defaults of the site hold: which settings become a sensor's own, and who waits for whom."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from sensors import fleet, sensor_defaults, sheets
from sensors.exchange_rows import SensorRows
from sensors.models import Event, Sensor, Site
from tests import factories
from tests.integration.test_alarm_locks import in_thread, wait_until_blocked
from tests.integration.test_exchange import faults, run, whats
from tests.integration.test_sensor_defaults import again, lay, pump

pytestmark = pytest.mark.django_db
SENSORS = "external_id,name,equipment,kind,unit,low,high,deadband,alarm_readings,alarm_readings_of,on_delay_seconds\n"


@pytest.fixture
def site() -> Site:
    return factories.site()


@pytest.fixture
def anna(site: Site) -> User:
    return factories.user(site=site)


def test_the_same_file_again_switches_nothing_off(site: Site, anna: User) -> None:
    factories.machine(site=site, tag="P-1")
    row = lay(site, unit="°C", high=80.0, deadband=2.0, alarm_readings=2, alarm_readings_of=3, on_delay_seconds=10)
    text = f"{SENSORS}s,S,P-1,TEMPERATURE,°C,5,,,,,\n"
    assert whats(run(SensorRows(site, anna), text)) == ["NEW"]
    first = Sensor.objects.get(external_id="s")
    assert (first.low, first.high, first.deadband, first.on_delay_seconds) == (5.0, 80.0, 2.0, 10)
    assert first.settings_from == {"low": "own"} | dict.fromkeys(
        ("high", "deadband", "alarm_readings", "alarm_readings_of", "on_delay_seconds"), row.pk
    )
    before = Event.objects.count()
    assert whats(run(SensorRows(site, anna), text)) == ["SAME"]
    named = text.replace("s,S,", "s,Other,")
    assert whats(run(SensorRows(site, anna), named)) == ["CHANGED"]
    assert again(first).settings_from == first.settings_from
    assert again(first).high == 80.0
    assert Event.objects.count() == before + 1


def test_what_a_cell_says_is_the_sensors_own_and_an_empty_one_is_what_the_default_says(site: Site, anna: User) -> None:
    new, owner = pump(site), pump(site, high=50.0, deadband=1.0)
    row = lay(site, unit="°C", high=80.0, deadband=2.0)
    head = "external_id,high,deadband\n"
    text = f"{head}{new.external_id},70,2\n{owner.external_id},,\n"
    assert whats(run(SensorRows(site, anna), text)) == ["CHANGED", "CHANGED"]
    assert (again(new).high, again(new).settings_from) == (70.0, {"high": "own", "deadband": row.pk})
    assert (again(owner).high, again(owner).deadband) == (80.0, 2.0)
    assert again(owner).settings_from == {"high": row.pk, "deadband": row.pk}


def test_a_default_is_not_the_sensors_own_when_its_period_changes(site: Site, anna: User) -> None:
    sensor = pump(site, period_seconds=300)
    row = lay(site, sensor_kind="TEMPERATURE", silent_after_seconds=60)
    assert again(sensor).silent_after_seconds == 300
    for cell, holds in (("600", 600), ("30", 60)):
        told = run(SensorRows(site, anna), f"external_id,period_seconds\n{sensor.external_id},{cell}\n")
        assert (faults(told), whats(told)) == ({}, ["CHANGED"])
        now = again(sensor)
        assert (now.silent_after_seconds, now.settings_from) == (holds, {"silent_after_seconds": row.pk})


def test_an_export_that_is_imported_leaves_which_settings_are_own(site: Site, anna: User) -> None:
    plain, owner, without = pump(site), pump(site, high=50.0, on_delay_seconds=5), pump(site)
    lay(site, unit="°C", high=80.0, on_delay_seconds=10)
    fleet.save_sensor(again(without), own=["high"])
    Sensor.objects.filter(pk=without.pk).update(high=None)
    known = {row.pk: (row.high, row.settings_from) for row in map(again, (plain, owner, without))}
    exported = SensorRows(site, anna).table(Sensor.objects.order_by("pk")).export("csv")
    assert whats(run(SensorRows(site, anna), exported)) == ["SAME"] * 3
    renamed = exported.replace(f",{plain.name},", ",Plain,").replace(f",{without.name},", ",Without,")
    assert whats(run(SensorRows(site, anna), renamed)) == ["CHANGED", "SAME", "CHANGED"]
    assert {row.pk: (row.high, row.settings_from) for row in map(again, (plain, owner, without))} == known


@pytest.mark.django_db(transaction=True)
def test_an_import_locks_the_site_before_its_sensors_as_who_changes_a_default_does() -> None:
    site = factories.site()
    sensor, anna = pump(site), factories.user(site=site)
    text = f"external_id,high\n{sensor.external_id},70\n"
    with transaction.atomic():
        sensor_defaults.hold(site.pk)
        thread, errors = in_thread(lambda: SensorRows(site, anna).run(sheets.read("f", text.encode()), trial=False))
        wait_until_blocked(thread)
        assert Sensor.objects.select_for_update(nowait=True).get().high is None
    thread.join(10)
    assert errors == []
    assert again(sensor).high == 70.0
