"""Typed readers of environment variables.

``NAME_FILE`` names a file that holds the value (a mounted secret); ``NAME`` and ``NAME_FILE`` together are an error.
An empty value counts as not set.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

TRUE = {"1", "true", "yes", "on"}
FALSE = {"0", "false", "no", "off"}
RATE = re.compile(r"([1-9]\d{0,9})/([1-9]\d{0,5})?([smhd])")
SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def text(name: str, default: str | None = None) -> str:
    """The value, or the default. Raises ``ImproperlyConfigured`` where neither is there."""
    value = _raw(name)
    if value is None:
        if default is None:
            raise ImproperlyConfigured(f"{name} is not set: set it, or {name}_FILE, in the environment.")
        return default
    return value


def optional(name: str) -> str | None:
    return _raw(name)


def flag(name: str, default: bool) -> bool:
    value = _raw(name)
    if value is None:
        return default
    if value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    raise ImproperlyConfigured(f"{name}={value!r} is not a yes or no: use 1 or 0.")


def integer(name: str, default: int, *, minimum: int | None = None) -> int:
    value = _raw(name)
    if value is None:
        return default
    try:
        number = int(value)
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}={value!r} is not a whole number.") from error
    if minimum is not None and number < minimum:
        raise ImproperlyConfigured(f"{name}={number} is below {minimum}.")
    return number


def rate(name: str, default: str) -> tuple[int, int] | None:
    """So many in so many seconds, written ``600/m`` or ``20/30s``; None where it is ``none``."""
    value = text(name, default)
    if value == "none":
        return None
    found = RATE.fullmatch(value)
    if found is None:
        raise ImproperlyConfigured(f"{name}={value!r} is not written 600/m, 20/30s or none (s, m, h, d).")
    return int(found[1]), int(found[2] or 1) * SECONDS[found[3]]


def words(name: str, default: list[str]) -> list[str]:
    """A list separated by commas."""
    value = _raw(name)
    return default if value is None else [w.strip() for w in value.split(",") if w.strip()]


_read: dict[str, str] = {}


def given() -> dict[str, str]:
    """Every variable that was read so far and has a value, secrets too."""
    return dict(sorted(_read.items()))


def _raw(name: str) -> str | None:
    value = _look_up(name)
    if value is not None:
        _read[name] = value
    return value


def _look_up(name: str) -> str | None:
    value, path = os.environ.get(name) or None, os.environ.get(f"{name}_FILE") or None
    if value is not None and path is not None:
        raise ImproperlyConfigured(f"{name} and {name}_FILE are both set: keep one.")
    if path is None:
        return value
    try:
        return Path(path).read_text(encoding="utf-8").strip() or None
    except OSError as error:
        raise ImproperlyConfigured(f"{name}_FILE={path!r} cannot be read: {error.strerror}.") from error
