"""Cases of failed runs: the only writer of ``Case`` and ``CaseTransition``.

A case gathers the runs that were set aside for one cause. It is opened or joined in the transaction that sets a run
aside, moved along ``agents.case_life``, and ends by itself when none of its runs waits any more. Whoever moves a case
holds its row's lock, so that nothing joins a case while it ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import structlog
from django.db import connection, transaction
from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Now

from agents import case_life, releases
from agents.failures import Verdict
from agents.models import Case, CaseTransition, Run
from sensors import journal, show
from sensors.models import BatchPart

log = structlog.get_logger(__name__)

DOCTOR = "doctor"
Status = Case.Status
TABLE = Case._meta.db_table
MOST_TITLE = 200
GATHER = timedelta(seconds=10)
"""The doctor looks at a new case after so long: what else fails of the same cause tells more."""

WAITING = Run.Status.FAILED
OVER = (Run.Status.DONE, Run.Status.DISCARDED)
"""A run that neither waits nor is over is under way, also in a status that only a newer version knows."""

TOLD = {
    Status.OPEN: journal.CASE_OPENED,
    Status.FAILED: journal.CASE_NEEDS_PERSON,
    Status.RESOLVED: journal.CASE_RESOLVED,
    Status.CANCELLED: journal.CASE_CANCELLED,
}
"""The statuses that go into the journal."""


class NotACase(LookupError):
    """There is no such case."""


class NothingWaits(Exception):
    """No run of the case is set aside: there is nothing to replay or to discard."""


class NoReason(ValueError):
    """Giving something up takes a reason."""


def note_failure(run: Run, verdict: Verdict) -> int:
    """Open a case for a run that was just set aside, or join the one there is; the id. In the caller's transaction."""
    version = releases.current()
    releases.note(version)
    case_id, opened = _open_or_join(run, verdict, version)
    Run.objects.filter(pk=run.pk).update(case_id=case_id)
    if opened:
        case = Case.objects.get(pk=case_id)
        _write(
            case, Status.OPEN, before="", actor=DOCTOR, reason=f"Run {run.pk} was set aside.", sites=_sites([run.pk])
        )
    return case_id


def _open_or_join(run: Run, verdict: Verdict, version: str) -> tuple[int, bool]:
    """Id, and whether it was opened. Waits for whoever holds the case; if they end it, another one is opened."""
    fresh: dict[str, Any] = {
        "cause": verdict.cause, "stage": run.stage, "error_class": verdict.error_class, "title": _title(run, verdict),
        "status": Status.OPEN, "likely_cause": Case.Likely.UNKNOWN, "rule": "", "remedy": "", "failures": 1,
        "evidence": json.dumps({"kind": verdict.kind}), "version": version, "attempts": 0,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} AS known ({', '.join(fresh)}, due_at)"
            f" VALUES ({', '.join(['%s'] * len(fresh))}, statement_timestamp() + %s * interval '1 second')"
            " ON CONFLICT (cause) WHERE NOT (status IN ('RESOLVED', 'CANCELLED'))"
            " DO UPDATE SET failures = known.failures + 1, version = EXCLUDED.version RETURNING id, failures = 1",
            [*fresh.values(), GATHER.total_seconds()],
        )
        case_id, opened = cursor.fetchone()
    return case_id, opened


def _title(run: Run, verdict: Verdict) -> str:
    """Stage and last line of the error, which names its class and says what was wrong."""
    last = (verdict.error.strip().splitlines() or [""])[-1]
    told = last if verdict.error_class in last else f"{verdict.error_class}: {last}"
    return show.short(f"{run.get_stage_display()}: {told}", MOST_TITLE)


def lock(case_id: int) -> Case:
    """The case, held until the caller's transaction ends. Raises ``NotACase``."""
    case = Case.objects.select_for_update().filter(pk=case_id).first()
    if case is None:
        raise NotACase(f"There is no case {case_id}.")
    return case


def next_due() -> Case | None:
    """The case that is due for longest and that nobody else holds, held until the caller's transaction ends."""
    due = Case.objects.select_for_update(skip_locked=True, of=("self",)).filter(
        status__in=[Status.OPEN, Status.INVESTIGATING, Status.REMEDIATING], due_at__lte=Now()
    )
    return due.order_by("due_at", "id").first()


def put_off(case_id: int, wait: timedelta) -> None:
    """Nobody looks at the case for so long."""
    Case.objects.filter(pk=case_id).update(due_at=Now() + wait)


def move(case: Case, to: str, *, actor: str, reason: str, **changes: Any) -> None:
    """Bring a locked case to a status and write down who did it and why, in the caller's transaction.

    ``changes``: further fields of the case. Raises ``case_life.ForbiddenTransition`` and ``NoReason``.
    """
    if not reason.strip():
        raise NoReason("Say why.")
    case_life.check(case.status, to)
    if case_life.ended(to):
        changes |= {"ended_at": Now()}
    before = case.status
    changes |= {"status": to}
    Case.objects.filter(pk=case.pk).update(**changes)
    case.refresh_from_db()
    sites = _sites(case.runs.values_list("pk", flat=True)) if to != before else []
    _write(case, to, before=before, actor=actor, reason=reason.strip(), sites=sites)


def change(case: Case, **changes: Any) -> None:
    """Fields of a locked case that are no step in its life, such as when to look again."""
    Case.objects.filter(pk=case.pk).update(**changes)
    case.refresh_from_db()


def _write(case: Case, to: str, *, before: str, actor: str, reason: str, sites: list[int]) -> None:
    line = CaseTransition.objects.create(case=case, from_status=before, to_status=to, actor=actor, reason=reason)
    log.info("agents.cases.moved", case_id=case.pk, before=before, after=to, actor=actor)
    if to == before or to not in TOLD:
        return
    line.refresh_from_db(fields=["at"])
    entry = journal.Entry(
        type=TOLD[Status(to)],
        subject=f"case/{case.pk}",
        key=f"{TOLD[Status(to)]}/{case.pk}/{line.pk}",
        occurred_at=line.at,
        site_id=sites[0] if len(sites) == 1 else None,
        actor=actor,
        data={
            "stage": case.stage,
            "error_class": case.error_class,
            "likely_cause": case.likely_cause,
            "reason": reason,
        },
    )
    journal.record([entry])


def _sites(run_ids: Iterable[int]) -> list[int]:
    """Some of the sites whose readings the runs carried; two are enough to know that it is not one."""
    parts = BatchPart.objects.filter(run_id__in=run_ids)
    return list(parts.values_list("batch__site_id", flat=True).distinct()[:2])


def waiting(case: Case) -> QuerySet[Run]:
    """Its runs that are set aside, the oldest first."""
    return Run.objects.filter(case=case, status=WAITING).order_by("id")


def under_way(case: Case) -> QuerySet[Run]:
    """Its runs that were replayed and have not ended."""
    return Run.objects.filter(case=case).exclude(status__in=(WAITING, *OVER))


def finished() -> list[int]:
    """Cases that have not ended and none of whose runs waits or is under way."""
    left = Run.objects.filter(case=OuterRef("pk")).exclude(status__in=OVER)
    return list(Case.objects.exclude(status__in=Case.ENDED).filter(~Exists(left)).values_list("pk", flat=True))


def settle(case: Case, *, actor: str = DOCTOR, reason: str = "") -> bool:
    """End a locked case if none of its runs waits or is under way any more; whether it did."""
    if case_life.ended(case.status) or waiting(case).exists() or under_way(case).exists():
        return False
    done = Run.objects.filter(case=case, status=Run.Status.DONE).count()
    gone = Run.objects.filter(case=case, status=Run.Status.DISCARDED).count()
    if done:
        told = f"{done} came through" + (f", {gone} were discarded." if gone else ".")
        move(case, Status.RESOLVED, actor=actor, reason=told, trial=None, helped=True)
    elif gone:
        told = f"All {gone} were discarded" + (f": {reason.strip()}" if reason else ".")
        move(case, Status.CANCELLED, actor=actor, reason=told, trial=None)
    else:
        told = "Its runs failed of something else and belong to other cases."
        move(case, Status.CANCELLED, actor=actor, reason=told, trial=None)
    return True


@transaction.atomic
def cancel(case_id: int, *, actor: str, reason: str) -> None:
    """Leave the case alone from here on; its runs stay set aside and are not replayed by the doctor.

    Raises ``NoReason``, ``NotACase`` and ``case_life.ForbiddenTransition``.
    """
    move(lock(case_id), Status.CANCELLED, actor=actor, reason=reason)
