"""Tokens for REST clients (JWT): log in, refresh, log out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from django_ratelimit.core import is_ratelimited
from drf_spectacular.utils import extend_schema, extend_schema_serializer
from redis.exceptions import RedisError
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.fields import CharField
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt import serializers, views
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError

from sensors import audit_requests, families, origin, second_factor
from sensors.contract import Contract
from sensors.identity_models import TokenFamily
from sensors.permissions import PUBLIC
from sensors.policy import by_method
from sensors.problems import Problem

log = structlog.get_logger(__name__)

MINUTE = 60


@extend_schema_serializer(component_name="TokenObtainPair")
class LoginIn(serializers.TokenObtainPairSerializer):
    code = CharField(
        required=False, write_only=True, max_length=40,
        help_text="Of an account with a second factor: what its authenticator shows, or a recovery code.",
    )  # fmt: skip
    access = CharField(read_only=True)
    refresh = CharField(read_only=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        code = attrs.pop("code", "")
        serializers.TokenObtainSerializer.validate(self, attrs)
        user: Any = self.user
        if second_factor.has(user) and second_factor.verify(user, code) is None:
            raise AuthenticationFailed("This account has a second factor: send its code too, one that was not used.")
        token = self.get_token(user)
        return {"refresh": str(token), "access": str(token.access_token)}

    def get_token(self, user: Any) -> families.Refresh:  # type: ignore[override]  # the library's is of the class
        request = self.context["request"]
        return families.Refresh.for_user(user, address=origin.address(request), agent=_agent(request))


class Login(Contract, views.TokenObtainPairView):
    """User name and password for tokens; so many tries a minute, by address and by user name."""

    policy = by_method(post=PUBLIC)
    takes_keys = False  # a token is stored nowhere
    serializer_class = LoginIn

    @extend_schema(
        tags=["auth"], summary="Get tokens", responses={200: LoginIn},
        description="An access token for some minutes and a refresh token for a day.", auth=[],
    )  # fmt: skip
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        count_try(request._request, name=_said(request, "username"))
        try:
            answer = super().post(request, *args, **kwargs)
        except AuthenticationFailed:
            if getattr(request, "axes_locked_out", False):
                wait = settings.AXES_COOLOFF_TIME.total_seconds()
                raise Problem("too-many-requests", "Too many wrong passwords; wait.", retry_after=wait) from None
            raise
        audit_requests.logged_in(_said(request, "username").strip())
        return answer


def _said(request: Request, name: str) -> str:
    return str(request.data.get(name, "")) if isinstance(request.data, dict) else ""


def count_try(request: HttpRequest, *, name: str) -> None:
    """Count a try to log in, over REST or on a page, by its address and by the account's name.

    Raises a ``too-many-requests`` problem; counts nothing while Redis is down (P9).
    """
    of: dict[str, str] = {"login-address": origin.network(request), "login-name": name[:150].lower()}
    for group, whose in of.items():
        try:
            over = is_ratelimited(
                request, group=group, key=lambda *_, whose=whose: whose, rate=settings.LOGIN_RATE, increment=True
            )
        except (RedisError, OSError) as error:
            log.warning("sensors.tokens.not-counted", error=str(error))
            return
        if over:
            raise Problem("too-many-requests", "Too many tries; wait a minute.", retry_after=MINUTE)


@extend_schema_serializer(component_name="TokenRefresh")
class RefreshIn(serializers.TokenRefreshSerializer):
    token_class = families.Refresh


@extend_schema_serializer(component_name="TokenBlacklist")
class BlacklistIn(serializers.TokenBlacklistSerializer):
    token_class = families.Refresh


class Refresh(Contract, views.TokenRefreshView):
    """A refresh token for new tokens. It is used up; if it comes again, its log-in ends."""

    policy = by_method(post=PUBLIC)
    serializer_class = RefreshIn
    takes_keys = False  # a token is stored nowhere

    @extend_schema(
        tags=["auth"], summary="Refresh tokens", responses={200: RefreshIn},
        description="The refresh token that is sent cannot be used again. One that comes a second time, even at the "
        "same time, has been copied: the log-in it came of ends, and every token of it with it. Refresh from one "
        "place, one at a time, and log in again where the answer to a refresh was lost.", auth=[],
    )  # fmt: skip
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = self.get_serializer(data=request.data)
        with _ending_what_is_reused(), transaction.atomic():
            given.is_valid(raise_exception=True)
            families.note_use(given.validated_data["refresh"], address=origin.address(request), agent=_agent(request))
        return Response(given.validated_data)


class Blacklist(Contract, views.TokenBlacklistView):
    """Log out: the refresh token and every other token of its log-in cannot be used any more."""

    policy = by_method(post=PUBLIC)
    serializer_class = BlacklistIn
    takes_keys = False  # a token is stored nowhere

    @extend_schema(
        tags=["auth"], summary="Give a refresh token back", responses={200: None},
        description="It cannot be used any more, nor can any other token of its log-in, from now on.", auth=[],
    )  # fmt: skip
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        given = self.get_serializer(data=request.data)
        with _ending_what_is_reused(), transaction.atomic():
            given.is_valid(raise_exception=True)
            family = families.family_of(given.initial_data["refresh"])
            families.end(TokenFamily.objects.filter(pk=family), why=families.End.LOGGED_OUT)
        return Response(given.validated_data)


@contextmanager
def _ending_what_is_reused() -> Iterator[None]:
    """Around the transaction in which a refresh token is used: what it says of a reused one has to outlive it."""
    try:
        yield
    except families.Reused as error:
        families.end(TokenFamily.objects.filter(pk=error.family_id), why=families.End.REUSED)
        log.warning("sensors.tokens.reused", family=error.family_id)
        raise InvalidToken(str(error)) from error
    except TokenError as error:
        raise InvalidToken(str(error)) from error
    except User.DoesNotExist as error:
        raise InvalidToken("The account of this token is no more.") from error


def _agent(request: Request) -> str:
    return request.headers.get("User-Agent", "")
