"""What a request may see of the database, told to the database itself: the second wall.

The web server's role is held to rows of the sites that ``bellwether.sites`` names, and sees none where it names none
(``config.second_wall`` makes the policies). That setting is put before each statement, in the same message, and ends
with the statement's transaction: nothing of it is left on a connection that is kept, whatever becomes of a request.

Which sites those are follows from who asks, once the request knows: whoever has authenticated them, a session, a token
or a key. Work of the whole process, such as the figures of its load, says so (``everywhere``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

SETTING = "bellwether.sites"
EVERYWHERE, NOWHERE = "*", ""
SITES_OF = "sensors_sites_of"
"""A function in the database: the sites of a user, as text for the setting. It sees all memberships."""


class _Thread(threading.local):
    """``seen``: what holds now: sites as text, or the request they follow from."""

    seen: HttpRequest | str = NOWHERE


_thread = _Thread()


@contextmanager
def within(seen: HttpRequest | str) -> Iterator[None]:
    """Statements of this thread see what a request may, or the sites that are named, for as long as the block lasts."""
    before, _thread.seen = _thread.seen, seen
    try:
        yield
    finally:
        _thread.seen = before


def everywhere() -> Any:
    """For what is of no site and of all: figures of the flow, and links that carry their own permission."""
    return within(EVERYWHERE)


def only(sites: Iterable[int]) -> Any:
    return within(_text(sites))


def of_user(user_id: int) -> Any:
    """For who acts without having logged in."""
    return within(_sites_of(user_id) if connection.settings_dict.get("WALLED") else NOWHERE)


def through(request: HttpRequest, pieces: Iterable[Any]) -> Iterator[Any]:
    """Pieces of an answer that is made while it is sent: each is made within what the request may see."""
    following = iter(pieces)
    while True:
        with within(request):
            try:
                piece = next(following)
            except StopIteration:
                return
        yield piece


def hold(execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]) -> Any:
    """One of Django's wrappers around each statement: puts before it what it may see."""
    sites = _sites()
    if sites == NOWHERE and not connection.in_atomic_block:  # there an earlier statement's lasts until its end
        return execute(sql, params, many, context)
    if context["cursor"].cursor.name is None:
        text = sql if isinstance(sql, str) else sql.as_string(context["cursor"].cursor)
        return execute(f"SET LOCAL {SETTING} = '{sites}'; {text}", params, many, context)
    # A cursor that the server keeps takes one statement. Outside of a transaction it outlives its own.
    where = "LOCAL" if connection.in_atomic_block else "SESSION"
    with connection.connection.cursor() as plain:
        plain.execute(f"SET {where} {SETTING} = '{sites}'")
        try:
            return execute(sql, params, many, context)
        finally:
            if where == "SESSION":
                plain.execute(f"RESET {SETTING}")


def _sites() -> str:
    if isinstance(_thread.seen, str):
        return _thread.seen
    request = _thread.seen
    user: Any = request.__dict__.get("user")
    if isinstance(user, SimpleLazyObject):  # who it is has not been asked yet, or is being asked now
        user = getattr(request, "_cached_user", None)
    key = getattr(user, "pk", None)
    if key is None:
        return NOWHERE
    known: tuple[Any, str] = getattr(request, "_sites_seen", (None, NOWHERE))
    if known[0] != key:
        known = key, _sites_of(key)
        setattr(request, "_sites_seen", known)  # noqa: B010 - the request carries it, its class does not know it
    return known[1]


def _sites_of(user_id: int) -> str:
    with within(NOWHERE), connection.cursor() as cursor:
        cursor.execute(f"SELECT {SITES_OF}(%s)", [user_id])
        return str(cursor.fetchone()[0] or NOWHERE)


def _text(sites: Iterable[int]) -> str:
    return "{" + ",".join(str(int(site)) for site in sorted(set(sites))) + "}"
