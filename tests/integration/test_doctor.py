"""The doctor on real failures: what it does about them, what it writes down, and that it never goes on for ever."""

from __future__ import annotations

import faulthandler
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import close_old_connections, connection, connections, transaction
from django.utils import timezone
from pytest_django import Settings

from agents import (
    case_life,
    cases,
    dead_letters,
    diagnosis,
    doctor,
    failpoints,
    pipeline,
    quarantine,
    releases,
    remedies,
    throttles,
)
from agents.diagnosis import PLANS, Remedy
from agents.doorbell import Bell
from agents.models import Case, Release, Run, Throttle
from sensors.models import BatchPart, Event, Reading, Sensor
from tests import factories, faults, workers
from tests.faults import Step, send, sensors, stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_empty")]

POISON = 66.125


def validating(fault: Callable[[], object]) -> Step:
    """Validate, with a fault before it."""
    return faults.before("VALIDATE", fault)


def unreachable() -> None:
    raise ConnectionRefusedError("the model store")


def fail_all(step: Step, count: int = 3) -> Case:
    """Runs of as many lanes that failed for good of one cause."""
    for sensor in sensors(count):
        send(sensor, [1.0, 2.0])
    with stage("VALIDATE", step):
        workers.recover()
    assert Run.objects.filter(status="FAILED").count() == count
    return Case.objects.get()


def look(times: int = 1) -> None:
    """The doctor looks when everything is due, and nobody works in between."""
    for _ in range(times):
        long_ago = timezone.now() - timedelta(seconds=1)
        Case.objects.update(due_at=long_ago)
        doctor.look_round()


def statuses() -> list[str]:
    return sorted(Run.objects.values_list("status", flat=True))


def reasons(case: Case) -> list[str]:
    return list(case.transitions.values_list("reason", flat=True))


def steps(case: Case) -> list[str]:
    return list(case.transitions.values_list("to_status", flat=True))


def test_after_a_dependency_is_back_one_run_is_tried_and_the_rest_follows() -> None:
    case = fail_all(validating(unreachable))
    look()
    case.refresh_from_db()
    assert (case.status, case.likely_cause, case.rule) == ("REMEDIATING", "DEPENDENCY", "unreachable")
    assert statuses() == ["FAILED"] * 3
    look()
    assert statuses() == ["FAILED", "FAILED", "REPLAY"]
    look(5)
    assert statuses() == ["FAILED", "FAILED", "REPLAY"]
    workers.recover()
    look()
    assert statuses() == ["DONE", "REPLAY", "REPLAY"]
    workers.recover()
    look()
    case.refresh_from_db()
    assert (case.status, case.helped, case.attempts) == ("RESOLVED", True, 1)
    assert Reading.objects.filter(sensor__in=Sensor.objects.all()).count() == 6
    assert steps(case) == ["OPEN", "INVESTIGATING", "REMEDIATING", "REMEDIATING", "REMEDIATING", "RESOLVED"]
    assert "Replays the other 2" in reasons(case)[-2]
    assert set(case.transitions.values_list("actor", flat=True)) == {"doctor"}
    assert Event.objects.filter(type="run.replayed", actor="doctor").count() == 3
    assert Event.objects.filter(type="case.resolved").count() == 1


def test_it_waits_longer_after_each_trial_and_asks_a_person_in_the_end() -> None:
    case = fail_all(validating(unreachable), 2)
    waits, replays = [], 0
    with stage("VALIDATE", validating(unreachable)):
        for _ in range(40):
            look()
            workers.recover()
            case.refresh_from_db()
            if case.helped is False and case.trial_id is None and case.status == "REMEDIATING":
                waits.append(round((case.due_at - timezone.now()).total_seconds()))
            replays = Event.objects.filter(type="run.replayed").count()
    plan = PLANS[Remedy.WAIT_AND_RETRY]
    assert (case.status, case.helped, case.attempts, case.trial_id) == ("FAILED", False, plan.trials, None)
    assert replays == plan.trials
    assert waits == sorted(waits)
    assert waits[-1] > 1_000
    assert statuses() == ["FAILED"] * 2
    assert "A person is asked" in reasons(case)[-1]
    assert Event.objects.filter(type="case.needs_person").count() == 1


def test_a_bug_is_not_replayed_before_another_version_runs_and_then_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken() -> None:
        raise AttributeError("'NoneType' object has no attribute 'median'")

    case = fail_all(validating(mistaken), 2)
    look(20)
    case.refresh_from_db()
    assert (case.status, case.likely_cause, case.remedy) == ("REMEDIATING", "BUG", "AFTER_NEW_VERSION")
    assert statuses() == ["FAILED"] * 2
    assert len(steps(case)) == 3
    monkeypatch.setattr(releases, "current", lambda: "the-fix")
    look()
    workers.recover()
    look()
    workers.recover()
    look()
    case.refresh_from_db()
    assert (case.status, case.helped) == ("RESOLVED", True)
    assert statuses() == ["DONE"] * 2
    assert Release.objects.filter(version="the-fix").exists()


def test_a_version_that_does_not_fix_it_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken() -> None:
        raise AttributeError("'NoneType' object has no attribute 'median'")

    case = fail_all(validating(mistaken), 1)
    look()
    monkeypatch.setattr(releases, "current", lambda: "no-fix")
    with stage("VALIDATE", validating(mistaken)):
        for _ in range(12):
            look()
            workers.recover()
    case.refresh_from_db()
    assert (case.status, case.attempts, case.helped, case.version) == ("REMEDIATING", 1, False, "no-fix")
    assert Event.objects.filter(type="run.replayed").count() == 1


def alter(what: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE mlops_machinestate {what}")


@contextmanager
def altered(change: str, undo: str) -> Iterator[None]:
    """The table of machine states is another one meanwhile."""
    alter(change)
    try:
        yield
    finally:
        alter(undo)


@contextmanager
def a_migration_waits() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'mlops' RETURNING name, applied")
        taken = cursor.fetchall()
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO django_migrations (app, name, applied) VALUES ('mlops', %s, %s)", taken)


def test_what_misses_a_column_is_replayed_when_the_migrations_are_applied() -> None:
    (sensor,) = sensors(1)
    send(sensor, [1.0, 2.0])
    with a_migration_waits():
        with altered("RENAME COLUMN memory TO memory_of_old", "RENAME COLUMN memory_of_old TO memory"):
            workers.recover()
            look(5)
            case = Case.objects.get()
            assert (case.likely_cause, case.rule, case.remedy) == (
                "SCHEMA", "undefined-in-database", "AFTER_MIGRATION",
            )  # fmt: skip
            assert case.evidence["condition"] == "UndefinedColumn"
            assert case.evidence["migrations_pending"]
        look(5)
        assert statuses() == ["FAILED"]
    look()
    workers.recover()
    look()
    case.refresh_from_db()
    assert (case.status, case.helped) == ("RESOLVED", True)
    assert Reading.objects.filter(sensor=sensor).count() == 2


def test_what_cannot_be_decoded_stays_set_aside_and_a_person_is_asked() -> None:
    (sensor,) = sensors(1)
    lane = send(sensor, [1.0])
    sensor.site.batches.get().parts.update(columns=b"nonsense")
    send(sensor, [2.0], first=1)
    workers.work([Bell("ingest", lane)])
    workers.recover()
    look(10)
    case = Case.objects.get()
    assert (case.status, case.likely_cause, case.rule, case.attempts) == ("FAILED", "PAYLOAD", "refused", 0)
    assert statuses() == ["DONE", "FAILED"]
    assert not Event.objects.filter(type="run.replayed").exists()
    assert Event.objects.get(type="case.needs_person").site_id == sensor.site_id


def test_a_client_that_floods_with_what_nobody_can_use_is_slowed_down_for_a_while() -> None:
    (sensor,) = sensors(1)
    sender = factories.user(site=sensor.site, role="INGEST")
    for n in range(diagnosis.FLOOD):
        lane = send(sensor, [1.0], first=n)
    sensor.site.batches.update(submitted_by=sender)
    BatchPart.objects.update(columns=b"nonsense")
    workers.work([Bell("ingest", lane)])
    workers.recover()
    look(10)
    case = Case.objects.get()
    assert (case.status, case.rule, case.remedy) == ("FAILED", "one-client-floods", "THROTTLE")
    throttle = Throttle.objects.get()
    assert (throttle.user, throttle.case, throttle.readings_per_second) == (sender, case, 10)
    assert throttle.until - throttle.created_at == throttles.LASTS
    assert "10 readings a second" in reasons(case)[-1]


def test_what_runs_out_of_memory_is_tried_again_once() -> None:
    def eat() -> None:
        raise MemoryError

    case = fail_all(validating(eat), 1)
    with stage("VALIDATE", validating(eat)):
        for _ in range(10):
            look()
            workers.recover()
    case.refresh_from_db()
    assert (case.status, case.likely_cause, case.attempts, case.helped) == ("FAILED", "RESOURCE", 1, False)
    assert Event.objects.filter(type="run.replayed").count() == 1


def test_one_poison_value_among_many_is_the_payloads_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    made = sensors(3)
    for sensor in made:
        send(sensor, [1.0, POISON if sensor is made[1] else 2.0])
    workers.recover(environment={failpoints.POISON: f"VALIDATE:raise:{POISON}"})
    look()
    case = Case.objects.get()
    assert (case.status, case.likely_cause, case.rule) == ("FAILED", "PAYLOAD", "spares-the-rest")


def test_a_column_the_code_does_not_know_makes_it_wait_for_newer_code() -> None:
    (sensor,) = sensors(1)
    send(sensor, [1.0])
    with altered("ADD COLUMN more integer NOT NULL", "DROP COLUMN more"):
        workers.recover()
    look(2)
    case = Case.objects.get()
    assert (case.likely_cause, case.rule, case.remedy) == ("SCHEMA", "column-unknown-to-code", "AFTER_NEW_VERSION")


def in_quarantine() -> Run:
    (bell,) = pipeline.begin(send(sensors(1)[0], [1.0, 2.0])).bells
    Run.objects.filter(pk=bell.id).update(status="QUARANTINE", quarantines=1)
    return Run.objects.get()


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        (lambda: time.sleep(60), "out-of-time"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "killed"),
        (lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)), "crashed"),  # without its last words
        (lambda: os._exit(3), "crashed"),
    ],
)
def test_how_a_trial_died_is_understood(fault: Callable[[], object], rule: str, settings: Settings) -> None:
    settings.CELERY_TASK_SOFT_TIME_LIMIT = 1
    quarantine.search(in_quarantine().pk, steps={"VALIDATE": validating(fault)})
    look(2)
    assert Case.objects.get().rule == rule


def test_a_search_whose_workers_were_killed_is_understood() -> None:
    run = in_quarantine()
    Run.objects.filter(pk=run.pk).update(attempts=quarantine.MOST_DEATHS)
    quarantine.search(run.pk, steps=faults.OURS)
    look(2)
    assert Case.objects.get().rule == "killed"


@pytest.mark.parametrize(
    ("fault", "rule"),
    [(lambda: os.kill(os.getpid(), signal.SIGKILL), "workers-lost"), (lambda: 1 / 0, "not-reproducible")],
)
def test_what_passes_every_trial_is_understood(fault: Callable[[], object], rule: str) -> None:
    send(sensors(1)[0], [1.0, 2.0])
    with stage("VALIDATE", faults.in_its_lane("VALIDATE", fault)):
        workers.recover()
    look(2)
    assert Case.objects.get().rule == rule


# People


def test_a_person_replays_all_and_the_case_ends_when_they_came_through() -> None:
    case = fail_all(validating(unreachable), 2)
    assert remedies.replay(case.pk, actor="maria")
    assert statuses() == ["REPLAY"] * 2
    with pytest.raises(cases.NothingWaits):
        remedies.replay(case.pk, actor="maria")
    look(3)
    workers.recover()
    look()
    case.refresh_from_db()
    assert (case.status, case.remedy, case.helped) == ("RESOLVED", "PERSON", True)
    assert list(case.transitions.values_list("to_status", "actor")) == [
        ("OPEN", "doctor"), ("REMEDIATING", "maria"), ("RESOLVED", "doctor"),
    ]  # fmt: skip
    with pytest.raises(cases.NothingWaits):
        remedies.replay(case.pk, actor="maria")


def test_a_persons_trial_is_reported_and_the_rest_is_left_to_them() -> None:
    case = fail_all(validating(unreachable), 3)
    remedies.replay(case.pk, actor="maria", only_one=True)
    workers.recover()
    look(3)
    case.refresh_from_db()
    assert (case.status, case.helped) == ("FAILED", True)
    assert "2 of the same cause wait" in reasons(case)[-1]
    assert statuses() == ["DONE", "FAILED", "FAILED"]


def test_a_persons_replay_that_fails_again_asks_again() -> None:
    case = fail_all(validating(unreachable), 2)
    remedies.replay(case.pk, actor="maria")
    with stage("VALIDATE", validating(unreachable)):
        workers.recover()
        look(4)
    case.refresh_from_db()
    assert case.status == "FAILED"
    assert "2 failed again" in reasons(case)[-1]
    assert case.failures == 4


def test_discarding_all_ends_the_case_with_who_and_why() -> None:
    case = fail_all(validating(unreachable), 2)
    with pytest.raises(dead_letters.NotDiscardable, match="Say why"):
        remedies.discard(case.pk, actor="maria", reason=" ")
    assert statuses() == ["FAILED"] * 2
    assert remedies.discard(case.pk, actor="maria", reason="a test bench") == 2
    case.refresh_from_db()
    last = case.transitions.last()
    assert last is not None
    assert (case.status, last.actor, last.reason) == ("CANCELLED", "maria", "All 2 were discarded: a test bench")
    assert statuses() == ["DISCARDED"] * 2


def test_runs_discarded_one_by_one_end_the_case_too() -> None:
    case = fail_all(validating(unreachable), 2)
    for run in Run.objects.all():
        dead_letters.discard(run.pk, actor="maria", reason="a test bench")
    look()
    case.refresh_from_db()
    assert case.status == "CANCELLED"


def test_the_doctor_leaves_a_cancelled_case_alone() -> None:
    case = fail_all(validating(unreachable), 1)
    look()
    cases.cancel(case.pk, actor="maria", reason="the line is being rebuilt")
    look(5)
    assert statuses() == ["FAILED"]
    with pytest.raises(case_life.ForbiddenTransition):
        remedies.replay(case.pk, actor="maria")
    assert statuses() == ["FAILED"]


# Two doctors, and a doctor who is ill


def in_a_thread(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            close_old_connections()
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_two_doctors_at_once_replay_a_run_once() -> None:
    case = fail_all(validating(unreachable), 3)
    look()
    for _ in range(2):
        Case.objects.update(due_at=timezone.now() - timedelta(seconds=1))
        start = threading.Barrier(4)
        threads = [in_a_thread(lambda start=start: (start.wait(10), doctor.look_round())) for _ in range(4)]  # type: ignore[misc]
        for thread in threads:
            thread.join(30)
        workers.recover()
    look()
    case.refresh_from_db()
    assert (case.status, case.attempts) == ("RESOLVED", 1)
    assert Event.objects.filter(type="run.replayed").count() == 3
    assert steps(case) == ["OPEN", "INVESTIGATING", "REMEDIATING", "REMEDIATING", "REMEDIATING", "RESOLVED"]


def test_a_doctor_passes_by_a_case_that_another_holds() -> None:
    case = fail_all(validating(unreachable), 1)
    Case.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    with transaction.atomic():
        cases.lock(case.pk)
        thread = in_a_thread(doctor.look_round)
        thread.join(30)
        assert not thread.is_alive()
    case.refresh_from_db()
    assert case.status == "OPEN"


def test_a_case_the_doctor_cannot_handle_does_not_keep_the_others_waiting() -> None:
    fail_all(validating(unreachable), 1)
    odd = Case.objects.get()
    Case.objects.update(status="REMEDIATING", remedy="A_REMEDY_OF_LATER", due_at=timezone.now() - timedelta(hours=1))
    with stage("VALIDATE", validating(lambda: 1 / 0)):
        send(sensors(1)[0], [3.0])
        workers.recover()
    Case.objects.exclude(pk=odd.pk).update(due_at=timezone.now() - timedelta(minutes=1))
    doctor.look_round()
    odd.refresh_from_db()
    assert odd.due_at > timezone.now() + timedelta(minutes=4)
    assert Case.objects.exclude(pk=odd.pk).get().rule != ""


def test_the_command_looks_once_and_lists_what_is_open() -> None:
    out = StringIO()
    call_command("doctor", stdout=out)
    assert "No case is open" in out.getvalue()
    fail_all(validating(unreachable), 1)
    Case.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    call_command("doctor", stdout=out)
    assert "REMEDIATING    DEPENDENCY  unreachable" in out.getvalue()
