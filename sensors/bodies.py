"""Bodies of requests: unpacked and read within a size, and refused where they are too deep or no text."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from io import BytesIO
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from sensors.problems import Problem

MOST_RATIO, SMALL_BODY = 200, 100_000
"""So much smaller gzip may have made a body; readings shrink to a tenth or so. One that is small anyway may be any."""


class JSONParser(BaseParser):
    """Unlike the framework's own it never reads more than a body may be, and deep nesting is no stack overflow."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        """What the body holds. Raises a ``too-large`` or ``malformed`` problem."""
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(most + 1)
        if len(body) > most:
            raise Problem("too-large", f"The body is larger than {most} bytes.")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise Problem("malformed", f"Not valid JSON: {error}.") from error


def unpack(request: Request) -> None:
    """See to it that the body is read as it was before it was packed; it has not been looked at yet.

    Raises a ``length-required``, ``too-large``, ``unsupported-media-type`` or ``malformed`` problem.
    """
    most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        raise Problem("length-required", "Send the body in one piece, with Content-Length, not in chunks.")
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip"):
        raise Problem("unsupported-media-type", f"Content-Encoding {encoding[:30]!r} is not accepted; gzip is.")
    is_file = request.META.get("CONTENT_TYPE", "").startswith("multipart/")
    declared = request.META.get("CONTENT_LENGTH") or "0"
    if not declared.isdigit() or (int(declared) > most and (encoding == "gzip" or not is_file)):
        raise Problem("too-large", f"The body is {declared} bytes; at most {most} are taken. Send it in parts.")
    if encoding == "gzip":
        body = inflate(request._request.read(int(declared)), most=most)
        request._request._stream = BytesIO(body)  # as Django itself does
        request._request._read_started = False  # type: ignore[attr-defined]
        request.META["CONTENT_LENGTH"] = str(len(body))
        del request.META["HTTP_CONTENT_ENCODING"]


def inflate(packed: bytes, *, most: int) -> bytes:
    """Unpack gzip, and stop as soon as it grows beyond ``most``."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        body = unpacker.decompress(packed, most + 1)
    except zlib.error as error:
        raise Problem("malformed", f"The body is not gzip: {error}.") from error
    if len(body) > most:
        raise Problem("too-large", f"The body unpacks to more than {most} bytes. Send it in parts.")
    if len(body) > max(SMALL_BODY, MOST_RATIO * len(packed)):
        raise Problem("too-large", f"The body unpacks to more than {MOST_RATIO} times its size, which no readings do.")
    if unpacker.unused_data:
        raise Problem("malformed", "The gzip body has more behind its end; send one gzip member.")
    if not unpacker.eof:
        raise Problem("malformed", "The gzip body ends too early.")
    return body
