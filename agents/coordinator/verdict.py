"""How an agent is, from what is on record of it. Pure.

- *failing*: nothing succeeded since something failed, or a tenth of the last hour's attempts failed, three at least.
- *late*: something was due for longer than the agent's limit, and nobody tried.
- *working*: something succeeded within the last hour, or somebody is at it, or a periodic job is within its period.
- *idle*: nothing is to be done, and nothing was lately.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from agents.coordinator.table import Agent, Source

WINDOW = timedelta(hours=1)
BAD_SHARE, BAD_LEAST = 0.1, 3
STOPPED = timedelta(minutes=10)
"""Without an attempt for so long, what is due is late, however the last attempt ended."""


class Status(StrEnum):
    FAILING = "failing"
    LATE = "late"
    WORKING = "working"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Facts:
    """Of one source. ``done`` and ``failed`` are of the last hour, or of ``covered_seconds`` of it where there was more
    than is looked at."""

    succeeded_at: datetime | None = None
    failed_at: datetime | None = None
    failing_since: datetime | None = None
    failed_lately_since: datetime | None = None
    error: str = ""
    done: int = 0
    failed: int = 0
    covered_seconds: float = WINDOW.total_seconds()
    due_at: datetime | None = None
    waiting: int = 0
    held: int = 0

    def lag(self, now: datetime) -> float:
        """Seconds since what is due first was due."""
        return 0.0 if self.due_at is None else max(0.0, (now - self.due_at).total_seconds())


@dataclass(frozen=True, slots=True)
class Health:
    """``rate``: done an hour. ``since``: of late, when the work was due; of failing, the first failure; else the last
    success. Unknown where it is None."""

    agent: Agent
    status: Status
    why: str
    since: datetime | None
    succeeded_at: datetime | None
    rate: float
    done: int
    errors: int
    error: str
    lag_seconds: float
    waiting: int


def of(agent: Agent, known: Mapping[str, Facts], *, now: datetime) -> Health:
    """The worst of its sources says how it is; the figures are of all together."""
    found = [(source, known.get(source.name, Facts())) for source in agent.sources]
    told = [(*judge(source, facts, now=now), facts) for source, facts in found]
    status, why, since, _ = min(told, key=lambda one: _gravity(one[0]))
    succeeded = [facts.succeeded_at for _, facts in found if facts.succeeded_at is not None]
    errors = [(facts.failed_at, facts.error) for _, facts in found if facts.failed_at is not None]
    return Health(
        agent, status, why, since,
        succeeded_at=max(succeeded, default=None),
        rate=sum(3_600 * facts.done / max(facts.covered_seconds, 1.0) for _, facts in found),
        done=sum(facts.done for _, facts in found),
        errors=sum(facts.failed for _, facts in found),
        error=max(errors)[1] if errors else "",
        lag_seconds=max(facts.lag(now) for _, facts in found),
        waiting=sum(facts.waiting for _, facts in found),
    )  # fmt: skip


def _gravity(status: Status) -> int:
    return list(Status).index(status)


def judge(source: Source, facts: Facts, *, now: datetime) -> tuple[Status, str, datetime | None]:
    """The status by one source, why, and since when."""
    name, lag = source.name.rpartition("/")[2].lower(), facts.lag(now)
    is_late = lag > source.late_after
    tries = facts.failed_at is not None and now - facts.failed_at <= max(STOPPED, timedelta(seconds=source.late_after))
    if facts.failing_since is not None and not (is_late and not tries):
        return Status.FAILING, f"{name}: nothing succeeded since. {_line(facts.error)}".rstrip(), facts.failing_since
    if is_late:
        return Status.LATE, f"{name}: due for {_span(lag)}, and nobody has done it.", facts.due_at
    if facts.failed >= BAD_LEAST and facts.failed >= BAD_SHARE * (facts.done + facts.failed):
        said = f"{name}: {facts.failed} of {facts.done + facts.failed} failed lately. {_line(facts.error)}"
        return Status.FAILING, said.rstrip(), facts.failed_lately_since
    return _well(source, name, facts, now=now)


def _well(source: Source, name: str, facts: Facts, *, now: datetime) -> tuple[Status, str, datetime | None]:
    if source.name.startswith("job/"):
        if facts.succeeded_at is None and facts.due_at is None:
            return Status.LATE, f"{name}: it has never run. Is beat running, and its worker?", None
        if facts.succeeded_at is not None:
            return Status.WORKING, "Done in time.", facts.succeeded_at
        return Status.IDLE, f"{name}: its first time has not come.", None
    if facts.held:
        return Status.WORKING, f"At work on {facts.held}, {facts.waiting} wait.", facts.succeeded_at
    if facts.succeeded_at is not None and now - facts.succeeded_at <= WINDOW:
        return Status.WORKING, f"{facts.done} done within the hour, {facts.waiting} wait.", facts.succeeded_at
    if facts.waiting:
        return Status.WORKING, f"{facts.waiting} wait, for {_span(facts.lag(now))} at most.", facts.succeeded_at
    return Status.IDLE, "Nothing is to be done.", facts.succeeded_at


def _line(error: str) -> str:
    """The last line of a trace says what it was."""
    return error.strip().rpartition("\n")[2][:200]


def _span(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{int(seconds)} s" if minutes < 2 else f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"


def all_of(agents: Sequence[Agent], known: Mapping[str, Facts], *, now: datetime) -> list[Health]:
    return [of(agent, known, now=now) for agent in agents]
