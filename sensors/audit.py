"""The audit trail: who did what from where, written in the transaction of what it tells of.

What people do is in the journal, which hands it on (``sensors.journal``); pages of the admin, log-ins, refusals and
files that are given out are written here. Of a request it is known who asks, from where and with what; what has none
is done by the service itself or by a command. Entries are sealed into a chain soon after (``sensors.audit_chain``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.contrib.auth.models import User
from django.http import HttpRequest

from sensors import origin, walls
from sensors.audit_models import AuditEntry

log = structlog.get_logger(__name__)

LOGGED_IN, LOGIN_FAILED, LOGGED_OUT = "login.succeeded", "login.failed", "logout"
TOKENS_ENDED = "login.ended"
PASSWORD_CHANGED = "password.changed"
FACTOR_SET, FACTOR_REMOVED, CODES_RENEWED = "second_factor.set", "second_factor.removed", "recovery_codes.renewed"
REFUSED, EXPORTED = "request.refused", "data.exported"
ADMIN_ADDED, ADMIN_CHANGED, ADMIN_DELETED = "admin.added", "admin.changed", "admin.deleted"
SYSTEM, LINK, SESSION, TOKEN, PASSWORD, NONE = "system", "link", "session", "token", "password", "none"
LINKS = "/act/"
MOST_ACTOR, MOST_TARGET, MOST_TEXT = 150, 200, 1_000

_request: ContextVar[HttpRequest | None] = ContextVar("audit_request", default=None)


@dataclass(frozen=True, slots=True)
class Act:
    """What somebody did. Who, with what and from where is that of the request, unless it is said here."""

    action: str
    target: str = ""
    actor: str | None = None
    credential: str | None = None
    address: str | None = None
    site_id: int | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    reference: str = ""


@contextmanager
def within(request: HttpRequest | None) -> Iterator[None]:
    """What is recorded in the block is done by that request, or by none."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def record(acts: Sequence[Act]) -> None:
    """Add entries, in one statement and in the caller's transaction; one whose reference is known is there already."""
    if not acts:
        return
    request = _request.get()
    name, where = (None, None) if request is None else (actor_of(request), origin.address(request))
    how, request_id = credential_of(request), getattr(request, "request_id", "")
    entries = [
        AuditEntry(
            actor=one_line(act.actor if act.actor is not None else name or "")[:MOST_ACTOR],
            credential=act.credential or how, address=act.address or where, request_id=request_id, site_id=act.site_id,
            action=act.action, target=one_line(act.target)[:MOST_TARGET], detail=dict(act.detail),
            reference=act.reference,
        )
        for act in acts
    ]  # fmt: skip
    AuditEntry.objects.bulk_create(entries, ignore_conflicts=True)
    for entry in entries:  # a second witness, where the log is kept elsewhere
        log.info(
            "audit", actor=entry.actor, credential=entry.credential, address=entry.address, action=entry.action,
            target=entry.target, site=entry.site_id,
        )  # fmt: skip


def actor_of(request: HttpRequest) -> str:
    user = getattr(request, "user", None)
    return str(user.get_username()) if user is not None and user.is_authenticated else ""


def credential_of(request: HttpRequest | None) -> str:
    """What kind of credential a request came with: never the credential."""
    if request is None:
        return SYSTEM
    if request.path_info.startswith(LINKS):
        return LINK
    scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
    if scheme:
        return TOKEN if scheme == "bearer" else one_line(scheme)[:20]
    return SESSION if actor_of(request) else NONE


def site_of(user: Any) -> int | None:
    """The site of somebody who is a member of one alone; of others what they do is of no one site."""
    if not isinstance(user, User) or user.pk is None:
        return None
    with walls.of_user(user.pk):  # also before a log-in is complete
        found = list(user.sites.values_list("pk", flat=True)[:2])
    return found[0] if len(found) == 1 else None


def one_line(text: str) -> str:
    """Without characters that could pass for a new line or for what a terminal obeys: they are written out."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
