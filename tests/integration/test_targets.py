"""How targets do: rest after failures, word to who looks after a channel, test messages, and a ledger that adds up."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from agents import deliver, sweeper
from agents.channels.contract import Permanent, Transient
from agents.channels.sink import SmtpSink
from maintenance import targets
from maintenance.models import Attempt, Channel, Notification, Reader
from sensors.models import Membership, Site
from tests import factories, outgoing
from tests.servers import Answer, HttpSink, Request

pytestmark = pytest.mark.django_db
SECOND = timedelta(seconds=1)
BUSY = outgoing.on_console(outgoing.raising(Transient("busy")))
GONE = outgoing.on_console(outgoing.raising(Permanent("no such mailbox", gone=True)))
FINE = outgoing.on_console(lambda message: "taken")


def more(row: Notification, count: int) -> list[Notification]:
    """Other messages on the same channel."""
    return [
        Notification.objects.create(
            site=row.site, channel=row.channel, event_type=row.event_type, payload=row.payload,
            subject_line=row.subject_line, key=f"{row.key}/{n}",
        )
        for n in range(count)
    ]  # fmt: skip


def channel(site: Site, **fields: Any) -> Channel:
    name = f"channel {Channel.objects.count()}"
    return Channel.objects.create(**{"site": site, "kind": "CONSOLE", "name": name} | fields)


def over(row: Notification) -> None:
    """The rest of the channel is over."""
    Channel.objects.filter(pk=row.channel_id).update(silent_until=Now() - SECOND)
    Notification.objects.filter(channel=row.channel_id).update(due_at=Now() - SECOND)


# Rest


def test_a_target_that_fails_again_and_again_is_left_alone() -> None:
    first = outgoing.message("CONSOLE")
    rows = [first, *more(first, 7)]
    assert [deliver.deliver(row.pk, by=BUSY).result for row in rows] == ["retry"] * 5 + ["resting"] * 3
    first.channel.refresh_from_db()
    assert first.channel.failures == targets.FAILURES
    resting = Notification.objects.get(pk=rows[6].pk)
    assert (resting.status, resting.attempts, resting.lease_until) == ("PENDING", 0, None)
    assert resting.error.startswith("5 failures in a row")
    assert resting.due_at >= first.channel.silent_until


def test_after_the_rest_one_message_finds_out_and_the_others_wait_for_it() -> None:
    first = outgoing.message("CONSOLE")
    rows = [first, *more(first, 6)]
    for row in rows[:5]:
        deliver.deliver(row.pk, by=BUSY)
    over(first)
    assert [deliver.deliver(row.pk, by=BUSY).result for row in rows[:3]] == ["retry", "resting", "resting"]
    over(first)
    told = outgoing.Told(lambda message: "taken")
    during = list[str]()

    def while_it_is_tried(message: Any) -> str:
        during.append(deliver.deliver(rows[5].pk, by={"CONSOLE": told}).result)
        return "taken"

    assert deliver.deliver(rows[4].pk, by=outgoing.on_console(while_it_is_tried)).result == "sent"
    assert (during, told.got) == (["resting"], [])
    first.channel.refresh_from_db()
    assert (first.channel.failures, first.channel.silent_until) == (0, None)
    assert deliver.deliver(rows[6].pk, by=FINE).result == "sent"


def test_rests_grow_and_end_at_a_minute() -> None:
    row = outgoing.message("CONSOLE")
    rests = []
    for _ in range(12):
        targets.struggled(row.channel_id)
        row.channel.refresh_from_db()
        until = row.channel.silent_until
        rests.append(0 if until is None else round((until - timezone.now()).total_seconds()))
    assert rests == [0] * 4 + [5, 10, 20, 40] + [60] * 4


def test_a_success_in_between_starts_the_count_anew() -> None:
    first = outgoing.message("CONSOLE")
    rows = [first, *more(first, 8)]
    results = [deliver.deliver(row.pk, by=FINE if n == 4 else BUSY).result for n, row in enumerate(rows)]
    assert results == ["retry"] * 4 + ["sent"] + ["retry"] * 4


def test_another_target_is_not_held_up() -> None:
    first, other = outgoing.message("CONSOLE"), outgoing.message("CONSOLE")
    for row in [first, *more(first, 5)]:
        deliver.deliver(row.pk, by=BUSY)
    assert deliver.deliver(other.pk, by=FINE).result == "sent"


def test_what_waits_for_a_target_is_given_up_when_its_budget_is_over() -> None:
    row = outgoing.message("CONSOLE")
    outgoing.age(row, hours=24)
    Channel.objects.update(failures=9, silent_until=Now() + timedelta(minutes=5))
    outcome = deliver.deliver(row.pk, by=FINE)
    assert (outcome.result, outcome.reason[:8]) == ("failed", "given up")


# Given up


def owned() -> tuple[Channel, Channel, Channel]:
    """A channel, one of its owner's own, and a shared one."""
    site = factories.site()
    ann = factories.user(site=site)
    hers = channel(site, reader=Reader.objects.create(site=site, user=ann))
    return channel(site, owner=ann), hers, channel(site)


def message(to: Channel, n: int = 0) -> Notification:
    return Notification.objects.create(
        site=to.site, channel=to, event_type="alarm.raised", payload=outgoing.PAYLOAD, subject_line="x",
        key=f"message/{to.pk}/{n}",
    )  # fmt: skip


def about(broken: Channel) -> list[tuple[int, str]]:
    rows = Notification.objects.filter(event_type=targets.DISABLED, payload__subject=f"channel/{broken.pk}")
    return list(rows.order_by("id").values_list("channel", "payload__reason"))


def test_the_owner_is_told_once_when_a_channel_is_given_up() -> None:
    broken, hers, _ = owned()
    first, second = message(broken), message(broken, 1)
    assert deliver.deliver(first.pk, by=GONE).result == "failed"
    assert deliver.deliver(second.pk, by=GONE).result == "failed"
    assert about(broken) == [(hers.pk, "no such mailbox")]
    assert Notification.objects.get(event_type=targets.DISABLED).pk in {
        bell.id for bell in sweeper.due() if bell.queue == "deliver"
    }


def test_where_the_owner_has_no_channel_the_shared_ones_are_told() -> None:
    broken, hers, shared = owned()
    Channel.objects.filter(pk=hers.pk).update(is_enabled=False)
    deliver.deliver(message(broken).pk, by=GONE)
    assert about(broken) == [(shared.pk, "no such mailbox")]


def test_where_nobody_can_be_told_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    alone = channel(factories.site())
    with caplog.at_level("ERROR"):
        deliver.deliver(message(alone).pk, by=GONE)
    assert about(alone) == []
    assert "maintenance.targets.nobody-to-tell" in str([record.msg for record in caplog.records])


def test_the_owner_reads_why_in_a_real_mail(settings: Settings) -> None:
    broken, hers, _ = owned()
    Channel.objects.filter(pk=hers.pk).update(kind="EMAIL", target="ann@example.com", language="pt")
    deliver.deliver(message(broken).pk, by=GONE)
    with SmtpSink() as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = sink.host, sink.port, False
        assert deliver.deliver(Notification.objects.get(event_type=targets.DISABLED).pk).result == "sent"
        (mail,) = sink.wait_for(1)
    assert mail.message["Subject"] == f"[ALTA] Mensagens interrompidas: {broken.name}"
    assert "Motivo: no such mailbox" in mail.text


# Tests


def press(client: Client, row: Channel) -> Any:
    return client.post(reverse("admin:maintenance_channel_test", args=[row.pk]), {"confirmed": "1"}, follow=True)


def test_a_test_goes_out_at_once_and_leads_to_the_ledger(client: Client, settings: Settings) -> None:
    site = factories.site()
    client.force_login(factories.user(site=site, role=Membership.Role.TECHNICIAN, is_staff=True, username="tina"))
    to = channel(site, kind="EMAIL", target="shift@example.com", digest_minutes=60)
    answer = press(client, to)
    assert "A test is on its way to" in answer.content.decode()
    row = Notification.objects.get(channel=to)
    assert row.subject_line in answer.content.decode()
    assert "on its way already" in press(client, to).content.decode()
    with SmtpSink() as sink:
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS = sink.host, sink.port, False
        assert deliver.deliver(row.pk).result == "sent"
        (mail,) = sink.wait_for(1)
    assert mail.message["Subject"] == f"[LOW] Test: {to.name}"
    assert "Asked for by tina." in mail.text
    press(client, to)
    assert Notification.objects.filter(channel=to).count() == 2


def test_a_disabled_channel_is_not_tested(client: Client) -> None:
    site = factories.site()
    client.force_login(factories.user(site=site, is_staff=True))
    off = channel(site, is_enabled=False)
    assert "enable it first" in press(client, off).content.decode()
    assert not Notification.objects.exists()


def test_who_makes_a_channel_looks_after_it_and_enabling_starts_afresh(client: Client) -> None:
    site = factories.site()
    ann = factories.user(site=site, is_staff=True)
    client.force_login(ann)
    form = {
        "site": site.pk, "name": "Shift", "kind": "EMAIL", "target": "a@example.com", "lowest_priority": "LOW",
        "language": "pt", "digest_minutes": 0, "is_enabled": "on",
    }  # fmt: skip
    assert client.post(reverse("admin:maintenance_channel_add"), form).status_code == 302
    made = Channel.objects.get()
    assert made.owner == ann
    Channel.objects.update(is_enabled=False, disabled_reason="gone", failures=7, silent_until=Now())
    assert client.post(reverse("admin:maintenance_channel_change", args=[made.pk]), form).status_code == 302
    made.refresh_from_db()
    assert (made.is_enabled, made.disabled_reason, made.failures, made.silent_until) == (True, "", 0, None)


# The ledger


class Moody(HttpSink):
    """Fails the first tries of each message in its own way, then takes it; keeps what it said to which key."""

    def __init__(self) -> None:
        super().__init__()
        self.said: Counter[tuple[str, int]] = Counter()
        self.tries: Counter[str] = Counter()

    def answer(self, request: Request) -> Answer:
        key = request.headers["Idempotency-Key"]
        ways = [Answer(503), Answer(429, {"Retry-After": "1"}), Answer(cut=True)]
        number = int(key.rpartition("/")[2])
        turn = self.tries[key]
        self.tries[key] += 1
        if number % 5 == 4:
            answer = Answer(400)
        elif turn < number % 4:
            answer = ways[turn]
        else:
            answer = Answer(200, {"X-Request-Id": f"{number}-{turn}"})
        self.said[key, 0 if answer.cut else answer.status] += 1
        return answer


def test_the_ledger_adds_up_with_the_log_of_a_sink_that_fails_in_every_way(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = outgoing.LOCAL
    site = factories.site()
    with Moody() as sink:
        rows = [message(channel(site, kind="WEBHOOK", target=sink.url, secret="s"), n) for n in range(10)]
        for _ in range(6):
            Notification.objects.update(due_at=Now() - SECOND)
            for row in rows:
                deliver.deliver(row.pk)
    tries = Attempt.objects.select_related("notification").order_by("id")
    assert len(tries) == len(sink.received) == sum(sink.said.values())
    ledger: Counter[tuple[str, int]] = Counter()
    for line in tries:
        words = (line.reference if line.outcome == "SENT" else line.error.removeprefix("answered ")).split()
        ledger[line.notification.key, int(words[0].rstrip(":")) if words[0].rstrip(":").isdecimal() else 0] += 1
    assert ledger == sink.said
    for row in rows:
        row.refresh_from_db()
        mine = [line for line in tries if line.notification_id == row.pk]
        assert [line.attempt for line in mine] == list(range(1, row.attempts + 1))
        assert {"SENT": "SENT", "FAILED": "FAILED"}[row.status] == mine[-1].outcome
        assert row.provider_reference == mine[-1].reference
        assert all(line.outcome == "RETRY" for line in mine[:-1])
        assert all(line.began_at <= line.ended_at and line.worker for line in mine)


def test_what_only_waited_is_no_line_of_the_ledger() -> None:
    site = factories.site()
    assert deliver.deliver(message(channel(site, digest_minutes=5)).pk, by=FINE).result == "held"
    off = message(channel(site, is_enabled=False))
    assert deliver.deliver(off.pk, by=FINE).result == "failed"
    assert not Attempt.objects.exists()
