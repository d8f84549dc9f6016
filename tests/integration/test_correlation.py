"""One id from the request through every stage to the delivery, whoever does the work."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from django.test import Client
from pytest_django import Settings
from structlog.testing import capture_logs

from agents import pipeline, sweeper, webhooks
from agents.channels.sink import SmtpSink
from agents.doorbell import Bell
from agents.models import Run
from maintenance import owned
from maintenance.models import Channel, Notification
from maintenance.webhook_models import Webhook
from sensors.models import Batch, BatchPart, Event, Membership, Sensor
from tests import factories, outgoing
from tests.client import JSON, client, problem
from tests.integration.test_webhooks import AGREED, ORIGIN, Receiver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_empty")]

INGEST = "/api/v1/data/ingest"
START = datetime.fromisoformat("2026-02-01T00:00:00+00:00")
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def sensor() -> Sensor:
    machine = factories.machine(site=factories.site(), criticality="CRITICAL")
    return factories.sensor(machine=machine, high=10.0, period_seconds=60)


def send(sensor: Sensor, request_id: str, *, minute: int = 0, value: float = 20.0) -> Batch:
    sender = client(factories.user(site=sensor.site, role=Membership.Role.INGEST, password=None))
    items = [
        {"sensor": sensor.pk, "measured_at": (START + timedelta(minutes=minute + n)).isoformat(), "value": value}
        for n in range(3)
    ]
    answer = sender.post(INGEST, items, JSON, headers={"X-Request-ID": request_id})
    assert (answer.status_code, answer["X-Request-ID"]) == (202, request_id)
    return Batch.objects.get(pk=answer.json()["batch"])


def lanes() -> list[Bell]:
    return [Bell("ingest", lane) for lane in BatchPart.objects.values_list("lane", flat=True).distinct()]


def of(lines: list[Any], event: str) -> list[Any]:
    return [line for line in lines if line["event"] == event]


@pytest.fixture
def lines() -> Any:
    """What is logged, with the ids of its context."""
    with capture_logs(processors=[structlog.contextvars.merge_contextvars]) as found:
        yield found


def test_an_answer_names_its_request_and_a_problem_does_as_well() -> None:
    answer = Client(headers={"X-Request-ID": "order-4711"}).get("/api/v1/sensors/")
    assert answer["X-Request-ID"] == "order-4711"
    assert problem(answer, status=401, name="not-authenticated")["request_id"] == "order-4711"
    odd = Client(headers={"X-Request-ID": "two words"}).get("/health/live")
    assert odd["X-Request-ID"] != "two words"
    assert len(odd["X-Request-ID"]) == 36
    traced = Client(headers={"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}).get("/health/live")
    assert traced["X-Request-ID"] == TRACE
    page = Client(headers={"X-Request-ID": "order-4712"}).get("/admin/login/")
    assert page["X-Request-ID"] == "order-4712"


def test_each_request_leaves_one_line_without_its_query(lines: list[Any]) -> None:
    Client(headers={"X-Request-ID": "order-4711"}).get("/health/live?token=secret-word")
    Client(headers={"X-Request-ID": "order-4712"}).get("/act/shelve/a-link-that-acts")
    told = of(lines, "web.request")
    assert [(one["correlation_id"], one["method"], one["path"]) for one in told] == [
        ("order-4711", "GET", "/health/live"), ("order-4712", "GET", "/act/…"),
    ]  # fmt: skip
    assert told[0]["status"] == 200
    assert structlog.contextvars.get_contextvars() == {}


def test_the_id_goes_through_every_stage_to_the_mail(sensor: Sensor, settings: Settings, lines: list[Any]) -> None:
    Channel.objects.create(site=sensor.site, kind="EMAIL", name="to one", target="one@example.com")
    with SmtpSink() as mail:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = mail.host, mail.port, False
        assert send(sensor, "order-4711").correlation_id == "order-4711"
        sweeper.work_off(lanes())
        mail.wait_for(1)
    stages = of(lines, "agents.pipeline.stage-done")
    assert [(one["stage"], one["correlation_id"], one["request_ids"], one["requests"]) for one in stages] == [
        (stage, "order-4711", ["order-4711"], 1) for stage in pipeline.ORDER
    ]
    sent = of(lines, "agents.deliver.sent")
    assert {one["correlation_id"] for one in sent} == {"order-4711"}
    assert len(sent) == Notification.objects.filter(status="SENT").count() > 0
    assert set(Event.objects.values_list("correlation_id", flat=True)) == {"order-4711"}


def test_a_run_of_several_requests_has_an_id_of_its_own_and_names_theirs(sensor: Sensor, lines: list[Any]) -> None:
    send(sensor, "order-4711")
    send(sensor, "order-4712", minute=3)
    sweeper.work_off(lanes())
    run = Run.objects.get()
    assert run.gathered == {"requests": 2, "ids": ["order-4711", "order-4712"]}
    stages = of(lines, "agents.pipeline.stage-done")
    assert {(one["correlation_id"], *one["request_ids"]) for one in stages} == {
        (f"run-{run.pk}", "order-4711", "order-4712")
    }
    assert {one["stage"] for one in stages} == set(pipeline.ORDER)


def test_who_goes_on_after_a_crash_tells_the_same_id(sensor: Sensor, lines: list[Any]) -> None:
    send(sensor, "order-4711")
    (bell,) = lanes()
    (following,) = pipeline.begin(bell.id).bells
    structlog.contextvars.clear_contextvars()  # whoever had it is no more; what follows knows the row alone
    Run.objects.update(ring_after=START, attempts=1)
    assert [one.queue for one in sweeper.due() if one.queue in sweeper.STAGES] == [following.queue]
    pipeline.perform("VALIDATE", following.id)
    assert [one["correlation_id"] for one in of(lines, "agents.pipeline.stage-done")] == ["order-4711"] * 2


def test_a_piece_that_is_split_off_names_the_requests_of_its_parts(sensor: Sensor, lines: list[Any]) -> None:
    send(sensor, "order-4711")
    bad = send(sensor, "order-4712", minute=3)
    BatchPart.objects.filter(batch=bad).update(columns=b"no columns")
    sweeper.work_off(lanes())
    whole, piece = Run.objects.order_by("pk")
    assert (whole.gathered["ids"], piece.gathered["ids"]) == (["order-4711"], ["order-4712"])


def test_a_webhook_is_told_by_what_its_event_came_of(sensor: Sensor, settings: Settings, lines: list[Any]) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS, settings.PUBLIC_URL = outgoing.LOCAL, f"https://{ORIGIN}"
    with Receiver(AGREED) as receiver:
        actor = factories.user(site=sensor.site)
        row = owned.add(
            Webhook(site=sensor.site, name="to us", url=receiver.url, types=["alarm.*"]), actor=actor
        )  # fmt: skip
        webhooks.take(row.pk)
        send(sensor, "order-4711")
        sweeper.work_off(lanes())
        Webhook.objects.update(due_at=START, ring_after=START)
        webhooks.take(row.pk)
        posts = [request for request in receiver.received if request.method == "POST"]
    assert {request.headers["X-Request-ID"] for request in posts} == {"order-4711"}
    assert {one["correlation_id"] for one in of(lines, "agents.webhooks.delivered")} == {"order-4711"}


def test_a_message_that_no_run_tells_has_an_id_of_its_own(lines: list[Any]) -> None:
    row = outgoing.message("CONSOLE")
    sweeper.work_off([Bell("deliver", row.pk)])
    assert [one["correlation_id"] for one in of(lines, "agents.deliver.sent")] == [f"notification-{row.pk}"]
