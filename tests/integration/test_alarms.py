"""Alarms on the real database: from anomalies through decide to rows, and people in between."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents import decide
from maintenance import alarms, anomalies, order_steps, sightings
from maintenance.models import Alarm, AlarmTransition, Anomaly, Decision, WorkOrder, WorkOrderTransition
from sensors.columns import SECOND_US, from_instant
from sensors.models import Event, Sensor
from tests import factories

pytestmark = pytest.mark.django_db

NOON = from_instant(factories.NOON)


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


def see(sensor: Sensor, *, run: int, at: int, ended: int | None = None, score: float = 0.6, **fields: Any) -> int:
    """Record one anomaly from ``at`` (seconds after noon) on; its id."""
    started = NOON + at * SECOND_US
    last = NOON + fields.pop("last", at) * SECOND_US
    base: dict[str, Any] = {
        "detector": "limits", "detector_version": "1", "kind": "LIMIT_LOW", "last_at": last, "readings": 1,
        "ended_at": None if ended is None else NOON + ended * SECOND_US, "peak_score": score, "peak_at": last,
        "observed": 1.0, "expected_low": 2.0, "expected_high": None, "window_from": started, "window_to": last,
    }  # fmt: skip
    sighting = sightings.Sighting(sensor_id=sensor.pk, started_at=started, **{**base, **fields})
    return anomalies.record([sighting], run_id=run)[0]


def judge(*sensors: Sensor, run: int, clock: int | None, now: datetime | None = None) -> list[int]:
    """What the pipeline does: decide, then once more on locked rows, and apply."""
    machines = {sensor.machine_id: None if clock is None else NOON + clock * SECOND_US for sensor in sensors}
    decide.decide(alarms.situations(machines, clocks=machines))
    with transaction.atomic():
        return alarms.apply(decide.decide(alarms.situations(machines, clocks=machines, lock=True)), run_id=run, now=now)


def actions() -> list[str]:
    return list(AlarmTransition.objects.order_by("id").values_list("action", flat=True))


def counts() -> list[int]:
    return [
        model.objects.count()
        for model in (Alarm, AlarmTransition, Decision, WorkOrder, WorkOrderTransition, Event, Anomaly)
    ]


def test_an_anomaly_opens_an_alarm_with_its_history_its_decision_and_its_entry_in_the_journal(sensor: Sensor) -> None:
    anomaly = see(sensor, run=1, at=0)
    (transition_id,) = judge(sensor, run=1, clock=0)
    alarm = Alarm.objects.get()
    assert (alarm.machine, alarm.failure_mode, alarm.priority, alarm.is_open) == (sensor.machine, "LOO", "LOW", True)
    assert (alarm.raised_at, alarm.sensor) == (factories.NOON, sensor)
    transition = AlarmTransition.objects.get(pk=transition_id)
    assert (transition.action, transition.run_id, transition.at) == ("OPENED", 1, factories.NOON)
    assert Decision.objects.get(key=transition.key).anomaly_id == anomaly
    assert Event.objects.get(type="alarm.opened").subject == f"alarm/{alarm.pk}"
    assert Decision.objects.get(action="NONE").reason == "priority-needs-no-order"


def test_an_alarm_returns_is_reopened_is_acknowledged_and_a_new_one_follows(sensor: Sensor) -> None:
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    see(sensor, run=3, at=30)
    judge(sensor, run=3, clock=30)
    alarm = Alarm.objects.get()
    assert (alarm.occurrences, alarm.is_active, alarm.returned_at) == (2, True, None)
    alarms.acknowledge(alarm.pk, actor=factories.user())
    see(sensor, run=4, at=30, ended=40)
    judge(sensor, run=4, clock=50)
    alarm.refresh_from_db()
    assert not alarm.is_open
    see(sensor, run=5, at=60)
    judge(sensor, run=5, clock=60)
    assert actions() == ["OPENED", "RETURNED", "REOPENED", "ACKNOWLEDGED", "RETURNED", "OPENED"]
    assert Alarm.objects.count() == 2
    assert Anomaly.objects.filter(is_settled=True).count() == 2


def test_a_higher_severity_raises_an_acknowledged_alarm_and_opens_an_order(sensor: Sensor) -> None:
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    person = factories.user()
    alarms.acknowledge(Alarm.objects.get().pk, actor=person)
    see(sensor, run=2, at=0, last=30, score=0.99)
    judge(sensor, run=2, clock=30)
    alarm = Alarm.objects.get()
    assert (alarm.priority, alarm.is_acknowledged, alarm.acknowledged_by, alarm.peak_score) == (
        "HIGH",
        False,
        None,
        0.99,
    )
    order = WorkOrder.objects.get()
    assert (order.alarm, order.priority, order.maintenance_type) == (alarm, "HIGH", "CORRECTIVE_DEFERRED")
    assert order.title == f"{sensor.machine}: Low output"
    opening = WorkOrderTransition.objects.get()
    assert (opening.action, opening.from_status, opening.to_status, opening.run_id) == ("OPENED", "", "OPEN", 2)


def test_the_peak_of_an_alarm_grows_with_its_anomaly(sensor: Sensor) -> None:
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    see(sensor, run=2, at=0, last=30, score=0.7)
    judge(sensor, run=2, clock=30)
    assert Alarm.objects.get().peak_score == 0.7
    assert actions() == ["OPENED"]


def test_a_reopened_alarm_takes_the_peak_of_what_reopened_it(sensor: Sensor) -> None:
    see(sensor, run=1, at=0, ended=10)
    judge(sensor, run=1, clock=20)
    see(sensor, run=2, at=30, score=0.7)
    judge(sensor, run=2, clock=30)
    assert (actions()[-1], Alarm.objects.get().peak_score) == ("REOPENED", 0.7)


def test_one_order_is_open_per_machine_and_mode_and_counts_occurrences(sensor: Sensor) -> None:
    for run, at in ((1, 0), (2, 100), (3, 200)):
        see(sensor, run=run, at=at, ended=at + 10, score=0.99)
        judge(sensor, run=run, clock=at + 50)
    order = WorkOrder.objects.get()
    assert order.occurrences == 3
    history = list(order.transitions.values_list("action", "from_status", "to_status"))
    assert history == [("OPENED", "", "OPEN"), ("OCCURRED", "OPEN", "OPEN"), ("OCCURRED", "OPEN", "OPEN")]


@pytest.mark.parametrize("hours_ago", [1, 73])
def test_what_comes_back_soon_opens_the_completed_order_again(sensor: Sensor, hours_ago: int) -> None:
    see(sensor, run=1, at=0, ended=10, score=0.99)
    judge(sensor, run=1, clock=50)
    person = factories.user(is_superuser=True)
    order, done = WorkOrder.objects.get(), timezone.now() - timedelta(hours=hours_ago)
    order_steps.assign(order.pk, actor=person, assignee=person)
    order_steps.start(order.pk, actor=person, now=done)
    order_steps.complete(order.pk, actor=person, findings="Tightened", now=done)
    see(sensor, run=2, at=100, ended=110, score=0.99)
    judge(sensor, run=2, clock=150)
    if hours_ago > 72:
        assert list(WorkOrder.objects.order_by("id").values_list("status", flat=True)) == ["COMPLETED", "OPEN"]
        return
    order = WorkOrder.objects.get()
    assert (order.status, order.occurrences, order.assigned_to, order.completed_at) == ("OPEN", 2, None, None)
    last = order.transitions.last()
    assert last is not None
    assert (last.action, last.from_status, last.to_status, last.run_id) == ("REOPENED", "COMPLETED", "OPEN", 2)
    assert Event.objects.filter(type="work_order.reopened").count() == 1
    assert order.findings == "Tightened"


def test_faults_of_instruments_lead_to_one_order_and_no_alarm(sensor: Sensor) -> None:
    for run, kind in enumerate(("STUCK", "SPIKE", "STUCK"), start=1):
        fault = sightings.fault(
            sensor_id=sensor.pk, kind=kind, started_at=NOON, last_at=NOON + run, readings=run, detail=""
        )
        anomalies.record([fault], run_id=run)
        judge(sensor, run=run, clock=0)
    order = WorkOrder.objects.get()
    assert (order.maintenance_type, order.failure_mode, order.occurrences) == ("INSTRUMENTATION", "AIR", 2)
    assert "STUCK" in order.description
    assert not Alarm.objects.exists()


def test_late_data_never_opens_and_never_clears(sensor: Sensor) -> None:
    see(sensor, run=1, at=-500, ended=-400, last=-450, score=1.0, retrospective=True)
    judge(sensor, run=1, clock=None)
    assert not Alarm.objects.exists()
    assert Decision.objects.get().reason == "late"
    see(sensor, run=2, at=0)
    judge(sensor, run=2, clock=0)
    see(sensor, run=3, at=-300, ended=-200, last=-250, retrospective=True)
    judge(sensor, run=3, clock=None)
    assert actions() == ["OPENED"]


def test_judging_again_changes_nothing(sensor: Sensor) -> None:
    see(sensor, run=1, at=0, score=0.99)
    see(factories.sensor(machine=sensor.machine, on_delay_seconds=60), run=1, at=0)
    judge(sensor, run=1, clock=0)
    before = counts()
    assert judge(sensor, run=1, clock=0) == []
    assert judge(sensor, run=2, clock=0) == []
    assert counts() == before


def test_the_same_verdicts_twice_change_nothing_the_second_time(sensor: Sensor) -> None:
    see(sensor, run=1, at=0, ended=10, score=0.99)
    clocks: dict[int, int | None] = {sensor.machine_id: NOON + 20 * SECOND_US}
    verdicts = decide.decide(alarms.situations(clocks, clocks=clocks))
    assert len(alarms.apply(verdicts, run_id=1)) == 2
    before = counts()
    assert alarms.apply(verdicts, run_id=1) == []
    assert counts() == before


def test_what_was_decided_on_rows_that_changed_since_is_refused(sensor: Sensor) -> None:
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    see(sensor, run=2, at=0, ended=10)
    clocks: dict[int, int | None] = {sensor.machine_id: NOON + 20 * SECOND_US}
    old = decide.decide(alarms.situations(clocks, clocks=clocks))
    alarms.acknowledge(Alarm.objects.get().pk, actor=factories.user())
    with pytest.raises(alarms.Stale), transaction.atomic():
        alarms.apply(old, run_id=2)
    assert Alarm.objects.get().is_acknowledged


def test_the_database_allows_one_open_alarm_per_machine_and_mode(sensor: Sensor) -> None:
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    twin = Alarm.objects.get()
    twin.pk = None
    with pytest.raises(IntegrityError, match="alarm_one_open"), transaction.atomic():
        twin.save(force_insert=True)


def test_many_machines_cost_as_many_queries_as_one(
    sensor: Sensor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    crowd = [factories.sensor(machine=factories.machine(site=sensor.site)) for _ in range(8)]
    for run, sensors in enumerate(([sensor], crowd), start=1):
        for at in (0, 100):
            for each in sensors:
                see(each, run=run, at=at, ended=at + 10, score=0.99)
        clocks: dict[int, int | None] = {s.machine_id: NOON + 200 * SECOND_US for s in sensors}
        with django_assert_num_queries(9):
            situations = alarms.situations(clocks, clocks=clocks, lock=True)
        verdicts = decide.decide(situations)
        with django_assert_num_queries(10):
            alarms.apply(verdicts, run_id=run)
    assert WorkOrder.objects.filter(occurrences=2).count() == 9


def test_a_machine_where_nothing_is_open_is_no_situation(sensor: Sensor) -> None:
    assert alarms.situations([sensor.machine_id], clocks={sensor.machine_id: NOON}) == []


def test_acknowledging_twice_is_refused_in_words(sensor: Sensor) -> None:
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    alarm, person = Alarm.objects.get(), factories.user()
    alarms.acknowledge(alarm.pk, actor=person, comment="On my way", now=factories.NOON)
    with pytest.raises(alarms.AlreadyAcknowledged, match="acknowledged already"):
        alarms.acknowledge(alarm.pk, actor=person)
    step = AlarmTransition.objects.get(action="ACKNOWLEDGED")
    assert (step.actor, step.comment, step.at, step.run_id) == (person, "On my way", factories.NOON, None)
    assert Event.objects.get(type="alarm.acknowledged").actor == person.username


def test_comments_are_kept_in_order_and_an_empty_one_is_refused(sensor: Sensor) -> None:
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    alarm, person = Alarm.objects.get(), factories.user()
    for text in ("Looked at it", "Looked at it"):
        alarms.comment(alarm.pk, actor=person, comment=text)
    with pytest.raises(alarms.NoComment, match="must not be empty"):
        alarms.comment(alarm.pk, actor=person, comment=" \n")
    assert alarm.transitions.filter(action="COMMENTED").count() == 2
    with pytest.raises(Alarm.DoesNotExist):
        alarms.comment(alarm.pk + 1, actor=person, comment="x")
