"""Do something in a child process that may die, hang or eat memory, and hear from the parent's side how it ended.

The child is forked. It must not share the parent's connection to Postgres: that is closed before, and whoever needs
one next opens it anew.
"""

from __future__ import annotations

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from django.db import connections

from sensors import tracing

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Child:
    """A child and the end of the pipe it answers through; to be listened to once."""

    pid: int
    pipe: int


def start(work: Callable[[], bytes], *, seconds: float) -> Child:
    """Begin; what ``work`` returns is what the parent hears. It ends by itself soon after ``seconds``."""
    connections.close_all()
    hearing, telling = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(hearing)
        _live_and_die(work, telling, seconds=seconds)
    os.close(telling)
    return Child(pid, hearing)


def _live_and_die(work: Callable[[], bytes], telling: int, *, seconds: float) -> None:
    """The child's whole life; it never returns. Whatever happens here, the parent sees how it ends."""
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        signal.alarm(int(seconds) + 2)  # so that it ends even if the parent dies first
        answer = work()
        while answer:
            answer = answer[os.write(telling, answer) :]
        status = 0
    except BaseException:
        log.exception("agents.apart.failed")
    finally:
        send_what_is_left()
        os._exit(status)


def send_what_is_left() -> None:
    """Spans and reports of a process that is about to end without the interpreter's own end."""
    tracing.flush()
    for handler in logging.getLogger().handlers:
        handler.flush()


def listen(child: Child, *, until: float) -> bytes | str:
    """What the child said, or in words how it ended without an answer. ``until``: of the monotonic clock; later it is
    killed."""
    try:
        return _listen(child, until=until)
    except BaseException:
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
        raise


def has_ended(child: Child) -> bool:
    """Whether ``listen`` would return at once, for a child that says nothing before its end."""
    return bool(select.select([child.pipe], [], [], 0)[0])


def _listen(child: Child, *, until: float) -> bytes | str:
    said = b""
    with os.fdopen(child.pipe, "rb"):
        while select.select([child.pipe], [], [], max(0.0, until - time.monotonic()))[0]:
            piece = os.read(child.pipe, 65_536)
            if not piece:
                break
            said += piece
        else:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            return "It did not end within its time and was killed."
    status = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    if status == 0:
        return said
    return f"It was killed by signal {-status}." if status < 0 else f"Its process ended with status {status}."
