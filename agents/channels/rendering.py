"""A message in the words of its reader: subject, text and HTML, in the channel's language and the reader's time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.template.loader import render_to_string

from agents.channels.contract import Message
from maintenance import messages, wording

SUBJECT_LIMIT = 300
TEMPLATES = {
    "alarm": "alarm", "work-order": "work_order", "work-order.waits": "approval", "work-order.rejected": "approval",
    "digest": "digest", "digest.flood": "flood",
    "channel": "channel_disabled", "test": "test", "report": "report",
}  # fmt: skip
"""By the kind of event, else the part of it before the dot: the name in ``templates/messages/LANGUAGE/``."""
SUBJECTS = {
    "pt": {
        "digest": "{total} mensagens: {site}", "channel": "Mensagens interrompidas: {title}", "test": "Teste: {title}",
        "report": "Relatório: {site}",
        "digest.flood": "Avalanche de alarmes, {alarms} de {machines}: {site}",
    },
}  # fmt: skip

INSTANTS = ("since", "at", "began_at", "first_at", "waits_until")
"""What of a payload is an instant in ISO 8601, and shown in the reader's own time."""


@dataclass(frozen=True, slots=True)
class Rendered:
    subject: str
    text: str
    html: str


def render(message: Message) -> Rendered:
    """Names in it come from users: they are escaped in HTML, and one line each in the subject."""
    context = _context(message)
    name = f"messages/{message.language}/{TEMPLATES[_family(message, TEMPLATES)]}"
    text = "\n".join(line.rstrip() for line in render_to_string(f"{name}.txt", context).strip().splitlines())
    return Rendered(subject(message), text + "\n", render_to_string(f"{name}.html", context))


def _family(message: Message, among: Mapping[str, str]) -> str:
    """The kind of event where it has words of its own, else the part of it before the dot."""
    kind = message.event_type
    return kind if kind in among else kind.partition(".")[0]


def subject(message: Message) -> str:
    """Such as ``[HIGH] Alarm: P-101 – Feed pump, LOO``: the ledger's own where that is in the reader's language."""
    payload, language = message.payload, message.language
    if language not in SUBJECTS:
        return messages.one_line(message.subject_line, limit=SUBJECT_LIMIT)
    family = _family(message, SUBJECTS[language])
    if family in SUBJECTS[language]:
        flood = payload.get("flood", {})
        words = SUBJECTS[language][family].format(
            total=payload.get("total"), site=payload["site"]["name"], title=payload["title"],
            alarms=messages.counted(flood.get("alarms", 0), "alarme"),
            machines=messages.counted(flood.get("machines", 0), "máquina"),
        )  # fmt: skip
    else:
        what = payload["title"] or f"{payload['machine']['name']}, {payload['failure_mode']}"
        event = wording.event(message.event_type, language=language, otherwise=payload["what"])
        words = f"{event}: {what}"
    priority = wording.priority(payload["priority"], language=language)
    return messages.one_line(f"[{priority}] {words}", limit=SUBJECT_LIMIT)


def _context(message: Message) -> dict[str, Any]:
    zone = ZoneInfo(message.time_zone)
    return {
        **_words(message.payload, event_type=message.event_type, message=message, zone=zone),
        "items": [
            _words(item, event_type=item["event_type"], message=message, zone=zone)
            for item in message.payload.get("items", ())
        ],
        "by_priority": [
            (wording.priority(name, language=message.language), count)
            for name, count in message.payload.get("by_priority", ())
        ],
        "flood": {
            name: _local(value, zone) if name in INSTANTS else value
            for name, value in message.payload.get("flood", {}).items()
        },
        "zone": zone.key,
        "url": settings.PUBLIC_URL + message.payload["path"],
    }


def _words(payload: Mapping[str, Any], *, event_type: str, message: Message, zone: ZoneInfo) -> dict[str, Any]:
    """What is told of one thing: the payload, with words in place of codes and instants in the reader's time."""
    language, links = message.language, message.links.get(payload["subject"], {})
    told: dict[str, Any] = {
        **payload,
        "evidence": _readable(payload.get("evidence"), language=language),
        "priority_words": wording.priority(payload["priority"], language=language),
        "note": wording.note(event_type, language=language),
        "remark": wording.remark(payload.get("remark", ""), language=language),
        "state_words": wording.state(payload.get("state", ""), language=language),
        "after": _clock(payload.get("after_seconds", 0.0)),
        **{purpose: links.get(purpose, "") for purpose in ("acknowledge", "shelve")},
    }
    if "failure_mode" in payload:
        told["what"] = wording.event(event_type, language=language, otherwise=payload["what"])
        told["mode"], usual = wording.mode(payload["failure_mode"], language=language)
        told["response"] = (payload.get("guidance") or {}).get("response") or usual
        told["past"] = [{**case, "closed_at": _local(case["closed_at"], zone)} for case in payload.get("past", ())]
    return told | {name: _local(payload[name], zone) for name in INSTANTS if name in payload}


def _clock(seconds: float) -> str:
    """So long, as a clock that runs shows it: ``0:07``, ``12:30``, ``1:02:05``."""
    minutes, left = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{left:02}" if hours else f"{minutes}:{left:02}"


def _local(instant: str, zone: ZoneInfo) -> datetime:
    return datetime.fromisoformat(instant).astimezone(zone)


def _readable(evidence: Mapping[str, Any] | None, *, language: str) -> dict[str, Any] | None:
    """The same in words, figures as a person writes them: six digits, no trailing zeros, the language's own point."""
    if evidence is None:
        return None
    point = {"en": ".", "pt": ","}[language]
    figures = {
        name: f"{value:.6g}".replace(".", point) if isinstance(value, float | int) else value
        for name, value in evidence.items()
    }
    return figures | {"kind": wording.finding(evidence["kind"], language=language)}
