"""Cases of failed runs: opened and joined as runs are set aside, moved by name, ended when nothing waits."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from django.db import IntegrityError, close_old_connections, connection, transaction

from agents import case_life, cases, dead_letters, failures
from agents.failures import Verdict
from agents.models import Case, CaseTransition, Release, Run
from sensors.models import BatchPart, Event
from tests import plant
from tests.factories import site

pytestmark = pytest.mark.django_db(transaction=True)


def verdict(error: Exception | None = None, *, stage: str = "VALIDATE") -> Verdict:
    """What is made of an error that was really raised."""
    try:
        raise error or ZeroDivisionError("division by zero")
    except Exception as raised:
        return failures.judge(raised, stage=stage, attempt=9)


def set_aside(found: Verdict, *, stage: str = "VALIDATE") -> Run:
    """A run that failed for good."""
    with transaction.atomic():
        run = Run.objects.create(lane=Run.objects.count(), stage=stage)
        dead_letters.set_aside(run, found)
    return Run.objects.get(pk=run.pk)


def history(case: Case) -> list[tuple[str, str, str]]:
    return list(case.transitions.values_list("from_status", "to_status", "actor"))


def end(case: Case, run_status: str) -> bool:
    """The runs of the case end in a status, and it is settled."""
    Run.objects.filter(case=case).update(status=run_status)
    with transaction.atomic():
        return cases.settle(cases.lock(case.pk))


def test_the_first_failure_of_a_cause_opens_a_case_and_says_so() -> None:
    run = set_aside(verdict())
    case = Case.objects.get()
    assert (case.cause, case.stage, case.error_class) == (run.cause, "VALIDATE", "ZeroDivisionError")
    assert (case.status, case.failures, case.evidence) == ("OPEN", 1, {"kind": "BUG"})
    assert case.title == "Validate: ZeroDivisionError: division by zero"
    assert run.case_id == case.pk
    assert history(case) == [("", "OPEN", "doctor")]
    assert case.transitions.get().reason == f"Run {run.pk} was set aside."
    assert Event.objects.get(type="case.opened").subject == f"case/{case.pk}"
    assert case.due_at - case.opened_at == cases.GATHER
    assert Release.objects.get().version == case.version


def test_the_next_failure_of_the_same_cause_joins_and_another_cause_does_not() -> None:
    found = verdict()
    for _ in range(3):
        set_aside(found)
    set_aside(verdict(KeyError("x")))
    first, other = Case.objects.order_by("id")
    assert (first.failures, first.runs.count(), first.transitions.count()) == (3, 3, 1)
    assert (other.failures, other.error_class) == (1, "KeyError")
    assert Event.objects.filter(type="case.opened").count() == 2


def test_a_case_that_waits_for_a_person_is_joined_too() -> None:
    found = verdict()
    set_aside(found)
    Case.objects.update(status="FAILED")
    set_aside(found)
    assert Case.objects.get().failures == 2


@pytest.mark.parametrize(("ended_as", "status"), [("DONE", "RESOLVED"), ("DISCARDED", "CANCELLED")])
def test_what_fails_after_the_end_of_a_case_is_another_case(ended_as: str, status: str) -> None:
    found = verdict()
    set_aside(found)
    old = Case.objects.get()
    assert end(old, ended_as)
    set_aside(found)
    old.refresh_from_db()
    assert (old.status, old.failures) == (status, 1)
    assert old.ended_at is not None
    assert history(old)[-1] == ("OPEN", status, "doctor")
    fresh = Case.objects.get(status="OPEN")
    assert (fresh.cause, fresh.failures) == (old.cause, 1)
    assert Event.objects.filter(type=f"case.{status.lower()}").count() == 1


def test_the_database_refuses_a_second_open_case_of_a_cause() -> None:
    set_aside(verdict())
    Case.objects.update(status="FAILED")
    fields = Case.objects.values("cause", "stage", "error_class", "title", "version").get()
    with pytest.raises(IntegrityError, match="case_one_open_per_cause"):
        Case.objects.create(**fields)


@pytest.mark.parametrize("left", ["FAILED", "REPLAY", "ACTIVE", "QUARANTINE"])
def test_a_case_does_not_end_while_a_run_waits_or_is_under_way(left: str) -> None:
    found = verdict()
    done, other = set_aside(found), set_aside(found)
    Run.objects.filter(pk=done.pk).update(status="DONE")
    Run.objects.filter(pk=other.pk).update(status=left)
    case = Case.objects.get()
    assert cases.finished() == []
    with transaction.atomic():
        assert not cases.settle(cases.lock(case.pk))
    assert end(case, "DONE")


def test_a_run_that_failed_of_something_else_leaves_the_case() -> None:
    run = set_aside(verdict())
    Run.objects.filter(pk=run.pk).update(status="ACTIVE")
    with transaction.atomic():
        dead_letters.set_aside(run, verdict(KeyError("x")))
    old, new = Case.objects.order_by("id")
    assert Run.objects.get().case_id == new.pk
    assert cases.finished() == [old.pk]
    with transaction.atomic():
        assert cases.settle(cases.lock(old.pk))
    assert Case.objects.get(pk=old.pk).status == "CANCELLED"
    assert "failed of something else" in old.transitions.last().reason  # type: ignore[union-attr]


def test_the_failure_and_its_case_are_kept_or_lost_together() -> None:
    class Crash(Exception):
        pass

    run = Run.objects.create(lane=1, stage="VALIDATE")
    with pytest.raises(Crash), transaction.atomic():
        dead_letters.set_aside(run, verdict())
        raise Crash
    assert not Case.objects.exists()
    assert not Event.objects.exists()
    assert Run.objects.get().status == "ACTIVE"


def test_who_moves_a_case_when_and_why_is_kept() -> None:
    set_aside(verdict())
    with transaction.atomic():
        case = cases.lock(Case.objects.get().pk)
        cases.move(case, "INVESTIGATING", actor="doctor", reason="it is due")
        cases.move(case, "FAILED", actor="doctor", reason="nothing helps", rule="unknown")
        cases.move(case, "REMEDIATING", actor="maria", reason="the sender was fixed")
    lines = list(CaseTransition.objects.all())
    assert [(line.to_status, line.actor, line.reason) for line in lines[1:]] == [
        ("INVESTIGATING", "doctor", "it is due"),
        ("FAILED", "doctor", "nothing helps"),
        ("REMEDIATING", "maria", "the sender was fixed"),
    ]
    assert [line.at for line in lines] == sorted(line.at for line in lines)
    assert Case.objects.get().rule == "unknown"
    asked = Event.objects.get(type="case.needs_person")
    assert asked.data["reason"] == "nothing helps"


def test_a_forbidden_step_changes_nothing() -> None:
    set_aside(verdict())
    case = Case.objects.get()
    with pytest.raises(case_life.ForbiddenTransition), transaction.atomic():
        cases.move(cases.lock(case.pk), "FAILED", actor="doctor", reason="no")
    with pytest.raises(cases.NoReason), transaction.atomic():
        cases.move(cases.lock(case.pk), "INVESTIGATING", actor="doctor", reason=" ")
    assert Case.objects.get().status == "OPEN"
    assert CaseTransition.objects.count() == 1


def test_a_cancelled_case_leaves_its_runs_where_they_are() -> None:
    run = set_aside(verdict())
    case = Case.objects.get()
    with pytest.raises(cases.NoReason):
        cases.cancel(case.pk, actor="maria", reason="")
    cases.cancel(case.pk, actor="maria", reason="a test")
    assert Run.objects.get().status == "FAILED"
    assert history(case)[-1] == ("OPEN", "CANCELLED", "maria")
    assert dead_letters.waiting() == [run.pk]
    with pytest.raises(cases.NotACase):
        cases.cancel(case.pk + 1, actor="maria", reason="a test")


def test_an_event_carries_the_site_only_where_all_runs_are_of_it() -> None:
    one, other = plant.rows(site()), plant.rows(site())
    Event.objects.all().delete()
    found = verdict()
    for rows in (one, other):
        with transaction.atomic():
            BatchPart.objects.filter(pk=rows.part.pk).update(run_id=rows.run.pk)
            dead_letters.set_aside(rows.run, found)
    assert Event.objects.get(type="case.opened").site_id == one.machine.site_id
    cases.cancel(one.run.__class__.objects.get(pk=one.run.pk).case_id or 0, actor="maria", reason="a test")
    assert Event.objects.get(type="case.cancelled").site_id is None


def in_a_thread(work: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        try:
            work()
        finally:
            close_old_connections()
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_many_failures_of_one_cause_at_once_open_one_case() -> None:
    found, start = verdict(), threading.Barrier(6)

    def fail(lane: int) -> None:
        run = Run.objects.create(lane=lane, stage="VALIDATE")
        start.wait(10)
        with transaction.atomic():
            dead_letters.set_aside(run, found)

    threads = [in_a_thread(lambda lane=lane: fail(lane)) for lane in range(6)]  # type: ignore[misc]
    for thread in threads:
        thread.join(20)
    case = Case.objects.get()
    assert (case.failures, case.runs.count(), case.transitions.count()) == (6, 6, 1)


def test_a_failure_that_meets_the_end_of_a_case_opens_another_one() -> None:
    found = verdict()
    set_aside(found)
    old = Case.objects.get()
    Run.objects.update(status="DONE")
    run = Run.objects.create(lane=9, stage="VALIDATE")

    def fail() -> None:
        with transaction.atomic():
            dead_letters.set_aside(run, found)

    with transaction.atomic():
        case = cases.lock(old.pk)
        thread = in_a_thread(fail)
        waits_for_a_lock()
        assert cases.settle(case)
    thread.join(20)
    assert Run.objects.get(pk=run.pk).case_id != old.pk
    assert set(Case.objects.values_list("status", "failures")) == {("RESOLVED", 1), ("OPEN", 1)}


def waits_for_a_lock() -> None:
    """Until another connection waits for one that we hold."""
    limit = threading.Event()
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return
        limit.wait(0.02)
    raise AssertionError("nobody waits")
