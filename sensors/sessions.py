"""Sessions of people in the browser: whose they are, where they were used last, and when they end.

A session ends when nothing was asked for so long (``SESSION_IDLE_MINUTES``), and some hours after it began however it
is used (``SESSION_HOURS``). Django itself ends the others when a password is changed.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY, logout
from django.contrib.auth.models import User
from django.contrib.sessions.backends import db
from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.http import HttpRequest
from django.utils import timezone

from sensors import origin
from sensors.identity_models import AGENT_LENGTH

BEGAN, SEEN, ADDRESS, AGENT = "began", "seen", "address", "agent"
NOTED_EVERY = 60
"""Seconds: what is noted with each page would be a write with each page."""


class BrowserSession(AbstractBaseSession):
    """Django's session, with whose it is. What stands here beside the base's is copied from what is in it."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, null=True, editable=False, related_name="browser_sessions"
    )
    began_at = models.DateTimeField(null=True, editable=False)
    seen_at = models.DateTimeField(null=True, editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)
    agent = models.CharField(max_length=AGENT_LENGTH, blank=True, editable=False)

    @classmethod
    def get_session_store_class(cls) -> type[SessionStore]:
        return SessionStore

    @property
    def name(self) -> str:
        """What it is called on pages: its key would open it."""
        return hashlib.sha256(self.session_key.encode()).hexdigest()


class SessionStore(db.SessionStore):
    @classmethod
    def get_model_class(cls) -> Any:
        return BrowserSession

    def create_model_instance(self, data: dict[str, Any]) -> Any:
        row: Any = super().create_model_instance(data)
        row.user_id = int(data[SESSION_KEY]) if SESSION_KEY in data else None
        row.began_at, row.seen_at = (_instant(data.get(name)) for name in (BEGAN, SEEN))
        row.address, row.agent = data.get(ADDRESS), data.get(AGENT, "")
        return row


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def visit(request: HttpRequest) -> None:
    """End the session of a request if it is over; else note, at most once a minute, that it is used."""
    session, now = request.session, time.time()
    if SESSION_KEY not in session:
        return
    began, seen = session.get(BEGAN, now), session.get(SEEN)
    idle = 0 if seen is None else now - seen
    if now - began > settings.SESSION_COOKIE_AGE or idle > settings.SESSION_IDLE_MINUTES * 60:
        logout(request)
        return
    address = origin.address(request)
    if seen is None or idle >= NOTED_EVERY or session.get(ADDRESS) != address:
        agent = request.headers.get("User-Agent", "")[:AGENT_LENGTH]
        session.update({BEGAN: began, SEEN: now, ADDRESS: address, AGENT: agent})


def live(user: User) -> list[BrowserSession]:
    """The sessions of a user that still open a page, the one used last first."""
    rows = BrowserSession.objects.filter(user=user, expire_date__gt=timezone.now()).order_by("-seen_at")
    proof = user.get_session_auth_hash()
    return [row for row in rows if hmac.compare_digest(row.get_decoded().get(HASH_SESSION_KEY, ""), proof)]


def end(rows: list[BrowserSession]) -> int:
    """How many ended."""
    count, _ = BrowserSession.objects.filter(pk__in=[row.pk for row in rows]).delete()
    return count
