"""Who asks: the account behind the credentials of a request."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from django.contrib.auth.models import User
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework_simplejwt.authentication import JWTAuthentication
from rest_framework_simplejwt.exceptions import InvalidToken, TokenError

from sensors import directory, families


class Bearer(JWTAuthentication):
    """Takes an access token of a log-in that has not ended."""

    def get_user(self, validated_token: Any) -> Any:
        try:
            return families.holding(validated_token.payload).user
        except TokenError as error:
            raise InvalidToken(str(error)) from error


class Remembered(Bearer):
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
