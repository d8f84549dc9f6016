"""Answers of the API packed with gzip where the client takes it.

Only where the client has sent a token in a header: no other site's page can make a browser send that, so that nobody
can find out by the length of packed answers what is in them (BREACH). Pages of people are never packed.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from config.middleware import API
from sensors.etags import PACKED

LEAST_BYTES = 1_000
LEVEL = 5
NEVER = re.compile(r"q=0(\.0*)?")


class Packing:
    """Middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        answer = self.get_response(request)
        if not request.path_info.startswith(API) or not request.META.get("HTTP_AUTHORIZATION"):
            return answer
        if answer.streaming or answer.has_header("Content-Encoding") or len(answer.content) < LEAST_BYTES:
            return answer
        patch_vary_headers(answer, ["Accept-Encoding"])
        if not takes_gzip(request.META.get("HTTP_ACCEPT_ENCODING", "")):
            return answer
        answer.content = gzip.compress(answer.content, compresslevel=LEVEL, mtime=0)
        answer["Content-Encoding"] = "gzip"
        answer["Content-Length"] = str(len(answer.content))
        if answer.has_header("ETag"):
            answer["ETag"] = f'{answer["ETag"][:-1]}{PACKED}"'
        return answer


def takes_gzip(accepted: str) -> bool:
    """Whether a client that sent this ``Accept-Encoding`` takes gzip."""
    for part in accepted.lower().split(","):
        name, _, quality = part.partition(";")
        if name.strip() in ("gzip", "*"):
            return not NEVER.fullmatch(quality.replace(" ", ""))
    return False
