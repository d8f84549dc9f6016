"""What to make of a failed attempt. Pure: deciding is here, doing is in the pipeline."""

from __future__ import annotations

import traceback
from dataclasses import dataclass

from django.db import DataError, InterfaceError, OperationalError

TRANSIENT_CODES = {
    "40001",  # serialization failure
    "40P01",  # deadlock
    "55P03",  # lock not available
    "57014",  # statement timeout
}
FIRST_WAIT_SECONDS = 2
LONGEST_WAIT_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Verdict:
    """Try again after ``wait`` seconds, or (None) set the run aside."""

    wait: float | None
    error_class: str
    error: str


def is_infrastructure(error: BaseException) -> bool:
    """Whether the database itself is gone: no verdict can be stored, the lease runs out and the run resumes."""
    return isinstance(error, (OperationalError, InterfaceError)) and _code(error) not in TRANSIENT_CODES


def judge(error: BaseException, *, attempt: int, most: int) -> Verdict:
    """The verdict on the ``attempt``-th failure in a row (1 is the first) of one stage."""
    wait = None if attempt >= most or isinstance(error, DataError) else wait_after(attempt)
    return Verdict(wait, type(error).__qualname__, "".join(traceback.format_exception(error))[-8_000:])


def worker_died(attempts: int) -> Verdict:
    """The verdict on a run whose workers were killed over and over."""
    return Verdict(
        None,
        "WorkerDied",
        f"{attempts - 1} attempts began and none ended: its workers were killed, or lost the database.",
    )


def wait_after(attempt: int) -> float:
    return float(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempt - 1)))


def _code(error: BaseException) -> str | None:
    return getattr(error.__cause__, "pgcode", None)
