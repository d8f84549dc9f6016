"""The live stream over REST: who asks is let in here; the streaming is the live process's (``config.live``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request

from agents.live import wish
from agents.live.wish import Wish
from sensors import access
from sensors.contract import Contract
from sensors.permissions import READ
from sensors.policy import by_method
from sensors.problems import Problem

LAST = "Last-Event-ID"
LONGEST_ID = 18


@dataclass(slots=True)
class Opened:
    """What the view let in: ``last``: the event it saw last; 0 where it begins, -1 where that is no id of ours."""

    wish: Wish
    last: int
    again: Callable[[], Wish]


class Let(HttpResponse):
    """Stands for a stream that may begin; only ``config.live`` can answer it."""

    opened: Opened


class Live(Contract):
    """Whatever a client accepts: what is not streamed is a problem, as everywhere."""

    policy = by_method(get=READ)
    looks_up = True

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type

    @extend_schema(
        tags=["live"],
        summary="What happens, as it happens (server-sent events)",
        description="Alarms, anomalies and orders of your sites as CloudEvents, and the newest readings of sensors "
        "that are named. A stream that broke off is taken up with the header Last-Event-ID. It ends with the token: "
        "come back with a fresh one. Where it is served by an address of its own the answer leads there.",
        parameters=[
            OpenApiParameter("types", str, description="Types, or families such as alarm.*, separated by commas."),
            OpenApiParameter("site", str, description="Ids of sites of yours; all of them if it is left out."),
            OpenApiParameter("equipment", str, description="Ids of lines or machines: only what is about these."),
            OpenApiParameter("sensors", str, description="Ids of sensors whose newest readings are told, at most 50."),
            OpenApiParameter(LAST, str, OpenApiParameter.HEADER, description="The id that was seen last."),
        ],
        responses={
            (200, "text/event-stream"): OpenApiTypes.STR,
            307: OpenApiResponse(description="It is served elsewhere."),
        },
    )
    def get(self, request: Request) -> HttpResponse:
        asked: HttpRequest = request._request
        found = wish.read(request.query_params, access.user_of(request))
        if getattr(asked, "streams", False):
            answer = Let()
            answer.opened = Opened(found, _last(request.headers.get(LAST, "")), lambda: again(asked))
            return answer
        if not settings.LIVE_URL:
            raise Problem("unavailable", "The live stream is not served at this address.")
        return HttpResponseRedirect(settings.LIVE_URL + asked.get_full_path(), status=307)


def _last(said: str) -> int:
    if not said:
        return 0
    return int(said) if said.isascii() and said.isdecimal() and len(said) <= LONGEST_ID else -1


def again(asked: HttpRequest) -> Wish:
    """The wish as it would be granted now. Raises what the view would answer."""
    view = Live()
    request = view.initialize_request(asked)
    view.request = request
    view.perform_authentication(request)
    view.check_permissions(request)
    return wish.read(request.query_params, access.user_of(request))
