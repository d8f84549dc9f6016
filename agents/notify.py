"""Stage 5, pure: what happened becomes messages, one per recipient.

Sending is not part of the stage (see ``agents.deliver``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from maintenance import messages
from maintenance.messages import Evidence, Guidance, Recipient, Row, Transition
from sensors.columns import instant_text

WORDS = {
    ("alarm", "OPENED"): "Alarm",
    ("alarm", "RAISED"): "Alarm raised",
    ("alarm", "REOPENED"): "Alarm again",
    ("alarm", "RETURNED"): "Back to normal",
    ("alarm", "RE_ALARMED"): "Alarm still active",
    ("alarm", "UNSHELVES_SOON"): "Shelving ends soon",
    ("alarm", "UNSHELVED"): "Alarm no longer shelved",
    ("alarm", "UNSUPPRESSED"): "Alarm no longer suppressed",
    ("alarm", "BACK_IN_SERVICE"): "Alarm back in service",
    ("work-order", "OPENED"): "Work order",
    ("work-order", "WAITS"): "Waits for approval",
    ("work-order", "REJECTED"): "Request rejected",
}
"""What is sent, and how its subject line begins. What people do themselves (acknowledge, comment) is not sent."""
TO_NAMED = {("alarm", "ESCALATED"): "Not acknowledged"}
"""What goes to whom an escalation names, whatever they have subscribed to."""

PATHS = {"alarm": "/admin/maintenance/alarm/{}/change/", "work-order": "/admin/maintenance/workorder/{}/change/"}
SUBJECT_LIMIT = 300
NAME_LIMIT = 200
REMARK_LIMIT = 500
FINDINGS_LIMIT = 300
GUIDANCE_LIMIT = 1_000


def notify(transitions: Sequence[Transition], channels: Sequence[Recipient]) -> list[Row]:
    """The messages these transitions call for, in the order of the transitions, then of the channels.

    A channel gets what its subscriptions ask for, once however many do. Of channels that lead to the same address the
    first is used. The key is made of the transition and the channel alone, so that the same call gives the same rows
    for ever.
    """
    return [
        _row(transition, channel)
        for transition in transitions
        if (transition.source, transition.action) in WORDS
        for channel in _addressed(transition, channels)
    ]


def _addressed(transition: Transition, channels: Sequence[Recipient]) -> list[Recipient]:
    found: dict[str, Recipient] = {}
    for channel in channels:
        if messages.wants(channel, transition):
            found.setdefault(channel.address or f"channel/{channel.channel_id}", channel)
    return list(found.values())


def _row(transition: Transition, channel: Recipient) -> Row:
    return Row(
        site_id=transition.site_id,
        channel_id=channel.channel_id,
        event_type=transition.kind,
        subject_line=subject_line(transition),
        payload=payload(transition),
        key=f"{transition.source}-transition/{transition.id}/channel/{channel.channel_id}",
    )


def subject_line(transition: Transition) -> str:
    """Such as ``[HIGH] Alarm: P-101 – Feed pump, LOO``; one line whatever the names hold."""
    what = transition.title or f"{transition.machine}, {transition.failure_mode}"
    return messages.one_line(f"[{transition.priority}] {_words(transition)}: {what}", limit=SUBJECT_LIMIT)


def payload(transition: Transition) -> dict[str, Any]:
    """What a message is rendered from: plain JSON, instants in ISO 8601 UTC, values in the sensor's unit."""
    return {
        "what": _words(transition),
        "action": transition.action,
        "subject": f"{transition.source}/{transition.subject_id}",
        "title": _name(transition.title),
        "site": {"id": transition.site_id, "name": _name(transition.site)},
        "machine": {"id": transition.machine_id, "name": _name(transition.machine)},
        "failure_mode": transition.failure_mode,
        "priority": transition.priority,
        "since": instant_text(transition.since),
        "at": instant_text(transition.at),
        "remark": messages.one_line(transition.remark, limit=REMARK_LIMIT),
        "evidence": _evidence(transition.evidence) if transition.evidence else None,
        "guidance": _guidance(transition.guidance) if transition.guidance else None,
        "past": [
            {
                "order": case.order_id,
                "closed_at": instant_text(case.closed_at),
                "findings": _findings(case.findings),
            }
            for case in transition.past
        ],
        "path": PATHS[transition.source].format(transition.subject_id),
    }


def _words(transition: Transition) -> str:
    return (WORDS | TO_NAMED)[transition.source, transition.action]


def _evidence(evidence: Evidence) -> dict[str, Any]:
    return {
        "sensor": {"id": evidence.sensor_id, "name": _name(evidence.sensor), "unit": _name(evidence.unit)},
        "kind": evidence.kind,
        "observed": _number(evidence.observed),
        "expected_low": _number(evidence.expected_low),
        "expected_high": _number(evidence.expected_high),
    }


def _guidance(said: Guidance) -> dict[str, Any]:
    texts = {"cause": said.cause, "consequence": said.consequence, "response": said.response}
    lines = {name: messages.one_line(text, limit=GUIDANCE_LIMIT) for name, text in texts.items()}
    return {**lines, "respond_within_minutes": said.respond_within_minutes}


def _name(text: str) -> str:
    return messages.one_line(text, limit=NAME_LIMIT)


def _findings(text: str) -> str:
    return messages.one_line(text, limit=FINDINGS_LIMIT)


def _number(value: float | None) -> float | None:
    """JSON knows neither NaN nor infinity."""
    return value if value is not None and math.isfinite(value) else None
