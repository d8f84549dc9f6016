"""The keys that sign tokens: the one in use, and those of before that still hold while people change over.

A token names its key (``kid``), and its header has nothing else to say: no address of keys, no key of its own, no
extension. Whatever does is refused before anything of it is believed.
"""

from __future__ import annotations

import hashlib

import jwt
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

ALGORITHM = "HS256"
SHORTEST_KEY = 32
"""Bytes: as many as the digest has (RFC 7518, 3.2)."""
HEADER = {"alg", "typ", "kid"}


def kid(key: str) -> str:
    """The name of a key: it tells nothing of one that is random."""
    return hashlib.sha256(b"kid:" + key.encode()).hexdigest()[:16]


def current() -> str:
    return str(settings.SIMPLE_JWT["SIGNING_KEY"])


def keys() -> dict[str, str]:
    """By name, the keys whose tokens hold."""
    return {kid(key): key for key in (*settings.JWT_PREVIOUS_KEYS, current())}


def faults() -> list[str]:
    """What is wrong with the keys, one sentence for each."""
    named = [
        ("JWT_SIGNING_KEY", current()),
        *(("a key of JWT_PREVIOUS_KEYS", key) for key in settings.JWT_PREVIOUS_KEYS),
    ]
    return [
        *(f"{name} is shorter than {SHORTEST_KEY} bytes." for name, key in named if len(key.encode()) < SHORTEST_KEY),
        *(f"{name} is the SECRET_KEY." for name, key in named if key == str(settings.SECRET_KEY)),
    ]


def refuse_faults() -> None:
    """Raises ``ImproperlyConfigured``: a server that could be talked into anything does not start."""
    if found := faults():
        raise ImproperlyConfigured(" ".join(found))


def key_of(token: str | bytes) -> str | None:
    """The key that a token's header names; None where there is none of that name, or the header says anything else.

    Raises ``jwt.InvalidTokenError``.
    """
    header = jwt.get_unverified_header(token)
    return keys().get(header["kid"]) if header.keys() == HEADER else None
