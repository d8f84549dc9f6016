"""Tokens for REST clients (JWT): log in, refresh, log out."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django_ratelimit.core import is_ratelimited
from drf_spectacular.utils import extend_schema
from redis.exceptions import RedisError
from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework_simplejwt import views
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError
from rest_framework_simplejwt.token_blacklist.models import OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken

from sensors import audit_requests, directory, origin
from sensors.problems import Problem

MINUTE = 60


class Remembered(JWTAuthentication):
    """Takes a token that was checked before, until it runs out or an account changes, without checking it again.

    ``request.auth`` is the number (``sensors.directory``) under which the account was read. The view has to compare it
    before anything comes of the request.
    """

    def authenticate(self, request: Request) -> tuple[User, int] | None:  # type: ignore[override]
        header = self.get_header(request)
        encoded = None if header is None else self.get_raw_token(header)
        if encoded is None:
            return None
        access, digest = directory.access(), hashlib.sha256(encoded).digest()
        remembered = access.callers.get(digest)
        if remembered is not None and time.time() < remembered[1]:
            return remembered[0], access.number
        token = self.get_validated_token(encoded)
        user: Any = self.get_user(token)
        access.admit(digest, user, until=float(token["exp"]))
        return user, access.number


def caller(request: Request) -> tuple[User, int]:
    """Who asks, and the number under which the account was read. Raises ``AuthenticationFailed`` or the like."""
    found = Remembered().authenticate(request)
    if found is None:
        raise NotAuthenticated
    return found


class Login(views.TokenObtainPairView):
    """User name and password for tokens; so many tries a minute, by address and by user name."""

    permission_classes = (AllowAny,)  # type: ignore[assignment]  # the stubs take the library's () for the type

    @extend_schema(
        tags=["auth"], summary="Get tokens", responses={200: views.TokenObtainPairView().get_serializer_class()},
        description="An access token for some minutes and a refresh token for a day.", auth=[],
    )  # fmt: skip
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        limit(request, group="login-address", key=lambda _, asked: origin.network(asked))
        limit(request, group="login-name", key=lambda *_: _said(request, "username")[:150].lower())
        answer = super().post(request, *args, **kwargs)
        audit_requests.logged_in(_said(request, "username").strip())
        return answer


def _said(request: Request, name: str) -> str:
    return str(request.data.get(name, "")) if isinstance(request.data, dict) else ""


def limit(request: Request, *, group: str, key: Any) -> None:
    """Count a try. Raises a ``too-many-requests`` problem; counts nothing while Redis is down (P9)."""
    try:
        over = is_ratelimited(request._request, group=group, key=key, rate=settings.LOGIN_RATE, increment=True)
    except (RedisError, OSError):
        return
    if over:
        raise Problem("too-many-requests", "Too many tries; wait a minute.", retry_after=MINUTE)


class Refresh(views.TokenRefreshView):
    """A refresh token for new tokens. It is used up: of two at once, one wins."""

    permission_classes = (AllowAny,)  # type: ignore[assignment]  # the stubs take the library's () for the type

    @extend_schema(
        tags=["auth"], summary="Refresh tokens", responses={200: views.TokenRefreshView().get_serializer_class()},
        description="The refresh token that is sent cannot be used again.", auth=[],
    )  # fmt: skip
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        try:
            with transaction.atomic():
                _lock(_said(request, "refresh"))
                return super().post(request, *args, **kwargs)
        except User.DoesNotExist as error:
            raise InvalidToken("The account of this token is no more.") from error


def _lock(encoded: str) -> None:
    """Hold the row of the token until it is blacklisted. What is no token is left for the serializer to refuse."""
    try:
        jti = RefreshToken(encoded, verify=True)["jti"]  # type: ignore[arg-type]  # the stubs know only token objects
    except TokenError:
        return
    list(OutstandingToken.objects.select_for_update().filter(jti=jti))


class Blacklist(views.TokenBlacklistView):
    """Log out: the refresh token cannot be used any more."""

    permission_classes = (AllowAny,)  # type: ignore[assignment]  # the stubs take the library's () for the type

    @extend_schema(
        tags=["auth"], summary="Give a refresh token back", responses={200: None},
        description="It cannot be used any more; access tokens end by themselves within minutes.", auth=[],
    )  # fmt: skip
    def post(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().post(request, *args, **kwargs)
