"""Operations that will end: their answers say since when, until when and what takes their place.

Headers after RFC 9745 (Deprecation), RFC 8594 (Sunset) and RFC 8288 (Link). A view or an action is marked by its
attribute ``deprecation``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import http_date


@dataclass(frozen=True, slots=True)
class Deprecation:
    """``instead``: the name of the route that takes its place."""

    since: date
    until: date
    instead: str = ""

    def mark(self, answer: HttpResponseBase) -> None:
        links = [f'<{reverse("docs")}>; rel="deprecation"; type="text/html"']
        if self.instead:
            links.append(f'<{reverse(self.instead)}>; rel="successor-version"')
        answer["Deprecation"] = f"@{_seconds(self.since)}"
        answer["Sunset"] = http_date(_seconds(self.until))
        answer["Link"] = ", ".join(links)

    def __str__(self) -> str:
        instead = f" Use `{reverse(self.instead)}`." if self.instead else ""
        return f"Deprecated since {self.since}; it ends on {self.until}.{instead}"


def _seconds(day: date) -> int:
    return int(datetime.combine(day, time(), UTC).timestamp())
