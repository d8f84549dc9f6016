"""The table of agents is whole, and how an agent is follows from what is on record."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from agents import sweeper, tasks, timetable
from agents.coordinator import verdict
from agents.coordinator.facts import ERRANDS
from agents.coordinator.table import AGENTS, THINGS, Source
from agents.coordinator.verdict import Facts, Status
from agents.models import Run
from config.celery import QUEUES, app
from sensors import journal

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
FAMILIES = {f"{name.partition('.')[0]}.*" for name in journal.TYPES}
SOURCES = [source.name for agent in AGENTS for source in agent.sources]


def ago(**passed: float) -> datetime:
    return NOW - timedelta(**passed)


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")  # of queues named at the task
def test_every_task_of_celery_belongs_to_one_agent() -> None:
    assert tasks.report.name == "agents.report"  # they are known once their module is imported
    known = {name.removeprefix("agents.") for name in app.tasks if name.startswith("agents.")}
    assert Counter(task for agent in AGENTS for task in agent.tasks) == Counter(known)


def test_every_queue_stage_job_and_errand_is_looked_at_once() -> None:
    assert max(Counter(SOURCES).values()) == 1
    looked_at = set(SOURCES)
    assert {name for name in looked_at if name.startswith("job/")} == {f"job/{name}" for name in timetable.PERIODS}
    stages = {f"stage/{name}" for name in (*Run.Stage.values, "QUARANTINE")}
    assert {name for name in looked_at if name.startswith("stage/")} == stages
    errands = {name for name in looked_at if name.startswith("errand/")}
    assert errands == {f"errand/{name}" for name in (*ERRANDS, "schedule")}
    assert len(ERRANDS) == len(sweeper.ERRANDS_BY_QUEUE)
    named = {task for agent in AGENTS for task in agent.tasks}
    assert set(QUEUES) - {"housekeeping"} <= named  # a queue has its task's name


def test_agents_read_and_write_what_there_is() -> None:
    named = [name for agent in AGENTS for name in (*agent.reads, *agent.writes)]
    assert [name for name in named if name not in journal.TYPES | FAMILIES | THINGS] == []
    assert set(named) >= THINGS
    assert all(agent.reads and agent.writes and agent.does.endswith(".") for agent in AGENTS)
    assert len({agent.name for agent in AGENTS}) == len(AGENTS)


QUEUED, JOB = Source("deliver", 300), Source("job/drift", 7_200)


@pytest.mark.parametrize(
    ("source", "facts", "status", "since"),
    [
        (QUEUED, Facts(), Status.IDLE, None),
        (QUEUED, Facts(succeeded_at=ago(days=2)), Status.IDLE, ago(days=2)),
        (QUEUED, Facts(succeeded_at=ago(minutes=5), done=3), Status.WORKING, ago(minutes=5)),
        (QUEUED, Facts(held=1, succeeded_at=ago(days=2)), Status.WORKING, ago(days=2)),
        (QUEUED, Facts(due_at=ago(seconds=299), waiting=1), Status.WORKING, None),
        (QUEUED, Facts(due_at=ago(seconds=301), waiting=1), Status.LATE, ago(seconds=301)),
        (QUEUED, Facts(failed_at=ago(hours=9), failing_since=ago(hours=10)), Status.FAILING, ago(hours=10)),
        (QUEUED, Facts(failed_at=ago(minutes=1), failing_since=ago(minutes=9), due_at=ago(minutes=8), waiting=1),
         Status.FAILING, ago(minutes=9)),
        (QUEUED, Facts(failed_at=ago(hours=9), failing_since=ago(hours=10), due_at=ago(hours=8), waiting=1),
         Status.LATE, ago(hours=8)),
        (QUEUED, Facts(succeeded_at=ago(minutes=1), failed_at=ago(minutes=2), done=27, failed=3,
                       failed_lately_since=ago(minutes=40)), Status.FAILING, ago(minutes=40)),
        (QUEUED, Facts(succeeded_at=ago(minutes=1), failed_at=ago(minutes=2), done=28, failed=3,
                       failed_lately_since=ago(minutes=40)), Status.WORKING, ago(minutes=1)),
        (QUEUED, Facts(succeeded_at=ago(minutes=1), failed_at=ago(minutes=2), done=1, failed=2,
                       failed_lately_since=ago(minutes=40)), Status.WORKING, ago(minutes=1)),
        (JOB, Facts(), Status.LATE, None),
        (JOB, Facts(due_at=NOW + timedelta(minutes=5)), Status.IDLE, None),
        (JOB, Facts(due_at=ago(hours=1), succeeded_at=ago(hours=2)), Status.WORKING, ago(hours=2)),
        (JOB, Facts(due_at=ago(hours=3), succeeded_at=ago(hours=4)), Status.LATE, ago(hours=3)),
    ],
)  # fmt: skip
def test_status_and_since_when(source: Source, facts: Facts, status: Status, since: datetime | None) -> None:
    found, why, when = verdict.judge(source, facts, now=NOW)
    assert (found, when) == (status, since)
    assert why.endswith((".", "?"))


def test_an_agent_is_as_its_worst_source_and_sums_its_figures() -> None:
    learn = next(agent for agent in AGENTS if agent.name == "learn")
    known = {
        "errand/training": Facts(succeeded_at=ago(days=1), failed_at=ago(hours=2), failing_since=ago(hours=2),
                                 error="Traceback\nNotAtHand: no rows", failed=0),
        "job/trainings": Facts(succeeded_at=ago(minutes=2), due_at=ago(seconds=5), done=6),
        "job/mirror_aliases": Facts(succeeded_at=ago(minutes=1), due_at=ago(seconds=9), done=30),
    }  # fmt: skip
    health = verdict.of(learn, known, now=NOW)
    assert health.status == Status.FAILING
    assert health.why == "training: nothing succeeded since. NotAtHand: no rows"
    assert (health.succeeded_at, health.rate, health.done, health.lag_seconds) == (ago(minutes=1), 36.0, 36, 9.0)


def test_a_rate_is_by_the_time_that_was_looked_at() -> None:
    notify = next(agent for agent in AGENTS if agent.name == "notify")
    known = {"stage/NOTIFY": Facts(succeeded_at=NOW, done=2_000, covered_seconds=100.0)}
    assert verdict.of(notify, known, now=NOW).rate == 72_000
