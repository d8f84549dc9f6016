"""What triage says of the anomalies of a situation, and what follows from it for when they count. Pure; of decide."""

from __future__ import annotations

from dataclasses import replace

from maintenance import triage
from maintenance.alarm_life import Condition, Situation
from maintenance.triage import Judgement

NEVER = 2**63 - 1
"""An instant that does not come."""
BEFORE_IT_COUNTED = ("NONE:in-on-delay", "NONE:shorter-than-on-delay", "NONE:late", "NONE:false-positive")
"""How the decisions begin that are made on an anomaly before it counts."""


def judged(situation: Situation) -> list[Condition]:
    """The live anomalies, each with the verdict of triage, and held back as far as that says.

    What has counted once is held back no more: a label changes no alarm that stands.
    """
    return [_held(c, judgement) for c, judgement in _judgements(situation)]


def _judgements(situation: Situation) -> list[tuple[Condition, Judgement]]:
    return [
        (c, triage.judge(
            c.facts, started_at=c.started_at, last_at=c.last_at, kind=c.kind, criticality=situation.criticality
        ))
        for c in situation.conditions if not c.retrospective
    ]  # fmt: skip


def _held(condition: Condition, judgement: Judgement) -> Condition:
    since = NEVER if judgement.since is None else judgement.since
    counted = any(not entry.startswith(BEFORE_IT_COUNTED) for entry in condition.decided)
    until = 0 if counted else since
    return replace(condition, verdict=judgement.verdict, reasons=judgement.reasons, held_until=until)


def news(situation: Situation) -> tuple[tuple[int, Judgement], ...]:
    """The judgements that are not what is stored, by anomaly."""
    return tuple(
        (c.anomaly_id, j) for c, j in _judgements(situation) if (c.verdict, c.reasons) != (j.verdict, j.reasons)
    )


def why_held(condition: Condition) -> str:
    """The reason for doing nothing about one that is held back."""
    return f"false-positive: {condition.reasons[0].name}"


def doubts(condition: Condition) -> str:
    """What speaks against it, the weightiest first."""
    return ", ".join(reason.name for reason in condition.reasons if reason.points > 0)
