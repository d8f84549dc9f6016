"""The five stages on a real Postgres and Redis, driven in this process by the bells they return."""

from __future__ import annotations

import json
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_redis import get_redis_connection
from pytest_django import Settings

from agents import cargo, lease, pipeline, replay, sweeper
from agents.doorbell import Bell
from agents.models import Run, StageAttempt
from maintenance.models import Alarm, AlarmTransition, Anomaly, Channel, Decision, Notification, WorkOrder
from mlops.models import MachineState
from sensors import codec, inbox, store
from sensors.models import BatchPart, Event, Reading, ReadingConflict, Sensor, Site
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty")]

START = datetime.fromisoformat("2026-02-01T00:00:00+00:00")


def sensor(**fields: Any) -> Sensor:
    machine = factories.machine(site=factories.site(), criticality="CRITICAL")
    return factories.sensor(machine=machine, **{"high": 10.0, "period_seconds": 60} | fields)


def readings(sensor: Sensor, values: list[float], *, first: int = 0) -> list[dict[str, Any]]:
    return [
        {
            "sensor": sensor.external_id,
            "measured_at": (START + timedelta(minutes=first + n)).isoformat(),
            "value": value,
        }
        for n, value in enumerate(values)
    ]


def send(site: Site, items: list[dict[str, Any]]) -> inbox.Accepted:
    return inbox.accept(site=site, user=None, body=json.dumps(items).encode(), received_at=factories.NOON)


def flow(site: Site, items: list[dict[str, Any]]) -> inbox.Accepted:
    accepted = send(site, items)
    sweeper.work_off(Bell("ingest", lane) for lane in accepted.lanes)
    return accepted


def books() -> Counter[str]:
    """Everything the flow can have as an effect, counted."""
    models = (Reading, Anomaly, Alarm, AlarmTransition, WorkOrder, Decision, Notification, Event, ReadingConflict)
    return Counter({model.__name__: model.objects.count() for model in models})


def test_readings_beyond_a_limit_become_anomaly_alarm_order_and_messages() -> None:
    s = sensor()
    Channel.objects.create(site=s.site, kind="CONSOLE", name="Console")
    flow(s.site, readings(s, [1.0, 2.0, 12.0, 13.0, 2.0, 2.0]))
    assert Reading.objects.filter(sensor=s).count() == 6
    anomaly = Anomaly.objects.get(detector="limits")
    assert anomaly.started_at == START + timedelta(minutes=2)
    alarm = Alarm.objects.get()
    assert (alarm.machine, alarm.sensor) == (s.machine, s)
    assert WorkOrder.objects.get().alarm == alarm
    assert set(Notification.objects.values_list("status", flat=True)) == {"SENT"}
    assert set(Run.objects.values_list("status", flat=True)) == {"DONE"}
    assert StageAttempt.objects.filter(outcome="DONE").count() == 5


def test_however_the_readings_are_cut_into_requests_the_outcome_is_the_same() -> None:
    values = [1.0, 1.2, 12.0, 13.0, 1.1, 1.0, 1.3, 14.0, 1.0, 1.1] * 3
    outcomes = []
    for cut in (len(values), 7, 1):
        s = sensor(on_delay_seconds=60, off_delay_seconds=120)
        for first in range(0, len(values), cut):
            flow(s.site, readings(s, values[first : first + cut], first=first))
        anomalies = Anomaly.objects.filter(sensor=s).order_by("detector", "started_at")
        transitions = AlarmTransition.objects.filter(alarm__site=s.site).order_by("at", "id")
        outcomes.append(
            (
                list(anomalies.values_list("detector", "kind", "started_at", "ended_at", "readings", "peak_score")),
                list(transitions.values_list("action", "at")),
                WorkOrder.objects.filter(site=s.site).count(),
            )
        )
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_the_same_body_twice_changes_nothing_and_is_told_apart() -> None:
    s = sensor()
    body = readings(s, [1.0, 2.0, 12.0, 2.0])
    flow(s.site, body)
    before = books()
    again = flow(s.site, body)
    assert books() == before
    part = BatchPart.objects.get(batch=again.batch)
    assert (part.stored, part.already_stored, part.conflicts) == (0, 4, 0)
    assert part.outcome == {"already_stored": [0, 1, 2, 3]}


def test_another_value_at_a_stored_instant_keeps_the_first_and_leaves_a_conflict() -> None:
    s = sensor()
    flow(s.site, readings(s, [1.0, 2.0]))
    again = flow(s.site, readings(s, [1.0, 9.0, 3.0]))
    part = BatchPart.objects.get(batch=again.batch)
    assert (part.stored, part.already_stored, part.conflicts) == (1, 1, 1)
    conflict = ReadingConflict.objects.get()
    assert (conflict.value, conflict.part_id) == (9.0, part.pk)
    assert Reading.objects.get(sensor=s, measured_at=conflict.measured_at).value == 2.0


def test_two_parts_of_one_run_with_the_same_reading_store_it_once() -> None:
    s = sensor()
    body = readings(s, [1.0, 2.0])
    lanes = send(s.site, body).lanes
    send(s.site, body)
    sweeper.work_off(Bell("ingest", lane) for lane in lanes)
    assert Run.objects.count() == 1
    assert Reading.objects.count() == 2
    assert [p.already_stored for p in BatchPart.objects.order_by("id")] == [0, 2]


def test_a_late_reading_is_stored_and_judged_but_neither_pages_nor_clears() -> None:
    s = sensor()
    Channel.objects.create(site=s.site, kind="CONSOLE", name="Console")
    flow(s.site, readings(s, [1.0, 12.0], first=600))
    before = books()
    assert Alarm.objects.get().is_active
    flow(s.site, readings(s, [1.0, 12.0, 1.0]))
    after = books()
    assert after["Reading"] == before["Reading"] + 3
    assert after["Alarm"] == before["Alarm"]
    assert after["AlarmTransition"] == before["AlarmTransition"]
    assert after["Notification"] == before["Notification"]
    assert Anomaly.objects.filter(retrospective=True).exists()
    assert Alarm.objects.get().is_active


def test_a_sensor_fault_opens_an_instrumentation_order_and_no_alarm() -> None:
    s = sensor(high=None, physical_high=50.0)
    flow(s.site, readings(s, [1.0, 2.0, 999.0, 1.0]))
    assert not Alarm.objects.exists()
    order = WorkOrder.objects.get()
    assert (order.maintenance_type, order.failure_mode) == ("INSTRUMENTATION", "AIR")


def test_a_sensor_fault_ends_with_the_first_good_reading_after_it_whichever_run_brings_it() -> None:
    s = sensor(high=None, physical_high=50.0)
    flow(s.site, readings(s, [1.0, 2.0, 999.0]))
    assert Anomaly.objects.get().ended_at is None
    flow(s.site, readings(s, [1.0, 2.0], first=3))
    assert Anomaly.objects.get().ended_at == START + timedelta(minutes=3)
    flow(s.site, readings(s, [1.0], first=60))
    gap = Anomaly.objects.get(kind="GAP")
    assert (gap.last_at, gap.ended_at) == (START + timedelta(minutes=60),) * 2
    assert gap.observed is None


def test_a_sensor_fault_in_late_data_opens_nothing() -> None:
    s = sensor(high=None, physical_high=50.0)
    flow(s.site, readings(s, [1.0, 2.0], first=600))
    flow(s.site, readings(s, [999.0]))
    assert Anomaly.objects.get().retrospective
    assert not WorkOrder.objects.exists()
    assert not Notification.objects.exists()


def test_what_redis_lost_is_rebuilt_and_the_run_goes_on() -> None:
    s = sensor()
    lane = send(s.site, readings(s, [1.0, 2.0, 12.0])).lanes[0]
    bells = list(pipeline.begin(lane).bells)
    while bells:
        get_redis_connection("default").flushdb()
        bells = list(sweeper.answer(bells[0]))
    assert Run.objects.get().status == "DONE"
    assert Alarm.objects.count() == 1


def test_a_cargo_is_the_same_from_redis_and_from_the_parts() -> None:
    s = sensor()
    lane = send(s.site, readings(s, [3.0, 1.0, 2.0])).lanes[0]
    send(s.site, readings(s, [5.0], first=9))
    run_id = pipeline.begin(lane).bells[0].id
    cached = cargo.get(Run.objects.get(pk=run_id))
    get_redis_connection("default").flushdb()
    rebuilt = cargo.get(Run.objects.get(pk=run_id))
    assert (cached.columns.at == rebuilt.columns.at).all()
    assert (cached.columns.value == rebuilt.columns.value).all()
    assert (cached.part == rebuilt.part).all()


def test_a_stale_bell_changes_nothing() -> None:
    s = sensor()
    flow(s.site, readings(s, [1.0]))
    run, before = Run.objects.get(), books()
    for bell in (Bell("ingest", run.lane), *(Bell(q, run.pk) for q in ("validate", "detect", "decide", "notify"))):
        assert sweeper.answer(bell) == ()
    assert books() == before


def test_a_worker_that_died_is_found_by_the_sweep_when_its_lease_ran_out() -> None:
    s = sensor()
    lane = send(s.site, readings(s, [1.0, 12.0])).lanes[0]
    run_id = pipeline.begin(lane).bells[0].id
    assert lease.claim(Run, run_id, seconds=30, status="ACTIVE", stage="VALIDATE") is not None
    a_while_ago = timezone.now() - timedelta(seconds=1)
    Run.objects.filter(pk=run_id).update(ring_after=a_while_ago)
    assert list(sweeper.due()) == []
    Run.objects.filter(pk=run_id).update(lease_until=a_while_ago)
    sweeper.work_off(sweeper.due())
    assert Run.objects.get().status == "DONE"
    assert Alarm.objects.count() == 1


def test_the_state_of_a_machine_names_the_last_run_it_has_seen() -> None:
    s = sensor()
    flow(s.site, readings(s, [1.0]))
    flow(s.site, readings(s, [1.0], first=1))
    state = MachineState.objects.get(machine=s.machine)
    last = Run.objects.order_by("-id")[0].pk
    assert (state.memory_run_id, state.learned_run_id) == (last, last)


def test_a_run_costs_the_same_queries_whatever_the_number_of_sensors_and_readings() -> None:
    counts = []
    store.make_partitions([START.date()])
    for sensors, length in ((1, 1), (6, 40)):
        machine = factories.machine(site=factories.site())
        made = [factories.sensor(machine=machine) for _ in range(sensors)]
        items = [item for s in made for item in readings(s, [1.0 + n % 3 for n in range(length)], first=600)]
        send(machine.site, items)
        with CaptureQueriesContext(connection) as queries:
            sweeper.work_off([Bell("ingest", int(machine.lane or 0))])
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_nothing_is_unfinished_when_all_is_done() -> None:
    s = sensor()
    send(s.site, readings(s, [1.0]))
    assert any(replay.unfinished(s.site).values())
    sweeper.work_off(sweeper.due())
    assert not any(replay.unfinished(s.site).values())


def test_a_run_that_began_in_a_neighbouring_lane_is_on_its_way_as_well() -> None:
    s = factories.sensor(machine=factories.machine(site=factories.site(), lane=5))
    run = Run.objects.create(lane=0, lanes=8, stage=Run.Stage.DETECT)
    assert replay.unfinished(s.site)["runs"] == 1
    Run.objects.filter(pk=run.pk).update(lanes=5)
    assert replay.unfinished(s.site)["runs"] == 0


def test_readings_of_many_days_come_in_runs_of_so_many_days(settings: Settings) -> None:
    settings.INGEST_MAX_DAYS = 3
    s = sensor()
    body = [r for day in range(3) for r in readings(s, [1.0], first=day * 1440)]
    lane = send(s.site, body).lanes[0]
    send(s.site, readings(s, [1.0, 2.0], first=5 * 1440))
    with pytest.raises(codec.TooManyReadings, match="4 days"):
        send(s.site, [r for day in range(4) for r in readings(s, [1.0], first=day * 1440)])
    sweeper.work_off([Bell("ingest", lane)])
    assert list(Run.objects.order_by("id").values_list("readings", flat=True)) == [3, 2]


def test_values_at_the_edge_of_what_is_taken_are_judged_like_any_other() -> None:
    s = sensor(high=None)
    quiet = [20.0 + n % 5 for n in range(200)]
    flow(s.site, readings(s, [*quiet, 1e100, -1e100, 1e100, *quiet]))
    assert set(Run.objects.values_list("status", flat=True)) == {"DONE"}
    assert Anomaly.objects.filter(peak_score__gt=0.9).exists()


def test_a_sensor_that_leaves_those_at_its_measuring_point_opens_an_order_and_passes_no_limit() -> None:
    machine = factories.machine(site=factories.site(), criticality="HIGH")
    together = [
        factories.sensor(
            machine=machine, kind="TEMPERATURE", unit="°C", measuring_point="oil", period_seconds=60, high=limit
        )
        for limit in (32.0, None, None)
    ]
    dice = np.random.default_rng(1)
    for day in range(3):
        body = []
        for place, s in enumerate(together):
            drift = np.maximum(np.arange(1440) + 1440 * day - 2000, 0) * (0.01 if place == 0 else 0.0)
            values = 20 + place + drift + dice.normal(0, 0.1, 1440)
            body += readings(s, values.round(2).tolist(), first=1440 * day)
        flow(machine.site, body)
    found = Anomaly.objects.get(kind="DRIFT")
    assert found.sensor_id == together[0].pk
    assert "leaves the others" in found.detail
    assert WorkOrder.objects.get(failure_mode="AIR").maintenance_type == "INSTRUMENTATION"
    assert Reading.objects.filter(sensor=together[0], value__gt=32.0).exists()
    assert not Anomaly.objects.filter(detector="limits").exists()


def test_a_clock_that_stands_still_opens_an_order_although_its_readings_are_conflicts() -> None:
    s = sensor(high=None)
    flow(s.site, readings(s, [1.0, 2.0]))
    for value in (3.0, 4.0, 5.0):
        flow(s.site, readings(s, [value], first=1))
    found = Anomaly.objects.get()
    assert (found.kind, found.readings) == ("CLOCK", 3)
    assert WorkOrder.objects.get().maintenance_type == "INSTRUMENTATION"


@pytest.mark.parametrize(
    ("limit", "kinds"), [(None, {"UNIT_CHANGE"}), (50.0, {"UNIT_CHANGE", "LIMIT_HIGH", "DEVIATION_HIGH"})]
)
def test_a_change_of_unit_raises_no_alarm_but_where_it_passes_a_limit(limit: float | None, kinds: set[str]) -> None:
    s = sensor(high=limit, period_seconds=60)
    dice = np.random.default_rng(2)
    value = 20 + dice.normal(0, 0.2, 200)
    flow(s.site, readings(s, value.tolist()))
    flow(s.site, readings(s, (value[:100] * 10).tolist(), first=200))
    assert set(Anomaly.objects.values_list("kind", flat=True)) == kinds
    assert Alarm.objects.exists() == (limit is not None)
