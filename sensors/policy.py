"""Which permission each operation over REST takes: every view says it, and what says nothing is shut.

A view has a ``policy``: for each action of a list (``list``, ``retrieve``, ``acknowledge`` ...), or for each method of
a plain view (``get``, ``post``), a name of the table of permissions, or ``PUBLIC``.
"""

from __future__ import annotations

from typing import Any

from rest_framework import permissions as drf
from rest_framework.request import Request
from rest_framework.views import APIView

from sensors import access
from sensors.permissions import INSTALLATION, PUBLIC, READ
from sensors.problems import Problem

READS = {"list": READ, "retrieve": READ}


def owned(to: str) -> dict[str, str]:
    """The policy of rows that members read and that are written by who has a permission."""
    return READS | {"create": to, "partial_update": to, "destroy": to}


def of(view: Any, method: str) -> str | None:
    """The permission that a view takes for a method. Raises ``LookupError`` where it has no policy for it, and is None
    where it does not serve the method."""
    method = {"head": "get"}.get(method.lower(), method.lower())
    if method == "options":
        return READ
    actions: dict[str, str] | None = getattr(view, "action_map", None)
    name = method if actions is None else actions.get(method)
    if name is None or not hasattr(view, name):
        return None
    try:
        return str(view.policy[name])
    except (AttributeError, KeyError) as error:
        raise LookupError(f"{type(view).__name__} has no policy for {name}.") from error


class Declared(drf.BasePermission):
    """Lets in who has the permission anywhere; whether they have it in the row's site is looked at with the row."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        try:
            takes = of(view, request.method or "")
        except LookupError:
            raise Problem("forbidden", "Nobody may do this: it is not said whom it is for.") from None
        if takes == PUBLIC:
            return True
        if not (request.user and request.user.is_authenticated):
            return False
        if takes is None or may_ask(request.user, to=takes):
            return True  # None: it is answered with 405
        raise access.forbidden(takes)


def may_ask(user: Any, *, to: str) -> bool:
    """Whether an account may do something in any site at all. What there is to read may be nothing."""
    limit = access.limit_of(user)
    if limit is not None and not limit.allows(to):
        return False
    if to == INSTALLATION:
        return access.is_operator(user)
    return to == READ or access.sites(user, to=to).exists()
