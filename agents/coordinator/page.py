"""The page of the agents. They serve the whole installation, so only superusers see it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from agents.coordinator import roll_call
from agents.coordinator.verdict import Health, Status
from sensors import desk, show, ticks

NAME = "agents"
TONES = {Status.WORKING: "DONE", Status.IDLE: "CANCELLED", Status.LATE: "RETRY", Status.FAILING: "FAILED"}


def may_view(request: HttpRequest) -> bool:
    return desk.sees_all(request)


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who does not look after the installation."""
    if not may_view(request):
        raise PermissionDenied
    lines = [_line(health) for health in roll_call.call()]
    page = {**admin.site.each_context(request), "title": "Agents", "lines": lines}
    return TemplateResponse(request, "admin/agents/agents.html", page)


def _line(health: Health) -> dict[str, Any]:
    return {
        "health": health,
        "badge": show.badge(TONES[health.status], str(health.status)),
        "rate": show.number(health.rate),
        "lag": ticks.span(health.lag_seconds) if health.lag_seconds >= 1 else show.DASH,
    }
