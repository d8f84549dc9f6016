"""What rows at work orders share over REST: read by members of the site, entered and withdrawn by who works there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from maintenance.models import WorkOrder
from maintenance.owned_api import Mine
from maintenance.refusals import Refused
from sensors import access, policy
from sensors.api import Scoped
from sensors.problems import Problem

TAG = "carrying-out"
View = TypeVar("View", bound=Callable[..., Any])


class AtOrder(serializers.Serializer[Any]):
    """A body that says which order it is about."""

    order = Mine(queryset=WorkOrder.objects.all(), help_text="Id of a work order.")


class Entries(Scoped):
    """Rows that people enter: the body is read, the role is looked at, the row is written and shown."""

    site_path = "order__site"

    def enter(
        self, request: Request, form: type[serializers.Serializer[Any]], write: Callable[..., Any], *, of: str = "order"
    ) -> Response:
        """``of``: the field of the body whose row says which site it is about."""
        body = form(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        said = dict(body.validated_data)
        policy.require(self, said[of].site_id)
        row = self.write(lambda: write(said.pop(of), actor=access.user_of(request), **said))
        return Response(self.get_serializer(self.get_queryset().get(pk=row.pk)).data, status=201)

    def act(
        self, request: Request, write: Callable[..., Any], form: type[serializers.Serializer[Any]] | None = None
    ) -> Any:
        """Do something to the row of the address. Raises a problem."""
        row = self.get_object()
        user = access.user_of(request)
        policy.require(self, self.site_of(row))
        said: dict[str, Any] = {}
        if form is not None:
            body = form(data=request.data, context=self.get_serializer_context())
            body.is_valid(raise_exception=True)
            said = dict(body.validated_data)
        return self.write(lambda: write(row.pk, actor=user, **said))

    def changed(self, request: Request, write: Callable[..., Any], form: Any = None) -> Response:
        """As ``act``; answers with how the row stands after."""
        self.act(request, write, form)
        return Response(self.get_serializer(self.get_object()).data)

    def site_of(self, row: Any) -> int:
        return int(row.site_id if self.site_path == "site" else row.order.site_id)

    @staticmethod
    def write(write: Callable[[], Any]) -> Any:
        try:
            return write()
        except ValidationError as error:
            raise serializers.ValidationError(error.message_dict) from error
        except Refused as error:
            raise Problem("conflict", str(error)) from error


def rows(model: Any, *related: str) -> QuerySet[Any]:
    """The rows of a table with what their pages look up."""
    found: QuerySet[Any] = model._default_manager.select_related(*related)
    return found


def entering(one: str, *, form: Any, shown: Any, description: str) -> Callable[[View], View]:
    return extend_schema(
        tags=[TAG], summary=f"Enter {one}", description=description, request=form, responses={201: shown}
    )


def withdrawing(one: str, *, description: str) -> Callable[[View], View]:
    return extend_schema(tags=[TAG], summary=f"Withdraw {one}", description=description, responses={204: None})
