"""Where a person is logged in, in browsers and over REST, and an end to it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone

from sensors import families, sessions

NAME = "my-sessions"
OTHERS = "others"


def view(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    browsers = sessions.live(user)
    programs = families.live(user, now=timezone.now())
    if request.method == "POST":
        wanted = request.POST.get("end", "")
        others = [row for row in browsers if row.session_key != request.session.session_key]
        ended = sessions.end([row for row in browsers if row.name == wanted] if wanted != OTHERS else others)
        chosen = programs if wanted == OTHERS else programs.filter(pk=_number(wanted))
        ended += families.end(chosen, why=families.End.ENDED)
        messages.success(request, f"Ended: {ended}.")
        return HttpResponseRedirect(request.path)
    context = {
        **admin.site.each_context(request),
        "title": "Where you are logged in",
        "browsers": [(row, row.session_key == request.session.session_key) for row in browsers],
        "programs": programs,
        "others": OTHERS,
    }
    return TemplateResponse(request, "admin/sensors/my_sessions.html", context)


def _number(text: str) -> int:
    """The id of a log-in; 0, which none has, for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else 0
