"""Errors as problem details (RFC 9457): what was wrong, where, and what to do."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from logging import ERROR, WARNING
from typing import Any

import orjson
import structlog
from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, JsonResponse
from django.http.response import HttpResponse
from django.shortcuts import render
from django.urls import is_valid_path, reverse
from django.views import defaults
from drf_spectacular.utils import extend_schema_serializer
from rest_framework import exceptions, renderers, serializers, status
from rest_framework.response import Response

from sensors import database_refusals

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
TOO_LARGE = "The body is larger than this service takes."
LOGGED = "The fault was logged; nothing of the request was stored."
RETRY_SECONDS = (5, 15)
PLAINLY = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z
BODILESS = ("GET", "HEAD", "DELETE")

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
    "precondition-failed": (412, "The row has changed since it was read"),
    "too-large": (413, "The body is too large"),
    "unsupported-media-type": (415, "The content type is not accepted"),
    "unprocessable": (422, "The content cannot be processed"),
    "too-many-requests": (429, "Too many requests"),
    "internal": (500, "Something failed on our side"),
    "unavailable": (503, "Not available at the moment"),
}
MEANINGS = {
    "invalid": "A field of the body or a parameter of the address is missing or has a value that it may not have. "
    "Correct it and send the request again.",
    "malformed": "The body is not JSON in UTF-8, is nested too deeply, or is not packed as its headers say. "
    "Nothing of it was taken.",
    "not-authenticated": "The request has no access token, or one that has run out, was given for something else, or "
    "belongs to an account that may no longer log in. Get a new one at /api/v1/auth/token/ or /api/v1/auth/refresh/ "
    "and send it in the header Authorization: Bearer; or send a key that holds in Authorization: Api-Key.",
    "forbidden": "The role of the account does not allow this. Ask an administrator of the site for another role.",
    "not-found": "There is nothing at this address, or it belongs to a site that the account is no member of.",
    "method-not-allowed": "The address is right, the method is not; the header Allow names those that are.",
    "not-acceptable": "Answers are JSON; leave the header Accept away, or ask for application/json.",
    "conflict": "The row is in a state in which this cannot be done, for instance an alarm that has been acknowledged "
    "already; or a request with the same idempotency key is under way. Read the row again before another try.",
    "length-required": "The body came in chunks, without its length. Send it in one piece, with Content-Length.",
    "precondition-failed": "The header If-Match names another version of the row than there is: somebody has changed "
    "it since it was read. Nothing was changed. Read the row again, and send the change with the ETag of that answer.",
    "too-large": "The body has more bytes or more readings than one request may have. Send it in several requests.",
    "unsupported-media-type": "The body is in a type or encoding that is not read here. Send application/json, as it "
    "is or packed with gzip.",
    "unprocessable": "The body could be read, and nothing in it could be accepted; or the idempotency key belongs to "
    "a request with another body. Each refused item is named with its reason. Nothing was stored.",
    "too-many-requests": "There were too many tries within a short time, the client or its site sends more readings a "
    "second than was agreed, or more of the site's readings wait than its share while others wait too. Nothing was "
    "stored. Wait as long as the header Retry-After says, then send the same again.",
    "internal": "A fault of the service, which was logged; nothing of the request was stored. Try again later, and "
    "tell the operator if it comes again.",
    "unavailable": "More readings wait than are worked off in good time, or the database cannot be used at the moment. "
    "Wait as long as the header Retry-After says, then send the same again: with the same Idempotency-Key it is taken "
    "once, however often it is sent, and a reading that was stored before is not stored twice.",
}
"""What each type means, and what to do: the text of its page."""
BY_STATUS = {code: name for name, (code, _) in reversed(TITLES.items())} | {400: "invalid"}


class Problem(exceptions.APIException):
    """An answer that says what was wrong; ``errors`` say each what and where: a JSON pointer into the body, or
    the name of a parameter of the address."""

    def __init__(
        self, name: str, detail: str, *, errors: list[dict[str, str]] | None = None, retry_after: float | None = None
    ) -> None:
        self.name = name
        self.status_code, _ = TITLES[name]
        self.errors = errors
        self.retry_after = retry_after
        super().__init__(detail)


def retry_soon() -> float:
    """Seconds for Retry-After where nobody knows how long it takes; spread, so that clients do not come all at once."""
    return random.uniform(*RETRY_SECONDS)


def is_database_trouble(error: BaseException | None) -> bool:
    """Whether the database is gone, full, shut or too slow, so that the same request may well succeed later."""
    return database_refusals.kind(error) == "unavailable"


class JSONRenderer(renderers.JSONRenderer):
    """Compact JSON through orjson; NaN and infinities become null."""

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        if data is None:
            return b""
        return orjson.dumps(data, default=_plain, option=PLAINLY)


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
    elif isinstance(error, RequestDataTooBig):
        error = Problem("too-large", TOO_LARGE)
    elif refused := database_refusals.kind(error):
        trouble = refused == "unavailable"
        log.log(ERROR if trouble else WARNING, "api.database-refused", kind=refused, error=str(error).strip())
        told = database_refusals.TOLD[refused]
        error = Problem(refused, told, retry_after=retry_soon() if trouble else None)
    if not isinstance(error, exceptions.APIException):
        return None
    name = error.name if isinstance(error, Problem) else _name(error)
    body = _body(name, error, context["request"])
    response = Response(body, status=body["status"], content_type=MEDIA_TYPE)
    response._has_been_logged = True  # type: ignore[attr-defined]  # by config.middleware.Log: Django adds no second line
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


def _body(name: str, error: exceptions.APIException, request: Any) -> dict[str, Any]:
    code, title = TITLES[name]
    body: dict[str, Any] = {"type": _type(name), "title": title, "status": code, "instance": request.get_full_path()}
    body |= _which(request)
    if isinstance(error, exceptions.ValidationError):
        body["detail"] = "See errors."
        found = _pointers(error.detail, "#")
        body["errors"] = [_of_parameter(one) for one in found] if request.method in BODILESS else list(found)
    else:
        detail = error.detail
        body["detail"] = str(detail.get("detail", title)) if isinstance(detail, dict) else str(detail)
    if getattr(error, "errors", None):
        body["errors"] = error.errors  # type: ignore[attr-defined]
    return body


def _which(request: Any) -> dict[str, str]:
    """By what the request is found in the log."""
    known = getattr(request, "request_id", "")
    return {"request_id": known} if known else {}


def _type(name: str) -> str:
    return reverse("problem", args=[name])


def _pointers(detail: Any, pointer: str) -> Iterator[dict[str, str]]:
    """Flatten DRF's nested error detail into pairs of detail and JSON pointer."""
    if isinstance(detail, dict):
        for key, value in detail.items():
            yield from _pointers(value, pointer if key == "non_field_errors" else f"{pointer}/{escaped(key)}")
    elif isinstance(detail, list):
        for position, value in enumerate(detail):
            nested = isinstance(value, (dict, list))
            yield from _pointers(value, f"{pointer}/{position}" if nested else pointer)
    else:
        yield {"detail": str(detail), "pointer": pointer}


def escaped(key: Any) -> str:
    """A member's name in a JSON pointer (RFC 6901)."""
    return str(key).replace("~", "~0").replace("/", "~1")


def _of_parameter(error: dict[str, str]) -> dict[str, str]:
    """What is wrong where there is no body is a parameter of the address."""
    name = error["pointer"].removeprefix("#").removeprefix("/").split("/")[0]
    return {"detail": error["detail"], **({"parameter": name} if name else {})}


def page(request: HttpRequest, name: str) -> HttpResponse:
    """What a problem type means, for people: the page its ``type`` points to."""
    if name not in TITLES:
        return plain(request, "not-found", f"There is no problem type {name!r}.")
    code, title = TITLES[name]
    said = {"type": _type(name), "title": title, "status": code, "meaning": MEANINGS[name]}
    return render(request, "problem.html", said)


def plain(request: HttpRequest, name: str, detail: str) -> HttpResponse:
    """A problem outside of DRF."""
    code, title = TITLES[name]
    body = {"type": _type(name), "title": title, "status": code, "detail": detail, "instance": request.get_full_path()}
    body |= _which(request)
    return JsonResponse(body, status=code, content_type=MEDIA_TYPE)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_for_clients(request):
        return defaults.bad_request(request, exception)
    if isinstance(exception, RequestDataTooBig):
        return plain(request, "too-large", TOO_LARGE)
    return plain(request, "invalid", "The request is not one that this service takes.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_for_clients(request):
        return defaults.page_not_found(request, exception)
    path = request.path
    if not path.endswith("/") and is_valid_path(f"{request.path_info}/", getattr(request, "urlconf", None)):
        return plain(request, "not-found", f"There is nothing at {path}; what is meant may be {path}/.")
    return plain(request, "not-found", "No such page.")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500, called while the error is being handled: it may come from a middleware, before DRF."""
    if not is_for_clients(request):
        return defaults.server_error(request)
    if is_database_trouble(sys.exception()):
        answer = plain(request, "unavailable", database_refusals.TOLD["unavailable"])
        answer["Retry-After"] = str(math.ceil(retry_soon()))
        return answer
    return plain(request, "internal", LOGGED)


def is_for_clients(request: HttpRequest) -> bool:
    """Programs ask below /api/; whoever sees another page is a person."""
    return request.path.startswith("/api/")


@extend_schema_serializer(component_name="Problem")
class Shape(serializers.Serializer[Any]):
    """Problem details (RFC 9457)."""

    class Fault(serializers.Serializer[Any]):
        detail = serializers.CharField()
        pointer = serializers.CharField(required=False, help_text="JSON pointer into the body.")
        parameter = serializers.CharField(required=False, help_text="Name of a parameter of the address.")
        reason = serializers.CharField(required=False, help_text="In one word, of an item that was refused.")

    type = serializers.CharField(help_text="Where this kind of problem is explained.")
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    instance = serializers.CharField()
    request_id = serializers.CharField(
        required=False, help_text="As in the header X-Request-ID and in the log of the service."
    )
    errors = Fault(many=True, required=False)  # type: ignore[assignment]  # a field of that name, as in the standard


ANSWERS = {code: title for code, title in reversed(TITLES.values())}
"""Status and title of the problems an operation may answer with."""
