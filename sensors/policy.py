"""Which permission each operation over REST takes: every view says it, and what says nothing is shut.

A view has a ``policy``: for each action of a list (``list``, ``retrieve``, ``acknowledge`` ...), or for each method of
a plain view (``get``, ``post``), a name of the table of permissions, or ``PUBLIC``. ``own`` names the actions that
everybody may take with rows of their own; the view itself looks whose the row is.
"""

from __future__ import annotations

from typing import Any

from rest_framework import permissions as drf
from rest_framework.request import Request

from sensors import access
from sensors.permissions import INSTALLATION, PUBLIC, READ, SEND
from sensors.problems import Problem

LOOKED_AT_LATER = (READ, SEND)
"""What there is to read may be nothing; and who may send is remembered (``access.site_for_ingest``)."""
READS = {"list": READ, "retrieve": READ}


def takes(to: str, *actions: str) -> dict[str, str]:
    return dict.fromkeys(actions, to)


def edited_by(to: str) -> dict[str, str]:
    """The policy of rows that members read and that are written by who has a permission."""
    return READS | takes(to, "create", "partial_update", "destroy")


def installation(*actions: str) -> dict[str, str]:
    """The policy of what all sites share: of reading it as of what is done with it."""
    return takes(INSTALLATION, *READS, *actions)


def by_method(**takes: str) -> dict[str, str]:
    """The policy of a plain view."""
    return takes


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

    def has_permission(self, request: Request, view: Any) -> bool:
        try:
            takes = of(view, request.method or "")
        except LookupError:
            raise Problem("forbidden", "Nobody may do this: it is not said whom it is for.") from None
        if takes == PUBLIC:
            return True
        if not (request.user and request.user.is_authenticated):
            return False
        if takes is None or may_ask(request.user, to=READ if is_for_own(view) else takes):
            return True  # None: it is answered with 405
        raise access.forbidden(takes)


def is_for_own(view: Any) -> bool:
    """Whether what is asked for may be done to rows of one's own without the permission: ``own`` of the view."""
    return getattr(view, "action", None) in getattr(view, "own", ())


def require(view: Any, site_id: int) -> None:
    """Raises a ``forbidden`` problem where whoever asks has not, in a site, the permission of what they ask for."""
    access.require(access.user_of(view.request), site_id, to=taken(view))


def taken(view: Any) -> str:
    """The permission of what is being asked for."""
    found = of(view, view.request.method)
    if found is None:
        raise LookupError(f"{type(view).__name__} does not serve {view.request.method}.")
    return found


def may_ask(user: Any, *, to: str) -> bool:
    """Whether an account may do something in any site at all."""
    limit = access.limit_of(user)
    if limit is not None and not limit.allows(to):
        return False
    if to == INSTALLATION:
        return access.is_operator(user)
    return to in LOOKED_AT_LATER or access.sites(user, to=to).exists()
