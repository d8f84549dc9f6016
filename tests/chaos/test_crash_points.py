"""A worker dies at each crash point of each stage, and of a delivery; what is left goes on, and the outcome is as if
nothing had happened. Every worker is a process of its own that ends by ``os._exit`` at the point."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from pytest_django import Settings

from agents import failpoints, quarantine
from agents.channels.sink import SmtpSink
from agents.doorbell import Bell
from agents.models import Run, StageAttempt
from maintenance.models import Channel, Notification
from sensors import inbox
from sensors.models import Sensor
from tests import factories, workers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_empty")]

VALUES = [1.0, 2.0, 12.0, 13.0, 2.0, 1.0, 999.0, 1.0]
POINTS = [f"{stage}:{point}" for stage in Run.Stage.values for point in failpoints.STAGE_POINTS]


@pytest.fixture
def sink(settings: Settings) -> Iterator[SmtpSink]:
    with SmtpSink(port=0) as mail:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = mail.host, mail.port, False
        yield mail


@pytest.fixture
def sensor() -> Sensor:
    """A sensor whose readings will lead to everything the flow can lead to."""
    machine = factories.machine(site=factories.site(), criticality="CRITICAL")
    made = factories.sensor(machine=machine, high=10.0, physical_high=100.0)
    Channel.objects.create(site=made.site, kind="EMAIL", name="Mail", target="shift@plant.example")
    return made


def send(sensor: Sensor) -> list[Bell]:
    start = factories.NOON - timedelta(hours=1)
    items = [
        {"sensor": sensor.pk, "measured_at": (start + timedelta(minutes=n)).isoformat(), "value": value}
        for n, value in enumerate(VALUES)
    ]
    body = json.dumps(items).encode()
    taken = inbox.accept(site=sensor.site, user=None, body=body, received_at=factories.NOON)
    return [Bell("ingest", lane) for lane in taken.lanes]


def without_ids(found: dict[str, Any], sensor: Sensor) -> dict[str, Any]:
    """The names of machine and sensor differ from run to run."""
    text = repr({k: v for k, v in found.items() if k != "memory"})
    return {"effects": text.replace(sensor.machine.tag, "MACHINE"), "memory": len(found["memory"])}


@pytest.fixture
def undisturbed(sensor: Sensor, sink: SmtpSink) -> dict[str, Any]:
    """What comes of the readings where nobody dies; the tables are empty again afterwards but for the sensor."""
    assert workers.work(send(sensor), environment=None) == 0
    found = workers.effects(sensor)
    assert {key for key, value in found.items() if not value} == set()
    assert {status for _, status in found["notifications"]} == {"SENT"}
    return without_ids(found, sensor)


@pytest.fixture
def twin(undisturbed: dict[str, Any], sink: SmtpSink) -> Sensor:
    """Another sensor of the same kind, to be disturbed."""
    StageAttempt.objects.all().delete()
    sink.received.clear()
    machine = factories.machine(site=factories.site(), criticality="CRITICAL")
    made = factories.sensor(machine=machine, high=10.0, physical_high=100.0)
    Channel.objects.create(site=made.site, kind="EMAIL", name="Mail", target="shift@plant.example")
    return made


@pytest.mark.parametrize("point", POINTS)
def test_a_stage_that_dies_anywhere_leaves_nothing_lost_and_nothing_doubled(
    point: str, undisturbed: dict[str, Any], twin: Sensor, sink: SmtpSink
) -> None:
    assert workers.work(send(twin), environment={failpoints.VARIABLE: point}) == failpoints.EXIT_STATUS
    workers.recover()
    assert without_ids(workers.effects(twin), twin) == undisturbed
    assert len(sink.received) == len({mail.message_id for mail in sink.received})


@pytest.mark.parametrize("point", failpoints.DELIVERY_POINTS)
def test_a_delivery_that_dies_sends_again_at_most_once_and_under_the_same_key(
    point: str, undisturbed: dict[str, Any], twin: Sensor, sink: SmtpSink
) -> None:
    assert workers.work(send(twin), environment={failpoints.VARIABLE: point}) == failpoints.EXIT_STATUS
    workers.recover()
    assert without_ids(workers.effects(twin), twin) == undisturbed
    unique = {mail.message_id for mail in sink.received}
    assert len(unique) == Notification.objects.filter(site=twin.site).count()
    in_the_window = point in ("deliver:sent", "deliver:recording")
    assert len(sink.received) - len(unique) == (1 if in_the_window else 0)


def test_dying_again_and_again_where_no_trial_fails_sets_the_whole_run_aside(twin: Sensor) -> None:
    fatal = {failpoints.VARIABLE: "DETECT:claimed"}
    assert workers.work(send(twin), environment=fatal) == failpoints.EXIT_STATUS
    workers.recover(environment=fatal)
    run = Run.objects.order_by("-id")[0]
    assert (run.status, run.error_class, run.stage) == ("FAILED", "WorkerDied", "DETECT")
    assert "passed every trial" in run.error
    assert run.stage_attempts.filter(outcome="SEARCHED").count() == quarantine.MOST_QUARANTINES
