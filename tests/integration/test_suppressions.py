"""What hides alarms: they go on being evaluated, nobody is told, and it always has an end."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from agents import notify, shelves, sweeper
from maintenance import (
    alarm_life,
    alarms,
    anomalies,
    hidden,
    notifications,
    order_roles,
    order_steps,
    sightings,
    suppressions,
)
from maintenance.alarm_life import Suppression as Kind
from maintenance.messages import KINDS
from maintenance.models import (
    Alarm,
    AlarmTransition,
    Channel,
    Decision,
    Notification,
    Reader,
    Subscription,
    Suppression,
    WorkOrder,
)
from maintenance.refusals import Refused
from sensors.models import Equipment, Event, Membership, Sensor
from tests import factories
from tests.factories import NOON
from tests.integration.test_alarm_locks import in_thread, wait_until_blocked
from tests.integration.test_alarms import NOON as NOON_US
from tests.integration.test_alarms import actions, judge, see

pytestmark = pytest.mark.django_db

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
SEVERE = 0.99


@pytest.fixture
def sensor() -> Sensor:
    made = factories.sensor(machine=factories.machine(site=factories.site()))
    Channel.objects.create(site=made.site, kind="CONSOLE", name="log")
    return made


@pytest.fixture
def maria(sensor: Sensor) -> User:
    return factories.user(site=sensor.site, role=Membership.Role.TECHNICIAN, username="maria")


def raised(sensor: Sensor, *, run: int = 1, at: int = 0, **fields: Any) -> Alarm:
    """An alarm that stands since ``at`` seconds after noon."""
    see(sensor, run=run, at=at, **fields)
    judge(sensor, run=run, clock=at)
    return Alarm.objects.get(machine=sensor.machine, is_open=True)


def shelve(alarm: Alarm, actor: User, *, hours: float = 2, now: datetime = NOON, **more: Any) -> Suppression:
    end = now + hours * HOUR
    return suppressions.shelve(alarm.pk, actor=actor, reason="Sensor cable is loose", until=end, now=now, **more)


def state(alarm: Alarm) -> str:
    return str(hidden.with_state(Alarm.objects.all()).values_list("state", flat=True).get(pk=alarm.pk))


def messages_of_run(run: int) -> list[str]:
    told = notifications.pending(run)
    return [row.event_type for row in notify.notify(told.transitions, told.recipients)]


def sent() -> list[str]:
    """What no run tells of, as the sweep puts it into the outbox."""
    shelves.tell()
    return list(Notification.objects.order_by("id").values_list("event_type", flat=True))


def in_progress(sensor: Sensor, worker: User, *, now: datetime = NOON, **fields: Any) -> WorkOrder:
    order = WorkOrder.objects.create(
        **{
            "site": sensor.site, "machine": sensor.machine, "failure_mode": "VIB", "title": "Replace the bearing",
            "maintenance_type": "CORRECTIVE_DEFERRED", "priority": "HIGH", "opened_at": NOON,
        }
        | fields
    )  # fmt: skip
    order_steps.assign(order.pk, actor=worker, assignee=worker)
    return order_steps.start(order.pk, actor=worker, now=now)


# Hidden: evaluated and recorded, and nobody is told


def test_what_happens_to_a_shelved_alarm_is_recorded_and_not_told(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    shelve(alarm, maria)
    assert state(alarm) == "SHLVD"
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    see(sensor, run=3, at=30, score=SEVERE)
    judge(sensor, run=3, clock=30)
    alarm.refresh_from_db()
    assert (alarm.is_active, alarm.occurrences, alarm.priority) == (True, 2, "HIGH")
    assert actions() == ["OPENED", "SHELVED", "RETURNED", "REOPENED"]
    assert list(AlarmTransition.objects.order_by("id").values_list("suppression", flat=True)) == [
        "", "", "SHELVED", "SHELVED",
    ]  # fmt: skip
    assert (messages_of_run(1), messages_of_run(2), messages_of_run(3)) == (["alarm.opened"], [], [])
    assert sent() == []
    assert state(alarm) == "SHLVD"


def test_no_work_is_called_for_while_it_is_shelved_and_the_decision_says_so(sensor: Sensor, maria: User) -> None:
    shelve(raised(sensor), maria)
    see(sensor, run=2, at=0, last=30, score=SEVERE)
    judge(sensor, run=2, clock=30)
    assert Alarm.objects.get().priority == "HIGH"
    assert not WorkOrder.objects.exists()
    assert list(Decision.objects.filter(run_id=2).values_list("action", "reason")) == [
        ("NONE", "shelved"), ("RAISED", "higher-priority"),
    ]  # fmt: skip


def test_another_failure_mode_of_the_machine_is_told_unless_all_of_it_is_shelved(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    hot = factories.sensor(machine=sensor.machine, kind="TEMPERATURE")
    shelve(alarm, maria)
    see(hot, run=2, at=5, kind="LIMIT_HIGH")
    judge(sensor, run=2, clock=5)
    modes = dict(hidden.with_state(Alarm.objects.all()).values_list("failure_mode", "state"))
    (other,) = modes.keys() - {alarm.failure_mode}
    assert (modes[alarm.failure_mode], modes[other], messages_of_run(2)) == ("SHLVD", "UNACK", ["alarm.opened"])
    shelve(alarm, maria, whole_machine=True)
    assert set(hidden.with_state(Alarm.objects.all()).values_list("state", flat=True)) == {"SHLVD"}


def test_an_alarm_that_opens_while_its_machine_is_shelved_is_hidden_from_the_start(sensor: Sensor, maria: User) -> None:
    shelve(raised(sensor), maria, whole_machine=True)
    hot = factories.sensor(machine=sensor.machine, kind="TEMPERATURE")
    see(hot, run=2, at=5, kind="LIMIT_HIGH")
    judge(sensor, run=2, clock=5)
    assert set(hidden.with_state(Alarm.objects.all()).values_list("state", flat=True)) == {"SHLVD"}
    assert messages_of_run(2) == []


# Its end


def test_an_active_alarm_is_unacknowledged_again_and_told_when_it_is_unshelved(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    alarms.acknowledge(alarm.pk, actor=maria, now=NOON)
    row = shelve(alarm, maria)
    suppressions.unshelve(row.pk, actor=maria, comment="Cable fixed", now=NOON + HOUR)
    alarm.refresh_from_db()
    assert (alarm.is_acknowledged, alarm.acknowledged_by, state(alarm)) == (False, None, "UNACK")
    last = AlarmTransition.objects.latest("id")
    assert (last.action, last.actor, last.comment, last.at) == ("UNSHELVED", maria, "Cable fixed", NOON + HOUR)
    assert (sent(), sent()) == (["alarm.unshelved"], ["alarm.unshelved"])
    message = Notification.objects.get()
    assert (message.payload["remark"], message.run_id) == ("Cable fixed", None)
    assert Event.objects.get(type="suppression.ended").actor == "maria"
    with pytest.raises(suppressions.NotShelved):
        suppressions.unshelve(row.pk, actor=maria)


def test_an_alarm_that_returned_meanwhile_is_not_told_and_stays_to_be_seen(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    shelve(alarm, maria)
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    suppressions.unshelve_alarm(alarm.pk, actor=maria)
    assert (state(alarm), sent(), actions()[-1]) == ("RTNUN", [], "UNSHELVED")


def test_the_sweep_ends_a_shelving_when_its_time_is_up_and_tells(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    row = shelve(alarm, maria, now=timezone.now())
    sweeper.sweep()
    assert state(alarm) == "SHLVD"
    past = timezone.now() - MINUTE
    Suppression.objects.update(from_at=past - HOUR, until=past, notice_at=None)
    sweeper.sweep()
    row.refresh_from_db()
    assert (row.ended_at is not None, row.ended_by, row.end_reason) == (True, None, "Its time is up.")
    assert state(alarm) == "UNACK"
    assert list(Notification.objects.values_list("event_type", "status")) == [("alarm.unshelved", "PENDING")]
    sweeper.sweep()
    assert Notification.objects.count() == 1


def test_it_is_said_once_shortly_before_the_end_if_the_alarm_is_active(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    row = shelve(alarm, maria)
    soon = NOON + 2 * HOUR - 10 * MINUTE
    assert suppressions.ending_soon(now=soon - MINUTE) == []
    assert suppressions.ending_soon(now=soon) == [row.pk]
    assert (suppressions.say_soon(row.pk, now=soon), suppressions.say_soon(row.pk, now=soon)) == (1, 0)
    assert suppressions.ending_soon(now=soon) == []
    assert sent() == ["alarm.unshelves_soon"]
    message = Notification.objects.get()
    assert message.subject_line.startswith("[LOW] Shelving ends soon: ")
    assert message.payload["remark"] == "Hidden until 2026-03-01 14:00 UTC by maria: Sensor cable is loose"
    assert state(alarm) == "SHLVD"


def test_nothing_is_said_before_the_end_of_a_shelving_while_work_hides_the_alarm_too(
    sensor: Sensor, maria: User
) -> None:
    alarm = raised(sensor)
    row = shelve(alarm, maria)
    order = in_progress(sensor, maria)
    assert suppressions.say_soon(row.pk, now=NOON + 2 * HOUR - MINUTE) == 0
    assert suppressions.expire(row.pk, now=NOON + 2 * HOUR)
    assert (state(alarm), sent()) == ("OOSRV", [])
    order_steps.complete(order.pk, actor=maria, findings="Worn")
    assert (state(alarm), sent()) == ("UNACK", ["alarm.back_in_service"])


def subscriber(sensor: Sensor, name: str, **asked: Any) -> Channel:
    """Somebody's channel, with a subscription."""
    reader = Reader.objects.create(site=sensor.site, user=factories.user(site=sensor.site, username=name))
    Subscription.objects.create(site=sensor.site, reader=reader, **asked)
    return Channel.objects.create(site=sensor.site, kind="CONSOLE", name=name, reader=reader)


def test_the_notice_before_the_end_goes_to_those_who_subscribed_it(sensor: Sensor, maria: User) -> None:
    line = factories.machine(site=sensor.site, level="LINE")
    Equipment.objects.filter(pk=sensor.machine_id).update(parent=line)
    subscriber(sensor, "all")
    subscriber(sensor, "line", equipment=line, kinds=["alarm.unshelves_soon"])
    subscriber(sensor, "elsewhere", equipment=factories.machine(site=sensor.site))
    subscriber(sensor, "opened", kinds=["alarm.opened"])
    subscriber(sensor, "critical", lowest_priority="CRITICAL")
    row = shelve(raised(sensor), maria)
    suppressions.say_soon(row.pk, now=NOON + 2 * HOUR - MINUTE)
    shelves.tell()
    told = Notification.objects.filter(event_type="alarm.unshelves_soon").values_list("channel__name", flat=True)
    assert sorted(told) == ["all", "line", "log"]


def test_what_is_hidden_is_told_to_nobody_whatever_is_subscribed(sensor: Sensor, maria: User) -> None:
    subscriber(sensor, "all")
    subscriber(sensor, "each kind", equipment=sensor.machine, kinds=list(KINDS))
    alarm = raised(sensor)
    assert messages_of_run(1) == ["alarm.opened"] * 3
    shelve(alarm, maria)
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    see(sensor, run=3, at=30, score=SEVERE)
    judge(sensor, run=3, clock=30)
    assert actions() == ["OPENED", "SHELVED", "RETURNED", "REOPENED"]
    assert (messages_of_run(2), messages_of_run(3), sent()) == ([], [], [])


def test_nothing_is_said_before_the_end_of_what_is_over_or_was_shelved_for_less(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    short = shelve(alarm, maria, hours=1 / 12)
    assert short.notice_at is None
    suppressions.unshelve(short.pk, actor=maria)
    row = shelve(alarm, maria)
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    assert suppressions.say_soon(row.pk, now=NOON + 2 * HOUR) == 0
    assert "UNSHELVES_SOON" not in actions()


def test_a_one_shot_ends_when_the_alarm_has_returned(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    row = shelve(alarm, maria, one_shot=True)
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    row.refresh_from_db()
    assert (row.end_reason, state(alarm)) == ("The alarm has returned to normal.", "RTNUN")
    see(sensor, run=3, at=30)
    judge(sensor, run=3, clock=30)
    assert (state(alarm), messages_of_run(3)) == ("UNACK", ["alarm.reopened"])


def test_what_came_back_in_the_run_that_ended_a_one_shot_is_told(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    shelve(alarm, maria, one_shot=True)
    see(sensor, run=2, at=0, ended=10)
    see(sensor, run=2, at=30)
    judge(sensor, run=2, clock=40)
    assert (state(alarm), messages_of_run(2), sent()) == ("UNACK", [], ["alarm.unshelved"])


def test_a_timed_one_outlasts_the_return(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    shelve(alarm, maria)
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    assert state(alarm) == "SHLVD"


def test_shelving_wants_a_reason_and_an_end_that_policy_allows(sensor: Sensor, maria: User, settings: Settings) -> None:
    settings.SHELVE_MAX_HOURS = 8
    alarm = raised(sensor)
    usual: dict[str, Any] = {"actor": maria, "reason": "Loose", "until": NOON + HOUR, "now": NOON}
    for wrong, refusal in (
        ({"reason": " "}, suppressions.NoReason),
        ({"until": NOON}, suppressions.NoEnd),
        ({"until": NOON + 9 * HOUR}, suppressions.TooLong),
        ({"one_shot": True, "whole_machine": True}, suppressions.NotOneShot),
    ):
        with pytest.raises(refusal):
            suppressions.shelve(alarm.pk, **usual | wrong)
    assert not Suppression.objects.exists()
    suppressions.shelve(alarm.pk, **usual)
    with pytest.raises(suppressions.AlreadyShelved):
        suppressions.shelve(alarm.pk, **usual)


def test_an_alarm_that_is_over_cannot_be_shelved_until_it_returns(sensor: Sensor, maria: User) -> None:
    see(sensor, run=1, at=0, ended=10)
    judge(sensor, run=1, clock=20)
    with pytest.raises(suppressions.NotOneShot):
        shelve(Alarm.objects.get(), maria, one_shot=True)
    shelve(Alarm.objects.get(), maria)


@pytest.mark.parametrize("wrong", [{"until": None}, {"reason": ""}, {"until": NOON}, {"kind": "WHIM"}])
def test_the_database_lets_nothing_be_hidden_without_reason_and_end(sensor: Sensor, wrong: dict[str, Any]) -> None:
    row = Suppression(
        **{
            "site": sensor.site, "machine": sensor.machine, "kind": "BY_DESIGN", "reason": "Start-up", "from_at": NOON,
            "until": NOON + HOUR,
        }
        | wrong
    )  # fmt: skip
    with pytest.raises(IntegrityError, match="suppression_"), transaction.atomic():
        suppressions.begin(row)


def test_what_is_suppressed_by_design_is_named_so_and_comes_back(sensor: Sensor) -> None:
    alarm = raised(sensor)
    row = Suppression(
        site=sensor.site, machine=sensor.machine, kind="BY_DESIGN", reason="Start-up", from_at=NOON, until=NOON + HOUR
    )
    with transaction.atomic():
        suppressions.begin(row)
    assert state(alarm) == "DSUPR"
    assert suppressions.expire(row.pk, now=NOON + HOUR)
    assert (state(alarm), actions()[-2:], sent()) == ("UNACK", ["SUPPRESSED", "UNSUPPRESSED"], ["alarm.unsuppressed"])


# After it


def test_work_that_was_withheld_is_called_for_when_the_alarm_is_shown_again(sensor: Sensor, maria: User) -> None:
    row = shelve(raised(sensor), maria)
    see(sensor, run=2, at=0, last=30, score=SEVERE)
    judge(sensor, run=2, clock=30)
    suppressions.unshelve(row.pk, actor=maria)
    judge(sensor, run=3, clock=40)
    order = WorkOrder.objects.get()
    assert (order.priority, order.alarm, order.occurrences) == ("HIGH", Alarm.objects.get(), 1)
    assert Decision.objects.get(action="ORDER_OPENED").reason == "suppression-ended"
    assert "work-order.opened" in messages_of_run(3)
    order_steps.cancel(order.pk, actor=maria, comment="Not now")
    judge(sensor, run=4, clock=50)
    assert WorkOrder.objects.count() == 1


def test_a_person_who_cancelled_the_order_is_not_overruled_by_a_shelving(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor, score=SEVERE)
    order_steps.cancel(WorkOrder.objects.get().pk, actor=maria, comment="Not now")
    suppressions.unshelve(shelve(alarm, maria).pk, actor=maria)
    judge(sensor, run=2, clock=40)
    assert WorkOrder.objects.count() == 1


def test_a_fault_of_an_instrument_waits_while_its_machine_is_out_of_service(sensor: Sensor, maria: User) -> None:
    order = in_progress(sensor, maria)
    for run, (kind, ended) in enumerate((("STUCK", None), ("SPIKE", 5)), start=1):
        fault = sightings.fault(
            sensor_id=sensor.pk, kind=kind, started_at=NOON_US, last_at=NOON_US + 1, readings=1, detail=""
        )
        anomalies.record([fault], run_id=run)
        if ended:
            sensor.anomalies.filter(kind=kind).update(ended_at=NOON + ended * MINUTE)
        judge(sensor, run=run, clock=0)
        judge(sensor, run=run + 10, clock=0)
    assert WorkOrder.objects.count() == 1
    assert list(Decision.objects.values_list("action", "reason")) == [("NONE", "out-of-service")] * 2
    order_steps.complete(order.pk, actor=maria, findings="Done")
    judge(sensor, run=30, clock=0)
    made = WorkOrder.objects.get(maintenance_type="INSTRUMENTATION")
    assert ("STUCK" in made.description, made.occurrences) == (True, 1)


# By the work order


def test_work_in_progress_takes_the_machines_alarms_out_of_service(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    order = in_progress(sensor, maria)
    assert state(alarm) == "OOSRV"
    row = Suppression.objects.get()
    assert (row.kind, row.failure_mode, row.until, row.work_order) == ("OUT_OF_SERVICE", "", None, order)
    see(sensor, run=2, at=0, last=30, score=SEVERE)
    judge(sensor, run=2, clock=30)
    assert messages_of_run(2) == []
    assert Decision.objects.filter(reason="out-of-service").count() == 1
    assert WorkOrder.objects.count() == 1


@pytest.mark.parametrize("ending", ["complete", "cancel"])
def test_the_end_of_the_work_brings_all_back_by_itself(sensor: Sensor, maria: User, ending: str) -> None:
    alarm = raised(sensor)
    alarms.acknowledge(alarm.pk, actor=maria)
    order = in_progress(sensor, maria)
    if ending == "complete":
        order_steps.complete(order.pk, actor=maria, findings="Bearing replaced")
    else:
        order_steps.cancel(order.pk, actor=maria, comment="No spare part")
    row = Suppression.objects.get()
    assert (row.ended_by, state(alarm), actions()[-2:]) == (maria, "UNACK", ["OUT_OF_SERVICE", "BACK_IN_SERVICE"])
    assert (sent(), str(order) in row.end_reason) == (["alarm.back_in_service"], True)


def test_work_and_its_suppression_stand_or_fall_together(sensor: Sensor, maria: User) -> None:
    order = in_progress(sensor, maria)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        order_steps.complete(order.pk, actor=maria, findings="Done")
        raise ZeroDivisionError
    order.refresh_from_db()
    assert (order.status, Suppression.objects.get().ended_at) == ("IN_PROGRESS", None)


def test_a_machine_with_two_works_is_back_with_the_end_of_the_second(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    first, second = in_progress(sensor, maria), in_progress(sensor, maria, failure_mode="OHE")
    order_steps.complete(first.pk, actor=maria, findings="Done")
    assert (state(alarm), sent()) == ("OOSRV", [])
    order_steps.complete(second.pk, actor=maria, findings="Done")
    assert (state(alarm), sent()) == ("UNACK", ["alarm.back_in_service"])


def test_an_alarm_that_is_hidden_twice_is_told_when_the_last_of_it_ends(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    alarms.acknowledge(alarm.pk, actor=maria)
    row = shelve(alarm, maria)
    order = in_progress(sensor, maria)
    assert state(alarm) == "OOSRV"
    order_steps.cancel(order.pk, actor=maria, comment="No spare part")
    alarm.refresh_from_db()
    assert (state(alarm), alarm.is_acknowledged, sent()) == ("SHLVD", True, [])
    assert suppressions.expire(row.pk, now=NOON + 2 * HOUR)
    assert (state(alarm), sent()) == ("UNACK", ["alarm.unshelved"])


def test_an_order_that_never_began_hides_nothing_and_brings_nothing_back(sensor: Sensor, maria: User) -> None:
    raised(sensor, score=SEVERE)
    order_steps.cancel(WorkOrder.objects.get().pk, actor=maria, comment="Not now")
    assert (Suppression.objects.count(), actions()) == (0, ["OPENED"])


# People


def test_an_acknowledgement_is_taken_back_with_a_comment(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    with pytest.raises(alarms.NotAcknowledged):
        alarms.unacknowledge(alarm.pk, actor=maria, comment="x")
    alarms.acknowledge(alarm.pk, actor=maria)
    with pytest.raises(alarms.NoComment):
        alarms.unacknowledge(alarm.pk, actor=maria, comment=" ")
    alarms.unacknowledge(alarm.pk, actor=maria, comment="Called to another machine", now=NOON)
    alarm.refresh_from_db()
    assert (alarm.is_acknowledged, alarm.acknowledged_by, alarm.acknowledged_at, state(alarm)) == (
        False, None, None, "UNACK",
    )  # fmt: skip
    last = AlarmTransition.objects.latest("id")
    assert (last.action, last.actor, last.comment) == ("UNACKNOWLEDGED", maria, "Called to another machine")


def test_an_alarm_is_given_to_somebody_who_works_in_its_site(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    stranger = factories.user(site=factories.site())
    with pytest.raises(order_roles.NotAWorker):
        alarms.assign(alarm.pk, actor=maria, assignee=stranger)
    alarms.assign(alarm.pk, actor=maria, assignee=maria, comment="You know the pump.")
    alarm.refresh_from_db()
    assert (alarm.assigned_to, AlarmTransition.objects.latest("id").comment) == (maria, "To maria. You know the pump.")
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    alarms.acknowledge(alarm.pk, actor=maria)
    with pytest.raises(alarms.NotOpen):
        alarms.assign(alarm.pk, actor=maria, assignee=maria)


# The state, in SQL as in the pure table


def test_the_state_in_the_database_is_that_of_the_pure_function(sensor: Sensor) -> None:
    stand = {"site": sensor.site, "kind": "SHELVED", "reason": "x", "from_at": NOON, "until": NOON + HOUR}
    for active, acknowledged, *kinds in itertools.product((True, False), (True, False), *[list(Kind)] * 2):
        machine = factories.machine(site=sensor.site)
        for n, kind in enumerate(kinds):
            if kind:
                Suppression.objects.create(**stand | {"machine": machine, "kind": kind, "failure_mode": ("LOO", "")[n]})
        alarm = Alarm.objects.create(
            site=sensor.site, machine=machine, sensor=sensor, failure_mode="LOO", priority="LOW", raised_at=NOON,
            is_active=active, is_acknowledged=acknowledged,
        )  # fmt: skip
        found = hidden.of(hidden.standing([machine.pk]), machine.pk, "LOO")
        assert found == min(kinds, key=alarm_life.STRENGTH.index)
        wanted = alarm_life.state_of(active=active, acknowledged=acknowledged, suppression=found)
        assert state(alarm) == wanted
        rows = hidden.with_state(Alarm.objects.filter(pk=alarm.pk))
        assert [s.value for s in alarm_life.State if hidden.in_state(rows, s.value).exists()] == [wanted]


# Races and deaths


def test_a_death_between_the_end_and_its_message_loses_neither(sensor: Sensor, maria: User) -> None:
    row = shelve(raised(sensor), maria)
    assert suppressions.expire(row.pk, now=NOON + 2 * HOUR)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        assert len(shelves.tell()) == 1
        raise ZeroDivisionError
    assert not Notification.objects.exists()
    assert sent() == ["alarm.unshelved"]


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_that_race_end_a_shelving_once(sensor: Sensor, maria: User) -> None:
    row = shelve(raised(sensor), maria)
    ended: list[bool] = []
    with transaction.atomic():
        ended.append(suppressions.expire(row.pk, now=NOON + 2 * HOUR))
        thread, errors = in_thread(lambda: ended.append(suppressions.expire(row.pk, now=NOON + 2 * HOUR)))
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, ended) == ([], [True, False])
    assert actions() == ["OPENED", "SHELVED", "UNSHELVED"]
    assert len(shelves.tell()) == 1


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_that_tell_at_once_tell_once(sensor: Sensor, maria: User) -> None:
    suppressions.unshelve(shelve(raised(sensor), maria).pk, actor=maria)
    with transaction.atomic():
        assert len(shelves.tell()) == 1
        thread, errors = in_thread(shelves.tell)
        thread.join(10)
    assert (errors, Notification.objects.count()) == ([], 1)


@pytest.mark.django_db(transaction=True)
def test_who_shelves_during_a_finish_waits_for_it_and_hides_what_it_opened(sensor: Sensor, maria: User) -> None:
    alarm = raised(sensor)
    clocks: dict[int, int | None] = {sensor.machine_id: NOON_US}
    with transaction.atomic():
        alarms.situations(clocks, clocks=clocks, lock=True)
        thread, errors = in_thread(lambda: shelve(alarm, maria))
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, state(alarm)) == ([], "SHLVD")


def test_an_idle_pass_costs_ten_short_questions(sensor: Sensor) -> None:
    with CaptureQueriesContext(connection) as queries:
        shelves.look()
    asked = [q["sql"] for q in queries if not q["sql"].startswith(("SAVEPOINT", "RELEASE"))]
    assert len(asked) == 10


def test_refusals_are_sentences() -> None:
    for refusal in (suppressions.NoReason, suppressions.AlreadyShelved, alarms.NotOpen, alarms.NotAcknowledged):
        assert issubclass(refusal, Refused)
        assert str(refusal()).endswith(".")
