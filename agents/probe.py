"""Try a stage on a piece of a run in a child process that may die, hang or eat memory, and keep nothing of it."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.db import connection, transaction

from agents import apart, failures
from agents.failures import Kind, Verdict
from agents.models import Run
from agents.stages import Finish, Units

MEMORY_BYTES = 1 << 30
"""What a piece may take beyond what the process has already."""
SECOND_ATTEMPT = 2
"""Pieces are tried as a second attempt is: what is stored already is looked up, not guessed from the memory."""
FIELDS = ("kind", "error_class", "error", "cause")

Step = Callable[[Run, int, Units], Finish]


class NoVerdict(Exception):
    """The database was gone during the trial, or somebody was in the way: it says nothing about the data."""


def probe(step: Step, run: Run, only: Units, *, seconds: float) -> Verdict | None:
    """How the stage fails on these units, or None where it would succeed. Raises ``NoVerdict``."""
    child = apart.start(partial(_try, step, run, only), seconds=seconds)
    said = apart.listen(child, until=time.monotonic() + seconds)
    return _verdict(said, run.stage)


def _try(step: Step, run: Run, only: Units) -> bytes:
    _limit_memory()
    verdict = rehearse(step, run, only)
    return json.dumps({} if verdict is None else {name: str(getattr(verdict, name)) for name in FIELDS}).encode()


def rehearse(step: Step, run: Run, only: Units) -> Verdict | None:
    """Do all that the stage does on these units, and roll it back."""
    try:
        finish = step(run, SECOND_ATTEMPT, only)
        with transaction.atomic():
            finish.commit()
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            transaction.set_rollback(True)
    except Exception as error:
        return failures.judge(error, stage=run.stage, attempt=1)
    return None


def _limit_memory() -> None:
    """Where the kernel tells how much the process has; elsewhere the time is the only limit."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        most = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY_BYTES
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        soft = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _verdict(said: bytes | str, stage: str) -> Verdict | None:
    if isinstance(said, str):
        return failures.worker_died(said, stage=stage)
    answer = json.loads(said)
    if not answer:
        return None
    if answer["kind"] in (Kind.INFRASTRUCTURE, Kind.TRANSIENT):
        raise NoVerdict(answer["error"])
    return Verdict(kind=Kind(answer["kind"]), **{name: answer[name] for name in FIELDS[1:]})
