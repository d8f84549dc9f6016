"""The health of a machine, for its page, which is of another layer, and for the list of machines."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils import timezone
from django.utils.safestring import SafeString

from agents import health
from agents.health import Health
from agents.health_index import WEIGHTS
from sensors import show
from sensors.models import Equipment

register = template.Library()
TONES = {"good": "DONE", "fair": "RUNNING", "poor": "HELD", "bad": "FAILED", "unknown": ""}


@register.inclusion_tag("admin/agents/health_of_machine.html")
def health_of(machine: Any) -> dict[str, Any]:
    """Nothing where the page is not of a machine that exists."""
    if not isinstance(machine, Equipment) or machine.level != Equipment.Level.MACHINE:
        return {"found": None}
    found = health.of([machine], now=timezone.now())[machine.pk]
    lines = [(name, found.index.parts[name], weight, found.words[name]) for name, weight in WEIGHTS.items()]
    return {"found": found, "lines": lines, "machine": machine}


@register.filter
def health_badge(found: Health) -> SafeString:
    level = found.index.level
    return show.badge(TONES[level], level if found.index.value is None else f"{found.index.value:.0f} {level}")


@register.filter
def out_of_100(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.0f}"


@register.filter
def part(found: Health, name: str) -> str:
    return out_of_100(found.index.parts[name])


@register.filter
def part_words(found: Health, name: str) -> str:
    return found.words[name]
