"""A message on its way: claimed, sent, tried again, given up."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from agents import channels, deliver, lease
from agents.channels import exchange, webhook
from agents.channels.contract import Message, Permanent, Transient
from maintenance.models import Channel, Notification
from tests import outgoing
from tests.servers import HttpSink

pytestmark = pytest.mark.django_db


@pytest.fixture
def local(settings: Settings) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = outgoing.LOCAL


def test_a_worker_that_died_after_claiming_leads_to_a_second_send_under_the_same_key(local: None) -> None:
    with HttpSink() as receiver:
        row = outgoing.hook(receiver)
        with pytest.raises(KeyboardInterrupt):  # sent, and killed before it was recorded
            deliver.deliver(row.pk, by={"WEBHOOK": outgoing.Told(_send_and_die)})
        assert deliver.deliver(row.pk).result == "stale"
        Notification.objects.filter(pk=row.pk).update(lease_until=Now() - timedelta(seconds=1))
        assert deliver.deliver(row.pk).result == "sent"
    first, second = receiver.received
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"] == row.key
    assert first.body == second.body
    row.refresh_from_db()
    assert row.attempts == 2


def _send_and_die(message: Message) -> str:
    webhook.Webhook().send(message)
    raise KeyboardInterrupt


def test_a_message_that_is_leased_is_left_alone() -> None:
    row = outgoing.message("CONSOLE")
    taken = lease.claim(Notification, row.pk, seconds=60, status="PENDING")
    assert taken is not None
    channel = outgoing.Told(lambda message: "sent")
    assert deliver.deliver(row.pk, by={"CONSOLE": channel}) == deliver.Outcome("stale")
    assert channel.got == []


def test_a_worker_that_was_overtaken_records_nothing() -> None:
    row = outgoing.message("CONSOLE")

    def overtaken(message: Message) -> str:
        Notification.objects.filter(pk=row.pk).update(lease_until=Now() - timedelta(seconds=1))
        assert lease.claim(Notification, row.pk, seconds=60, status="PENDING") is not None
        return "too late"

    assert deliver.deliver(row.pk, by=outgoing.on_console(overtaken)).result == "fenced"
    row.refresh_from_db()
    assert (row.status, row.sent_at, row.provider_reference) == ("PENDING", None, "")


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_a_message_is_sent() -> None:
    row = outgoing.message("CONSOLE")
    channel = outgoing.on_console(lambda message: f"in transaction: {connection.in_atomic_block}")
    assert deliver.deliver(row.pk, by=channel).result == "sent"
    row.refresh_from_db()
    assert row.provider_reference == "in transaction: False"


def test_an_unknown_error_is_tried_again_and_named() -> None:
    row = outgoing.message("CONSOLE")
    outcome = deliver.deliver(row.pk, by=outgoing.on_console(outgoing.raising(ZeroDivisionError("by zero"))))
    assert outcome == deliver.Outcome("retry", "ZeroDivisionError: by zero")


def test_a_disabled_channel_fails_its_messages_with_the_reason() -> None:
    row = outgoing.message("CONSOLE")
    Channel.objects.update(is_enabled=False, disabled_reason="answered 410: Gone")
    channel = outgoing.Told(lambda message: "sent")
    outcome = deliver.deliver(row.pk, by={"CONSOLE": channel})
    assert outcome == deliver.Outcome("failed", "the channel is disabled. answered 410: Gone")
    assert channel.got == []


def test_a_message_is_given_up_when_its_budget_is_over() -> None:
    row = outgoing.message("CONSOLE")
    outgoing.age(row, hours=23, minutes=59)
    outcome = deliver.deliver(row.pk, by=outgoing.on_console(outgoing.raising(Transient("busy", retry_after=120))))
    assert outcome.result == "failed"
    assert outcome.reason.startswith("given up")
    assert outcome.reason.endswith("busy")
    row.channel.refresh_from_db()
    assert row.channel.is_enabled


def test_an_old_message_is_tried_once_all_the_same_and_not_twice() -> None:
    row = outgoing.message("CONSOLE")
    outgoing.age(row, hours=30)
    with pytest.raises(KeyboardInterrupt):
        deliver.deliver(row.pk, by=outgoing.on_console(lambda message: _die()))
    Notification.objects.filter(pk=row.pk).update(lease_until=Now() - timedelta(seconds=1))
    channel = outgoing.Told(lambda message: "sent")
    assert deliver.deliver(row.pk, by={"CONSOLE": channel}).result == "failed"
    assert channel.got == []


def _die() -> str:
    raise KeyboardInterrupt


def test_a_permanent_failure_says_whether_the_channel_goes_with_it() -> None:
    kept, gone = outgoing.message("CONSOLE"), outgoing.message("CONSOLE")
    deliver.deliver(kept.pk, by=outgoing.on_console(outgoing.raising(Permanent("no"))))
    deliver.deliver(gone.pk, by=outgoing.on_console(outgoing.raising(Permanent("no more", gone=True))))
    assert set(Channel.objects.values_list("is_enabled", "disabled_reason")) == {(True, ""), (False, "no more")}


@pytest.mark.parametrize(("attempt", "most"), [(1, 2.0), (3, 8.0), (8, 256.0), (9, 300.0), (5_000, 300.0)])
def test_the_wait_is_fully_jittered_and_doubles_up_to_five_minutes(attempt: int, most: float) -> None:
    def judge(at: float, retry_after: float = 0.0) -> timedelta | None:
        failure = Transient("busy", retry_after=retry_after)
        return deliver.after(failure, attempt=attempt, age=timedelta(), jitter=lambda low, high: high * at).wait

    assert judge(0.0) == timedelta()
    assert judge(1.0) == timedelta(seconds=most)
    assert judge(1.0, retry_after=1_000.0) == timedelta(seconds=1_000)


@given(
    attempt=st.integers(1, 10_000),
    age=st.timedeltas(timedelta(), timedelta(days=400)),
    retry_after=st.floats(0, exchange.LONGEST_RETRY_AFTER),
    luck=st.floats(0, 1),
)
def test_a_retry_is_never_early_and_never_beyond_the_budget(
    attempt: int, age: timedelta, retry_after: float, luck: float
) -> None:
    failure = Transient("busy", retry_after=retry_after)
    verdict = deliver.after(failure, attempt=attempt, age=age, jitter=lambda low, high: low + (high - low) * luck)
    assert "busy" in verdict.reason
    assert not verdict.disable
    if verdict.wait is not None:
        assert verdict.wait >= timedelta(seconds=retry_after)
        assert age + verdict.wait <= deliver.BUDGET


def test_a_delivery_costs_five_statements() -> None:
    row = outgoing.message("CONSOLE")
    with CaptureQueriesContext(connection) as queries:
        deliver.deliver(row.pk, by=outgoing.on_console(lambda message: "sent"))
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 5


def test_the_console_logs_the_message(caplog: pytest.LogCaptureFixture) -> None:
    row = outgoing.message("CONSOLE")
    with caplog.at_level("INFO"):
        assert deliver.deliver(row.pk).result == "sent"
    (logged,) = [r.msg for r in caplog.records if r.name == "agents.channels.console" and isinstance(r.msg, dict)]
    assert logged["event"] == "agents.console.message"
    assert (logged["key"], logged["payload"]) == (row.key, outgoing.PAYLOAD)


def test_every_kind_of_channel_has_an_implementation() -> None:
    assert set(channels.CHANNELS) == set(Channel.Kind.values)
