"""Pages of a list: by cursor, so that a page costs the same whatever its number and rows that come in shift nothing."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from rest_framework.exceptions import NotFound
from rest_framework.pagination import CursorPagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView


class ByIdPagination(CursorPagination):
    """Newest first, by id."""

    ordering: str | tuple[str, ...] = "-id"
    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> Any:
        """The base class hands what stands in a cursor to the query unchecked."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError, DataError) as error:
            raise NotFound(self.invalid_cursor_message) from error


class ByNumberPagination(PageNumberPagination):
    """Of what is short and has an order of its own that no cursor can hold."""

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"
