"""Escalations on the real database: they begin, go on and end; a step is taken once; nobody is told after an
acknowledgement."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date, datetime, time, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import RestrictedError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents import deliver, escalate, figures, sweeper, watchdog
from agents.audit import Kind
from maintenance import alarms, digests, escalations, hidden, links, on_call, suppressions
from maintenance.escalation_models import Call, Chain, ChainStep, Escalation, Override, Rota, Shift
from maintenance.models import Alarm, Channel, Notification, Reader
from maintenance.refusals import Refused
from sensors.models import Event, Sensor, Site
from tests import factories
from tests.factories import NOON
from tests.integration.test_alarm_locks import in_thread, wait_until_blocked
from tests.integration.test_alarms import judge, see

pytestmark = pytest.mark.django_db

MINUTE = timedelta(minutes=1)
SEVERE = 0.99


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site(time_zone="Europe/Lisbon")))


def person(site: Site, name: str, **fields: Any) -> Reader:
    made = Reader.objects.create(site=site, user=factories.user(site=site, username=name, password=None), **fields)
    Channel.objects.create(site=site, kind="EMAIL", name=f"{name} mail", target=f"{name}@example.org", reader=made)
    return made


def chain(site: Site, *steps: dict[str, Any], name: str = "Night", **fields: Any) -> Chain:
    made = Chain.objects.create(**{"site": site, "name": name, "lowest_priority": "LOW"} | fields)
    for number, step in enumerate(steps):
        ChainStep.objects.create(chain=made, position=number, **step)
    return made


def two_steps(site: Site) -> Chain:
    """Anna after five minutes, then Ben every three minutes, twice."""
    return chain(
        site,
        {"reader": person(site, "anna"), "after_minutes": 5},
        {"reader": person(site, "ben"), "after_minutes": 10, "times": 2, "every_minutes": 3},
    )


def raised(sensor: Sensor, *, run: int = 1, at: int = 0, **fields: Any) -> Alarm:
    see(sensor, run=run, at=at, **fields)
    judge(sensor, run=run, clock=at)
    return Alarm.objects.get(machine=sensor.machine, is_open=True)


def after(minutes: float) -> datetime:
    return NOON + minutes * MINUTE


def told() -> list[str]:
    rows = Notification.objects.filter(event_type="alarm.escalated").order_by("id")
    return list(rows.values_list("channel__name", flat=True))


def ended() -> list[str]:
    return list(Escalation.objects.order_by("id").values_list("ended", flat=True))


def test_while_nobody_acknowledges_one_after_the_other_is_told(sensor: Sensor) -> None:
    two_steps(sensor.site)
    alarm = raised(sensor)
    heard = []
    for minute in range(30):
        escalate.look(now=after(minute))
        escalate.look(now=after(minute))
        heard += [minute] * (len(told()) - len(heard))
    assert told() == ["anna mail", "ben mail", "ben mail"]
    assert heard == [5, 15, 18]
    assert ended() == ["RAN_OUT"]
    assert list(Call.objects.values_list("step", "time", "outcome", "whom")) == [
        (0, 1, "TOLD", "anna"), (1, 1, "TOLD", "ben"), (1, 2, "TOLD", "ben"),
    ]  # fmt: skip
    kinds = Event.objects.filter(type__startswith="escalation.").order_by("id").values_list("type", flat=True)
    assert list(kinds) == ["escalation.began", *["escalation.called"] * 3, "escalation.ended"]
    assert escalations.due(now=after(99)) == []
    assert Alarm.objects.get() == alarm


def test_the_message_says_what_an_alarm_message_does_and_how_long_nobody_acknowledged(sensor: Sensor) -> None:
    two_steps(sensor.site)
    raised(sensor, score=SEVERE)
    for minute in (0, 6, 16, 19):
        escalate.look(now=after(minute))
    first, *_, last = Notification.objects.filter(event_type="alarm.escalated").order_by("id")
    assert first.subject_line == f"[HIGH] Not acknowledged: {sensor.machine}, LOO"
    assert first.payload["evidence"]["observed"] == 1.0
    assert last.payload["escalation"] == {
        "chain": "Night", "step": 2, "steps": 2, "time": 2, "waited_minutes": 19,
    }  # fmt: skip
    assert links.of_message(last).keys() == {f"alarm/{Alarm.objects.get().pk}"}


def test_neither_quiet_hours_nor_a_digest_nor_a_limit_holds_it_back(sensor: Sensor) -> None:
    anna = person(sensor.site, "anna", quiet_from=time(0), quiet_until=time(23, 59), critical_at_once=False)
    Channel.objects.update(digest_minutes=60, lowest_priority="CRITICAL")
    chain(sensor.site, {"reader": anna, "after_minutes": 0})
    raised(sensor)
    escalate.look()
    message = Notification.objects.select_related("channel").get(event_type="alarm.escalated")
    assert message.admitted_at is not None
    assert not digests.concerns(message)
    sent: list[str] = []

    class Fake:
        def send(self, message: Any) -> str:
            sent.append(message.event_type)
            return "ok"

    assert deliver.deliver(message.pk, by={"EMAIL": Fake()}).result == "sent"
    assert sent == ["alarm.escalated"]


@pytest.mark.parametrize("swept", [True, False], ids=["seen by the sweep", "not seen before the step is due"])
@pytest.mark.parametrize("what", ["acknowledge", "return", "shelve"])
def test_what_takes_care_of_the_alarm_ends_it_before_the_step(sensor: Sensor, what: str, swept: bool) -> None:
    two_steps(sensor.site)
    alarm, maria = raised(sensor), factories.user(password=None, is_superuser=True)
    escalate.look(now=after(0))
    if what == "acknowledge":
        alarms.acknowledge(alarm.pk, actor=maria)
    elif what == "return":
        see(sensor, run=2, at=0, ended=10)
        judge(sensor, run=2, clock=20)
    else:
        suppressions.shelve(alarm.pk, actor=maria, reason="loose", until=after(60), now=NOON)
    if swept:
        escalate.look(now=after(1))
        assert not Escalation.objects.filter(ended_at=None).exists()
    escalate.look(now=after(9))
    assert told() == []
    assert ended() == [{"acknowledge": "ACKNOWLEDGED", "return": "RETURNED", "shelve": "HIDDEN"}[what]]


def test_each_new_activation_starts_anew_also_if_the_sweep_saw_nothing_in_between(sensor: Sensor) -> None:
    two_steps(sensor.site)
    alarm, maria = raised(sensor), factories.user(password=None, is_superuser=True)
    escalate.look(now=after(0))
    alarms.acknowledge(alarm.pk, actor=maria)
    alarms.unacknowledge(alarm.pk, actor=maria, comment="Called away")
    escalate.look(now=after(6))
    assert (ended(), told()) == (["ACKNOWLEDGED", ""], [])
    see(sensor, run=2, at=0, ended=10)
    judge(sensor, run=2, clock=20)
    see(sensor, run=3, at=30)
    judge(sensor, run=3, clock=30)
    escalate.look(now=after(12))
    assert (ended(), told()) == (["ACKNOWLEDGED", "RETURNED", ""], [])
    shelf = suppressions.shelve(alarm.pk, actor=maria, reason="loose", until=after(20), now=after(13))
    escalate.look(now=after(14))
    suppressions.expire(shelf.pk, now=after(21))
    escalate.look(now=after(22))
    assert ended() == ["ACKNOWLEDGED", "RETURNED", "HIDDEN", ""]
    escalate.look(now=after(27))
    assert told() == ["anna mail"]


def test_an_alarm_that_is_hidden_from_the_start_escalates_when_it_is_shown(sensor: Sensor) -> None:
    alarm, maria = raised(sensor), factories.user(password=None, is_superuser=True)
    shelf = suppressions.shelve(alarm.pk, actor=maria, reason="loose", until=after(20), now=NOON, whole_machine=True)
    two_steps(sensor.site)
    hot = factories.sensor(machine=sensor.machine, kind="TEMPERATURE")
    see(hot, run=2, at=5, kind="LIMIT_HIGH")
    judge(sensor, run=2, clock=5)
    assert escalations.due(now=after(1)) == []
    suppressions.expire(shelf.pk, now=after(20))
    assert sorted(escalations.due(now=after(20))) == sorted(Alarm.objects.values_list("id", flat=True))


def test_an_edit_of_the_chain_does_not_change_one_that_runs(sensor: Sensor) -> None:
    made = two_steps(sensor.site)
    raised(sensor)
    escalate.look(now=after(0))
    made.steps.all().delete()
    made.is_enabled = False
    made.save()
    for minute in (5, 15, 18, 40):
        escalate.look(now=after(minute))
    assert told() == ["anna mail", "ben mail", "ben mail"]
    made.delete()
    assert Escalation.objects.get().chain_name == "Night"


def test_the_chain_for_the_most_urgent_priority_is_responsible_and_takes_over_when_it_gets_worse(
    sensor: Sensor,
) -> None:
    two_steps(sensor.site)
    boss = Channel.objects.create(site=sensor.site, kind="CONSOLE", name="boss")
    chain(sensor.site, {"channel": boss, "after_minutes": 1}, name="Bosses", lowest_priority="HIGH")
    raised(sensor)
    escalate.look(now=after(0))
    see(sensor, run=2, at=0, last=30, score=SEVERE)
    judge(sensor, run=2, clock=30)
    escalate.look(now=after(1))
    escalate.look(now=after(2))
    assert list(Escalation.objects.order_by("id").values_list("chain_name", "ended")) == [
        ("Night", "RAISED"), ("Bosses", "RAN_OUT"),
    ]  # fmt: skip
    assert told() == ["boss"]


def test_without_a_chain_for_its_site_and_priority_nothing_escalates(sensor: Sensor) -> None:
    elsewhere = factories.site()
    chain(elsewhere, {"reader": person(elsewhere, "zoe"), "after_minutes": 0})
    chain(sensor.site, {"reader": person(sensor.site, "anna"), "after_minutes": 0}, lowest_priority="CRITICAL")
    chain(sensor.site, name="Empty", lowest_priority="LOW")
    raised(sensor)
    escalate.look(now=after(0))
    assert not Escalation.objects.exists()


def test_an_alarm_that_stood_before_the_chain_was_made_escalates(sensor: Sensor) -> None:
    raised(sensor)
    escalate.look(now=after(0))
    two_steps(sensor.site)
    escalate.look(now=after(60))
    assert ended() == [""]


def test_a_step_that_reaches_nobody_gives_way_and_says_why(sensor: Sensor) -> None:
    anna, ben = person(sensor.site, "anna"), person(sensor.site, "ben")
    rota = Rota.objects.create(site=sensor.site, name="Night shift")
    chain(
        sensor.site,
        {"rota": rota, "after_minutes": 0},
        {"reader": anna, "after_minutes": 60, "medium": "SERVICE"},
        {"reader": ben, "after_minutes": 60},
    )
    raised(sensor)
    for _ in range(4):
        escalate.look(now=after(0))
    assert told() == ["ben mail"]
    assert list(Call.objects.values_list("outcome", "whom")) == [
        ("NOBODY", "rota Night shift: nobody is on call"),
        ("NOBODY", "anna: no enabled channel leads there"),
        ("TOLD", "ben"),
    ]


def test_a_person_is_told_on_each_of_their_channels_and_at_one_mailbox_once(sensor: Sensor) -> None:
    anna = person(sensor.site, "anna")
    of = {"site": sensor.site, "reader": anna}
    Channel.objects.create(**of, kind="EMAIL", name="same", target="Anna@Example.org")
    Channel.objects.create(**of, kind="SERVICE", name="phone", target="ntfys", secret="ntfys://x/y")
    Channel.objects.create(**of, kind="CONSOLE", name="off", is_enabled=False)
    chain(sensor.site, {"reader": anna, "after_minutes": 0})
    raised(sensor)
    escalate.look(now=after(0))
    assert told() == ["anna mail", "phone"]


def test_whoever_is_on_call_when_the_step_is_taken_is_told(sensor: Sensor) -> None:
    anna, ben = person(sensor.site, "anna"), person(sensor.site, "ben")
    rota = Rota.objects.create(site=sensor.site, name="Night shift")
    chain(sensor.site, {"rota": rota, "after_minutes": 0, "times": None, "every_minutes": 60})
    days = {"first_on": date(2026, 2, 1), "days": 1, "every_days": 1}
    Shift.objects.create(rota=rota, reader=anna, starts=time(8), ends=time(12, 30), **days)
    Shift.objects.create(rota=rota, reader=ben, starts=time(12, 30), ends=time(8), **days)
    raised(sensor)
    escalate.look(now=after(0))
    Override.objects.create(rota=rota, reader=anna, from_at=after(100), until_at=after(180))
    escalate.look(now=after(60))
    escalate.look(now=after(120))
    assert told() == ["anna mail", "ben mail", "anna mail"]
    assert Call.objects.latest("id").whom == "anna, on call in Night shift"
    full = on_call.with_people(Rota.objects.all()).get()
    assert [str(reader) for reader in on_call.duty(full, at=after(181)).readers] == ["ben"]
    assert on_call.duty(full, at=after(110)).until == after(180)


def test_who_is_on_a_rota_or_in_a_chain_is_not_deleted_by_the_way(sensor: Sensor) -> None:
    two_steps(sensor.site)
    with pytest.raises(RestrictedError):
        Reader.objects.get(user__username="anna").delete()
    other = factories.site()
    two = chain(other, {"rota": Rota.objects.create(site=other, name="r"), "after_minutes": 0})
    other.delete()
    assert not Chain.objects.filter(pk=two.pk).exists()


def test_a_person_stops_it_with_a_reason_and_it_stays_stopped(sensor: Sensor) -> None:
    two_steps(sensor.site)
    alarm, maria = raised(sensor), factories.user(password=None, is_superuser=True, username="maria")
    escalate.look(now=after(0))
    running = Escalation.objects.get()
    with pytest.raises(escalations.NoReason):
        escalations.stop(running.pk, actor=maria, reason=" ")
    escalations.stop(running.pk, actor=maria, reason="It is the drill", now=after(1))
    with pytest.raises(escalations.NotRunning):
        escalations.stop(running.pk, actor=maria, reason="again")
    escalate.look(now=after(60))
    assert (ended(), told()) == (["STOPPED"], [])
    assert Event.objects.get(type="escalation.ended").actor == "maria"
    alarms.acknowledge(alarm.pk, actor=maria)
    alarms.unacknowledge(alarm.pk, actor=maria, comment="It is no drill")
    escalate.look(now=after(61))
    assert ended() == ["STOPPED", ""]


def test_a_sweep_that_dies_after_the_step_has_done_nothing_and_the_next_does_it_once(sensor: Sensor) -> None:
    two_steps(sensor.site)
    alarm = raised(sensor)
    escalate.look(now=after(0))
    with pytest.raises(InterruptedError), transaction.atomic():
        assert escalate.go_on(alarm.pk, now=after(5)) != []
        raise InterruptedError
    assert told() == []
    escalate.look(now=after(6))
    escalate.look(now=after(6))
    assert told() == ["anna mail"]


def test_an_alarm_that_cannot_be_dealt_with_holds_up_no_other(sensor: Sensor) -> None:
    two_steps(sensor.site)
    alarm = raised(sensor)
    raised(factories.sensor(machine=factories.machine(site=sensor.site)))
    escalate.look(now=after(0))
    Escalation.objects.filter(alarm=alarm).update(plan=[])
    escalate.look(now=after(5))
    assert told() == ["anna mail"]


@pytest.mark.django_db(transaction=True)
def test_two_sweeps_at_once_take_a_step_once() -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    two_steps(sensor.site)
    alarm = raised(sensor)
    escalate.look(now=after(0))
    with transaction.atomic():
        assert len(escalate.go_on(alarm.pk, now=after(5))) == 1
        thread, errors = in_thread(lambda: escalate.go_on(alarm.pk, now=after(5)))
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, told()) == ([], ["anna mail"])


@pytest.mark.django_db(transaction=True)
def test_an_acknowledgement_at_the_same_time_comes_first_or_after_and_never_in_between() -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    two_steps(sensor.site)
    alarm, maria = raised(sensor), factories.user(password=None, is_superuser=True)
    escalate.look(now=after(0))
    with transaction.atomic():
        alarms.acknowledge(alarm.pk, actor=maria)
        thread, errors = in_thread(lambda: escalate.look(now=after(5)))
        wait_until_blocked(thread)
    thread.join(10)
    assert (errors, told(), ended()) == ([], [], ["ACKNOWLEDGED"])


def test_the_database_itself_refuses_a_second_escalation_or_call(sensor: Sensor) -> None:
    two_steps(sensor.site)
    raised(sensor)
    escalate.look(now=after(0))
    escalate.look(now=after(5))
    row, call = Escalation.objects.get(), Call.objects.get()
    for again in (row, call):
        again.pk = None
        with pytest.raises(IntegrityError), transaction.atomic():
            again.save(force_insert=True)


def test_a_pass_asks_three_questions_where_nothing_is_due_however_many_stand(sensor: Sensor) -> None:
    two_steps(sensor.site)
    for _ in range(4):
        raised(factories.sensor(machine=factories.machine(site=sensor.site)))
    escalate.look(now=after(0))
    with CaptureQueriesContext(connection) as queries:
        escalate.look(now=after(1))
    assert len(queries) == 3


def test_the_sweep_looks(sensor: Sensor) -> None:
    chain(sensor.site, {"reader": person(sensor.site, "anna"), "after_minutes": 0})
    raised(sensor)
    sweeper.sweep()
    assert told() == ["anna mail"]


# The audit


def missing() -> tuple[Kind, ...]:
    return tuple(trouble.kind for trouble in watchdog.look())


def shift_back(minutes: float) -> None:
    """As if all of it had happened so long ago."""
    by = minutes * MINUTE
    for table in ("alarmtransition SET recorded_at = recorded_at", "chain SET changed_at = changed_at"):
        with connection.cursor() as cursor:
            cursor.execute(f"UPDATE maintenance_{table} - %s", [by])


def test_the_watchdog_finds_an_alarm_that_should_escalate_and_does_not(sensor: Sensor) -> None:
    two_steps(sensor.site)
    alarm, maria = raised(sensor), factories.user(password=None, is_superuser=True)
    assert missing() == ()
    shift_back(3)
    assert missing() == (Kind.MISSING_ESCALATIONS,)
    escalate.look()
    assert missing() == ()
    Escalation.objects.update(ended="RAN_OUT", ended_at=timezone.now(), due_at=None)
    assert missing() == ()
    alarms.acknowledge(alarm.pk, actor=maria)
    alarms.unacknowledge(alarm.pk, actor=maria, comment="why")
    shift_back(3)
    assert missing() == (Kind.MISSING_ESCALATIONS,)
    shelf = suppressions.shelve(
        alarm.pk, actor=maria, reason="loose", until=timezone.now() + MINUTE, now=timezone.now()
    )
    assert missing() == ()
    suppressions.unshelve(shelf.pk, actor=maria)
    shift_back(3)
    assert missing() == (Kind.MISSING_ESCALATIONS,)
    Chain.objects.update(lowest_priority="HIGH")
    assert missing() == ()


def test_the_watchdog_finds_a_step_that_is_overdue(sensor: Sensor) -> None:
    two_steps(sensor.site)
    raised(sensor)
    escalate.look()
    Escalation.objects.update(due_at=timezone.now() - 1.5 * MINUTE)
    assert missing() == ()
    Escalation.objects.update(due_at=timezone.now() - 3 * MINUTE)
    assert missing() == (Kind.OVERDUE_ESCALATIONS,)
    (figure,) = [figure for figure in figures.read() if figure.kind is Kind.OVERDUE_ESCALATIONS]
    assert (figure.count, 180 <= figure.oldest_seconds < 200) == (1, True)


def test_the_plan_is_kept_as_it_was(sensor: Sensor) -> None:
    two_steps(sensor.site)
    raised(sensor)
    escalate.look(now=after(0))
    row = Escalation.objects.get()
    assert row.plan == [asdict(step) for step in escalations.plan(row)]
    assert [step.name for step in escalations.plan(row)] == ["anna", "ben"]
    assert set(hidden.with_state(Alarm.objects.all()).values_list("state", flat=True)) == {"UNACK"}
    with pytest.raises(Refused):
        escalations.stop(row.pk, actor=factories.user(password=None), reason="")
