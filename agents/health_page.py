"""The page that shows the machines of a site by their health, the worst first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from agents import health
from agents.health import Health
from maintenance import performance_page
from sensors import desk
from sensors.models import Equipment, Site

NAME = "machine-health"
MOST = 1_000
"""Machines of a site on the page; of a larger one these are the first by tag, and REST has all."""


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who is a member of no site. Without a site of theirs it is the first of them."""
    if not performance_page.may_view(request):
        raise PermissionDenied
    sites = list(desk.scope(request, Site.objects.order_by("name", "id"), path="pk"))
    asked = request.GET.get("site", "")
    site = next((one for one in sites if str(one.pk) == asked), sites[0] if sites else None)
    page: dict[str, Any] = {**admin.site.each_context(request), "title": "Health of machines", "sites": sites}
    if site is not None:
        of_site = Equipment.objects.filter(site=site, level=Equipment.Level.MACHINE).order_by("tag", "id")
        machines = list(of_site[: MOST + 1])
        found = health.of(machines[:MOST], now=timezone.now())
        lines = sorted(((machine, found[machine.pk]) for machine in machines[:MOST]), key=_worst_first)
        page |= {"site": site, "lines": lines, "most": MOST if len(machines) > MOST else None}
    return TemplateResponse(request, "admin/agents/machine_health.html", page)


def _worst_first(line: tuple[Equipment, Health]) -> tuple[bool, float]:
    """What is unknown comes last: nobody can say what to do about it."""
    value = line[1].index.value
    return value is None, value or 0.0
