"""Messages for tests to send, and a channel that does as it is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db.models.functions import Now
from pytest_django import Settings

from agents.channels import contract
from agents.channels.contract import Message
from agents.channels.sink import SmtpSink
from maintenance.models import Channel, Notification
from tests import factories
from tests.servers import HttpSink

SECRET = "whsec"
LOCAL = ["127.0.0.0/8", "::1/128"]
PAYLOAD: dict[str, Any] = {
    "what": "Alarm raised",
    "action": "RAISED",
    "subject": "alarm/7",
    "title": "",
    "site": {"id": 1, "name": "Works"},
    "machine": {"id": 2, "name": "P-101 – Feed pump <b>"},
    "failure_mode": "LOO",
    "priority": "HIGH",
    "since": "2026-03-01T12:00:00Z",
    "at": "2026-03-01T12:05:00Z",
    "evidence": {
        "sensor": {"id": 4, "name": "Flow", "unit": "l/s"},
        "kind": "LOW",
        "observed": 3.5,
        "expected_low": 18.0,
        "expected_high": 31.25,
    },
    "past": [{"order": 3, "closed_at": "2026-02-01T09:00:00Z", "findings": "Impeller worn <i>."}],
    "path": "/admin/maintenance/alarm/7/change/",
}


def message(kind: str, *, target: str = "", secret: str = SECRET, **fields: Any) -> Notification:
    site = factories.site(time_zone="Europe/Rome")
    channel = Channel.objects.create(site=site, kind=kind, name="to somebody", target=target, secret=secret)
    return Notification.objects.create(
        **{
            "site": site, "channel": channel, "event_type": "alarm.raised", "payload": PAYLOAD,
            "subject_line": "[HIGH] Alarm raised: P-101, LOO",
            "key": f"alarm-transition/{channel.pk}/channel/{channel.pk}",
        }
        | fields
    )  # fmt: skip


def hook(sink: HttpSink, **fields: Any) -> Notification:
    return message("WEBHOOK", target=sink.url, **fields)


def mail_to(sink: SmtpSink, settings: Settings, *, target: str = "ann@example.com", **fields: Any) -> Notification:
    settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = sink.host, sink.port, False
    settings.DEFAULT_FROM_EMAIL = "Bellwether <bellwether@example.com>"
    return message("EMAIL", target=target, **fields)


def make_due(row: Notification) -> None:
    Notification.objects.filter(pk=row.pk).update(due_at=Now() - timedelta(seconds=1))


def age(row: Notification, **span: float) -> None:
    Notification.objects.filter(pk=row.pk).update(created_at=Now() - timedelta(**span))


@dataclass
class Told:
    """A channel that does as it is told."""

    how: Callable[[Message], str]
    got: list[Message] = field(default_factory=list)

    def send(self, message: Message) -> str:
        self.got.append(message)
        return self.how(message)


def raising(error: Exception) -> Callable[[Message], str]:
    def send(message: Message) -> str:
        raise error

    return send


def on_console(how: Callable[[Message], str]) -> dict[str, contract.Channel]:
    return {"CONSOLE": Told(how)}
