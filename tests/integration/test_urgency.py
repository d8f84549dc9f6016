"""What goes first: escalations, then critical alarms, however many ordinary messages were rung for before."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from agents import deliver, escalate, lease, sweeper
from agents.channels import email, exchange, service
from agents.channels.contract import Message, Transient
from agents.doorbell import Bell
from maintenance import notifications
from maintenance.escalation_models import Chain, ChainStep
from maintenance.messages import Row
from maintenance.models import Channel, Notification
from sensors.models import Site
from tests import factories, outgoing
from tests.bench import urgent as bench
from tests.integration.test_alarms import judge, see

pytestmark = pytest.mark.django_db


@pytest.fixture
def channel() -> Channel:
    site = factories.site()
    return Channel.objects.create(site=site, kind="CONSOLE", name="log")


def stored(
    channel: Channel, *names: str, event: str = "alarm.opened", priority: str = "HIGH", at_once: bool = False
) -> list[int]:
    payload = outgoing.PAYLOAD | {"priority": priority}
    rows = [Row(channel.site_id, channel.pk, event, name, payload, f"{name}/{channel.pk}") for name in names]
    return notifications.create(rows, run_id=None, at_once=at_once)


def sent_by(*ids: int) -> list[str]:
    """Answer the bells in this order; what was sent, in its order."""
    channel = outgoing.Told(lambda message: "sent")
    for row_id in ids:
        deliver.look(row_id, by={"CONSOLE": channel})
    return [message.subject_line for message in channel.got]


def test_whoever_is_rung_for_an_ordinary_message_sends_the_escalation_first(channel: Channel) -> None:
    ordinary = stored(channel, "first", "second", "third")
    (critical,) = stored(channel, "critical", priority="CRITICAL")
    (escalation,) = stored(channel, "escalation", event="alarm.escalated", at_once=True)
    assert sent_by(*ordinary, critical, escalation) == ["escalation", "critical", "first", "second", "third"]


def test_one_that_comes_while_others_are_sent_waits_for_one_send(channel: Channel) -> None:
    ordinary = stored(channel, "first", "second", "third")
    came = []

    def send(message: Message) -> str:
        if message.subject_line == "first":
            came.extend(stored(channel, "escalation", event="alarm.escalated", at_once=True))
        return "sent"

    told = outgoing.Told(send)
    for row_id in ordinary:
        deliver.look(row_id, by={"CONSOLE": told})
    assert [message.subject_line for message in told.got] == ["first", "escalation", "second", "third"]
    assert Notification.objects.get(pk=came[0]).status == "SENT"


@pytest.mark.parametrize(
    ("event", "priority", "at_once", "urgency"),
    [
        ("alarm.escalated", "LOW", True, Notification.Urgency.ESCALATION),
        ("alarm.opened", "CRITICAL", False, Notification.Urgency.CRITICAL),
        ("alarm.re_alarmed", "CRITICAL", False, Notification.Urgency.CRITICAL),
        ("alarm.returned", "CRITICAL", False, Notification.Urgency.ORDINARY),
        ("work-order.opened", "CRITICAL", False, Notification.Urgency.ORDINARY),
        ("alarm.opened", "HIGH", False, Notification.Urgency.ORDINARY),
    ],
)
def test_what_is_urgent(
    channel: Channel, event: str, priority: str, at_once: bool, urgency: Notification.Urgency
) -> None:
    (row,) = stored(channel, "one", event=event, priority=priority, at_once=at_once)
    assert Notification.objects.get(pk=row).urgency == urgency


def test_one_that_is_not_due_or_is_being_sent_holds_up_nobody(channel: Channel) -> None:
    leased, later = stored(channel, "leased", "later", event="alarm.escalated", at_once=True)
    assert lease.claim(Notification, leased, seconds=60, status="PENDING") is not None
    Notification.objects.filter(pk=later).update(due_at=Now() + timedelta(minutes=1))
    (ordinary,) = stored(channel, "ordinary")
    assert sent_by(ordinary) == ["ordinary"]


def test_one_that_fails_is_tried_later_and_the_ordinary_one_goes(channel: Channel) -> None:
    (escalation,) = stored(channel, "escalation", event="alarm.escalated", at_once=True)
    (ordinary,) = stored(channel, "ordinary")

    def send(message: Message) -> str:
        if message.subject_line == "escalation":
            raise Transient("busy", retry_after=30.0)
        return "sent"

    deliver.look(ordinary, by=outgoing.on_console(send))
    statuses = dict(Notification.objects.values_list("pk", "status"))
    assert statuses == {escalation: "PENDING", ordinary: "SENT"}


def test_an_ordinary_one_is_rung_for_again_where_urgent_ones_take_too_long(channel: Channel) -> None:
    stored(channel, "one", "two", "three", event="alarm.escalated", at_once=True)
    (ordinary,) = stored(channel, "ordinary")
    told = outgoing.Told(lambda message: "sent")
    seconds = itertools.count(step=2)
    bells = deliver.look(ordinary, by={"CONSOLE": told}, clock=lambda: float(next(seconds)))
    assert bells == (Bell("deliver", ordinary),)
    assert [message.subject_line for message in told.got] == ["one", "two"]
    assert deliver.look(ordinary, by={"CONSOLE": told}) == ()
    assert [message.subject_line for message in told.got] == ["one", "two", "three", "ordinary"]


def test_a_look_whose_last_send_hangs_has_time_to_record_it_before_its_task_is_ended() -> None:
    longest = max(email.LIMIT_SECONDS, service.LIMIT_SECONDS, exchange.LIMIT_SECONDS)
    assert deliver.PATIENCE_SECONDS + longest + 2 <= settings.CELERY_TASK_SOFT_TIME_LIMIT


def test_the_sweep_does_the_same_where_nobody_can_be_rung_for(channel: Channel) -> None:
    stored(channel, "first", "second")
    Notification.objects.update(ring_after=Now())
    (escalation,) = stored(channel, "escalation", event="alarm.escalated", at_once=True)
    assert escalation not in [bell.id for bell in sweeper.due()]  # its own bell is on the way
    Notification.objects.exclude(pk=escalation).update(ring_after=Now())
    sweeper.work_off([next(iter(sweeper.due()))])
    assert Notification.objects.get(pk=escalation).status == "SENT"


def test_a_step_that_is_taken_is_rung_for_at_once(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    rung: list[Bell] = []
    monkeypatch.setattr(escalate.doorbell, "ring_all", rung.extend)
    site: Site = channel.site
    chain = Chain.objects.create(site=site, name="Night", lowest_priority="LOW")
    ChainStep.objects.create(chain=chain, position=0, channel=channel, after_minutes=0)
    sensor = factories.sensor(machine=factories.machine(site=site))
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    escalate.look()
    message = Notification.objects.get(event_type="alarm.escalated")
    assert rung == [Bell("deliver", message.pk)]
    assert message.urgency == Notification.Urgency.ESCALATION


def test_the_look_reads_an_index_of_urgent_ones_alone(channel: Channel) -> None:
    stored(channel, *(f"ordinary {n}" for n in range(400)))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE maintenance_notification")
    with CaptureQueriesContext(connection) as queries:
        assert notifications.most_urgent() is None
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {queries[0]['sql']}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "notification_urgent" in plan
    assert "Sort" not in plan
    assert len(queries) == 1


@pytest.mark.django_db(transaction=True)
def test_the_benchmark_in_small(redis_empty: None) -> None:
    rows = {row["name"]: row for row in bench.bench(mails=25, milliseconds=60.0, workers=1)}
    assert rows["escalation told"]["ok"] is True
    assert rows["escalation told"]["value"] < rows["escalation told, in turn"]["value"] / 2
