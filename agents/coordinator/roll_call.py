"""How every agent is now, and the same in words for REST."""

from __future__ import annotations

from typing import Any

from agents.coordinator import facts, verdict
from agents.coordinator.table import AGENTS
from agents.coordinator.verdict import Health


def call() -> list[Health]:
    """In the order of the table."""
    known, now = facts.read()
    return verdict.all_of(AGENTS, known, now=now)


def plain(health: Health) -> dict[str, Any]:
    agent = health.agent
    return {
        "name": agent.name,
        "does": agent.does,
        "reads": list(agent.reads),
        "writes": list(agent.writes),
        "run_by": agent.run_by,
        "status": str(health.status),
        "why": health.why,
        "since": health.since,
        "last_success_at": health.succeeded_at,
        "rate_per_hour": round(health.rate, 1),
        "done": health.done,
        "failed": health.errors,
        "last_error": health.error,
        "lag_seconds": round(health.lag_seconds, 1),
        "waiting": health.waiting,
    }
