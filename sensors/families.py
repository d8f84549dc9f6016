"""Families of tokens: one log-in, and every token that came of it by refreshing.

A refresh token is good for one use. One that comes a second time has been copied, and nobody can tell which of the two
has the right to it: the whole family ends at once, access tokens that still run included (RFC 9700, 4.14.2). There is
no grace: of several that refresh with one token at the same time one wins, the next ends the family, and the winner's
tokens with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Self

import jwt
from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import TokenBackendError, TokenError
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import AccessToken, BlacklistMixin, RefreshToken
from rest_framework_simplejwt.utils import datetime_from_epoch, get_md5_hash_password

from sensors import audit, signing
from sensors.identity_models import AGENT_LENGTH, TokenFamily

CLAIM = "family"
ENDED = "This log-in has ended; log in again."
End = TokenFamily.End


class Reused(TokenError):
    """A refresh token that was used before came again."""

    def __init__(self, family_id: int) -> None:
        super().__init__("This refresh token was used before; its log-in has ended, and all its tokens with it.")
        self.family_id = family_id


def lifetime() -> timedelta:
    found: Any = settings.SIMPLE_JWT["REFRESH_TOKEN_LIFETIME"]
    return timedelta(seconds=found.total_seconds())


def live(user: User, *, now: datetime) -> QuerySet[TokenFamily]:
    """The log-ins of a user that can still be refreshed."""
    mark = get_md5_hash_password(user.password)
    rows = TokenFamily.objects.filter(user=user, revoked_at=None, password_mark=mark)
    return rows.filter(used_at__gt=now - lifetime(), created_at__gt=now - longest())


def end(families: QuerySet[TokenFamily], *, why: str) -> int:
    """End those that have not ended; their tokens are refused from the commit on. How many."""
    with transaction.atomic():
        ended = list(families.filter(revoked_at=None).select_related("user").select_for_update(of=("self",)))
        TokenFamily.objects.filter(pk__in=[one.pk for one in ended]).update(revoked_at=timezone.now(), revoked_for=why)
        audit.record([_ended(one, why) for one in ended])
    return len(ended)


def _ended(family: TokenFamily, why: str) -> audit.Act:
    detail = {"account": family.user.get_username(), "why": why}
    return audit.Act(audit.TOKENS_ENDED, f"token_family/{family.pk}", site_id=audit.site_of(family.user), detail=detail)


def forget(*, before: datetime) -> int:
    """Delete what nobody can use any more and what was last used before then; how many log-ins."""
    OutstandingToken.objects.filter(expires_at__lt=before).delete()
    count, _ = TokenFamily.objects.filter(used_at__lt=before - lifetime()).delete()
    return count


def holding(claims: Mapping[str, Any], *, lock: bool = False) -> TokenFamily:
    """The family of a token, with its user.

    Raises ``TokenError`` where it has ended, or the account may no longer log in, or has another password.
    """
    pk, user = claims.get(CLAIM), claims.get("user_id")
    if not isinstance(pk, int) or not isinstance(user, str):
        raise TokenError(ENDED)
    rows = TokenFamily.objects.select_related("user").filter(user_id=user, revoked_at=None, user__is_active=True)
    family = (rows.select_for_update(of=("self",)) if lock else rows).filter(pk=pk).first()
    if family is None or claims.get("hash_password") != get_md5_hash_password(family.user.password):
        raise TokenError(ENDED)
    return family


class KeyRing(TokenBackend):
    """Signs with the key in use, and checks with the key that a token names."""

    def encode(self, payload: dict[str, Any]) -> str:
        claims = {**payload, "aud": self.audience, "iss": self.issuer}
        key = signing.current()
        return jwt.encode(claims, key, algorithm=self.algorithm, headers={"kid": signing.kid(key)})

    def get_verifying_key(self, token: Any) -> str:
        try:
            key = signing.key_of(token)
        except jwt.InvalidTokenError as error:
            raise TokenBackendError("Token is invalid") from error
        if key is None:
            raise TokenBackendError("Token is invalid")
        return key


def ring() -> KeyRing:
    return KeyRing(signing.ALGORITHM, audience=settings.JWT_ISSUER, issuer=settings.JWT_ISSUER)


class Access(AccessToken):
    """A token for some minutes, signed and checked with our keys."""

    def get_token_backend(self) -> KeyRing:
        return ring()


class Refresh(RefreshToken):
    """A token for new tokens. What is kept of it in the database opens no door: its id, not the token."""

    access_token_class = Access

    def get_token_backend(self) -> KeyRing:
        return ring()

    @classmethod
    def for_user(cls, user: Any, *, address: str | None = None, agent: str = "") -> Self:
        """The first token of a new family."""
        mark = get_md5_hash_password(user.password)
        family = TokenFamily.objects.create(user=user, password_mark=mark, address=address, agent=agent[:AGENT_LENGTH])
        token: Self = super(BlacklistMixin, cls).for_user(user)
        token[CLAIM] = family.pk
        token.outstand()
        return token

    def outstand(self) -> None:
        OutstandingToken.objects.create(
            user_id=self.payload["user_id"], jti=self.payload["jti"], token="", created_at=self.current_time,
            expires_at=datetime_from_epoch(self.payload["exp"]),
        )  # fmt: skip

    def check_blacklist(self) -> None:
        """Takes the family's lock, so it needs a transaction, and holds it until that ends.

        Raises ``Reused``, or ``TokenError`` where the family, the account or its password is no longer the same.
        """
        family = holding(self.payload, lock=True)
        if family.created_at <= timezone.now() - longest():
            raise TokenError(ENDED)
        if BlacklistedToken.objects.filter(token__jti=self.payload.get("jti")).exists():
            raise Reused(family.pk)


def longest() -> timedelta:
    """However often it is refreshed, a log-in ends after so long."""
    return timedelta(days=settings.JWT_SESSION_DAYS)


def family_of(encoded: str) -> int:
    """Of a refresh token that was checked before."""
    token: Any = encoded  # the stubs know only token objects
    return int(ring().decode(token)[CLAIM])


def note_use(encoded: str, *, address: str | None, agent: str) -> None:
    """The family of a token that was just given out was refreshed."""
    TokenFamily.objects.filter(pk=family_of(encoded)).update(
        used_at=timezone.now(), address=address, agent=agent[:AGENT_LENGTH]
    )
