"""What a run has to tell, read from its transitions, and the outbox rows it becomes."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from agents import lease, notify
from maintenance import notifications
from maintenance.messages import Evidence, Recipient
from maintenance.models import (
    Alarm,
    AlarmTransition,
    Anomaly,
    Channel,
    Notification,
    WorkOrder,
    WorkOrderTransition,
)
from sensors.models import Sensor, Site
from tests import factories
from tests.factories import NOON

pytestmark = pytest.mark.django_db
RUN = 41


def channel(site: Site, **fields: Any) -> Channel:
    count = Channel.objects.count()
    return Channel.objects.create(**{"site": site, "kind": "CONSOLE", "name": f"channel {count}"} | fields)


def anomaly(sensor: Sensor, **fields: Any) -> Anomaly:
    return Anomaly.objects.create(
        **{
            "site": sensor.site, "sensor": sensor, "machine": sensor.machine, "detector": "limits",
            "detector_version": "1", "kind": "LOW", "failure_mode": "LOO", "started_at": NOON, "last_at": NOON,
            "readings": 3, "peak_score": 4.0, "peak_at": NOON, "observed": 3.5, "expected_low": 18.0,
            "window_from": NOON, "window_to": NOON, "first_run_id": RUN, "last_run_id": RUN,
        }
        | fields
    )  # fmt: skip


def alarm_transition(sensor: Sensor, *, action: str = "OPENED", run_id: int | None = RUN) -> AlarmTransition:
    alarm = Alarm.objects.create(
        site=sensor.site, machine=sensor.machine, failure_mode="LOO", priority="HIGH", raised_at=NOON, sensor=sensor
    )
    key = f"alarm/{alarm.pk}/{action}"
    return AlarmTransition.objects.create(alarm=alarm, action=action, key=key, at=NOON, run_id=run_id)


def order_transition(sensor: Sensor, *, from_status: str = "") -> WorkOrderTransition:
    order = WorkOrder.objects.create(
        site=sensor.site, machine=sensor.machine, failure_mode="LOO", priority="HIGH", title="Look at the pump",
        maintenance_type="CORRECTIVE_IMMEDIATE", opened_at=NOON,
    )  # fmt: skip
    return WorkOrderTransition.objects.create(
        order=order, action="X", from_status=from_status, to_status="OPEN", key=f"wo/{order.pk}", at=NOON, run_id=RUN
    )


def a_sensor() -> Sensor:
    site = factories.site(name="Works")
    machine = factories.machine(site=site, tag="P-101", name="Feed pump")
    return factories.sensor(machine=machine, name="Flow", unit="l/s")


def test_a_run_tells_its_alarms_and_the_orders_it_opened() -> None:
    sensor = a_sensor()
    opened, order = alarm_transition(sensor), order_transition(sensor)
    anomaly(sensor)
    mail = channel(sensor.site)
    told = notifications.pending(RUN)
    assert [(t.source, t.id, t.action, t.machine, t.title) for t in told.transitions] == [
        ("alarm", opened.pk, "OPENED", "P-101 – Feed pump", ""),
        ("work-order", order.pk, "OPENED", "P-101 – Feed pump", "Look at the pump"),
    ]
    assert {t.evidence for t in told.transitions} == {Evidence(sensor.pk, "Flow", "l/s", "LOW", 3.5, 18.0, None)}
    assert told.recipients == (Recipient(mail.pk, sensor.site_id, "LOW"),)


def completed(sensor: Sensor, findings: str, *, at: datetime, **fields: Any) -> WorkOrder:
    return WorkOrder.objects.create(
        **{
            "site": sensor.site, "machine": sensor.machine, "failure_mode": "LOO", "priority": "HIGH", "title": "Look",
            "maintenance_type": "CORRECTIVE_IMMEDIATE", "opened_at": at, "status": "COMPLETED", "completed_at": at,
            "findings": findings,
        }
        | fields
    )  # fmt: skip


def test_the_newest_completed_orders_of_the_machine_and_mode_are_told_as_similar_cases() -> None:
    sensor = a_sensor()
    for n in range(5):
        completed(sensor, f"finding {n}", at=NOON - timedelta(days=n))
    completed(sensor, "another mode", at=NOON, failure_mode="VIB")
    completed(sensor, "cancelled", at=NOON, status="CANCELLED")
    completed(a_sensor(), "another machine", at=NOON)
    alarm_transition(sensor)
    (transition,) = notifications.pending(RUN).transitions
    assert [case.findings for case in transition.past] == ["finding 0", "finding 1", "finding 2"]


def test_another_runs_transitions_and_an_orders_later_steps_are_not_told() -> None:
    sensor = a_sensor()
    alarm_transition(sensor, run_id=RUN + 1)
    order_transition(sensor, from_status="ASSIGNED")
    assert notifications.pending(RUN).transitions == ()


def test_the_evidence_is_the_newest_anomaly_that_had_begun_and_was_no_retrospect() -> None:
    sensor = a_sensor()
    alarm_transition(sensor)
    anomaly(sensor, started_at=NOON - timedelta(days=1), last_at=NOON - timedelta(days=1), observed=1.0)
    anomaly(sensor, observed=2.0)
    anomaly(sensor, started_at=NOON + timedelta(days=1), last_at=NOON + timedelta(days=1), observed=3.0)
    anomaly(sensor, retrospective=True, peak_score=9.0, observed=4.0)
    anomaly(sensor, failure_mode="VIB", detector="other", peak_score=9.0, observed=5.0)
    (transition,) = notifications.pending(RUN).transitions
    assert transition.evidence is not None
    assert transition.evidence.observed == 2.0


def test_an_alarm_without_an_anomaly_is_told_all_the_same() -> None:
    alarm_transition(a_sensor())
    (transition,) = notifications.pending(RUN).transitions
    assert transition.evidence is None


def test_disabled_channels_and_those_of_other_sites_get_nothing() -> None:
    sensor = a_sensor()
    alarm_transition(sensor)
    channel(sensor.site, is_enabled=False)
    channel(factories.site())
    assert notifications.pending(RUN).recipients == ()


def test_the_number_of_queries_does_not_grow_with_what_the_run_did() -> None:
    for _ in range(3):
        sensor = a_sensor()
        alarm_transition(sensor)
        order_transition(sensor)
        anomaly(sensor)
        channel(sensor.site)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        told = notifications.pending(RUN)
    assert len(queries) == 8
    assert len(told.transitions) == 6
    with CaptureQueriesContext(connection) as queries:
        ids = notifications.create(notify.notify(told.transitions, told.recipients), run_id=RUN)
    assert len(queries) == 2
    assert len(ids) == 6


def test_a_run_that_did_nothing_costs_one_query_and_writes_nothing() -> None:
    with CaptureQueriesContext(connection) as queries:
        told = notifications.pending(RUN)
        assert notifications.create(notify.notify(told.transitions, told.recipients), run_id=RUN) == []
    assert len(queries) == 1


def test_the_same_run_told_twice_makes_each_message_once() -> None:
    sensor = a_sensor()
    alarm_transition(sensor)
    channel(sensor.site)
    channel(sensor.site)
    told = notifications.pending(RUN)
    rows = notify.notify(told.transitions, told.recipients)
    first = notifications.create(rows, run_id=RUN)
    assert notifications.create(rows, run_id=RUN) == first
    assert Notification.objects.count() == 2
    notifications.sent(first[0], reference="x")
    assert notifications.create(rows, run_id=RUN) == first[1:]


def test_the_sweep_leaves_a_new_message_to_its_own_bell_for_a_moment() -> None:
    sensor = a_sensor()
    alarm_transition(sensor)
    channel(sensor.site)
    told = notifications.pending(RUN)
    ids = notifications.create(notify.notify(told.transitions, told.recipients), run_id=RUN)
    assert lease.overdue(Notification, limit=10, status="PENDING") == {}
    Notification.objects.update(ring_after=timezone.now() - timedelta(seconds=1))
    assert list(lease.overdue(Notification, limit=10, status="PENDING")) == ids


def test_disabling_for_one_message_touches_its_channel_alone() -> None:
    sensor = a_sensor()
    alarm_transition(sensor)
    first, second = channel(sensor.site), channel(sensor.site)
    told = notifications.pending(RUN)
    ids = notifications.create(notify.notify(told.transitions, told.recipients), run_id=RUN)
    notifications.failed(ids[0], reason="gone\nfor good", disable=True)
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.is_enabled, first.disabled_reason) == (False, "gone for good")
    assert second.is_enabled


def test_the_links_lead_to_the_pages_of_alarm_and_order() -> None:
    for source, page in (("alarm", "alarm"), ("work-order", "workorder")):
        assert notify.PATHS[source].format(7) == reverse(f"admin:maintenance_{page}_change", args=[7])
