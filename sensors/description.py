"""The OpenAPI description as it is served: made once in a process, since it costs seconds and anybody may ask."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView
from rest_framework.response import Response

from sensors.permissions import PUBLIC
from sensors.policy import by_method


@cache
def described() -> dict[str, Any]:
    made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return made


class Description(SpectacularAPIView):
    policy = by_method(get=PUBLIC)

    def _get_schema_response(self, request: Any) -> Response:
        name = self._get_filename(request, "1")  # type: ignore[no-untyped-call]
        return Response(described(), headers={"Content-Disposition": f'inline; filename="{name}"'})
