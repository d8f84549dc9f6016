"""What lists of rows that people own share over REST: read by members of the site, written by who may."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from django.db.models import Model, QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance import owned
from maintenance.owned import Invalid
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Scoped
from sensors.problems import Problem


class Mine(serializers.PrimaryKeyRelatedField[Any]):
    """The id of a row of one's own sites: whether a row of another one exists is not told."""

    default_error_messages: ClassVar[dict[str, Any]] = {"does_not_exist": "There is no {pk_value} among yours."}

    def __init__(self, *, path: str = "site", **more: Any) -> None:
        self.path = path
        super().__init__(**more)

    def get_queryset(self) -> QuerySet[Any]:
        rows = super().get_queryset()
        if rows is None:
            raise TypeError("It needs a queryset.")
        return access.scope(rows, access.user_of(self.context["request"]), path=self.path)


class Owned(Scoped):
    """``form``: what a body says; ``fixed``: fields of it that stay as they were when the row was added."""

    form: Any
    fixed: tuple[str, ...] = ("site",)

    def create(self, request: Request) -> Response:
        body = self.form(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said, lines = self._apart(body.validated_data)
        row = self.form.Meta.model(**said)
        policy.require(self, self.site_of(row))
        stored = self._write(lambda: owned.add(row, actor=access.user_of(request), lines=lines))
        return Response(self._shown(stored), status=201)

    def partial_update(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        self.require(request, row)
        body = self.form(row, data=request.data, partial=True, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said, lines = self._apart({k: v for k, v in body.validated_data.items() if k not in self.fixed})
        done = self._write(lambda: owned.change(row, said, actor=access.user_of(request), lines=lines))
        return Response(self._shown(done))

    def destroy(self, request: Request, pk: str) -> Response:
        row = self.get_object()
        policy.require(self, self.site_of(row))
        self._write(lambda: owned.delete(row, actor=access.user_of(request)))
        return Response(status=204)

    def site_of(self, row: Any) -> int:
        return int(row.site_id)

    def require(self, request: Request, row: Any) -> None:
        """Raises a problem where whoever asks may not change the row."""
        policy.require(self, self.site_of(row))

    def _shown(self, row: Model) -> Any:
        """As the list shows it, with all that was looked up for it."""
        return self.get_serializer(self.get_queryset().get(pk=row.pk)).data

    def _apart(self, said: Mapping[str, Any]) -> tuple[dict[str, Any], list[Mapping[str, Any]] | None]:
        """What a body says of the row itself, and of its lines if it says anything of them."""
        of_row = dict(said)
        name, *_ = owned.LINES.get(self.form.Meta.model, ("",))
        return of_row, of_row.pop(name, None)

    def _write(self, write: Callable[[], Any]) -> Any:
        try:
            return write()
        except Invalid as error:
            raise serializers.ValidationError(error.errors) from error
        except Refused as error:
            raise Problem("conflict", str(error)) from error


def written(tag: str, one: str, *, form: Any, shown: Any, add: str = "", change: str = "", delete: str = "") -> Any:
    """Summary, description, body and answer of the three operations by which such rows are written."""
    return extend_schema_view(
        create=extend_schema(
            tags=[tag], summary=f"Add {one}", description=add, request=form, responses={201: shown}
        ),
        partial_update=extend_schema(
            tags=[tag], summary=f"Change {one}", request=form(partial=True), responses={200: shown},
            description=f"What is left out stays. {change}".strip(),
        ),
        destroy=extend_schema(
            tags=[tag], summary=f"Delete {one}", description=delete, responses={204: None}
        ),
    )  # fmt: skip
