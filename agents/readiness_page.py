"""The page that shows what ``make readiness`` found last: each claim, its evidence and its verdict. For operators."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from sensors import desk, show

NAME = "readiness"
TONES = {"good": "DONE", "bad": "FAILED", "stale": "HELD"}


class NoTable(Exception):
    """There is no table to show, or its file is not one."""


def may_view(request: HttpRequest) -> bool:
    return desk.sees_all(request)


def view(request: HttpRequest) -> HttpResponse:
    """Raises ``PermissionDenied`` for everyone but superusers: it is of the installation, not of a site."""
    if not may_view(request):
        raise PermissionDenied
    page: dict[str, Any] = {**admin.site.each_context(request), "title": "Readiness"}
    try:
        page |= read(settings.READINESS_FILE)
    except NoTable as error:
        page["why"] = str(error)
    return TemplateResponse(request, "admin/agents/readiness.html", page)


def read(path: Path) -> dict[str, Any]:
    """What the template shows. Raises ``NoTable``."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        rows = [_row(one) for one in table["rows"]]
        return {
            "at": datetime.fromisoformat(table["at"]),
            "commit": str(table["commit"])[:9],
            "good": sum(one["verdict"] == "good" for one in table["rows"]),
            "rows": rows,
        }
    except FileNotFoundError as error:
        raise NoTable("make readiness was not run here yet.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise NoTable(f"{path.name} cannot be read: {type(error).__name__}.") from error


def _row(one: dict[str, Any]) -> dict[str, Any]:
    verdict = one["verdict"]
    return {
        **{name: one[name] for name in ("area", "claim", "target", "value", "run", "why")},
        "at": datetime.fromisoformat(one["at"]) if one["at"] else None,
        "commit": one["commit"][:9],
        "verdict": show.badge(TONES.get(verdict, "CANCELLED"), verdict),
    }
