"""How the admin writes things for people: labels, links, numbers, spans."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from django.db.models import Model
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from sensors import ticks

DASH = "–"

TONES: Mapping[str, str] = {
    "CRITICAL": "danger", "HIGH": "warning", "MEDIUM": "info", "LOW": "plain", "ADVISORY": "plain",
    "OPEN": "warning", "ASSIGNED": "info", "IN_PROGRESS": "info", "COMPLETED": "fine", "CANCELLED": "plain",
    "ACTIVE": "info", "DONE": "fine", "FAILED": "danger", "REPLAY": "warning", "RETRY": "warning", "FENCED": "plain",
    "QUARANTINE": "warning", "SEARCHED": "violet", "DISCARDED": "plain",
    "HELD": "warning", "WAITING": "info", "TAKEN": "info", "STORED": "fine", "SET_ASIDE": "danger",
    "INVESTIGATING": "info", "REMEDIATING": "info", "RESOLVED": "fine",
    "CREDIBLE": "fine", "DOUBTFUL": "warning", "FALSE_POSITIVE": "violet",
    "FAULT": "danger", "EXPECTED": "info", "FALSE_ALARM": "violet",
    "UNACK": "danger", "ACKED": "warning", "RTNUN": "warning", "NORM": "fine",
    "SHLVD": "violet", "DSUPR": "violet", "OOSRV": "info",
    "SHELVED": "violet", "BY_DESIGN": "violet", "OUT_OF_SERVICE": "info",
    "RUNNING": "info", "PENDING": "info", "SENT": "fine", "DIGESTED": "plain", "SUPERSEDED": "violet",
    "MACHINE": "warning", "INSTRUMENT": "violet",
}  # fmt: skip


def badge(value: str, text: str = "") -> SafeString:
    """A coloured label that also says what it means."""
    tone = TONES.get(value, "plain")
    return format_html(
        '<span class="desk-badge desk-badge-{}">{}</span>', tone, text or value.replace("_", " ").lower()
    )


def link(row: Model | None, text: str = "") -> SafeString | str:
    """A link to a row's page."""
    if row is None:
        return DASH
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    return format_html('<a class="desk-link" href="{}">{}</a>', reverse(name, args=[row.pk]), text or str(row))


def link_to(model: str, pk: object, text: str) -> SafeString | str:
    """A link to the page of the row of ``app_model`` with that key, where its class is not ours to import."""
    if pk is None:
        return DASH
    return format_html('<a class="desk-link" href="{}">{}</a>', reverse(f"admin:{model}_change", args=[pk]), text)


def listing(model: str, text: str, **query: object) -> SafeString:
    """A link to a filtered list of ``app_model``."""
    url = reverse(f"admin:{model}_changelist", query=query)
    return format_html('<a class="desk-link" href="{}">{}</a>', url, text)


def number(value: float | None, unit: str = "") -> str:
    return DASH if value is None else f"{ticks.number(value)} {unit}".rstrip()


def bounds(low: float | None, high: float | None, unit: str = "") -> str:
    """What was expected, open to a side where no bound is."""
    if low is None and high is None:
        return DASH
    if low is None:
        return f"at most {number(high, unit)}"
    return f"at least {number(low, unit)}" if high is None else f"{number(low)} to {number(high, unit)}"


def count(value: int | None) -> str:
    """Thousands apart by a thin space."""
    return DASH if value is None else ticks.thousands(value)


def re_alarm(seconds: int | None, count: int) -> str:
    """After how long an alarm is told again, and how often."""
    return f"after {ticks.span(seconds)}, {count} times at most" if seconds else DASH


def lasted(start: datetime | None, end: datetime | None) -> str:
    return DASH if start is None or end is None else ticks.span((end - start).total_seconds())


def short(text: str, most: int = 120) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def pretty(value: object) -> SafeString | str:
    """JSON for people, the very long cut."""
    if not value:
        return DASH
    text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
    return format_html('<pre class="desk-pre">{}</pre>', short(text, 20_000))


def trace(text: str) -> SafeString | str:
    return format_html('<pre class="desk-pre">{}</pre>', text) if text else DASH
