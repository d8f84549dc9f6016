"""What a form with files may be: refused by its announced length, before anything of it is read or kept."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import FileUploadHandler

REST_OF_FORM = 64 * 1024
"""Bytes for the other fields of a form, and what lies between them."""


class Bounded(FileUploadHandler):
    """The first handler of every upload: it stores nothing, and lets pass what is not too large."""

    def handle_raw_input(
        self, input_data: Any, META: Any, content_length: int, boundary: str, encoding: str | None = None
    ) -> None:
        """Raises ``RequestDataTooBig``."""
        if content_length > settings.ATTACHMENT_MAX_BYTES + REST_OF_FORM:
            raise RequestDataTooBig(f"The form has {content_length} bytes.")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        return raw_data

    def file_complete(self, file_size: int) -> None:
        return None
