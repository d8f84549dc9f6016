"""Slow, obvious versions of the figures of maintenance: order by order, in whole numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

NEVER = 2**63 - 1
CORRECTIVE = ("CORRECTIVE_IMMEDIATE", "CORRECTIVE_DEFERRED")
FIXED = 30 * 86_400 * 1_000_000


@dataclass(frozen=True)
class Job:
    """One order; ``work``: stretches of begin and end."""

    id: int
    machine: int
    mode: str
    kind: str
    verdict: str
    opened: int
    completed: int
    closed: int
    due: int
    minutes: int
    planned: bool
    reopened: bool
    work: tuple[tuple[int, int], ...] = ()

    @property
    def is_failure(self) -> bool:
        return self.kind in CORRECTIVE and self.verdict not in ("FALSE", "EXPECTED", "SENSOR_FAULT")


def survival(times: Sequence[tuple[float, bool]]) -> list[tuple[float, float]]:
    """Kaplan and Meier's curve by going through the times at which something ended, one by one."""
    found, share = [], Fraction(1)
    for at in sorted({time for time, ended in times if ended}):
        at_risk = sum(1 for time, _ in times if time >= at)
        share *= 1 - Fraction(sum(1 for time, ended in times if ended and time == at), at_risk)
        found.append((at, float(share)))
    return found


def out_of_service(jobs: Sequence[Job], since: Mapping[int, int], start: int, end: int, step: int) -> int:
    """By looking at each machine at every ``step`` of the period in which it is observed."""
    return step * sum(
        any(begin <= at < over for job in jobs if job.machine == machine for begin, over in job.work)
        for machine in {job.machine for job in jobs}
        for at in range(max(start, since[machine]), end, step)
    )


def restored(jobs: Sequence[Job], start: int, end: int) -> tuple[int, int, int]:
    """Time together, how many failures were restored, how many were not by the end."""
    time = done = running = 0
    for job in jobs:
        if not (job.is_failure and start <= job.opened < end):
            continue
        if job.completed >= end:
            time, running = time + end - job.opened, running + 1
        elif job.work:
            time, done = time + job.completed - job.opened, done + 1
    return time, done, running


def first_time_fix(jobs: Sequence[Job], start: int, end: int) -> tuple[int, int]:
    """Repairs that lasted, of those of which it is known."""
    lasted = known = 0
    for job in jobs:
        if not job.is_failure:
            continue
        if job.reopened and job.opened < end and job.completed >= start:
            known += 1
        elif job.mode and start <= job.completed < end - FIXED:
            known += 1
            lasted += not job.reopened and not any(
                other.is_failure and (other.machine, other.mode) == (job.machine, job.mode)
                and job.completed < other.opened <= job.completed + FIXED
                for other in jobs
            )  # fmt: skip
    return lasted, known


def warnings(jobs: Sequence[Job], start: int, end: int) -> list[tuple[int, bool]]:
    """How long before the failure each foreseen one was known, and whether that came before the work was done."""
    found = []
    for job in jobs:
        if job.kind in ("PREDICTIVE", "CONDITION_BASED") and job.verdict == "REAL" and start <= job.opened < end:
            until = min(job.completed, end)
            failed = [
                other.opened for other in jobs
                if job.mode and other.is_failure and (other.machine, other.mode) == (job.machine, job.mode)
                and job.opened < other.opened <= until
            ]  # fmt: skip
            found.append((min([*failed, until]) - job.opened, bool(failed)))
    return found
