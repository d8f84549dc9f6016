"""What must not be read in a log or an error report is blotted out: passwords, tokens, keys, what authorizes, addresses
that carry any of them. Pure.

Three nets, since each alone has holes: names of fields, what secrets look like in a text, and the secrets of this
installation by their value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote, urlsplit

MARK = "[redacted]"
SHORTEST = 8
"""A value that is shorter would blot out words that are none of it."""
DEEPEST = 12

NAMES = re.compile(
    r"passw(or)?d|passphrase|secret|token|api_?key|access_?key|signing_?key|authorization|cookie|credential|dsn\b|jwt",
    re.IGNORECASE,
)
VARIABLES = re.compile(r"SECRET|PASSWORD|TOKEN|KEY|DSN|HEARTBEAT_URL")
"""And settings: their values are secrets. Those of URLs have secrets in them."""

HINT = re.compile(r"bearer|api-key|authoriz|://|[?&]|pass|secret|token|key|cookie|dsn|eyj|bw_|/act/", re.IGNORECASE)
"""Without any of these a text is not looked at more closely."""
SECRET_WORDS = r"passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|signing[_-]?key|dsn"
SHAPES = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END|\Z)", re.DOTALL), MARK),
    (re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+"), MARK),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{4,}(\.[\w-]*)?"), MARK),
    (re.compile(r"\b(bw_[0-9a-f]{12})[\w-]{8,}"), rf"\1{MARK}"),
    (re.compile(r"(?i)\b(authorization|cookie|set-cookie)(['\"]?\s*[:=]\s*['\"]?)[^'\"\r\n]+"), rf"\1\2{MARK}"),
    (re.compile(r"(?i)\b(bearer|api-key)\s+[\w.~+/=-]{8,}"), rf"\1 {MARK}"),
    (re.compile(r"://[^/\s@'\"]+@"), f"://{MARK}@"),
    (
        re.compile(
            r"(?i)([?&][\w.-]{0,40}(?:token|secret|passw|signature|sig|key|code|auth|credential|jwt|session)"
            r"[\w.-]{0,40}=)[^&\s'\"#]+"
        ),
        rf"\1{MARK}",
    ),
    (
        re.compile(rf"(?i)\b([\w-]{{0,40}}(?:{SECRET_WORDS})['\"]?\s*[=:]\s*)(['\"]?)[^\s'\",;&}}]{{3,}}"),
        rf"\1\2{MARK}",
    ),
    (re.compile(r"(/act/[\w-]+/)[^\s/'\"]+"), rf"\1{MARK}"),
)
"""What secrets look like, and what is put in their place."""


class Redactor:
    """``values``: secrets of this installation; whatever holds one of them holds ``MARK`` afterwards."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        known = {value for value in values if len(value) >= SHORTEST}
        ordered = sorted(known | {quote(value, safe="") for value in known}, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, said: str) -> str:
        if self._known is not None:
            said = self._known.sub(MARK, said)
        if HINT.search(said) is None:
            return said
        for shape, instead in SHAPES:
            said = shape.sub(instead, said)
        return said

    def value(self, value: Any, *, name: str = "", depth: int = 0) -> Any:
        """Of a field of that name. What is neither text, a number nor a collection is told as text."""
        if value is None or isinstance(value, bool | int | float):
            return value
        if name and NAMES.search(name):
            return MARK
        if isinstance(value, str):
            return self.text(value)
        if depth == DEEPEST:
            return self.text(str(value))
        if isinstance(value, Mapping):
            return {self.text(str(key)): self.value(of, name=str(key), depth=depth + 1) for key, of in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(one, depth=depth + 1) for one in value]
        return self.text(str(value))


def secrets_of(given: Mapping[str, Any]) -> list[str]:
    """The secrets among variables of the environment and settings: whole values, and passwords in URLs."""
    found: list[str] = []
    for name, value in given.items():
        if isinstance(value, Mapping):
            found += secrets_of(value)
        if not isinstance(value, str):
            continue
        if VARIABLES.search(name):
            found += [value, *(word.strip() for word in value.split(","))]
        if "://" in value:
            password = urlsplit(value).password
            found += [password, unquote(password)] if password else []
    return found
