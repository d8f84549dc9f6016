"""In which form an answer is given."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

ANY = "*/*"


class ByAccept(DefaultContentNegotiation):
    """DRF's, which reads each ``Accept`` anew, with a short way for those that welcome the view's first form."""

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> Any:
        renderers = list(renderers)
        meta, first = request._request.META, renderers[0]
        plain = format_suffix is None and not meta.get("QUERY_STRING")  # where ``format`` may ask for another one
        if plain and meta.get("HTTP_ACCEPT", ANY) in (ANY, first.media_type):
            return first, first.media_type
        return super().select_renderer(request, renderers, format_suffix)
