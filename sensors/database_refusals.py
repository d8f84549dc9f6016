"""What the database refuses, told apart: trouble that passes, what another request did meanwhile, a value that cannot
be kept, which Python's own numbers and instants may say first; anything else is a fault of ours."""

from __future__ import annotations

from django.db import DataError, IntegrityError, InterfaceError, InternalError, OperationalError

SHUT = (
    "25006",  # read-only: a standby, or an operator's setting
    "25P03",  # the server ended an idle transaction
)
"""Codes that mean trouble though Django tells them as InternalError."""
BEYOND_LIMITS = "54"
"""The class of codes of a statement that is too large or too deep, and will be tomorrow."""
CLASHES = (
    "23503",  # what a row refers to is gone
    "23505",  # there is one of that name already
    "23P01",  # there is one at that time already
)
"""Codes of constraints that somebody else can break between our look and our write."""
BEYOND_TYPES = (
    "22001",  # a text too long
    "22003",  # a number too large
    "22008",  # an instant too far away
    "22021",  # a character that is none
    "22P05",  # likewise, in JSON
)
TOLD = {
    "unavailable": "The database cannot be used at the moment. Send the request again, with the same Idempotency-Key "
    "if any.",
    "conflict": "Something that was changed at the same moment does not allow this. Read it again before another try.",
    "invalid": "A value cannot be kept: a number too large, an instant too far away, or a character that is none.",
}


def kind(error: BaseException | None) -> str:
    """One of ``TOLD``; empty for what the database did not refuse, or refused by a fault of ours."""
    if isinstance(error, OverflowError):
        return "invalid"
    code = getattr(getattr(error, "__cause__", None), "pgcode", None) or ""
    if isinstance(error, InternalError):
        return "unavailable" if code in SHUT else ""
    if isinstance(error, (OperationalError, InterfaceError)):
        return "" if code.startswith(BEYOND_LIMITS) else "unavailable"
    if isinstance(error, IntegrityError):
        return "conflict" if code in CLASHES else ""
    return "invalid" if isinstance(error, DataError) and code in BEYOND_TYPES else ""
