"""Who asks: the account behind the credentials of a request."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError

from sensors import directory, families, keys
from sensors.problems import Problem


class Bearer(JWTAuthentication):
    """Takes an access token of a log-in that has not ended."""

    def get_user(self, validated_token: Any) -> Any:
        try:
            return families.holding(validated_token.payload).user
        except TokenError as error:
            raise InvalidToken(str(error)) from error


class Key(BaseAuthentication):
    """Takes the key of a program. A device's is for sending readings alone (``Remembered``)."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        secret = keys.presented(request.META.get("HTTP_AUTHORIZATION", ""))
        if secret is None:
            return None
        user, _ = keys.check(secret, now=timezone.now())
        _note_use(request, user)
        if keys.sensors_of(user) is not None:
            raise Problem("forbidden", "The key of a device is for sending readings, and for nothing else.")
        return user, None

    def authenticate_header(self, request: Request) -> str:
        return f'{keys.SCHEME} realm="api"'


class Remembered(Bearer):
    """Takes a token or a key that was checked before, until it runs out or an account changes, without checking it
    again.

    ``request.auth`` is the number (``sensors.directory``) under which the account was read. The view has to compare it
    before anything comes of the request.
    """

    def authenticate(self, request: Request) -> tuple[User, int] | None:  # type: ignore[override]
        header = self.get_header(request)
        if not header:
            return None
        access, digest = directory.access(), hashlib.sha256(header).digest()
        remembered = access.callers.get(digest)
        if remembered is None or time.time() >= remembered[1]:
            remembered = self._let_in(header)
            if remembered is None:
                return None
            access.admit(digest, remembered[0], until=remembered[1])
        _note_use(request, remembered[0])
        return remembered[0], access.number

    def _let_in(self, header: bytes) -> tuple[User, float] | None:
        """The account, and until when its token or key holds."""
        secret = keys.presented(header.decode("latin-1"))
        if secret is not None:
            return keys.check(secret, now=timezone.now())
        encoded = self.get_raw_token(header)
        if encoded is None:
            return None
        token = self.get_validated_token(encoded)
        return self.get_user(token), float(token["exp"])


def _note_use(request: Request, user: User) -> None:
    if (grant := keys.grant_of(user)) is not None:
        keys.note_use(grant, request=request)


def caller(request: Request) -> tuple[User, int]:
    """Who asks, and the number under which the account was read. Raises ``AuthenticationFailed`` or the like."""
    found = Remembered().authenticate(request)
    if found is None:
        raise NotAuthenticated
    return found
