"""Periodic jobs: once in a period, whoever ticks; tried again after a failure and after a death."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection, connections
from django.db.models import F

from agents import jobs, timetable
from agents.jobs import Result
from agents.models import JobRun
from config.celery import app
from sensors.models import Site
from tests.integration.test_alarm_locks import in_thread

JOB = "make_partitions"
PERIOD = timedelta(days=5)
PROCESSES = 6
LIMIT_SECONDS = 20.0


@pytest.fixture(autouse=True)
def long_periods(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hardly ever does a period end while a test runs."""
    for job in timetable.PERIODS:
        monkeypatch.setitem(timetable.PERIODS, job, PERIOD)


def nothing() -> None:
    return None


def fail() -> None:
    raise ZeroDivisionError("no such day")


def ask(query: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def locks() -> int:
    """Advisory locks that sessions hold in this database."""
    return int(ask("SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
                   " WHERE locktype = 'advisory' AND datname = current_database()"))  # fmt: skip


def wait_until_unlocked() -> None:
    """Until Postgres has noticed that a client is gone; the query in the loop is what takes the time."""
    for _ in range(20_000):
        if not locks():
            return
    raise AssertionError("the lock of a dead session stays")


def in_process(work: Callable[[], object]) -> int:
    """The id of a child that works on a connection of its own, and ends."""
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return child


def go_on_in_the_next_period() -> None:
    JobRun.objects.update(period=F("period") - PERIOD)


@pytest.mark.django_db
def test_a_job_runs_once_in_a_period_and_again_in_the_next() -> None:
    done: list[int] = []
    assert jobs.run(JOB, lambda: done.append(1)) is Result.DONE
    assert jobs.run(JOB, lambda: done.append(2)) is Result.ALREADY_DONE
    go_on_in_the_next_period()
    assert jobs.run(JOB, lambda: done.append(3)) is Result.DONE
    assert done == [1, 3]
    assert list(JobRun.objects.values_list("outcome", "attempts")) == [("DONE", 1), ("DONE", 1)]


@pytest.mark.django_db
def test_a_period_begins_at_whole_multiples_of_its_length_by_the_databases_clock() -> None:
    before = ask("SELECT clock_timestamp()")
    jobs.run(JOB, nothing)
    row = JobRun.objects.get()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert (row.period - epoch) % PERIOD == timedelta(0)
    assert row.period <= row.started_at < row.period + PERIOD
    assert before <= row.started_at <= row.finished_at <= ask("SELECT clock_timestamp()")


@pytest.mark.django_db
def test_a_job_that_failed_is_tried_again_within_its_period() -> None:
    with pytest.raises(ZeroDivisionError):
        jobs.run(JOB, fail)
    row = JobRun.objects.get()
    assert (row.outcome, row.attempts) == ("FAILED", 1)
    assert "ZeroDivisionError: no such day" in row.error
    assert locks() == 0
    assert jobs.run(JOB, nothing) is Result.DONE
    row.refresh_from_db()
    assert (row.outcome, row.attempts, row.error) == ("DONE", 2, "")


@pytest.mark.django_db
def test_one_jobs_period_is_not_anothers() -> None:
    assert jobs.run(JOB, nothing) is Result.DONE
    assert jobs.run("expire_readings", nothing) is Result.DONE


@pytest.mark.django_db
def test_a_job_that_is_not_in_the_timetable_is_refused() -> None:
    with pytest.raises(KeyError):
        jobs.run("no such job", nothing)


@pytest.mark.django_db
def test_rows_of_long_ago_are_forgotten_and_those_of_other_jobs_stay() -> None:
    jobs.run(JOB, nothing)
    jobs.run("expire_readings", nothing)
    JobRun.objects.update(period=F("period") - jobs.KEPT - PERIOD)
    jobs.run(JOB, nothing)
    assert sorted(JobRun.objects.values_list("job", flat=True)) == ["expire_readings", JOB]


@pytest.mark.django_db(transaction=True)
def test_while_somebody_is_at_it_a_tick_does_nothing_even_in_the_next_period() -> None:
    inside, go = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        assert go.wait(LIMIT_SECONDS)

    thread, errors = in_thread(lambda: jobs.run(JOB, slow))
    assert inside.wait(LIMIT_SECONDS)
    assert jobs.run(JOB, fail) is Result.BUSY
    go_on_in_the_next_period()
    assert jobs.run(JOB, fail) is Result.BUSY
    assert ask("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
               " AND state = 'idle in transaction'") == 0  # fmt: skip
    go.set()
    thread.join(LIMIT_SECONDS)
    assert errors == []
    assert jobs.run(JOB, nothing) is Result.DONE
    assert JobRun.objects.filter(outcome="DONE", attempts=1).count() == 2


@pytest.mark.django_db(transaction=True)
def test_many_processes_that_tick_at_once_do_the_work_once() -> None:
    def work() -> None:
        Site.objects.create(slug=f"made-by-{os.getpid()}", name="made")

    children = [in_process(lambda: jobs.run(JOB, work)) for _ in range(PROCESSES)]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * PROCESSES
    assert Site.objects.count() == 1
    assert JobRun.objects.get().outcome == "DONE"
    wait_until_unlocked()


@pytest.mark.django_db(transaction=True)
def test_after_a_holder_that_was_killed_the_next_tick_takes_over() -> None:
    child = in_process(lambda: jobs.run(JOB, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL
    assert JobRun.objects.get().outcome == "RUNNING"
    wait_until_unlocked()
    assert jobs.run(JOB, nothing) is Result.DONE
    row = JobRun.objects.get()
    assert (row.outcome, row.attempts) == ("DONE", 2)


@pytest.mark.django_db(transaction=True)
def test_a_holder_that_lost_its_connection_is_taken_over_and_writes_nothing_any_more() -> None:
    inside, go = threading.Event(), threading.Event()
    holders: list[int] = []

    def slow() -> None:
        holders.append(ask("SELECT pg_backend_pid()"))
        inside.set()
        assert go.wait(LIMIT_SECONDS)
        raise ZeroDivisionError("too late")

    thread, errors = in_thread(lambda: jobs.run(JOB, slow))
    assert inside.wait(LIMIT_SECONDS)
    ask(f"SELECT pg_terminate_backend({holders[0]})")
    wait_until_unlocked()
    assert jobs.run(JOB, nothing) is Result.DONE
    go.set()
    thread.join(LIMIT_SECONDS)
    assert [type(error) for error in errors] == [OperationalError]
    row = JobRun.objects.get()
    assert (row.outcome, row.attempts, row.error) == ("DONE", 2, "")


@pytest.mark.django_db
def test_an_attempt_that_was_overtaken_does_not_say_how_it_ended() -> None:
    jobs.run(JOB, lambda: JobRun.objects.update(attempts=F("attempts") + 1))
    assert JobRun.objects.get().outcome == "RUNNING"


@pytest.mark.django_db
@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")  # binding a task that names its queue
@pytest.mark.parametrize("job", timetable.PERIODS)
def test_the_task_of_each_job_does_it_once_a_period(job: str) -> None:
    scheduled = app.conf.beat_schedule[job]
    app.loader.import_default_modules()
    task = app.tasks[scheduled["task"]]
    task()
    task()
    row = JobRun.objects.get()
    assert (row.job, row.outcome, row.attempts) == (job, "DONE", 1)
