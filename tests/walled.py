"""The web server's role on the connection of a test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest

from sensors import walls


@contextmanager
def as_web() -> Iterator[None]:
    """Statements are those of the web server's role, held to what ``sensors.walls`` says."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET ROLE {settings.DATABASE_WEB_ROLE}")
    connection.settings_dict["WALLED"] = True
    try:
        with connection.execute_wrapper(walls.hold):
            yield
    finally:
        connection.settings_dict["WALLED"] = False
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")


class AsWeb:
    """Middleware: each request is one of the web server's."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        with as_web():
            return self.get_response(request)
