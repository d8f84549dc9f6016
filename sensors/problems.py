"""Errors as problem details (RFC 9457): what was wrong, where, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import orjson
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponse
from django.urls import reverse
from rest_framework import exceptions, renderers, serializers, status
from rest_framework.response import Response

MEDIA_TYPE = "application/problem+json"

TITLES = {
    "invalid": (400, "The request is not valid"),
    "malformed": (400, "The body cannot be read"),
    "not-authenticated": (401, "Credentials are missing or not valid"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "The method is not allowed here"),
    "not-acceptable": (406, "No representation in the type asked for"),
    "conflict": (409, "The state of the resource does not allow this"),
    "length-required": (411, "The length of the body is not given"),
    "too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The content type is not accepted"),
    "unprocessable": (422, "The content cannot be processed"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "Something failed on our side"),
    "unavailable": (503, "Not available at the moment"),
}
BY_STATUS = {code: name for name, (code, _) in reversed(TITLES.items())} | {400: "invalid"}


class Problem(exceptions.APIException):
    """An answer that says what was wrong; ``errors`` are pairs of detail and JSON pointer into the body."""

    def __init__(
        self, name: str, detail: str, *, errors: list[dict[str, str]] | None = None, retry_after: int | None = None
    ) -> None:
        self.name = name
        self.status_code, _ = TITLES[name]
        self.errors = errors
        self.retry_after = retry_after
        super().__init__(detail)


class JSONRenderer(renderers.JSONRenderer):
    """Compact JSON through orjson; NaN and infinities become null."""

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        if data is None:
            return b""
        return orjson.dumps(data, default=_plain, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if hasattr(value, "__iter__"):
        return dict(value) if hasattr(value, "keys") else list(value)
    return str(value)


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler. None leaves the error to Django, which answers 500 (see ``server_error``)."""
    if isinstance(error, Http404):
        error = exceptions.NotFound()
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    name = error.name if isinstance(error, Problem) else _name(error)
    body = _body(name, error, instance=context["request"].get_full_path())
    response = Response(body, status=body["status"], content_type=MEDIA_TYPE)
    retry_after = getattr(error, "retry_after", None) or getattr(error, "wait", None)
    if retry_after:
        response["Retry-After"] = str(math.ceil(retry_after))
    if challenge := getattr(error, "auth_header", None):
        response["WWW-Authenticate"] = challenge
    return response


def _name(error: exceptions.APIException) -> str:
    if isinstance(error, exceptions.ParseError):
        return "malformed"
    if error.status_code in BY_STATUS:
        return BY_STATUS[error.status_code]
    return "internal" if error.status_code >= status.HTTP_500_INTERNAL_SERVER_ERROR else "invalid"


def _body(name: str, error: exceptions.APIException, *, instance: str) -> dict[str, Any]:
    code, title = TITLES[name]
    body: dict[str, Any] = {"type": _type(name), "title": title, "status": code, "instance": instance}
    if isinstance(error, exceptions.ValidationError):
        body["detail"] = "See errors."
        body["errors"] = list(_pointers(error.detail, "#"))
    else:
        detail = error.detail
        body["detail"] = str(detail.get("detail", title)) if isinstance(detail, dict) else str(detail)
    if getattr(error, "errors", None):
        body["errors"] = error.errors  # type: ignore[attr-defined]
    return body


def _type(name: str) -> str:
    return reverse("problem", args=[name])


def _pointers(detail: Any, pointer: str) -> Iterator[dict[str, str]]:
    """Flatten DRF's nested error detail into pairs of detail and JSON pointer."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _pointers(value, pointer if key == "non_field_errors" else f"{pointer}/{key}")
    elif isinstance(detail, list):
        for position, value in enumerate(detail):
            nested = isinstance(value, (dict, list))
            yield from _pointers(value, f"{pointer}/{position}" if nested else pointer)
    else:
        yield {"detail": str(detail), "pointer": pointer}


def page(request: HttpRequest, name: str) -> HttpResponse:
    """What a problem type means: the page its ``type`` points to."""
    if name not in TITLES:
        return plain(request, "not-found", f"There is no problem type {name!r}.")
    code, title = TITLES[name]
    return JsonResponse({"type": _type(name), "title": title, "status": code})


def plain(request: HttpRequest, name: str, detail: str) -> HttpResponse:
    """A problem outside of DRF."""
    code, title = TITLES[name]
    body = {"type": _type(name), "title": title, "status": code, "detail": detail, "instance": request.get_full_path()}
    return JsonResponse(body, status=code, content_type=MEDIA_TYPE)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return plain(request, "not-found", "No such page.")


def server_error(request: HttpRequest) -> HttpResponse:
    return plain(request, "internal", "The fault was logged; nothing of the request was stored.")


class Shape(serializers.Serializer[Any]):
    """Problem details (RFC 9457)."""

    class Fault(serializers.Serializer[Any]):
        detail = serializers.CharField()
        pointer = serializers.CharField(help_text="JSON pointer into the body.")

    type = serializers.CharField(help_text="Where this kind of problem is explained.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    errors = Fault(many=True, required=False)  # type: ignore[assignment]  # a field of that name, as in the standard


ANSWERS = {code: title for code, title in reversed(TITLES.values()) if code not in (406, 411, 503)}
"""Status and title of the problems an operation may answer with."""
