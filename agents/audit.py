"""What is wrong with the service, from figures. Pure: the figures are read by ``agents.watchdog``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What the watchdog looks at."""

    STUCK_RUNS = "stuck-runs"
    EXPIRED_LEASES = "expired-leases"
    OVERDUE_DELIVERIES = "overdue-deliveries"
    STALLED_LANES = "stalled-lanes"
    OVERDUE_JOBS = "overdue-jobs"
    MISSING_ESCALATIONS = "missing-escalations"
    OVERDUE_ESCALATIONS = "overdue-escalations"
    SILENT_SENSORS = "silent-sensors"


TEXTS: dict[Kind, tuple[str, str]] = {
    Kind.STUCK_RUNS: (
        "Runs on their way that have finished no stage for long.",
        "Look at the workers of their stage, and at the runs' errors.",
    ),
    Kind.EXPIRED_LEASES: (
        "Leases that ran out, and nobody took the work over.",
        "A worker died; is the sweeper running?",
    ),
    Kind.OVERDUE_DELIVERIES: (
        "Messages that were due to be sent long ago.",
        "Look at the worker of the queue deliver, and at the sweeper.",
    ),
    Kind.STALLED_LANES: (
        "Lanes in which something waits, and no run.",
        "Look at the worker of the queue ingest, and at the sweeper.",
    ),
    Kind.OVERDUE_JOBS: (
        "Periodic jobs that were not done for several of their periods.",
        "Look at the list of periodic jobs, at beat and at the worker of the queue housekeeping.",
    ),
    Kind.MISSING_ESCALATIONS: (
        "Alarms that nobody acknowledged, and whose chain does not escalate them.",
        "Look at the list of escalations, and at the sweeper.",
    ),
    Kind.OVERDUE_ESCALATIONS: (
        "Steps of escalations that were due minutes ago.",
        "Look at the list of escalations, and at the sweeper.",
    ),
    Kind.SILENT_SENSORS: (
        "Sensors that were due and have sent nothing current.",
        "Look at the list of silent sensors: each has an order to see to its instrument.",
    ),
}
"""What each kind counts, and what to do about it."""

OF_THE_PLANT = frozenset({Kind.SILENT_SENSORS})
"""Says nothing against the service, which found it and told of it."""


@dataclass(frozen=True, slots=True)
class Figure:
    """How many there are that are beyond their limit, and the age of the oldest in seconds."""

    kind: Kind
    count: int
    oldest_seconds: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """A finding of the audit. ``of_the_service``: it must not go unnoticed, so the outside heartbeat stops."""

    kind: Kind
    count: int
    oldest_seconds: float
    what: str
    todo: str
    of_the_service: bool


def judge(figures: Iterable[Figure]) -> tuple[Trouble, ...]:
    """One finding for each figure that is not zero, in the order of ``Kind``."""
    by_kind = {figure.kind: figure for figure in figures if figure.count}
    return tuple(
        Trouble(kind, by_kind[kind].count, by_kind[kind].oldest_seconds, *TEXTS[kind], kind not in OF_THE_PLANT)
        for kind in Kind
        if kind in by_kind
    )


def passed(troubles: Iterable[Trouble]) -> bool:
    """Whether nothing is wrong with the service itself."""
    return not any(trouble.of_the_service for trouble in troubles)
