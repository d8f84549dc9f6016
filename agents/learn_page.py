"""The page that shows what a site's people taught: training windows, and first those that are left out."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from agents import learn
from agents.learn import Named
from agents.training_windows import LABEL
from maintenance import performance_page
from sensors import desk, show
from sensors.models import Site

NAME = "training-windows"
MOST = 500
"""Of each table the newest; REST and the command have all."""


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for who is a member of no site. Without a site of theirs it is the first of them."""
    if not performance_page.may_view(request):
        raise PermissionDenied
    sites = list(desk.scope(request, Site.objects.order_by("name", "id"), path="pk"))
    asked = request.GET.get("site", "")
    site = next((one for one in sites if str(one.pk) == asked), sites[0] if sites else None)
    page: dict[str, Any] = {**admin.site.each_context(request), "title": "Training windows", "sites": sites}
    if site is not None:
        found = sorted(learn.windows([site.pk]), key=lambda one: one.window.said.start, reverse=True)
        tables = [
            (title, empty, len(rows), [(one, one.window.said, _source(one)) for one in rows[:MOST]])
            for title, empty, rows in (
                ("Left out", "Nothing is contradicted.", [one for one in found if not one.window.is_used]),
                ("Taught", "Label windows of readings, or complete work orders that alarms opened.",
                 [one for one in found if one.window.is_used]),
            )
        ]  # fmt: skip
        page |= {"site": site, "tables": tables}
    return TemplateResponse(request, "admin/agents/training_windows.html", page)


def _source(one: Named) -> SafeString | str:
    said = one.window.said
    if said.source == LABEL:
        return show.link_to("sensors_label", said.source_id, f"label {said.source_id}")
    return show.link_to("maintenance_workorder", said.source_id, f"WO-{said.source_id}")
