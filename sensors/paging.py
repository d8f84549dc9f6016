"""Pages of a list: by cursor, so that a page costs the same whatever its number and rows that come in shift nothing."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db import DataError
from rest_framework.exceptions import NotFound
from rest_framework.pagination import BasePagination, CursorPagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.views import APIView

from sensors.problems import Problem

ORDERING, SIZE = "ordering", "page_size"
PAGE, LONGEST_PAGE = 100, 1000


class Sized(BasePagination):
    """A page's size is refused where it is none, and not silently another one."""

    page_size: int | None = PAGE
    max_page_size: int | None = LONGEST_PAGE
    page_size_query_param: str | None = SIZE

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get(SIZE)
        if given is None:
            return PAGE
        if given.isascii() and given.isdigit() and 1 <= int(given[:9]) <= LONGEST_PAGE:
            return int(given)
        raise wrong(SIZE, f"It is a whole number from 1 to {LONGEST_PAGE}.")

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """As OpenAPI 3.1 says that there may be null."""
        made: dict[str, Any] = super().get_paginated_response_schema(schema)
        for one in made["properties"].values():
            if one.pop("nullable", False):
                one["type"] = [one["type"], "null"]
        return made

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for one in found:
            if one["name"] == SIZE:
                one["schema"] = {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": PAGE}
        return found


class ByIdPagination(Sized, CursorPagination):
    """Newest first, by id, or as the parameter ``ordering`` says: by one of the view's ``orderings``."""

    ordering: str | tuple[str, ...] = "-id"

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> Any:
        """The base class hands what stands in a cursor to the query unchecked."""
        try:
            return super().paginate_queryset(queryset, request, view)
        except (NotFound, ValueError, ValidationError, DataError) as error:
            raise wrong("cursor", "It is none of this list: take it from `next` or `previous`.") from error

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> Any:
        given = request.query_params.get(ORDERING)
        if given is None:
            return super().get_ordering(request, queryset, view)
        if given not in (known := orderings(view)):
            raise wrong(ORDERING, f"It is one of {', '.join(known)}.")
        sign = "-" if given.startswith("-") else ""
        return (given,) if given.endswith("id") else (given, f"{sign}id")

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        about = "By which field, downwards with a minus. A cursor belongs to the order in which it was given."
        choice = {"type": "string", "enum": list(orderings(view))}
        order = {"name": ORDERING, "in": "query", "required": False, "description": about, "schema": choice}
        return [*super().get_schema_operation_parameters(view), order]


def orderings(view: Any) -> tuple[str, ...]:
    """Allowed values of the parameter: of columns that are never null, since a cursor stands at a value."""
    names = ("id", *getattr(view, "orderings", ()))
    return tuple(f"{sign}{name}" for name in names for sign in ("", "-"))


def wrong(parameter: str, detail: str) -> Problem:
    return Problem("invalid", detail, errors=[{"detail": detail, "parameter": parameter}])


class ByNumberPagination(Sized, PageNumberPagination):
    """Of what is short and has an order of its own that no cursor can hold."""

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> Any:
        try:
            return super().paginate_queryset(queryset, request, view)
        except NotFound as error:
            raise wrong(self.page_query_param, "There is no such page; follow `next` as it is.") from error
