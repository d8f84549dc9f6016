from __future__ import annotations

import subprocess
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from agents import lease
from agents.models import Run

pytestmark = pytest.mark.django_db


def run(**fields: object) -> Run:
    return Run.objects.create(**{"lane": 3, "stage": Run.Stage.VALIDATE} | fields)


def claim(row: Run, *, seconds: float = 30) -> lease.Lease | None:
    return lease.claim(Run, row.pk, seconds=seconds, status="ACTIVE", stage="VALIDATE")


def let_time_pass(row: Run) -> None:
    Run.objects.filter(pk=row.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_a_claimed_row_is_not_claimed_again_while_the_lease_lasts() -> None:
    row = run()
    assert claim(row) is not None
    assert claim(row) is None


def test_a_lease_that_ran_out_is_taken_over_and_the_attempt_is_counted() -> None:
    row = run()
    first = claim(row)
    let_time_pass(row)
    second = claim(row)
    assert first is not None
    assert second is not None
    assert second.token == first.token + 1
    assert second.attempt == 2


def test_who_was_taken_over_is_fenced_and_changes_nothing() -> None:
    row = run()
    first = claim(row)
    let_time_pass(row)
    second = claim(row)
    assert first is not None
    assert second is not None
    with pytest.raises(lease.Fenced), transaction.atomic():
        lease.fence(Run, first, stage=Run.Stage.DETECT)
    row.refresh_from_db()
    assert row.stage == Run.Stage.VALIDATE
    lease.fence(Run, second, stage=Run.Stage.DETECT)
    row.refresh_from_db()
    assert row.stage == Run.Stage.DETECT
    assert row.lease_until is None


def test_a_finish_is_not_repeated() -> None:
    row = run()
    taken = claim(row)
    assert taken is not None
    lease.fence(Run, taken)
    with pytest.raises(lease.Fenced), transaction.atomic():
        lease.fence(Run, taken)


@pytest.mark.parametrize("fields", [{"status": "DONE"}, {"stage": "DETECT"}])
def test_a_row_in_another_state_is_not_claimed(fields: dict[str, str]) -> None:
    assert claim(run(**fields)) is None


def test_a_row_that_is_not_due_is_not_claimed() -> None:
    assert claim(run(due_at=timezone.now() + timedelta(minutes=1))) is None


def test_what_is_overdue_is_rung_once_and_then_left_alone_for_a_while() -> None:
    row = run()
    assert list(lease.overdue(Run, limit=10, status="ACTIVE")) == [row.pk]
    assert lease.overdue(Run, limit=10, status="ACTIVE") == {}


def test_what_is_leased_is_not_overdue() -> None:
    row = run()
    claim(row)
    assert lease.overdue(Run, limit=10, status="ACTIVE") == {}
    let_time_pass(row)
    assert list(lease.overdue(Run, limit=10, status="ACTIVE")) == [row.pk]


def test_one_lane_has_one_active_run() -> None:
    run()
    with pytest.raises(Exception, match="run_lanes_apart"), transaction.atomic():
        run()


def test_the_search_for_what_is_due_uses_its_partial_index() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    due = Run.objects.filter(status="ACTIVE", due_at__lte=timezone.now()).order_by("due_at")
    assert "run_due" in due.explain()


def test_what_a_dead_process_of_this_machine_holds_is_given_back_at_once() -> None:
    dead, alive, elsewhere = run(lane=1), run(lane=2), run(lane=3)
    for row in (dead, alive, elsewhere):
        assert claim(row) is not None
    gone = subprocess.Popen(["true"])
    gone.wait()
    here = lease.owner().rsplit(":", 1)[0]
    Run.objects.filter(pk=dead.pk).update(lease_owner=f"{here}:{gone.pid}")
    Run.objects.filter(pk=elsewhere.pk).update(lease_owner=f"another:1:{gone.pid}")
    assert lease.give_back_for_the_dead(Run, status=["ACTIVE"]) == [dead.pk]
    assert lease.give_back_for_the_dead(Run, status=["ACTIVE"]) == []
    assert claim(alive) is None
    assert claim(elsewhere) is None
    again = claim(dead)
    assert again is not None
    assert again.attempt == 2


def test_a_lease_is_held_on_to_while_the_work_goes_on_and_not_after_somebody_else_has_it() -> None:
    row = run()
    first = claim(row, seconds=0.01)
    assert first is not None
    lease.extend(Run, first, seconds=30)
    assert claim(row) is None
    let_time_pass(row)
    assert claim(row) is not None
    with pytest.raises(lease.Fenced):
        lease.extend(Run, first, seconds=30)
