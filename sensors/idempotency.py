"""Requests with an idempotency key: carried out once, however often they are sent.

After draft-ietf-httpapi-idempotency-key-header. What a request does and its answer commit together, so that a process
that dies in between has done nothing, and the same request does it then. A request that is refused has changed nothing
and is not kept: it is looked at anew when it comes again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import orjson
from django.core.files.uploadedfile import UploadedFile
from django.db import connection, transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from rest_framework import status
from rest_framework.request import Request

from sensors import access
from sensors.problems import JSONRenderer, Problem
from sensors.request_models import IdempotentRequest

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = timedelta(hours=24)
KEY = re.compile(r"[ !#-\[\]-~]{1,255}")
LOCKS = 0x62775F6B65797300
"""Seed of the advisory locks' keys, so that they differ from those of others."""
KEPT_HEADERS = ("ETag", "Location", "Retry-After")


def key_of(request: Request) -> str:
    """The idempotency key, a structured-field string (quoted) or the bare text; empty where there is none.

    Raises ``Problem``.
    """
    given = request.headers.get(HEADER)
    if given is None:
        return ""
    key = given[1:-1] if len(given) > 1 and given[0] == given[-1] == '"' else given
    if not KEY.fullmatch(key):
        raise Problem("invalid", f"{HEADER} is 1 to 255 printable ASCII characters without quotes.")
    return key


def once(request: Request, key: str, carry_out: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """The answer to the request: that of the first time where it came before. Raises ``Problem``.

    Inside of the caller's transaction.
    """
    user = access.user_of(request)
    digest = _digest(request)
    if not _alone(f"{user.pk}/{key}"):
        raise Problem("conflict", "A request with this key is being carried out at this moment.", retry_after=1)
    earlier = IdempotentRequest.objects.filter(user=user, key=key).first()
    if earlier is not None and earlier.created_at > timezone.now() - KEPT:
        return _again(earlier, digest)
    answer = carry_out()
    if answer.status_code >= status.HTTP_400_BAD_REQUEST:
        transaction.set_rollback(True)
        return answer
    kept = {name: answer[name] for name in KEPT_HEADERS if name in answer}
    said = {"digest": digest, "status": answer.status_code, "headers": kept, "body": _body(answer)}
    IdempotentRequest.objects.update_or_create(
        user=user, key=key, defaults={**said, "created_at": timezone.now()}
    )  # one that is older than it is kept gives way
    return answer


def forget_old() -> int:
    """Delete the answers that are older than they are kept; how many."""
    return IdempotentRequest.objects.filter(created_at__lt=timezone.now() - KEPT).delete()[0]


def _again(earlier: IdempotentRequest, digest: str) -> HttpResponse:
    if earlier.digest != digest:
        raise Problem("unprocessable", f"The key came before with another request, at {earlier.created_at:%FT%TZ}.")
    body = bytes(earlier.body)
    answer = HttpResponse(body, status=earlier.status, content_type="application/json" if body else None)
    for name, value in {**earlier.headers, REPLAYED: "true"}.items():
        answer[name] = value
    if not body:
        del answer["Content-Type"]
    return answer


def _alone(name: str) -> bool:
    """Whether nobody else is at the same request; they are kept off until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, %s))", [name, LOCKS])
        return bool(cursor.fetchone()[0])


def _digest(request: Request) -> str:
    """Of what was asked; the order of a body's members does not count."""
    data: Any = request.data
    pairs = sorted(data.lists()) if hasattr(data, "lists") else data
    asked = [request.method, request.get_full_path(), pairs]
    return hashlib.sha256(orjson.dumps(asked, default=_plain, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _plain(value: Any) -> Any:
    if not isinstance(value, UploadedFile):
        return str(value)
    content = value.read()
    value.seek(0)
    return [value.name, hashlib.sha256(content).hexdigest()]


def _body(answer: Any) -> bytes:
    """As it will be rendered: nothing that is asked for by POST is anything else than JSON."""
    if not hasattr(answer, "data"):
        return bytes(answer.content)
    return JSONRenderer().render(answer.data)
