"""Spans as a collector gets them: from the request through the stages to the delivery."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from agents import causes, pipeline, sweeper, webhooks
from agents.models import Run
from config import otel
from maintenance import owned
from maintenance.models import Channel
from maintenance.webhook_models import Webhook
from sensors import tracing
from sensors.models import Membership, Sensor
from tests import factories, outgoing
from tests.client import JSON, client
from tests.collector import Collector
from tests.integration.test_correlation import INGEST, START, lanes, send
from tests.integration.test_webhooks import AGREED, ORIGIN, Receiver

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_empty")]

ROOT = Path(__file__).resolve().parents[2]
TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
STAGES = {f"stage {stage.lower()}" for stage in pipeline.ORDER}


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as one:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", one.endpoint)
        otel.install()
        try:
            yield one
        finally:
            tracing.flush()
            tracing.record_with(None)


@pytest.fixture
def sensor() -> Sensor:
    machine = factories.machine(site=factories.site(), criticality="CRITICAL")
    return factories.sensor(machine=machine, high=10.0, period_seconds=60)


def test_all_spans_of_one_request_are_one_tree(sensor: Sensor, collector: Collector, settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS, settings.PUBLIC_URL = outgoing.LOCAL, f"https://{ORIGIN}"
    Channel.objects.create(site=sensor.site, kind="CONSOLE", name="to nobody")
    with Receiver(AGREED) as receiver:
        hook = Webhook(site=sensor.site, name="to us", url=receiver.url, types=["alarm.opened"])
        row = owned.add(hook, actor=factories.user(site=sensor.site))
        webhooks.take(row.pk)
        sender = client(factories.user(site=sensor.site, role=Membership.Role.INGEST, password=None))
        items = [{"sensor": sensor.pk, "measured_at": START.isoformat(), "value": 20.0}]
        given = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        assert sender.post(INGEST, items, JSON, headers=given)["X-Request-ID"] == TRACE
        sweeper.work_off(lanes())
        Webhook.objects.update(due_at=START, ring_after=START)
        webhooks.take(row.pk)
        (post,) = [request for request in receiver.received if request.method == "POST"]
    tracing.flush()
    spans = [one for one in collector.spans if one.trace == TRACE]
    by_name = {one.name: one for one in spans}
    request = by_name["POST request"]
    assert set(by_name) == {"POST request", "deliver", "webhook"} | STAGES
    assert request.parent == CALLER
    assert {one.parent for one in spans if one is not request} == {request.span}
    assert request.attributes["http.response.status_code"] == 202
    run = Run.objects.get()
    assert {by_name[name].attributes["bellwether.run_id"] for name in STAGES} == {run.pk}
    assert post.headers["traceparent"] == f"00-{TRACE}-{by_name['webhook'].span}-01"
    assert not any(one.failed for one in spans)


def test_a_run_of_several_requests_is_a_trace_with_links_to_theirs(sensor: Sensor, collector: Collector) -> None:
    send(sensor, "order-4711")
    send(sensor, "order-4712", minute=3)
    sweeper.work_off(lanes())
    tracing.flush()
    requests = [one for one in collector.spans if one.name == "POST request"]
    stages = {one.name: one for one in collector.spans if one.name in STAGES}
    begins = stages["stage ingest"]
    assert len({one.trace for one in [*requests, begins]}) == 3
    assert begins.parent == ""
    assert begins.links == tuple(one.span for one in requests)
    assert {one.trace for one in stages.values()} == {begins.trace}
    assert {one.parent for name, one in stages.items() if name != "stage ingest"} == {begins.span}
    assert causes.trace_of(Run.objects.get().gathered).startswith(f"00-{begins.trace}-{begins.span}-")


def test_an_attempt_that_fails_and_the_next_one_are_spans_of_the_same_trace(
    sensor: Sensor, collector: Collector
) -> None:
    send(sensor, "order-4711")
    (bell,) = lanes()
    (following,) = pipeline.begin(bell.id).bells
    assert pipeline.perform("VALIDATE", following.id).result == "done"
    verdicts = bytes(Run.objects.get().verdicts)
    Run.objects.update(verdicts=b"no verdicts")
    assert pipeline.perform("DETECT", following.id).result != "done"
    Run.objects.update(verdicts=verdicts, status="ACTIVE", due_at=START, ring_after=START)
    assert pipeline.perform("DETECT", following.id).result == "done"
    tracing.flush()
    request = next(one for one in collector.spans if one.name == "POST request")
    tries = [one for one in collector.spans if one.name == "stage detect"]
    assert [(one.trace, one.parent, one.failed) for one in tries] == [
        (request.trace, request.span, True), (request.trace, request.span, False),
    ]  # fmt: skip


def test_a_caller_that_does_not_sample_is_followed(sensor: Sensor, collector: Collector) -> None:
    sender = client(factories.user(site=sensor.site, role=Membership.Role.INGEST, password=None))
    items = [{"sensor": sensor.pk, "measured_at": START.isoformat(), "value": 20.0}]
    sender.post(INGEST, items, JSON, headers={"traceparent": f"00-{TRACE}-{CALLER}-00"})
    sweeper.work_off(lanes())
    tracing.flush()
    assert collector.spans == []


def test_switched_off_nothing_of_it_is_loaded_and_nothing_is_stored(sensor: Sensor) -> None:
    assert send(sensor, "order-4711").traceparent == ""
    code = "import django, json, sys; django.setup(); json.dump(sorted(sys.modules), sys.stdout)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert {"config.celery", "sensors.tracing"} <= loaded
    assert not {"config.otel", "config.reports", "opentelemetry.exporter", "opentelemetry.sdk.trace"} & loaded
    assert "sentry_sdk" not in loaded
