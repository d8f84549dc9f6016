"""People and the flow at the same alarm, on two real connections."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.db import connection, transaction

from agents import decide
from maintenance import alarms
from maintenance.models import Alarm
from sensors.columns import SECOND_US
from sensors.models import Equipment
from tests import factories
from tests.integration.test_alarms import NOON, actions, judge, see


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Run something on a connection of its own."""
    errors: list[BaseException] = []

    def body() -> None:
        try:
            work()
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=body)
    thread.start()
    return thread, errors


def waiting_for_a_lock() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")  # else the first answer stays for the whole transaction
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        return bool(cursor.fetchone()[0])


def wait_until_blocked(thread: threading.Thread) -> None:
    """Until the other connection waits for our lock; the statement in the loop is what takes the time."""
    for _ in range(20_000):
        if waiting_for_a_lock():
            return
        assert thread.is_alive(), "it did not wait for the lock"
    raise AssertionError("it never waited for the lock")


@pytest.mark.django_db(transaction=True)
def test_an_acknowledgement_between_the_work_and_its_finish_is_not_overwritten() -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    person = factories.user()
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    see(sensor, run=2, at=0, ended=10)
    clocks: dict[int, int | None] = {sensor.machine_id: NOON + 20 * SECOND_US}
    decide.decide(alarms.situations(clocks, clocks=clocks))
    thread, errors = in_thread(lambda: alarms.acknowledge(Alarm.objects.get().pk, actor=person))
    thread.join(10)
    with transaction.atomic():
        alarms.apply(decide.decide(alarms.situations(clocks, clocks=clocks, lock=True)), run_id=2)
    alarm = Alarm.objects.get()
    assert errors == []
    assert (alarm.is_acknowledged, alarm.acknowledged_by, alarm.is_active, alarm.is_open) == (
        True,
        person,
        False,
        False,
    )


@pytest.mark.django_db(transaction=True)
def test_an_acknowledgement_during_the_finish_waits_for_it_and_both_count() -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    person: User = factories.user()
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    see(sensor, run=2, at=0, ended=10)
    alarm_id = Alarm.objects.get().pk
    clocks: dict[int, int | None] = {sensor.machine_id: NOON + 20 * SECOND_US}
    with transaction.atomic():
        verdicts = decide.decide(alarms.situations(clocks, clocks=clocks, lock=True))
        thread, errors = in_thread(lambda: alarms.acknowledge(alarm_id, actor=person))
        wait_until_blocked(thread)
        alarms.apply(verdicts, run_id=2)
    thread.join(10)
    assert (errors, thread.is_alive()) == ([], False)
    assert not Alarm.objects.get().is_open
    assert actions() == ["OPENED", "RETURNED", "ACKNOWLEDGED"]


@pytest.mark.django_db(transaction=True)
def test_the_locks_of_a_finish_do_not_stop_others_from_storing_anomalies_of_the_machine() -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()))
    see(sensor, run=1, at=0)
    judge(sensor, run=1, clock=0)
    clocks: dict[int, int | None] = {sensor.machine_id: NOON}
    with transaction.atomic():
        alarms.situations(clocks, clocks=clocks, lock=True)
        thread, errors = in_thread(lambda: see(sensor, run=2, at=60))
        thread.join(10)
        assert (errors, thread.is_alive()) == ([], False)
    assert Equipment.objects.get().anomalies.count() == 2
