"""The doctor looks after the pipeline itself: diagnoses cases of failed runs, tries a remedy, writes down if it helped.

One look round takes each case that is due, one step at a time, each in a short transaction that holds the case's row
(``SKIP LOCKED``): a step is database work only and moves the time of the next look, so there is nothing for a lease to
guard, and two doctors share the cases. A run is replayed as a trial before the rest, and each remedy has a number of
trials after which a person is asked: no case is replayed for ever.
"""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models.functions import Now

from agents import cases, diagnosis, releases, remedies, symptoms, throttles
from agents.cases import DOCTOR
from agents.diagnosis import PLANS, Remedy
from agents.models import Case, Run
from agents.remedies import A_WHILE

log = structlog.get_logger(__name__)

Status = Case.Status
MOST_STEPS = 300
AFTER_A_FAULT = timedelta(minutes=5)
PATIENCE = timedelta(days=1)


def look_round() -> list[int]:
    """One step or more for every case that is due; the lanes to ring."""
    releases.note(releases.current())
    for case_id in cases.finished():
        with transaction.atomic():
            cases.settle(cases.lock(case_id))
    lanes: set[int] = set()
    for _ in range(MOST_STEPS):
        if (found := _next_step()) is None:
            break
        lanes.update(found)
    return sorted(lanes)


def _next_step() -> list[int] | None:
    """One step for the case that is due for longest; None where none is.

    A case with which the doctor itself fails is left for a while, so that it does not keep the others waiting.
    """
    case = None
    try:
        with transaction.atomic():
            case = cases.next_due()
            return None if case is None else _step(case)
    except Exception:
        if case is None:
            raise
        log.exception("agents.doctor.failed", case_id=case.pk)
        cases.put_off(case.pk, AFTER_A_FAULT)
        return []


def _step(case: Case) -> list[int]:
    if case.status == Status.OPEN:
        seen = f"{case.failures} failed for good by now. Looks for the cause."
        cases.move(case, Status.INVESTIGATING, actor=DOCTOR, reason=seen, due_at=Now())
        return []
    if case.status == Status.INVESTIGATING:
        _diagnose(case)
        return []
    if cases.settle(case):
        return []
    return _go_on(case) if case.trial is None else _judge_trial(case, case.trial)


def _diagnose(case: Case) -> None:
    seen = symptoms.observe(case)
    rule = diagnosis.diagnose(seen)
    plan = PLANS[rule.remedy]
    if rule.remedy is Remedy.THROTTLE and seen.sender is not None:
        throttles.put(seen.sender, case=case, reason=f"{seen.lately} of its requests within ten minutes: {case.title}")
    cases.move(
        case,
        Status.REMEDIATING if plan.trials else Status.FAILED,
        actor=DOCTOR,
        reason=f"{Case.Likely(rule.likely).label} ({rule.name}). {rule.says} {plan.says}",
        likely_cause=rule.likely,
        rule=rule.name,
        remedy=rule.remedy,
        evidence=case.evidence | symptoms.told(seen),
        due_at=Now() + timedelta(seconds=plan.wait_before(1)),
    )


def _go_on(case: Case) -> list[int]:
    """No trial is out: begin the next one if there may be one and it is time."""
    plan = PLANS[Remedy(case.remedy)]
    if cases.under_way(case).exists():
        cases.change(case, due_at=Now() + A_WHILE)
        return []
    left = cases.waiting(case).count()
    if case.attempts >= plan.trials:
        _ask(case, f"{left} failed again." if case.remedy == Remedy.PERSON else f"{left} still fail.")
        return []
    if not _ready(case):
        if not case.transitions.filter(at__gte=Now() - PATIENCE).exists():
            _ask(case, "What it waits for has not come within a day.")
            return []
        cases.change(case, due_at=Now() + timedelta(seconds=plan.wait))
        return []
    run = cases.waiting(case)[0]
    cases.move(
        case, Status.REMEDIATING, actor=DOCTOR, trial=run, attempts=case.attempts + 1, due_at=Now() + A_WHILE,
        reason=f"Trial {case.attempts + 1} of {plan.trials}: replays run {run.pk}.",
    )  # fmt: skip
    return remedies.replay_runs([run], actor=DOCTOR)


def _ready(case: Case) -> bool:
    """Whether what the remedy waits for has come, besides time."""
    if case.remedy == Remedy.AFTER_MIGRATION:
        return not symptoms.migrations_pending()
    if case.remedy == Remedy.AFTER_NEW_VERSION:
        return releases.current() != case.version
    return True


def _judge_trial(case: Case, run: Run) -> list[int]:
    if run.status == Run.Status.DONE:
        return _helped(case, run)
    if run.status == Run.Status.DISCARDED:
        cases.change(case, trial=None)
    elif run.status == Run.Status.FAILED:
        _did_not_help(case, run)
    else:
        cases.change(case, due_at=Now() + A_WHILE)
    return []


def _helped(case: Case, run: Run) -> list[int]:
    rest = list(cases.waiting(case)[: remedies.MOST_AT_ONCE])
    told = f"The trial, run {run.pk}, came through."
    if case.remedy == Remedy.PERSON:
        _ask(case, f"{told} {len(rest)} of the same cause wait: replay them too, or discard them.", helped=True)
        return []
    cases.move(
        case, Status.REMEDIATING, actor=DOCTOR, trial=None, helped=True, due_at=Now() + A_WHILE,
        reason=f"{told} Replays the other {len(rest)}." if rest else told,
    )  # fmt: skip
    return remedies.replay_runs(rest, actor=DOCTOR)


def _did_not_help(case: Case, run: Run) -> None:
    plan = PLANS[Remedy(case.remedy)]
    told = f"The trial, run {run.pk}, failed with {run.error_class}"
    told += "." if run.case_id == case.pk else f", which is another case ({run.case_id})."
    if case.attempts >= plan.trials:
        _ask(case, told, helped=False)
        return
    wait = plan.wait_before(case.attempts + 1)
    cases.move(
        case, Status.REMEDIATING, actor=DOCTOR, trial=None, helped=False, due_at=Now() + timedelta(seconds=wait),
        reason=f"{told} Waits {wait:g} s, then tries again when it is time.",
    )  # fmt: skip


def _ask(case: Case, told: str, **changes: bool) -> None:
    cases.move(case, Status.FAILED, actor=DOCTOR, reason=f"{told} A person is asked.", trial=None, **changes)
