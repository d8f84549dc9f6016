"""Pages of a list, by cursor: the cost of a page does not grow with its number, and rows that come in shift nothing."""

from rest_framework.pagination import CursorPagination


class ByIdPagination(CursorPagination):
    """Newest first, by id."""

    ordering: str | tuple[str, ...] = "-id"
    page_size = 100
    max_page_size = 1000
    page_size_query_param = "page_size"
