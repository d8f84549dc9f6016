"""Webhooks over real HTTP, with every way the receiver can fail."""

from __future__ import annotations

import json
import ssl
import time
from datetime import timedelta
from pathlib import Path

import pytest
from pytest_django import Settings

from agents import deliver
from agents.channels import webhook
from tests import outgoing, servers
from tests.servers import Answer, HttpSink

pytestmark = pytest.mark.django_db


@pytest.fixture
def local(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = outgoing.LOCAL


def test_a_webhook_is_a_signed_cloud_event(local: None, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://bellwether.example.com"
    with HttpSink(Answer(202, {"X-Request-Id": "r-1"})) as receiver:
        row = outgoing.hook(receiver)
        assert deliver.deliver(row.pk).result == "sent"
    (request,) = receiver.received
    assert (request.method, request.path) == ("POST", "/hook?plant=1")
    assert request.headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert request.headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
    assert request.headers["Idempotency-Key"] == row.key
    timestamp = request.headers["Bellwether-Timestamp"]
    assert abs(time.time() - int(timestamp)) < 60
    expected = webhook.signature(outgoing.SECRET, timestamp=timestamp, body=request.body)
    assert request.headers["Bellwether-Signature"] == expected
    event = json.loads(request.body)
    assert event.pop("data") == outgoing.PAYLOAD | {
        "url": "https://bellwether.example.com/admin/maintenance/alarm/7/change/"
    }
    assert event == {
        "specversion": "1.0",
        "id": row.key,
        "source": "https://bellwether.example.com/sites/1",
        "type": "bellwether.alarm.raised",
        "subject": "alarm/7",
        "time": "2026-03-01T12:05:00Z",
        "datacontenttype": "application/json",
    }
    row.refresh_from_db()
    assert (row.status, row.provider_reference) == ("SENT", "202 r-1")


@pytest.mark.parametrize(
    ("answer", "result", "enabled"),
    [
        (Answer(200), "sent", True),
        (Answer(204), "sent", True),
        (Answer(301, {"Location": "http://127.0.0.1:1/"}), "failed", True),
        (Answer(307, {"Location": "https://example.com/"}), "failed", True),
        (Answer(400, body=b"what is this?"), "failed", True),
        (Answer(401), "failed", True),
        (Answer(404), "failed", True),
        (Answer(408), "retry", True),
        (Answer(410), "failed", False),
        (Answer(415), "failed", True),
        (Answer(429), "retry", True),
        (Answer(500), "retry", True),
        (Answer(503, {"Retry-After": "Sun, 01 Mar 2026 12:01:00 GMT"}), "retry", True),
        (Answer(cut=True), "retry", True),
    ],
)
def test_what_the_receiver_answers_decides(answer: Answer, result: str, enabled: bool, local: None) -> None:
    with HttpSink(answer) as receiver:
        row = outgoing.hook(receiver)
        assert deliver.deliver(row.pk).result == result
    assert len(receiver.received) == 1
    row.refresh_from_db()
    row.channel.refresh_from_db()
    assert row.status == {"sent": "SENT", "failed": "FAILED", "retry": "PENDING"}[result]
    assert row.channel.is_enabled == enabled
    assert (row.error == "") == (result == "sent")
    assert row.lease_until is None


def test_the_receivers_own_words_are_kept_on_one_line(local: None) -> None:
    with HttpSink(Answer(400, body=b"no\r\nsuch\tfield " + b"x" * 100_000)) as receiver:
        row = outgoing.hook(receiver)
        deliver.deliver(row.pk)
    row.refresh_from_db()
    assert row.error.startswith("answered 400: no such field xxx")
    assert len(row.error) < 300


def test_retry_after_is_obeyed(local: None) -> None:
    with HttpSink(Answer(429, {"Retry-After": "3600"}), Answer(200)) as receiver:
        row = outgoing.hook(receiver)
        assert deliver.deliver(row.pk).result == "retry"
        assert deliver.deliver(row.pk).result == "stale"
        row.refresh_from_db()
        assert row.due_at - row.created_at >= timedelta(hours=1)
        assert row.ring_after == row.due_at
        outgoing.make_due(row)
        assert deliver.deliver(row.pk).result == "sent"
    assert len(receiver.received) == 2


def test_a_receiver_that_drips_its_answer_is_left_when_the_time_is_over(local: None) -> None:
    with servers.slow_loris() as port:
        row = outgoing.message("WEBHOOK", target=f"http://127.0.0.1:{port}/")
        started = time.monotonic()
        outcome = deliver.deliver(row.pk, by={"WEBHOOK": webhook.Webhook(limit_seconds=0.3)})
    assert outcome == deliver.Outcome("retry", "no answer within 0.3 s")
    assert time.monotonic() - started < 5


def test_a_body_that_never_ends_does_not_hold_up_a_verdict(local: None) -> None:
    with HttpSink(Answer(500, drip=0.02)) as receiver:
        row = outgoing.hook(receiver)
        outcome = deliver.deliver(row.pk, by={"WEBHOOK": webhook.Webhook(limit_seconds=0.3)})
    assert outcome.result == "retry"
    assert "500" in outcome.reason


def test_an_encrypted_body_that_never_ends_is_cut_as_well(local: None, tmp_path: Path) -> None:
    made = servers.certificate(tmp_path, host="hooks.example.com")
    with HttpSink(Answer(500, drip=0.02), tls=made.server()) as receiver:
        row = outgoing.message("WEBHOOK", target=f"https://hooks.example.com:{receiver.port}/")
        channel = webhook.Webhook(resolve=servers.resolver(["127.0.0.1"]), tls=made.client, limit_seconds=0.5)
        outcome = deliver.deliver(row.pk, by={"WEBHOOK": channel})
    assert outcome.result == "retry"
    assert outcome.reason.startswith("answered 500: ...")


def test_a_success_with_a_body_that_never_ends_is_a_success(local: None) -> None:
    with HttpSink(Answer(200, drip=0.02)) as receiver:
        assert deliver.deliver(outgoing.hook(receiver).pk).result == "sent"


def test_a_name_server_that_stalls_is_left_when_the_time_is_over() -> None:
    def never(host: str, port: int) -> list[str]:
        time.sleep(2)
        return ["93.184.215.14"]

    row = outgoing.message("WEBHOOK", target="https://hooks.example.com/")
    outcome = deliver.deliver(row.pk, by={"WEBHOOK": webhook.Webhook(resolve=never, limit_seconds=0.1)})
    assert outcome == deliver.Outcome("retry", "hooks.example.com was not resolved: it took too long")


def test_a_private_address_is_refused_and_the_channel_stopped() -> None:
    with HttpSink() as receiver:
        row = outgoing.hook(receiver)
        outcome = deliver.deliver(row.pk)
    assert outcome.result == "failed"
    assert "127.0.0.1, which is not a public address" in outcome.reason
    assert receiver.received == []
    row.channel.refresh_from_db()
    assert not row.channel.is_enabled


def test_a_name_that_answers_public_first_and_private_then_is_looked_up_once() -> None:
    """Rebinding: what was judged is what is connected to, so the second answer never counts."""
    asked = []
    answers = servers.resolver(["192.0.2.1"], ["127.0.0.1"])

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return answers(host, port)

    with HttpSink() as receiver:
        row = outgoing.message("WEBHOOK", target=f"https://rebound.example.com:{receiver.port}/")
        assert deliver.deliver(row.pk, by={"WEBHOOK": webhook.Webhook(resolve=resolve)}).result == "failed"
        assert asked == ["rebound.example.com"]
        assert receiver.received == []


def test_the_judged_address_is_connected_to_under_the_name_of_the_url(local: None, tmp_path: Path) -> None:
    made = servers.certificate(tmp_path, host="hooks.example.com")
    seen: list[str | None] = []
    tls = made.server()
    tls.sni_callback = lambda connected, name, context: seen.append(name)
    with HttpSink(tls=tls) as receiver:
        row = outgoing.message("WEBHOOK", target=f"https://hooks.example.com:{receiver.port}/in")
        channel = webhook.Webhook(resolve=servers.resolver(["127.0.0.1"], ["10.0.0.1"]), tls=made.client)
        assert deliver.deliver(row.pk, by={"WEBHOOK": channel}).result == "sent"
    (request,) = receiver.received
    assert request.headers["Host"] == f"hooks.example.com:{receiver.port}"
    assert seen == ["hooks.example.com"]


def test_the_next_address_is_tried_where_the_first_refuses(local: None) -> None:
    with HttpSink() as receiver:
        row = outgoing.message("WEBHOOK", target=f"http://hooks.example.com:{receiver.port}/")
        channel = webhook.Webhook(resolve=servers.resolver(["::1", "127.0.0.1"]))
        assert deliver.deliver(row.pk, by={"WEBHOOK": channel}).result == "sent"


@pytest.mark.parametrize("trusted", [False, True])
def test_a_certificate_of_another_name_or_of_nobody_stops_the_message(
    trusted: bool, local: None, tmp_path: Path
) -> None:
    made = servers.certificate(tmp_path, host="other.example.com")
    with HttpSink(tls=made.server()) as receiver:
        row = outgoing.message("WEBHOOK", target=f"https://hooks.example.com:{receiver.port}/")
        tls = made.client if trusted else ssl.create_default_context
        channel = webhook.Webhook(resolve=servers.resolver(["127.0.0.1"]), tls=tls)
        outcome = deliver.deliver(row.pk, by={"WEBHOOK": channel})
    assert outcome.result == "failed"
    assert "certificate" in outcome.reason
    assert receiver.received == []


def test_proxy_variables_are_not_read(local: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with HttpSink() as receiver:
        assert deliver.deliver(outgoing.hook(receiver).pk).result == "sent"


def test_a_webhook_without_a_secret_is_not_sent_unsigned(local: None) -> None:
    with HttpSink() as receiver:
        assert deliver.deliver(outgoing.hook(receiver, secret="").pk).result == "failed"
    assert receiver.received == []
