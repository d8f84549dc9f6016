"""What a look at the place where the service runs comes to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

OK, NOTE, BAD = "ok", "note", "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """``todo``: what to do about it; empty where nothing is to be done."""

    check: str
    verdict: str
    found: str
    todo: str = ""


Look = Callable[[], Iterator[Finding]]
