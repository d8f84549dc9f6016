"""The OpenAPI description: what every operation shares."""

from __future__ import annotations

from typing import Any, Literal

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view

from sensors import asked, idempotency, permissions, policy, problems

WRITES = ("POST", "PUT", "PATCH", "DELETE")
CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?$"
KEY = OpenApiParameter(
    idempotency.HEADER, {"type": "string", "minLength": 1, "maxLength": 255}, OpenApiParameter.HEADER,
    description="The same key with the same request gives the first answer again for a day, marked by the header "
    f"`{idempotency.REPLAYED}`; with another one it is refused.",
)  # fmt: skip
IF_MATCH = OpenApiParameter(
    "If-Match", str, OpenApiParameter.HEADER,
    description="The `ETag` of the row as it was read: 412 where it has changed since. Without it the change is made.",
)  # fmt: skip
IF_NONE_MATCH = OpenApiParameter(
    "If-None-Match", str, OpenApiParameter.HEADER, description="An `ETag`: 304 where the row is still the same."
)


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


class TimeOfDay(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    """A time on a clock of the site, without an offset: what JSON Schema calls a time has one."""

    target_class = "rest_framework.serializers.TimeField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> dict[str, Any]:
        return {"type": "string", "format": "time-local", "pattern": CLOCK}


class Schema(AutoSchema):
    """Adds to every operation the headers it takes, who may call it, and the problems it may answer with."""

    def get_override_parameters(self) -> list[Any]:
        found = list(super().get_override_parameters())
        if self.method == "POST" and getattr(self.view, "takes_keys", False):
            found.append(KEY)
        if self._is_of_a_row():
            found.append(IF_NONE_MATCH if self.method == "GET" else IF_MATCH)
        if shown := self._choosable():
            choice = {"type": "array", "items": {"type": "string", "enum": shown}}
            about = "Only these fields, separated by commas; the answer holds no others then."
            found.append(OpenApiParameter(asked.FIELDS, choice, description=about, explode=False))
        return found

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any] | None:
        operation: dict[str, Any] | None = super().get_operation(*args, **kwargs)
        if operation is not None:
            takes = policy.of(self.view, self.method)
            if takes is not None and takes != permissions.PUBLIC:
                operation["x-permission"] = {"name": takes, "roles": sorted(permissions.roles(takes))}
            ends = str(getattr(self.view, "deprecation", None) or "")
            said = (operation.get("description"), permission(self.view, self.method), ends)
            operation["description"] = "\n\n".join(part for part in said if part)
        return operation

    def is_deprecated(self) -> bool:
        return getattr(self.view, "deprecation", None) is not None or super().is_deprecated()

    def _get_response_bodies(self, direction: Literal["request", "response"] = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        self.resolve_serializer(problems.Shape, "response")  # what the answers below refer to has to be there
        if self._is_of_a_row() and "content" in bodies.get("200", {}):
            bodies["200"]["headers"] = {"ETag": {"schema": {"type": "string"}, "description": "The row's version."}}
        if self.method == "GET" and self._is_of_a_row():
            bodies["304"] = {"description": "It is still the same."}
        for code in sorted(problems.ANSWERS):
            if str(code) in bodies or self._can_answer(code):
                bodies[str(code)] = {"$ref": f"#/components/responses/Problem{code}"}
        return bodies

    def _is_of_a_row(self) -> bool:
        """Whether it is about one row, which has a version."""
        if not hasattr(self.view, "retrieve") or "{" not in self.path:
            return False
        return self.method != "GET" or getattr(self.view, "action", None) == "retrieve"

    def _choosable(self) -> list[str]:
        """The fields that an answer to GET may be asked for by name."""
        if not hasattr(self.view, "takes_keys") or getattr(self.view, "action", None) not in ("list", "retrieve"):
            return []
        return list(getattr(self._get_serializer(), "fields", ()))  # type: ignore[no-untyped-call]

    def _can_answer(self, code: int) -> bool:
        writes = self.method in WRITES
        if code == 412:
            return writes and self._is_of_a_row()
        if code in (409, 411, 413, 415, 422):
            return writes
        return code != 404 or "{" in self.path or getattr(self.view, "looks_up", False)


def permission(view: Any, method: str) -> str:
    """Who may call an operation, in words: a part of its description."""
    takes = policy.of(view, method)
    if takes is None:
        return ""
    if takes == permissions.PUBLIC:
        return "Open to everybody."
    who = "every member of the site" if takes == permissions.READ else permissions.said(takes)
    return f"Takes `{takes}`: {who}."


def documented(tag: str, one: str, many: str) -> Any:
    """Summary, description and tag of the two operations that every list has."""
    return extend_schema_view(
        list=extend_schema(tags=[tag], summary=f"List {many}", description=f"The {many} of your sites, by pages."),
        retrieve=extend_schema(tags=[tag], summary=f"One {one}", description=f"A {one} of one of your sites."),
    )
