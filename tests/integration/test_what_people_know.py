"""What people know counts in the live flow: alarms freeze learning, faults teach nothing, a regime begins anew."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from agents import pipeline, stages, sweeper
from agents.doorbell import Bell
from agents.models import Run
from maintenance import order_steps, situations, windows
from maintenance.models import Alarm, Anomaly, MaintenanceWindow, WorkOrder
from mlops import machine_states
from sensors import labels, regimes, store
from sensors.models import Sensor
from tests import factories
from tests.integration.test_pipeline import START, flow, send

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

STEP = timedelta(minutes=10)
DAY = 144
"""Readings a day."""
EACH = 18
"""Readings of a run."""
SHIFT = 40.0


def sensor(**fields: Any) -> Sensor:
    machine = factories.machine(site=factories.site(), criticality="CRITICAL")
    return factories.sensor(machine=machine, **{"period_seconds": 600} | fields)


def when(n: int) -> datetime:
    return START + n * STEP


class Feed:
    """Ten-minute readings around a level, sent three hours at a time; the same noise in every test. ``live``: an alarm
    stands from the reading on that raised it, as if that had just been measured."""

    def __init__(self, *sensors: Sensor, live: bool = True) -> None:
        self.sensors, self.n, self.live = sensors, 0, live
        self.noise = np.random.default_rng(8).normal(size=20_000).round(3)

    def send(self, readings: int, *, level: float = 20.0) -> None:
        for first in range(self.n, self.n + readings, EACH):
            flow(
                self.sensors[0].site,
                [
                    {"sensor": s.pk, "measured_at": when(n).isoformat(), "value": level + self.noise[n]}
                    for n in range(first, min(first + EACH, self.n + readings))
                    for s in self.sensors
                ],
            )
            if self.live:
                Alarm.objects.filter(created_at__gt=F("raised_at")).update(created_at=F("raised_at"))
        self.n += readings


def learned(s: Sensor, name: str) -> Any:
    state, _ = machine_states.load([s.machine_id], part="learned")
    return state.arrays[f"adaptive.learned.3.{name}"][state.sensor.tolist().index(s.pk)]


def test_a_shift_that_stands_for_days_stays_abnormal_until_somebody_calls_it_normal() -> None:
    s = sensor()
    feed = Feed(s)
    feed.send(2 * DAY)
    assert not Anomaly.objects.exists()
    taught = int(learned(s, "learned"))
    feed.send(4 * DAY, level=20.0 + SHIFT)
    anomaly = Anomaly.objects.get()
    assert (anomaly.started_at, anomaly.last_at, anomaly.ended_at) == (when(2 * DAY), when(6 * DAY - 1), None)
    assert anomaly.readings >= 4 * DAY - EACH  # but for some of the run that raised the alarm, all of them
    assert Alarm.objects.get().is_active
    assert int(learned(s, "learned")) <= taught + EACH + 8  # the run that raised the alarm, no other

    regimes.declare(machine=s.machine, sensor=s, since=when(2 * DAY), reason="New set point", actor=factories.user())
    feed.send(12, level=20.0 + SHIFT)
    anomaly.refresh_from_db()
    alarm = Alarm.objects.get()
    assert (anomaly.ended_at, alarm.is_active) == (anomaly.last_at, False)
    feed.send(DAY, level=20.0 + SHIFT)
    assert Anomaly.objects.count() == 1
    feed.send(6)  # the old level is what is abnormal now
    assert Anomaly.objects.filter(kind__endswith="_LOW", ended_at=None).exists()


def test_what_was_measured_before_an_alarm_stood_teaches_so_that_a_replay_does_not_hang_on_how_it_is_cut() -> None:
    s = sensor()
    feed = Feed(s, live=False)
    feed.send(DAY)
    feed.send(DAY, level=20.0 + SHIFT)
    assert Alarm.objects.exists()
    assert int(learned(s, "learned")) == 2 * DAY


def test_after_an_alarm_has_returned_learning_goes_on() -> None:
    s = sensor()
    feed = Feed(s)
    feed.send(DAY)
    feed.send(12, level=20.0 + SHIFT)
    assert Alarm.objects.get().is_active
    feed.send(72)
    assert not Alarm.objects.get().is_active
    taught = int(learned(s, "learned"))
    feed.send(DAY // 2)
    assert int(learned(s, "learned")) >= taught + DAY // 2 - 8


def test_an_alarm_freezes_all_sensors_of_its_machine_and_no_others() -> None:
    s = sensor(high=30.0)
    sibling = factories.sensor(machine=s.machine)
    stranger = factories.sensor(machine=factories.machine(site=s.site))
    feed, others = Feed(s), Feed(sibling, stranger)
    for one in (feed, others):
        one.send(12)
    feed.send(6, level=99.0)
    assert list(situations.alarmed([s.machine_id, stranger.machine_id])) == [s.machine_id]
    before = [int(learned(one, "learned")) for one in (sibling, stranger)]
    others.send(24)
    assert [int(learned(one, "learned")) for one in (sibling, stranger)] == [before[0], before[1] + 24]


def test_readings_in_a_window_that_is_known_as_a_fault_teach_nothing() -> None:
    s, other = sensor(), sensor()
    actor = factories.user()
    labels.add(machine=s.machine, sensor=None, from_at=when(96), to_at=when(191), kind="FAULT", actor=actor)
    labels.add(machine=other.machine, sensor=None, from_at=when(96), to_at=when(191), kind="EXPECTED", actor=actor)
    for one in (s, other):
        feed = Feed(one)
        feed.send(288)
    assert int(learned(s, "learned")) == 288 - 96
    assert int(learned(other, "learned")) == 288


def worked_on(s: Sensor, *, first: int, last: int) -> WorkOrder:
    """Work on the machine from one reading to another."""
    worker = factories.user(site=s.site)
    order = WorkOrder.objects.create(
        site=s.site, machine=s.machine, failure_mode="VIB", maintenance_type="CORRECTIVE_DEFERRED", priority="HIGH",
        title="Replace the bearing", opened_at=when(0),
    )  # fmt: skip
    order_steps.assign(order.pk, actor=worker, assignee=worker)
    order_steps.start(order.pk, actor=worker, now=when(first))
    order_steps.complete(order.pk, actor=worker, findings="Done", now=when(last))
    return order


def test_readings_that_were_measured_while_the_machine_was_out_of_service_teach_nothing() -> None:
    s, other = sensor(), sensor()
    worked_on(s, first=96, last=191)
    for one in (s, other):
        Feed(one).send(288)
    assert int(learned(s, "learned")) == 288 - 96
    assert int(learned(other, "learned")) == 288


def test_readings_that_were_measured_in_a_maintenance_window_teach_nothing() -> None:
    s, other = sensor(), sensor()
    start = when(96)
    window = MaintenanceWindow(
        site=s.site, equipment=s.machine, reason="Cleaning", first_on=start.date(), starts=start.time(), minutes=599
    )
    windows.add(window, actor=factories.user(), now=when(0))
    windows.look(window.pk, now=when(0))
    MaintenanceWindow.objects.update(look_at=start)
    windows.look(window.pk, now=start)
    for one in (s, other):
        Feed(one).send(288)
    assert int(learned(s, "learned")) == 288 - 60
    assert int(learned(other, "learned")) == 288


def test_readings_of_one_run_are_cut_where_a_fault_begins_and_ends() -> None:
    s = sensor()
    labels.add(machine=s.machine, sensor=s, from_at=when(80), to_at=when(159), kind="FAULT", actor=factories.user())
    noise = np.random.default_rng(1).normal(size=240)
    flow(s.site, [{"sensor": s.pk, "measured_at": when(n).isoformat(), "value": v} for n, v in enumerate(noise)])
    assert int(learned(s, "learned")) == 160


def test_a_run_asks_once_whether_an_alarm_stands_and_nothing_about_labels_and_regimes() -> None:
    s = sensor()
    regimes.declare(machine=s.machine, sensor=None, since=when(0), reason="New", actor=factories.user())
    labels.add(machine=s.machine, sensor=s, from_at=when(0), to_at=when(5), kind="FAULT", actor=factories.user())
    store.make_partitions([START.date()])
    Feed(s).send(6)
    with CaptureQueriesContext(connection) as queries:
        send(s.site, [{"sensor": s.pk, "measured_at": when(9).isoformat(), "value": 20.0}])
        sweeper.work_off([Bell("ingest", int(s.machine.lane or 0))])
    asked = [q["sql"] for q in queries]
    assert sum("maintenance_alarm" in sql and "is_active" in sql and "UNION" not in sql for sql in asked) == 1
    assert not any('FROM "sensors_label"' in sql and "sensors_sensor" not in sql for sql in asked)


def test_whether_an_alarm_stands_is_read_from_the_index_of_the_open_ones() -> None:
    s = sensor()
    over = {"site": s.site, "machine": s.machine, "sensor": s, "failure_mode": "UNK", "priority": "LOW"}
    Alarm.objects.bulk_create(
        Alarm(**over, is_active=False, is_acknowledged=True, raised_at=when(n), returned_at=when(n)) for n in range(500)
    )
    rows = Alarm.objects.filter(machine_id__in=[s.machine_id, 1, 2], is_active=True).order_by("-created_at")
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE {Alarm._meta.db_table}; SET LOCAL enable_seqscan = off")
    assert "alarm_one_open" in rows.explain()
    assert situations.alarmed([s.machine_id]) == {}


def test_a_retry_after_a_death_says_the_same_also_where_a_regime_begins() -> None:
    s = sensor()
    feed = Feed(s)
    feed.send(DAY)
    regimes.declare(machine=s.machine, sensor=s, since=when(DAY + 3), reason="New", actor=factories.user())
    body = [{"sensor": s.pk, "measured_at": when(DAY + n).isoformat(), "value": 20.0 + n} for n in range(8)]
    send(s.site, body)
    bells = list(pipeline.begin(int(s.machine.lane or 0)).bells)
    bells = list(sweeper.answer(bells[0]))
    run = Run.objects.get(pk=bells[0].id)
    first, second = (stages.detect_step(run, attempt) for attempt in (1, 2))
    for finish in (first, second):
        with transaction.atomic():
            finish.commit()
    assert first.changes == second.changes
    assert int(learned(s, "learned")) == 5
    assert int(learned(s, "filled")) == 5
