"""Which version of a row was seen: strong ETags, of what the API shows of the row.

A row has no column for it. Its tag is the digest of the representation that GET gives to whoever asks, so that nothing
that is shown, lines and figures included, can change without it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from django.db.models import Model
from rest_framework.request import Request
from rest_framework.utils.serializer_helpers import ReturnDict

from sensors.problems import JSONRenderer, Problem

PACKED = "-gzip"
"""At the end of the tag of an answer that was packed on its way: another representation of the same version."""
LOST = "The row is no longer what it was when it was read. Read it again, and change that."


def of(shown: Any) -> str:
    return f'"{hashlib.blake2b(JSONRenderer().render(shown), digest_size=16).hexdigest()}"'


def of_answer(view: Any, data: Any) -> str | None:
    """The tag of an answer that shows a row as GET of the row does; None of any other."""
    if not isinstance(data, ReturnDict) or not hasattr(view, "retrieve"):
        return None
    row = getattr(data.serializer, "instance", None)
    shown_by = _as_read(view, view.get_serializer_class)
    return of(data) if isinstance(row, Model) and type(data.serializer) is shown_by else None


def matches(header: str, tag: str) -> bool:
    """Whether one of the tags in If-Match or If-None-Match is this one; weak ones are compared by their text."""
    tags = [part.strip() for part in header.split(",")]
    return "*" in tags or tag in [_unpacked(part) for part in tags]


def require(view: Any, request: Request) -> None:
    """Hold the address's row until the transaction ends, and refuse where it is not what the client has seen.

    Raises a ``precondition-failed`` problem; another one where there is no such row.
    """
    row = view.get_object()
    list(type(row)._default_manager.select_for_update(no_key=True).filter(pk=row.pk).values_list("pk"))
    header = request.headers["If-Match"]
    strong = ",".join(part for part in header.split(",") if not part.strip().startswith("W/"))
    if not matches(strong, of(_as_read(view, lambda: view.get_serializer(view.get_object()).data))):
        raise Problem("precondition-failed", LOST)


def _as_read(view: Any, look: Callable[[], Any]) -> Any:
    """What a view would do if it were asked for the row by GET."""
    action, view.action = view.action, "retrieve"
    try:
        return look()
    finally:
        view.action = action


def _unpacked(tag: str) -> str:
    tag = tag.removeprefix("W/")
    return f'{tag.removesuffix(PACKED + chr(34))}"' if tag.endswith(f'{PACKED}"') else tag
