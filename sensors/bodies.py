"""JSON bodies of requests: read within a size, and refused where they are too deep or no text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import orjson
from django.conf import settings
from rest_framework.parsers import BaseParser

from sensors.problems import Problem


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
