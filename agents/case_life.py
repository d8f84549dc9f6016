"""The life of a case of failed runs, as a table of which status may follow which.

Pure: no Django. RESOLVED and CANCELLED are the end; what fails later is another case. FAILED is not: the doctor can do
no more, and a person is asked, who may replay or discard. A status may follow itself where its work has several steps,
so that each is a line of the history.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType


class Status(StrEnum):
    """NEW = there is no case yet."""

    NEW = ""
    OPEN = "OPEN"
    INVESTIGATING = "INVESTIGATING"
    REMEDIATING = "REMEDIATING"
    RESOLVED = "RESOLVED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


_ENDS = frozenset({Status.RESOLVED, Status.CANCELLED})

FOLLOWS: Mapping[Status, frozenset[Status]] = MappingProxyType(
    {
        Status.NEW: frozenset({Status.OPEN}),
        Status.OPEN: frozenset({Status.INVESTIGATING, Status.REMEDIATING}) | _ENDS,  # a person need not wait
        Status.INVESTIGATING: frozenset({Status.REMEDIATING, Status.FAILED}) | _ENDS,
        Status.REMEDIATING: frozenset({Status.REMEDIATING, Status.FAILED}) | _ENDS,
        Status.FAILED: frozenset({Status.REMEDIATING}) | _ENDS,  # a person replays
        Status.RESOLVED: frozenset(),
        Status.CANCELLED: frozenset(),
    }
)


class ForbiddenTransition(ValueError):
    """A case cannot go from the status it has to the one that was asked for."""


def check(before: str, after: str) -> None:
    """Raises ``ForbiddenTransition`` where the table does not know the step."""
    if after not in FOLLOWS[Status(before)]:
        raise ForbiddenTransition(f"A case that is {before or 'new'} cannot become {after}.")


def ended(status: str) -> bool:
    return not FOLLOWS[Status(status)]
