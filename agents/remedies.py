"""What is done to the runs of a case, by the doctor or by a person: replay one, replay the rest, discard.

The case is locked by the caller or here; what a function returns are the lanes to ring after the commit.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models.functions import Now

from agents import cases, dead_letters
from agents.diagnosis import Remedy
from agents.models import Case, Run

A_WHILE = timedelta(seconds=10)
"""Until it is looked at what came of a replay."""
MOST_AT_ONCE = 1_000
"""Replayed or discarded in one transaction; what is left takes another trial, or another press of the button."""


@transaction.atomic
def replay(case_id: int, *, actor: str, only_one: bool = False) -> list[int]:
    """A person replays the oldest run of a case, or all of them. What comes of it the doctor writes down.

    Raises ``cases.NotACase``, ``cases.NothingWaits`` and ``case_life.ForbiddenTransition`` (the case has ended).
    """
    case = _with_work(case_id)
    runs = list(cases.waiting(case)[: 1 if only_one else MOST_AT_ONCE])
    what = f"Replays run {runs[0].pk} as a trial." if only_one else f"Replays {_runs(len(runs))}."
    cases.move(
        case, Case.Status.REMEDIATING, actor=actor, reason=what, remedy=Remedy.PERSON,
        trial=runs[0] if only_one else None, due_at=Now() + A_WHILE,
    )  # fmt: skip
    return replay_runs(runs, actor=actor)


@transaction.atomic
def discard(case_id: int, *, actor: str, reason: str) -> int:
    """Discard all runs of a case that wait, with a reason, and end it if none is left; how many.

    Raises ``cases.NotACase``, ``cases.NothingWaits`` and ``dead_letters.NotDiscardable`` (no reason).
    """
    case = _with_work(case_id)
    runs = list(cases.waiting(case)[:MOST_AT_ONCE])
    for run in runs:
        dead_letters.discard(run.pk, actor=actor, reason=reason)
    cases.settle(case, actor=actor, reason=reason)
    return len(runs)


def _with_work(case_id: int) -> Case:
    case = cases.lock(case_id)
    if not cases.waiting(case).exists():
        raise cases.NothingWaits(f"No run of case {case_id} is set aside.")
    return case


def replay_runs(runs: list[Run], *, actor: str) -> list[int]:
    """Their lanes; a run that somebody else replays or discards just now is left to them."""
    lanes = []
    for run in runs:
        try:
            lanes.append(dead_letters.replay(run.pk, actor=actor))
        except dead_letters.NotReplayable:
            continue
    return sorted(set(lanes))


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
