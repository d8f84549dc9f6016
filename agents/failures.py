"""What to make of a failed attempt. Pure: deciding is here, doing is in the pipeline and in quarantine."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from django.db import DataError, InterfaceError, OperationalError


class Refused(ValueError):
    """The data itself leads nowhere: it cannot be decoded, or speaks of a sensor that is no more."""


class Kind(StrEnum):
    """What sort of failure it is; what follows from it stands in ``POLICIES``."""

    PERMANENT = "PERMANENT"  # the data itself: no other try helps
    TRANSIENT = "TRANSIENT"  # somebody was in the way
    INFRASTRUCTURE = "INFRASTRUCTURE"  # the database is gone: no verdict can be stored
    BUG = "BUG"  # whatever else was raised
    DEATH = "DEATH"  # the worker was killed


@dataclass(frozen=True, slots=True)
class Policy:
    """How often a stage is tried: at once within one attempt, and in how many attempts before quarantine."""

    tries: int
    attempts: int


POLICIES: Mapping[Kind, Policy] = MappingProxyType(
    {
        Kind.PERMANENT: Policy(tries=1, attempts=1),
        Kind.TRANSIENT: Policy(tries=3, attempts=6),
        Kind.BUG: Policy(tries=1, attempts=2),
        Kind.DEATH: Policy(tries=1, attempts=2),
    }
)
"""An infrastructure failure has none: nothing is stored, the lease runs out and the run resumes."""

CODES: Mapping[str, Kind] = MappingProxyType(
    {
        "40001": Kind.TRANSIENT,  # serialization failure
        "40P01": Kind.TRANSIENT,  # deadlock
        "55P03": Kind.TRANSIENT,  # lock not available
        "57014": Kind.TRANSIENT,  # statement timeout
        "54000": Kind.PERMANENT,  # program limit exceeded, which Django tells as if the database were gone
        "54001": Kind.PERMANENT,  # statement too complex
        "54011": Kind.PERMANENT,  # too many columns
        "54023": Kind.PERMANENT,  # too many arguments
    }
)
"""What Postgres answered, before the type of the exception is looked at."""

TYPES: tuple[tuple[type[BaseException], Kind], ...] = (
    (Refused, Kind.PERMANENT),
    (DataError, Kind.PERMANENT),
    (OperationalError, Kind.INFRASTRUCTURE),
    (InterfaceError, Kind.INFRASTRUCTURE),
)
"""The first that fits; whatever fits none is a bug."""

FIRST_WAIT_SECONDS = 2
LONGEST_WAIT_SECONDS = 60
MOST_TEXT = 8_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What failed, and what follows: try again after ``wait`` seconds, or (None) off to quarantine."""

    kind: Kind
    error_class: str
    error: str
    cause: str
    wait: float | None = None


def classify(error: BaseException) -> Kind:
    kind = CODES.get(getattr(error.__cause__, "pgcode", None) or "")
    return kind or next((kind for fits, kind in TYPES if isinstance(error, fits)), Kind.BUG)


def judge(error: BaseException, *, stage: str, attempt: int) -> Verdict:
    """The verdict on the ``attempt``-th failure in a row (1 is the first) of one stage."""
    kind = classify(error)
    final = kind in POLICIES and attempt >= POLICIES[kind].attempts
    name = type(error).__qualname__
    return Verdict(
        kind=kind,
        error_class=name,
        error="".join(traceback.format_exception(error)).replace("\0", "\ufffd")[-MOST_TEXT:],  # no text has a NUL
        cause=cause_of(stage, name, _places(error)),
        wait=None if final else wait_after(attempt),
    )


def worker_died(how: str, *, stage: str) -> Verdict:
    """The verdict on work that nobody lived to end. ``how``: what is known of the deaths."""
    return Verdict(kind=Kind.DEATH, error_class="WorkerDied", error=how, cause=cause_of(stage, "WorkerDied"))


def cause_of(stage: str, error_class: str, places: str = "") -> str:
    """Failures with the same cause are one group: stage, error class, and place in the code, without line numbers."""
    return hashlib.sha256(f"{stage}/{error_class}/{places}".encode()).hexdigest()[:16]


def _places(error: BaseException) -> str:
    if isinstance(error, Refused):
        return str(error).split(":")[0]
    frames = traceback.extract_tb(error.__traceback__)
    return " ".join(f"{frame.filename.rsplit('/', 2)[-1]}:{frame.name}" for frame in frames[-6:])


def wait_after(attempt: int) -> float:
    return float(min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (attempt - 1)))
