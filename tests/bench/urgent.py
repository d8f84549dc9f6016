"""How late an escalation is told while ordinary mails wait for a slow mail server: ``make bench-urgent``.

Some hundred ordinary messages are in the outbox and rung for when an escalation's next step is taken. A real worker of
the queue ``deliver`` takes the bells from Redis in the order in which they were rung, a real sweep rings again for what
is left, and the mail server takes its time with each mail. Measured from the commit of the step until the mail server
has the mail. Twice: as it is, and with the escalation's message as one like the others (in turn). Every mail must come,
once.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from aiosmtpd.smtp import SMTP, Envelope, Session
from celery import current_app
from django.conf import settings
from django.db import connection, transaction

from agents import doorbell, escalate
from agents.channels.email import message_id
from agents.channels.sink import SmtpSink
from agents.doorbell import Bell
from config import embedded, node, supervisor
from maintenance import notifications
from maintenance.escalation_models import Chain, ChainStep
from maintenance.messages import Row
from maintenance.models import Alarm, AlarmTransition, Channel, Notification
from tests import factories
from tests.bench import results
from tests.bench.results import row

MAILS, MILLISECONDS, WORKERS = 600, 70, 1
SENDS = 3.0
"""How many sends an escalation may take: the rest of the one at work, its own, and what the worker does between."""
START_SECONDS, LONGEST_SECONDS = 60.0, 600.0
AHEAD = 5
"""Ordinary mails that are gone when the step is taken: the worker is in the middle of them."""


class BooksDoNotBalance(AssertionError):
    """A mail was lost or doubled: the figures do not count."""


class SlowSmtp(SmtpSink):
    """A mail server that takes so many seconds for each mail, and knows when it had it."""

    def __init__(self, *, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.at: list[float] = []

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        await asyncio.sleep(self.seconds)
        self.at.append(time.time())
        return await super().handle_DATA(server, session, envelope)


@dataclass(frozen=True, slots=True)
class Late:
    """Seconds until the escalation's mail was there, mails that came between, and seconds until all had come."""

    escalation: float
    before_it: int
    all: float


@contextmanager
def serving(sink: SmtpSink, *, workers: int) -> Iterator[None]:
    """A worker of the queue and a sweep, on the database and Redis of this process."""
    url = urlsplit(settings.DATABASE_URL)._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    mail = {"EMAIL_HOST": sink.host, "EMAIL_PORT": str(sink.port), "EMAIL_USE_TLS": "0", "DATABASE_URL": url}
    quiet = {"LOG_LEVEL": "ERROR"}
    options = ["-n", "urgent@%h", "-Q", "deliver", "--concurrency", str(workers), *supervisor.QUIET]
    environment: Mapping[str, str] = os.environ | node.environment() | mail | quiet
    commands = [["-m", "celery", "-A", "config", "worker", *options], ["manage.py", "sweep"]]
    with ExitStack() as stack:
        for command in commands:
            one = subprocess.Popen(
                [sys.executable, *command], cwd=results.ROOT, env=environment, start_new_session=True
            )
            stack.callback(one.wait)
            stack.callback(one.terminate)
        yield


def mailbox() -> Channel:
    site = factories.site()
    target = f"mailbox-{site.pk}@plant.example"
    return Channel.objects.create(site=site, kind="EMAIL", name="mail", target=target)


def put(channel: Channel, count: int, *, named: str) -> list[int]:
    """So many ordinary messages in the outbox, and a bell for each; their ids."""
    payload: dict[str, Any] = {
        "what": "Alarm", "action": "OPENED", "subject": "alarm/0", "title": "", "priority": "MEDIUM", "past": [],
        "site": {"id": channel.site_id, "name": "Works"}, "machine": {"id": 0, "name": "P-101"}, "failure_mode": "LOO",
        "since": "2026-03-01T12:00:00Z", "at": "2026-03-01T12:00:00Z", "evidence": None, "path": "/",
    }  # fmt: skip
    rows = [
        Row(channel.site_id, channel.pk, "alarm.opened", f"Ordinary {n}", payload, f"{named}/{channel.pk}/{n}")
        for n in range(count)
    ]
    with transaction.atomic():
        ids = notifications.create(rows, run_id=None)
    doorbell.ring_all(Bell("deliver", row_id) for row_id in ids)
    return ids


def escalating(channel: Channel) -> Alarm:
    """An alarm that nobody acknowledged, whose only step is due at once."""
    chain = Chain.objects.create(site=channel.site, name="Night", lowest_priority="LOW")
    ChainStep.objects.create(chain=chain, position=0, channel=channel, after_minutes=0)
    sensor = factories.sensor(machine=factories.machine(site=channel.site))
    alarm = Alarm.objects.create(
        site=channel.site, machine=sensor.machine, failure_mode="LOO", priority="HIGH", raised_at=factories.NOON,
        sensor=sensor,
    )  # fmt: skip
    AlarmTransition.objects.create(alarm=alarm, action="OPENED", key=f"alarm/{alarm.pk}", at=factories.NOON)
    return alarm


def measure(sink: SlowSmtp, *, mails: int, in_turn: bool) -> Late:
    """Raises ``BooksDoNotBalance``, and ``TimeoutError`` where a mail does not come."""
    channel, before = mailbox(), len(sink.received)
    put(channel, mails, named="ordinary")
    sink.wait_for(before + AHEAD, seconds=LONGEST_SECONDS)
    with transaction.atomic():
        (urgent,) = escalate.go_on(escalating(channel).pk)
        if in_turn:
            Notification.objects.filter(pk=urgent).update(urgency=Notification.Urgency.ORDINARY)
    began, gone = time.time(), len(sink.received)
    doorbell.ring(Bell("deliver", urgent))
    received = sink.wait_for(before + mails + 1, seconds=LONGEST_SECONDS)
    ids = [mail.message_id for mail in received[before:]]
    keys = Notification.objects.filter(channel=channel).values_list("key", flat=True)
    if sorted(ids) != sorted(message_id(key) for key in keys):
        raise BooksDoNotBalance(f"{len(ids)} mails came of {len(keys)} messages, {len(set(ids))} of them different")
    place = before + ids.index(message_id(Notification.objects.get(pk=urgent).key))
    return Late(sink.at[place] - began, place - gone, sink.at[before + mails] - began)


def bench(*, mails: int, milliseconds: float, workers: int) -> list[dict[str, Any]]:
    with current_app.connection_for_write() as broker:
        broker.default_channel.queue_purge("deliver")
    with SlowSmtp(seconds=milliseconds / 1000) as sink, serving(sink, workers=workers):
        put(mailbox(), 1, named="first")
        sink.wait_for(1, seconds=START_SECONDS)
        return figures(
            measure(sink, mails=mails, in_turn=True), measure(sink, mails=mails, in_turn=False), mails, milliseconds
        )


def figures(in_turn: Late, first: Late, mails: int, milliseconds: float) -> list[dict[str, Any]]:
    each = first.all / max(1, mails - AHEAD)
    most = SENDS * each
    return [
        row("ordinary mails waiting", mails - AHEAD, "mails", detail=f"{milliseconds:g} ms each at the mail server"),
        row("a mail, with what the worker does around it", each * 1000, "ms"),
        row("escalation told, in turn", in_turn.escalation, "s", detail=f"{in_turn.before_it} mails before it"),
        row("escalation told", first.escalation, "s", goal=f"<= {SENDS:g} sends", ok=first.escalation <= most,
            detail=f"{first.before_it} mails before it"),
        row("all told", first.all, "s", detail=f"{in_turn.all:.1f} s in turn"),
    ]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mails", type=int, default=MAILS, help="ordinary ones that wait")
    parser.add_argument("--milliseconds", type=float, default=MILLISECONDS, help="that the mail server takes for each")
    parser.add_argument("--workers", type=int, default=WORKERS, help="processes that send")
    asked = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what is started ends with this
    embedded.ensure_needed()
    real = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        rows = bench(mails=asked.mails, milliseconds=asked.milliseconds, workers=asked.workers)
    finally:
        connection.creation.destroy_test_db(real, verbosity=0)
    results.show(rows)
    results.keep("urgent", rows)
    return 0 if all(one["ok"] is not False for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
