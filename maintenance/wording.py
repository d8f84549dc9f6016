"""What messages call things, in each language: events, priorities, failure modes and what to do about them.

The words are data (``data/wording.json``, with provenance), read once when this module is imported; a test holds them
complete. Pure: no Django.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("data") / "wording.json"
LANGUAGES = ("en", "pt")
UNKNOWN = "UNK"

_WORDS: Mapping[str, Mapping[str, Any]] = json.loads(FILE.read_text("utf-8"))
_BRACES = re.compile(r"\\{(\w+)\\}")
_REMARKS = [
    (re.compile(_BRACES.sub(r"(?P<\1>.+)", re.escape(pattern))), words) for pattern, words in _WORDS["remarks"].items()
]


def event(kind: str, *, language: str, otherwise: str) -> str:
    """What happened, such as ``Alarm raised`` for ``alarm.raised``; ``otherwise`` of a kind that has no words here."""
    return str(_WORDS["events"].get(kind, {}).get(language, otherwise))


def note(kind: str, *, language: str) -> str:
    """What a reader has to know of a kind of event beside its name; empty of most."""
    return str(_WORDS["notes"].get(kind, {}).get(language, ""))


def noted(pattern: str, **words: object) -> str:
    """What this product notes of an event, kept in English; ``remark`` says it in other languages.

    ``pattern`` is one of the remarks in the data, and ``words`` fill its braces. Raises ``KeyError``.
    """
    return str(_WORDS["remarks"][pattern]["en"]).format(**words)


def remark(text: str, *, language: str) -> str:
    """What was noted of an event: this product's own words in the language, those of people as they are."""
    found = ((words, shape.fullmatch(text)) for shape, words in _REMARKS)
    return next((str(words[language]).format(**match.groupdict()) for words, match in found if match), text)


def finding(kind: str, *, language: str) -> str:
    """What was found, such as ``below the limit`` for ``LIMIT_LOW``; a kind that has no words here stays as it is."""
    return str(_WORDS["kinds"].get(kind, {}).get(language, kind))


def hidden(kind: str, *, language: str) -> str:
    """Why an alarm is hidden, such as ``shelved``; empty where it is not."""
    return str(_WORDS["hidden"][kind][language]) if kind else ""


def state(name: str, *, language: str) -> str:
    """How an alarm stands, such as ``acknowledged`` for ``ACKED``; empty of what has no state."""
    return str(_WORDS["states"][name][language]) if name else ""


def priority(name: str, *, language: str) -> str:
    return str(_WORDS["priorities"][name][language])


def mode(code: str, *, language: str) -> tuple[str, str]:
    """The name of a failure mode, and what to look at first; of a code that is not known, those of ``UNK``."""
    words = _WORDS["modes"].get(code) or _WORDS["modes"][UNKNOWN]
    return str(words["name"][language]), str(words["response"][language])
