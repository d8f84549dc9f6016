"""The OpenAPI description: what every operation shares."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiResponse, extend_schema, extend_schema_view

from sensors import permissions, policy, problems


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How a person's program says who it is."""

    target_class = "sensors.callers.Bearer"
    name = "jwtAuth"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How a program or device of no person does."""

    target_class = "sensors.callers.Key"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        told = "The secret of a key, behind the word Api-Key: `Authorization: Api-Key bw_...`."
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": told}


class Schema(AutoSchema):
    """Adds the problem answers to every operation."""

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for code, title in problems.ANSWERS.items():
            if str(code) not in bodies and self._can_answer(code):
                answer = OpenApiResponse(problems.Shape, title)
                bodies[str(code)] = self._get_response_for_code(  # type: ignore[no-untyped-call]
                    answer, str(code), [problems.MEDIA_TYPE]
                )
        return bodies

    def get_extensions(self) -> dict[str, Any]:
        """Says of every operation which permission it takes, and which roles have it."""
        takes = policy.of(self.view, self.method)
        if takes is None or takes == permissions.PUBLIC:
            return super().get_extensions()
        roles = sorted(permissions.roles(takes))
        return {**super().get_extensions(), "x-permission": {"name": takes, "roles": roles}}

    def _can_answer(self, code: int) -> bool:
        writes = self.method not in ("GET", "HEAD")
        if code in (409, 413, 415, 422):
            return writes
        return code != 404 or "{" in self.path or "ingest" in self.path


def documented(tag: str, one: str, many: str) -> Any:
    """Summary, description and tag of the two operations that every list has."""
    return extend_schema_view(
        list=extend_schema(tags=[tag], summary=f"List {many}", description=f"The {many} of your sites, by pages."),
        retrieve=extend_schema(tags=[tag], summary=f"One {one}", description=f"A {one} of one of your sites."),
    )
