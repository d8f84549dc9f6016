"""Messages through the library apprise, to a real HTTP server that answers, refuses, stalls and breaks off."""

from __future__ import annotations

import json
import logging
import time

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from agents import deliver
from agents.channels import service as services
from maintenance.models import Channel, Notification
from tests import factories, outgoing
from tests.servers import Answer, HttpSink

pytestmark = pytest.mark.django_db
TOKEN = "s3cr3t-t0ken-of-ours"


@pytest.fixture
def local(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = outgoing.LOCAL


def service(port: int, *, scheme: str = "json", query: str = "") -> Notification:
    url = f"{scheme}://ann:{TOKEN}@127.0.0.1:{port}/hook/{TOKEN}{query}"
    return outgoing.message("SERVICE", target=scheme, secret=url)


def test_a_message_goes_through_a_service_in_the_channels_language(local: None) -> None:
    with HttpSink(Answer(200, {"X-Request-Id": "r-77"})) as sink:
        row = service(sink.port)
        Channel.objects.update(language="pt")
        assert deliver.deliver(row.pk) == deliver.Outcome("sent")
    (got,) = sink.received
    body = json.loads(got.body)
    assert got.path == f"/hook/{TOKEN}"
    assert body["title"] == "[ALTA] Alarme agravado: P-101 – Feed pump <b>, LOO"
    assert "Modo de falha: Produção baixa" in body["message"]
    row.refresh_from_db()
    assert (row.status, row.provider_reference, row.attempts) == ("SENT", "200 r-77", 1)


def test_another_service_is_spoken_to_in_its_own_way(local: None) -> None:
    with HttpSink() as sink:
        row = outgoing.message("SERVICE", target="ntfy", secret=f"ntfy://127.0.0.1:{sink.port}/alarms")
        assert deliver.deliver(row.pk).result == "sent"
    assert json.loads(sink.received[0].body)["topic"] == "alarms"


@pytest.mark.parametrize(
    ("answer", "result", "enabled"),
    [
        (Answer(500), "retry", True),
        (Answer(429, {"Retry-After": "120"}), "retry", True),
        (Answer(400), "failed", True),
        (Answer(401), "failed", False),
        (Answer(403), "failed", False),
        (Answer(404), "failed", False),
        (Answer(410), "failed", False),
        (Answer(cut=True), "retry", True),
    ],
)
def test_what_the_service_answers_decides(local: None, answer: Answer, result: str, enabled: bool) -> None:
    with HttpSink(answer) as sink:
        row = service(sink.port)
        outcome = deliver.deliver(row.pk)
    assert outcome.result == result
    row.refresh_from_db()
    row.channel.refresh_from_db()
    assert row.channel.is_enabled == enabled
    assert row.error == outcome.reason != ""
    if answer.status == 429:
        assert (row.due_at - row.created_at).total_seconds() > 119
    for text in (row.error, row.channel.disabled_reason):
        assert TOKEN not in text


def test_a_service_that_trickles_its_answer_is_left_when_the_time_is_over(local: None) -> None:
    with HttpSink(Answer(drip=0.1)) as sink:
        row = service(sink.port)
        started = time.monotonic()
        outcome = deliver.deliver(row.pk, by={"SERVICE": services.Service(limit_seconds=8)})
        assert outcome == deliver.Outcome("retry", "no answer within 8 s")
        assert time.monotonic() - started < 25
    assert len(sink.received) == 1


def test_a_service_inside_the_plants_network_is_refused_before_anything_is_sent() -> None:
    with HttpSink() as sink:
        row = service(sink.port)
        outcome = deliver.deliver(row.pk)
    assert outcome == deliver.Outcome(
        "failed", "address refused: 127.0.0.1 is at 127.0.0.1, which is not a public address"
    )
    assert sink.received == []
    row.channel.refresh_from_db()
    assert not row.channel.is_enabled


def test_a_redirect_into_the_network_is_refused(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = ["127.0.0.1/32"]
    with HttpSink() as inside, HttpSink(Answer(307, {"Location": f"http://[::1]:{inside.port}/"})) as sink:
        outcome = deliver.deliver(service(sink.port, query="?redirect=yes").pk)
    assert (outcome.result, inside.received) == ("failed", [])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nosuchservice://somewhere/token", "no address of a service"),
        ("syslog://localhost", "of this machine"),
        ("jsons://127.0.0.1/x?verify=no", "certificates"),
        ("json://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("mailto://ann:pass@127.0.0.1:25?from=a@example.com&to=b@example.com", "127.0.0.1"),
        ("", "no address of a service"),
    ],
)
def test_what_must_not_be_reached_is_refused_and_the_channel_with_it(url: str, why: str) -> None:
    row = outgoing.message("SERVICE", target="x", secret=url)
    outcome = deliver.deliver(row.pk)
    assert outcome.result == "failed"
    assert why in outcome.reason
    row.channel.refresh_from_db()
    assert not row.channel.is_enabled


def test_a_name_that_is_not_found_is_tried_again() -> None:
    row = outgoing.message("SERVICE", target="jsons", secret=f"jsons://nowhere.invalid/{TOKEN}")
    outcome = deliver.deliver(row.pk)
    assert outcome.result == "retry"
    assert TOKEN not in outcome.reason


def test_no_part_of_the_address_is_shown() -> None:
    url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/?footer=abc%20def1"
    said = services.scrub("POST T1JJ3T3L2/A1BRTD4JD to TIiajkdnlazkcOXrIdevi7FQ,\nabc%20def1 def1", url=url)
    assert said == "POST ***/*** to ***, *** ***"


def test_the_address_is_taken_and_never_shown(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    site = factories.site()
    client.force_login(factories.user(site=site, is_staff=True))
    form = {
        "site": site.pk, "name": "Shift", "kind": "SERVICE", "target": "", "lowest_priority": "LOW", "language": "en",
        "digest_minutes": 0, "is_enabled": "on",
    }  # fmt: skip
    page = reverse("admin:maintenance_channel_add")
    for wrong in ("", "hooks.slack.com/x", "://x"):
        assert "Of a service it is an address" in client.post(page, form | {"secret": wrong}).content.decode()
    url = f"slack://T1JJ3T3L2/A1BRTD4JD/{TOKEN}/#general"
    with caplog.at_level(logging.DEBUG):
        assert client.post(page, form | {"secret": url}).status_code == 302
        made = Channel.objects.get()
        assert (made.secret, made.target) == (url, "slack")
        shown = [
            client.get(reverse("admin:maintenance_channel_change", args=[made.pk])).content.decode(),
            client.get(reverse("admin:maintenance_channel_changelist")).content.decode(),
            client.get(reverse("admin:maintenance_channel_history", args=[made.pk])).content.decode(),
            str([record.msg for record in caplog.records]),
        ]
    assert not any(TOKEN in text or "A1BRTD4JD" in text for text in shown)
    change = reverse("admin:maintenance_channel_change", args=[made.pk])
    assert client.post(change, form | {"secret": "", "name": "Shift 2"}).status_code == 302
    made.refresh_from_db()
    assert (made.secret, made.target, made.name) == (url, "slack", "Shift 2")
