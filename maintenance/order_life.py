"""The life of a work order as a transition table. Pure: no Django.

A request waits for approval; what is open may be planned, has to be assigned before it is started, may be held, is
completed by whoever did it and closed by whoever looked at what was found. What is over can be reopened.
"""

from __future__ import annotations

from enum import StrEnum


class Status(StrEnum):
    REQUESTED = "REQUESTED"  # somebody asks for it: it waits for approval
    OPEN = "OPEN"  # it is to be done
    PLANNED = "PLANNED"  # it has its time
    ASSIGNED = "ASSIGNED"  # it has somebody
    IN_PROGRESS = "IN_PROGRESS"
    ON_HOLD = "ON_HOLD"  # begun, and waiting for something
    COMPLETED = "COMPLETED"  # the work is done
    CLOSED = "CLOSED"  # what was found is on record, and looked at
    CANCELLED = "CANCELLED"  # nobody is to work on it


class Action(StrEnum):
    OPENED = "OPENED"
    REQUESTED = "REQUESTED"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    MODIFIED = "MODIFIED"  # it is asked for otherwise; the status stays
    DEFERRED = "DEFERRED"  # it is set aside for a while; the status stays
    PLANNED = "PLANNED"
    ASSIGNED = "ASSIGNED"
    STARTED = "STARTED"
    HELD = "HELD"
    RESUMED = "RESUMED"
    COMPLETED = "COMPLETED"
    CLOSED = "CLOSED"
    CANCELLED = "CANCELLED"
    REOPENED = "REOPENED"
    OCCURRED = "OCCURRED"  # another anomaly of the same kind; the status stays
    RAISED = "RAISED"  # it is more urgent now; the status stays


OVER = frozenset({Status.COMPLETED, Status.CLOSED, Status.CANCELLED})
"""Nothing is left to be done."""
OUT_OF_SERVICE = frozenset({Status.IN_PROGRESS})
"""Somebody works on the machine: it is out of service."""
HAS_SOMEBODY = frozenset({Status.ASSIGNED, Status.IN_PROGRESS, Status.ON_HOLD})

TABLE: dict[tuple[Status, Action], Status] = {
    (Status.REQUESTED, Action.APPROVED): Status.OPEN,
    (Status.REQUESTED, Action.REJECTED): Status.CANCELLED,
    (Status.REQUESTED, Action.MODIFIED): Status.REQUESTED,
    (Status.REQUESTED, Action.DEFERRED): Status.REQUESTED,
    (Status.OPEN, Action.PLANNED): Status.PLANNED,
    (Status.PLANNED, Action.PLANNED): Status.PLANNED,
    (Status.ASSIGNED, Action.PLANNED): Status.ASSIGNED,
    **{(status, Action.ASSIGNED): Status.ASSIGNED for status in (Status.OPEN, Status.PLANNED, Status.ASSIGNED)},
    (Status.ON_HOLD, Action.ASSIGNED): Status.ON_HOLD,
    (Status.ASSIGNED, Action.STARTED): Status.IN_PROGRESS,
    (Status.IN_PROGRESS, Action.HELD): Status.ON_HOLD,
    (Status.ON_HOLD, Action.RESUMED): Status.IN_PROGRESS,
    (Status.IN_PROGRESS, Action.COMPLETED): Status.COMPLETED,
    (Status.COMPLETED, Action.CLOSED): Status.CLOSED,
    **{(status, Action.CANCELLED): Status.CANCELLED for status in Status if status not in OVER},
    **{(status, Action.REOPENED): Status.OPEN for status in OVER},
}
"""What can be done in which status, and where it leads."""


class NotPossibleNow(ValueError):
    """The order's status does not allow the action."""


def after(status: str, action: Action, *, waits: bool = False) -> Status:
    """The status that an action leads to; ``waits``: an order that is open again waits for approval first. Raises
    ``NotPossibleNow``."""
    to = TABLE.get((Status(status), action))
    if to is None:
        raise NotPossibleNow(f"{action} in status {status}")
    return Status.REQUESTED if waits and action is Action.REOPENED else to


def possible(status: str) -> frozenset[Action]:
    """What people can do with an order in a status."""
    return frozenset(action for known, action in TABLE if known == status)
