"""Try a stage on a piece of a run in a child process that may die, hang or eat memory, and keep nothing of it."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path

from django.db import connection, connections, transaction

from agents import failures
from agents.failures import Kind, Verdict
from agents.models import Run
from agents.stages import Finish, Units

MEMORY_BYTES = 1 << 30
"""What a piece may take beyond what the process has already."""

Step = Callable[[Run, int, Units], Finish]


class NoVerdict(Exception):
    """The database was gone during the trial, or somebody was in the way: it says nothing about the data."""


def probe(step: Step, run: Run, only: Units, *, seconds: float) -> Verdict | None:
    """How the stage fails on these units, or None where it would succeed. Raises ``NoVerdict``.

    The child is forked: it must not share the connection to Postgres, which is closed before.
    """
    connections.close_all()
    told, telling = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(told)
        _live_and_die(step, run, only, telling, seconds=seconds)
    os.close(telling)
    with os.fdopen(told, "rb") as pipe:
        text = _listen(pipe.fileno(), child, seconds=seconds)
    return _verdict(text, run.stage)


def _live_and_die(step: Step, run: Run, only: Units, telling: int, *, seconds: float) -> None:
    """The child's whole life; it never returns. Whatever happens here, the parent must hear of it or see the end."""
    status = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(int(seconds) + 2)  # so that it ends even if the parent dies first
        _limit_memory()
        verdict = rehearse(step, run, only)
        answer = {} if verdict is None else {name: str(getattr(verdict, name)) for name in FIELDS}
        os.write(telling, json.dumps(answer).encode())
        status = 0
    finally:
        os._exit(status)


FIELDS = ("kind", "error_class", "error", "cause")


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


SECOND_ATTEMPT = 2
"""Pieces are tried as a second attempt is: what is stored already is looked up, not guessed from the memory."""


def _limit_memory() -> None:
    statm = Path("/proc/self/statm")
    if statm.exists():
        most = int(statm.read_text().split()[0]) * resource.getpagesize() + MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _listen(pipe: int, child: int, *, seconds: float) -> bytes | str:
    """What the child said before it ended, or in words how it ended without saying anything."""
    ends = time.monotonic() + seconds
    said = b""
    while select.select([pipe], [], [], max(0.0, ends - time.monotonic()))[0]:
        piece = os.read(pipe, 65_536)
        if not piece:
            break
        said += piece
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return f"It did not end within {seconds:g} s and was killed."
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 0 and said:
        return said
    return f"It was killed by signal {-status}." if status < 0 else f"Its process ended with status {status}."


def _verdict(said: bytes | str, stage: str) -> Verdict | None:
    if isinstance(said, str):
        return failures.worker_died(said, stage=stage)
    answer = json.loads(said)
    if not answer:
        return None
    if answer["kind"] in (Kind.INFRASTRUCTURE, Kind.TRANSIENT):
        raise NoVerdict(answer["error"])
    return Verdict(kind=Kind(answer["kind"]), **{name: answer[name] for name in FIELDS[1:]})
