"""Sensors that fall silent: noticed by arrival, told once, a fault of the instrument while it lasts."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from pytest_django import Settings

from agents import pipeline, sweeper, watchdog
from agents.doorbell import Bell
from agents.models import JobRun, Run
from maintenance.models import Alarm, Anomaly, Channel, Notification, WorkOrder
from sensors import inbox, presence
from sensors.models import BatchPart, Equipment, Event, Sensor, SensorPresence
from tests import factories
from tests.integration.test_alarm_locks import in_thread

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

PERIOD_SECONDS = 10
TOLERANCE = timedelta(seconds=300)
UNTIL_TOLD = TOLERANCE * (1 + presence.SLACK)
A_SECOND = timedelta(seconds=1)


@pytest.fixture(autouse=True)
def usual_tolerance(settings: Settings) -> None:
    settings.SILENT_PERIODS, settings.SILENT_MIN_SECONDS = 10, 300


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()), period_seconds=PERIOD_SECONDS)


def accept(sensor: Sensor, *instants: datetime) -> list[Bell]:
    items = [{"sensor": sensor.pk, "measured_at": at.isoformat(), "value": 1.0} for at in instants]
    taken = inbox.accept(site=sensor.site, user=None, body=json.dumps(items).encode(), received_at=timezone.now())
    return [Bell("ingest", lane) for lane in taken.lanes]


def send(sensor: Sensor, *ages: float) -> None:
    """Readings that were measured so many seconds ago, through the whole flow."""
    sweeper.work_off(accept(sensor, *(timezone.now() - timedelta(seconds=age) for age in ages)))


def let_pass(span: timedelta) -> None:
    SensorPresence.objects.update(heard_at=F("heard_at") - span, due_at=F("due_at") - span)


def fall_silent(sensor: Sensor, *, measured_ago: float = 0) -> None:
    send(sensor, measured_ago)
    let_pass(UNTIL_TOLD + A_SECOND)


def decide() -> None:
    """What the sweep does about the runs that wait for their turn."""
    while bells := list(sweeper.due()):
        sweeper.work_off(bells)


def told() -> list[str]:
    return list(Event.objects.filter(type__startswith="sensor.").order_by("id").values_list("type", flat=True))


def written() -> str:
    """The transaction that wrote the row last."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT xmin::text, heard_at::text FROM {presence.TABLE}")
        return str(cursor.fetchone())


def test_a_sensor_is_due_again_by_its_arrival_whatever_its_own_clock_says(sensor: Sensor) -> None:
    send(sensor, 120)
    row, arrived = SensorPresence.objects.get(), BatchPart.objects.get().created_at
    assert (row.sensor_id, row.heard_at, row.due_at) == (sensor.pk, arrived, arrived + UNTIL_TOLD)
    assert row.silent_since is None


def test_the_tolerance_is_so_many_periods_where_that_is_longer(sensor: Sensor) -> None:
    Sensor.objects.update(period_seconds=60)
    send(sensor, 0)
    row = SensorPresence.objects.get()
    assert row.due_at - row.heard_at == timedelta(seconds=600) * (1 + presence.SLACK)


def test_a_sensor_can_have_a_tolerance_of_its_own(sensor: Sensor) -> None:
    Sensor.objects.update(silent_after_seconds=30)
    send(sensor, 0)
    row = SensorPresence.objects.get()
    assert row.due_at - row.heard_at == timedelta(seconds=30) * (1 + presence.SLACK)
    let_pass(timedelta(seconds=38))
    watchdog.watch()
    assert told() == ["sensor.silent"]


@pytest.mark.parametrize(("period", "after"), [(None, 30), (60, 59)])
def test_a_tolerance_of_its_own_needs_a_period_and_is_no_shorter(period: int | None, after: int) -> None:
    machine = factories.machine(site=factories.site())
    with pytest.raises(ValidationError, match="needs a period"):
        factories.sensor(machine=machine, period_seconds=period, silent_after_seconds=after)


def test_a_sensor_without_a_period_is_not_watched(sensor: Sensor) -> None:
    Sensor.objects.update(period_seconds=None)
    send(sensor, 0)
    assert not SensorPresence.objects.exists()


def test_last_years_data_neither_makes_a_sensor_present_nor_leaves_it_silent(sensor: Sensor) -> None:
    year = timedelta(days=365).total_seconds()
    send(sensor, year, year - 10)
    assert not SensorPresence.objects.exists()
    send(sensor, 0)
    let_pass(TOLERANCE)
    before = written()
    send(sensor, year - 20)
    assert written() == before


def test_what_was_kept_back_and_ends_in_the_present_is_heard(sensor: Sensor) -> None:
    send(sensor, 7_200, 3_600, 1)
    assert SensorPresence.objects.count() == 1


def test_a_row_is_written_once_in_a_part_of_the_tolerance(sensor: Sensor) -> None:
    send(sensor, 3)
    first = written()
    send(sensor, 2)
    assert written() == first
    let_pass(TOLERANCE * presence.SLACK + A_SECOND)
    aged = SensorPresence.objects.get().heard_at
    send(sensor, 1)
    assert SensorPresence.objects.get().heard_at > aged + TOLERANCE * presence.SLACK


def test_a_sensor_that_is_not_overdue_is_not_silent(sensor: Sensor) -> None:
    send(sensor, 0)
    let_pass(TOLERANCE)
    assert watchdog.tell_silence() == 0
    assert told() == []


def test_silence_opens_one_order_to_see_to_the_instrument_and_no_alarm_however_often_it_is_looked_at(
    sensor: Sensor,
) -> None:
    channel = Channel.objects.create(site=sensor.site, kind="CONSOLE", name="log")
    fall_silent(sensor)
    assert [watchdog.tell_silence() for _ in range(3)] == [1, 0, 0]
    decide()
    assert watchdog.tell_silence() == 0
    decide()
    assert told() == ["sensor.silent"]
    fault = Anomaly.objects.get()
    assert (fault.nature, fault.kind, fault.ended_at) == ("INSTRUMENT", "GAP", None)
    order = WorkOrder.objects.get()
    assert (order.maintenance_type, order.machine, order.occurrences) == ("INSTRUMENTATION", sensor.machine, 1)
    assert Notification.objects.filter(channel=channel).count() == 1
    assert not Alarm.objects.exists()
    assert set(Run.objects.values_list("status", flat=True)) == {"DONE"}


def test_a_silence_that_ends_is_the_gap_that_validate_finds_and_counts_once(sensor: Sensor) -> None:
    fall_silent(sensor, measured_ago=20 * PERIOD_SECONDS)
    watchdog.tell_silence()
    decide()
    began = Anomaly.objects.get().started_at
    send(sensor, 0)
    assert watchdog.tell_silence() == 0
    decide()
    fault = Anomaly.objects.get()
    assert (fault.kind, fault.started_at) == ("GAP", began)
    assert fault.ended_at is not None
    assert WorkOrder.objects.get().occurrences == 1
    assert told() == ["sensor.silent", "sensor.heard"]
    assert SensorPresence.objects.get().silent_since is None


def test_a_second_silence_is_told_again(sensor: Sensor) -> None:
    for _ in range(2):
        fall_silent(sensor)
        assert watchdog.tell_silence() == 1
        decide()
    assert told() == ["sensor.silent", "sensor.heard", "sensor.silent"]
    assert Anomaly.objects.filter(kind="GAP").count() == 2
    assert WorkOrder.objects.get().occurrences == 2


def test_what_may_be_in_readings_that_wait_is_not_missed_yet(sensor: Sensor) -> None:
    fall_silent(sensor)
    bells = accept(sensor, timezone.now())
    arrived = SensorPresence.objects.get().due_at - A_SECOND
    BatchPart.objects.filter(state="WAITING").update(created_at=arrived)
    assert watchdog.tell_silence() == 0
    run_id = pipeline.begin(bells[0].id).bells[0].id
    assert Run.objects.get(pk=run_id).stage == "VALIDATE"
    assert watchdog.tell_silence() == 0
    sweeper.work_off([Bell("validate", run_id)])
    assert watchdog.tell_silence() == 0
    assert told() == []


def test_what_arrived_after_it_was_due_does_not_hide_a_silence(sensor: Sensor) -> None:
    fall_silent(sensor)
    accept(factories.sensor(machine=sensor.machine), timezone.now())
    assert watchdog.tell_silence() == 1


def watchdog_ran(*minutes_ago: int) -> None:
    for minutes in minutes_ago:
        at = timezone.now() - timedelta(minutes=minutes)
        JobRun.objects.create(job="watchdog", period=at, started_at=at, finished_at=at, outcome="DONE")


@pytest.mark.parametrize(("minutes_back", "silent"), [(5, 0), (8, 1)])
def test_after_the_service_was_away_the_tolerance_begins_anew(sensor: Sensor, minutes_back: int, silent: int) -> None:
    fall_silent(sensor)
    watchdog_ran(60, 59, *range(minutes_back, -1, -1))
    assert watchdog.tell_silence() == silent


def test_after_days_away_the_tolerance_begins_anew_as_well(sensor: Sensor) -> None:
    fall_silent(sensor)
    watchdog_ran(3 * 24 * 60, 0)
    assert watchdog.tell_silence() == 0


def test_a_watchdog_that_missed_a_turn_was_not_away(sensor: Sensor) -> None:
    fall_silent(sensor)
    watchdog_ran(7, 6, 5, 3, 2, 1, 0)
    assert watchdog.tell_silence() == 1


def test_in_a_busy_lane_the_silence_waits_for_its_turn(sensor: Sensor) -> None:
    fall_silent(sensor)
    Run.objects.create(lane=sensor.machine.lane, stage="DETECT")
    assert watchdog.tell_silence() == 1
    assert sorted(Run.objects.values_list("status", flat=True)) == ["ACTIVE", "DONE", "REPLAY"]


def test_a_longer_period_counts_from_now_on(sensor: Sensor) -> None:
    fall_silent(sensor)
    Sensor.objects.update(period_seconds=600)
    assert watchdog.tell_silence() == 0


def test_a_sensor_whose_period_was_taken_away_is_no_longer_silent(sensor: Sensor) -> None:
    fall_silent(sensor)
    watchdog.tell_silence()
    Sensor.objects.update(period_seconds=None)
    watchdog.tell_silence()
    assert not SensorPresence.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_watchdogs_at_once_one_tells(sensor: Sensor) -> None:
    fall_silent(sensor)
    counts: list[int] = []
    with transaction.atomic():
        counts.append(watchdog.tell_silence())
        thread, errors = in_thread(lambda: counts.append(watchdog.tell_silence()))
        thread.join(20)
    assert errors == []
    assert counts == [1, 0]
    assert told() == ["sensor.silent"]


# Behind a gateway


@pytest.fixture
def gateway(sensor: Sensor) -> Equipment:
    made = factories.machine(site=sensor.site, tag="PLC-7", equipment_class="GATEWAY")
    Sensor.objects.update(gateway=made)
    return made


def behind(gateway: Equipment, **fields: Any) -> Sensor:
    machine = factories.machine(site=gateway.site)
    return factories.sensor(machine=machine, gateway=gateway, **{"period_seconds": PERIOD_SECONDS} | fields)


def last_heard(ago: dict[Sensor, float]) -> None:
    """All of them were heard, so many seconds ago."""
    for one, seconds in ago.items():
        send(one, 0)
        span = timedelta(seconds=seconds)
        rows = SensorPresence.objects.filter(sensor=one)
        rows.update(heard_at=F("heard_at") - span, due_at=F("due_at") - span)


def test_a_gateway_that_falls_silent_has_one_order_however_many_machines_are_behind_it(
    sensor: Sensor, gateway: Equipment
) -> None:
    channel = Channel.objects.create(site=sensor.site, kind="CONSOLE", name="log")
    others = [behind(gateway) for _ in range(3)]
    last_heard({sensor: 400, others[0]: 390, others[1]: 340, others[2]: 320})  # the last two are told a minute later
    assert watchdog.tell_silence() == 2
    decide()
    let_pass(timedelta(seconds=70))
    assert watchdog.tell_silence() == 2
    decide()
    order = WorkOrder.objects.get()
    assert (order.maintenance_type, order.machine, order.occurrences) == ("INSTRUMENTATION", gateway, 4)
    assert Notification.objects.filter(channel=channel).count() == 1
    assert set(Anomaly.objects.values_list("machine", "kind")) == {(gateway.pk, "GAP")}
    assert "with others behind its gateway" in Anomaly.objects.earliest("id").detail
    assert sorted(Anomaly.objects.values_list("sensor", flat=True)) == [sensor.pk, *(one.pk for one in others)]
    for one in (sensor, *others):
        send(one, 0)
    assert not Anomaly.objects.filter(ended_at=None).exists()
    assert WorkOrder.objects.get().occurrences == 4


def test_a_sensor_that_falls_silent_alone_is_its_machines(sensor: Sensor, gateway: Equipment) -> None:
    last_heard({sensor: 400, behind(gateway): 5})
    assert watchdog.tell_silence() == 1
    decide()
    assert WorkOrder.objects.get().machine == sensor.machine


def test_a_sensor_that_fell_silent_before_the_gateway_did_is_its_machines(sensor: Sensor, gateway: Equipment) -> None:
    later = behind(gateway), behind(gateway)
    last_heard({sensor: 700, later[0]: 400, later[1]: 400})
    assert watchdog.tell_silence() == 3
    decide()
    assert set(WorkOrder.objects.values_list("machine", "occurrences")) == {(sensor.machine_id, 1), (gateway.pk, 2)}


def test_one_that_reports_rarely_says_nothing_about_its_gateway(sensor: Sensor, gateway: Equipment) -> None:
    last_heard({sensor: 400, behind(gateway, period_seconds=3_600): 500})
    assert watchdog.tell_silence() == 1
    decide()
    assert WorkOrder.objects.get().machine == sensor.machine


def test_a_gateway_of_another_site_or_that_is_no_machine_is_refused(sensor: Sensor) -> None:
    line = factories.machine(site=sensor.site, level="LINE")
    for wrong in (line, factories.machine(site=factories.site())):
        with pytest.raises(ValidationError) as refused:
            factories.sensor(machine=sensor.machine, gateway=wrong)
        assert list(refused.value.message_dict) == ["gateway"]
