"""Middleware that asks less of programs than of people: below /api/ are no sessions, no pages and no static files.

Each is a subclass of the one it stands for, so that Django's own checks find it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.middleware.common import CommonMiddleware
from django.urls import reverse
from django_otp.middleware import OTPMiddleware
from django_prometheus.middleware import PrometheusAfterMiddleware
from django_prometheus.utils import Time, TimeSince
from django_structlog.middlewares import RequestMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware

from agents import request_limits
from sensors import audit, audit_requests, correlation, problems, second_factor, sessions, tokens, tracing, walls
from sensors.problems import Problem

log = structlog.get_logger(__name__)

API = "/api/"
LINKS = "/act/"


class Common(CommonMiddleware):
    """An address that lacks its last slash leads to the right one, but where a body would be lost on the way."""

    def should_redirect_with_slash(self, request: HttpRequest) -> bool:
        return request.method in ("GET", "HEAD") and super().should_redirect_with_slash(request)


class ForPeople:
    """Passes a program's request on."""

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(API):
            return self.get_response(request)  # type: ignore[attr-defined]  # both are of the class it is mixed in with
        return super().__call__(request)  # type: ignore[misc]


class Walls:
    """Statements of a request see the sites of whoever asks (``sensors.walls``), those of a long answer too."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        with walls.within(request):
            response = self.get_response(request)
        if response.streaming and getattr(response, "file_to_stream", None) is None:
            response.streaming_content = walls.through(request, response.streaming_content)
        return response


class Limits:
    """Tells a program what it may still send; who comes with wrong credentials too often, or tries to log in on the
    page too often, is told to wait."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        if request.method == "POST" and request.path_info == reverse("admin:login"):
            try:
                tokens.count_try(request, name=request.POST.get("username", ""))
            except Problem as problem:
                return HttpResponse(str(problem.detail), status=429, headers={"Retry-After": tokens.MINUTE})
        response = self.get_response(request)
        if not request.path_info.startswith(API):
            return response
        if response.status_code == HTTPStatus.UNAUTHORIZED and (found := request_limits.refused(request)):
            response = problems.plain(request, found.name, str(found.detail))
            response["Retry-After"] = str(math.ceil(found.retry_after or 1))
        request_limits.tell(request, response)
        return response


class StaticFiles(ForPeople, WhiteNoiseMiddleware):
    """Styles, scripts and pictures."""


class Sessions(ForPeople, SessionMiddleware):
    """Who has logged in on a page: programs send a token with each request."""


class Authentication(ForPeople, AuthenticationMiddleware):
    """Likewise."""


class Visits:
    """Ends sessions that have lasted or rested too long, and notes where the others are used from."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith(API) and settings.SESSION_COOKIE_NAME in request.COOKIES:
            sessions.visit(request)
        return self.get_response(request)


class SecondFactor(ForPeople, OTPMiddleware):
    """Who has shown a second factor in this session; staff who have to, and have not, are sent to do so."""

    def __call__(self, request: HttpRequest) -> Any:
        if request.path_info.startswith(API):
            return self.get_response(request)
        self._install_lazy_accessors(request)
        if second_factor.is_asked(request):
            to = {"next": request.get_full_path()} if request.method == "GET" else {}
            return HttpResponseRedirect(reverse(second_factor.NAME, query=to))
        return self.get_response(request)


class Messages(ForPeople, MessageMiddleware):
    """What the next page is to say."""


class Trail:
    """The audit trail knows by whom and from where what a request does is done, and what was refused to it.

    It stands before what may refuse a request.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with audit.within(request):
            response = self.get_response(request)
            audit_requests.look(request, response)
        return response


class Correlation:
    """Before all others of ours: the id of the request, which the answer tells as well, its span, and its line."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        given = request.META.get("HTTP_TRACEPARENT", "")
        found = correlation.of_request(request.META.get("HTTP_X_REQUEST_ID", ""), given)
        request.request_id = found  # type: ignore[attr-defined]  # the audit trail and problems tell it
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=found, correlation_id=found)
        with tracing.span(f"{request.method} request", tracing.SERVER) as span:
            tracing.belongs_under(span.under(correlation.traceparent(given)))
            response = self.get_response(request)
            path = f"{LINKS}…" if request.path_info.startswith(LINKS) else request.path_info
            span.note(
                http__request__method=request.method, url__path=path, correlation_id=found,
                http__response__status_code=response.status_code,
            )  # fmt: skip
            if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
                span.failed(f"answered {response.status_code}")
            tracing.belongs_under("")
        response[correlation.HEADER] = found
        log.info(
            "web.request", method=request.method, path=path, status=response.status_code, request_id=found,
            correlation_id=found, milliseconds=round(1_000 * (time.perf_counter() - began), 1),
        )  # fmt: skip
        structlog.contextvars.clear_contextvars()
        return response


class Log(RequestMiddleware):
    """A line for each request that failed, with who sent it.

    The address and the user of a program's request are looked up only where there is such a line.
    """

    def prepare(self, request: HttpRequest) -> None:
        if not request.path_info.startswith(API):
            super().prepare(request)
            structlog.contextvars.bind_contextvars(request_id=request.request_id)  # type: ignore[attr-defined]

    def handle_response(self, request: HttpRequest, response: HttpResponse) -> None:
        if request.path_info.startswith(API):
            if response.status_code < HTTPStatus.BAD_REQUEST:
                return
            self.bind_ip(request)
        super().handle_response(request, response)

    @staticmethod
    def format_request(request: HttpRequest) -> str:
        """What is in a message's link lets whoever reads it act: it does not get into the log."""
        if request.path_info.startswith(LINKS):
            return f"{request.method} {LINKS}…"
        return str(RequestMiddleware.format_request(request))

    def process_got_request_exception(self, sender: type[Any], request: HttpRequest, **kwargs: Any) -> None:
        self.bind_ip(request)
        super().process_got_request_exception(sender, request, **kwargs)


class Metrics(PrometheusAfterMiddleware):
    """Counts a program's request by view, method and status, with how long it took: not its charset and the like.

    The series of the same labels are found without asking the registry again.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._series: dict[tuple[Any, ...], Any] = {}

    def label_metric(self, metric: Any, request: HttpRequest, response: Any = None, **labels: str) -> Any:
        key = (metric, *labels.values())
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = super().label_metric(metric, request, response, **labels)
        return series

    def process_request(self, request: HttpRequest) -> None:
        if request.path_info.startswith(API):
            request.prometheus_after_middleware_event = Time()  # type: ignore[attr-defined]
        else:
            super().process_request(request)

    def process_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        if not request.path_info.startswith(API):
            super().process_view(request, *args, **kwargs)

    def process_response(self, request: HttpRequest, response: HttpResponse) -> Any:
        began = getattr(request, "prometheus_after_middleware_event", None)
        if began is None or not request.path_info.startswith(API):
            return super().process_response(request, response)
        status, name, method = str(response.status_code), self._get_view_name(request), self._method(request)
        of = {"view": name, "method": method}
        self.label_metric(self.metrics.responses_by_status, request, status=status).inc()
        self.label_metric(self.metrics.responses_by_status_view_method, request, status=status, **of).inc()
        self.label_metric(self.metrics.requests_latency_by_view_method, request, **of).observe(TimeSince(began))
        return response
