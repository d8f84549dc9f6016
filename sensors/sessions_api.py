"""Where one is logged in over REST, and an end to it."""

from __future__ import annotations

import re
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from sensors import access, families
from sensors.contract import Contract
from sensors.identity_models import TokenFamily
from sensors.permissions import READ
from sensors.problems import Problem

NUMBER = re.compile(r"[0-9]{1,18}")


class SessionOut(serializers.ModelSerializer[TokenFamily]):
    is_current = serializers.SerializerMethodField(help_text="Whether the token of this request came of it.")

    class Meta:
        model = TokenFamily
        fields = ["id", "created_at", "used_at", "address", "agent", "is_current"]

    @extend_schema_field(bool)
    def get_is_current(self, row: TokenFamily) -> bool:
        return bool(row.pk == self.context["current"])


class Sessions(Contract):
    policy = {"get": READ, "delete": READ}

    @extend_schema(
        operation_id="auth_sessions_list", tags=["auth"], summary="List where you are logged in",
        responses={200: SessionOut(many=True)},
        description="Your log-ins over REST whose refresh token still holds, the one used last first.",
    )  # fmt: skip
    def get(self, request: Request) -> Response:
        return Response(SessionOut(_own(request), many=True, context={"current": _current(request)}).data)

    @extend_schema(
        operation_id="auth_sessions_end_all", tags=["auth"], summary="Log out everywhere", responses={204: None},
        description="Ends all your log-ins over REST, this one too: their tokens are refused from now on.",
    )  # fmt: skip
    def delete(self, request: Request) -> Response:
        families.end(_own(request), why=families.End.ENDED)
        return Response(status=204)


class OneSession(Contract):
    policy = {"delete": READ}
    queryset = TokenFamily.objects.all()

    @extend_schema(
        operation_id="auth_sessions_end", tags=["auth"], summary="End a log-in", responses={204: None},
        description="All tokens of one of your log-ins over REST are refused from now on.",
    )  # fmt: skip
    def delete(self, request: Request, pk: str) -> Response:
        number = int(pk) if NUMBER.fullmatch(pk) else 0
        if not families.end(_own(request).filter(pk=number), why=families.End.ENDED):
            raise Problem("not-found", f"You have no log-in {pk[:20]!r} that has not ended.")
        return Response(status=204)


def _own(request: Request) -> QuerySet[TokenFamily]:
    return families.live(access.user_of(request), now=timezone.now())


def _current(request: Request) -> Any:
    return getattr(request.auth, "payload", {}).get(families.CLAIM)
