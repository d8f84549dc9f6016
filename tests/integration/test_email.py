"""Mails over real SMTP, with every way the mail server can fail."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from agents import deliver
from agents.channels import email
from agents.channels.sink import SmtpSink
from sensors.models import Site
from tests import outgoing, servers
from tests.servers import UnwillingSmtp

pytestmark = pytest.mark.django_db


@pytest.fixture
def sink() -> Iterator[SmtpSink]:
    with SmtpSink() as running:
        yield running


def test_a_mail_arrives_once_and_says_what_happened(sink: SmtpSink, settings: Settings) -> None:
    settings.PUBLIC_URL = "https://bellwether.example.com"
    row = outgoing.mail_to(sink, settings)
    assert deliver.deliver(row.pk).result == "sent"
    (mail,) = sink.wait_for(1)
    assert mail.recipients == ("ann@example.com",)
    assert mail.sender == "bellwether@example.com"
    assert mail.message["Subject"] == "[HIGH] Alarm raised: P-101, LOO"
    assert mail.message_id == email.message_id(row.key)
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.text.replace("\r\n", "\n") == (
        "Alarm raised on P-101 – Feed pump <b>, site Works\n"
        "\n"
        "Priority:      HIGH\n"
        "Failure mode:  Low output (LOO, ISO 14224)\n"
        "Since:         2026-03-01 13:00:00 (Europe/Rome)\n"
        "This message:  2026-03-01 13:05:00 (Europe/Rome)\n"
        "Sensor:        Flow\n"
        "Seen:          3.5 l/s (LOW)\n"
        "Expected:      from 18 up to 31.25 l/s\n"
        "\n"
        "What to do first: Check suction, filters and valves, then wear of the impeller or rotor; compare with the duty"
        " point.\n"
        "\n"
        "Similar cases before:\n"
        "- WO-3, 2026-02-01: Impeller worn <i>.\n"
        "\n"
        "https://bellwether.example.com/admin/maintenance/alarm/7/change/\n"
    )
    row.refresh_from_db()
    assert (row.status, row.attempts, row.error) == ("SENT", 1, "")
    assert row.provider_reference == "2.0.0 kept as 1"
    assert row.sent_at is not None
    assert deliver.deliver(row.pk).result == "stale"
    assert len(sink.received) == 1


def test_an_order_without_evidence_is_mailed_with_its_title(sink: SmtpSink, settings: Settings) -> None:
    payload = outgoing.PAYLOAD | {
        "subject": "work-order/3",
        "title": "Look at the pump",
        "evidence": None,
        "action": "OPENED",
    }
    row = outgoing.mail_to(sink, settings, payload=payload, event_type="work-order.opened")
    assert deliver.deliver(row.pk).result == "sent"
    (mail,) = sink.wait_for(1)
    assert "\n\nLook at the pump\n\n" in mail.text.replace("\r\n", "\n")
    assert "Sensor" not in mail.text


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "../etc/passwd"])
def test_a_mistyped_time_zone_holds_no_mail_back(zone: str, sink: SmtpSink, settings: Settings) -> None:
    row = outgoing.mail_to(sink, settings)
    Site.objects.update(time_zone=zone)
    assert deliver.deliver(row.pk).result == "sent"
    (mail,) = sink.wait_for(1)
    assert "2026-03-01 12:00:00 (UTC)" in mail.text


def test_the_sink_says_so_when_its_port_is_taken(sink: SmtpSink) -> None:
    with pytest.raises(OSError, match="in use"), SmtpSink(port=sink.port):
        pass


def test_the_sink_says_how_many_mails_are_missing(sink: SmtpSink) -> None:
    with pytest.raises(TimeoutError, match="0 of 1"):
        sink.wait_for(1, seconds=0.01)


def test_a_line_break_in_a_name_adds_no_header(sink: SmtpSink, settings: Settings) -> None:
    row = outgoing.mail_to(sink, settings, subject_line="[HIGH] P-1\r\nBcc: all@example.com\r\n\r\nHello")
    assert deliver.deliver(row.pk).result == "sent"
    (mail,) = sink.wait_for(1)
    assert mail.message["Bcc"] is None
    assert mail.message["Subject"] == "[HIGH] P-1 Bcc: all@example.com Hello"
    assert mail.recipients == ("ann@example.com",)


@pytest.mark.parametrize(
    ("replies", "result", "enabled"),
    [
        ({"rcpt": "550 5.1.1 No such user"}, "failed", False),
        ({"rcpt": "550 No such user"}, "failed", False),
        ({"rcpt": "550 5.7.1 Relaying denied"}, "failed", True),
        ({"rcpt": "552 5.2.2 Mailbox full"}, "failed", True),
        ({"rcpt": "450 4.2.1 Try again later"}, "retry", True),
        ({"data": "554 5.7.1 Looks like spam"}, "failed", True),
        ({"data": "550 5.1.1 Content refused"}, "failed", True),
        ({"data": "451 4.3.0 Try again later"}, "retry", True),
        ({"data": "421 4.3.2 Going down"}, "retry", True),
    ],
)
def test_what_the_mail_server_answers_decides(
    replies: dict[str, str], result: str, enabled: bool, settings: Settings
) -> None:
    with UnwillingSmtp(**replies) as unwilling:  # type: ignore[arg-type]
        row = outgoing.mail_to(unwilling, settings)
        assert deliver.deliver(row.pk).result == result
    row.refresh_from_db()
    row.channel.refresh_from_db()
    assert next(iter(replies.values())) in row.error
    assert row.channel.is_enabled == enabled
    assert (row.channel.disabled_reason == "") == enabled
    assert row.status == {"failed": "FAILED", "retry": "PENDING"}[result]


@pytest.mark.parametrize(
    "target",
    ["", "nobody", "ann@example.com, bob@example.com", "ann@example.com\r\nRCPT TO:<bob@example.com>", "ä@b.de"],
)
def test_what_is_not_one_mail_address_is_refused(target: str, sink: SmtpSink, settings: Settings) -> None:
    row = outgoing.mail_to(sink, settings, target=target)
    assert deliver.deliver(row.pk).result == "failed"
    row.channel.refresh_from_db()
    assert not row.channel.is_enabled
    assert sink.received == []


def test_a_mail_server_that_is_not_there_is_tried_again(settings: Settings) -> None:
    with SmtpSink() as gone:
        row = outgoing.mail_to(gone, settings)
    outcome = deliver.deliver(row.pk)
    assert outcome.result == "retry"
    assert "ConnectionRefusedError" in outcome.reason


def test_a_mail_server_that_stalls_is_left_when_the_time_is_over(settings: Settings) -> None:
    with UnwillingSmtp(stall=True) as slow:
        row = outgoing.mail_to(slow, settings)
        started = time.monotonic()
        outcome = deliver.deliver(row.pk, by={"EMAIL": email.Email(limit_seconds=0.3)})
    assert outcome == deliver.Outcome("retry", "took longer than 0.3 s")
    assert time.monotonic() - started < 5


def test_a_mail_server_that_trickles_its_greeting_is_left_when_the_time_is_over(settings: Settings) -> None:
    row = outgoing.message("EMAIL", target="ann@example.com")
    settings.EMAIL_HOST, settings.EMAIL_USE_TLS = "127.0.0.1", False
    with servers.slow_loris() as settings.EMAIL_PORT:
        outcome = deliver.deliver(row.pk, by={"EMAIL": email.Email(limit_seconds=0.3)})
    assert outcome == deliver.Outcome("retry", "took longer than 0.3 s")


def test_a_mail_server_without_tls_gets_nothing_where_tls_is_asked_for(sink: SmtpSink, settings: Settings) -> None:
    row = outgoing.mail_to(sink, settings)
    settings.EMAIL_USE_TLS = True
    outcome = deliver.deliver(row.pk)
    assert outcome.result == "retry"
    assert "STARTTLS" in outcome.reason
    assert sink.received == []
