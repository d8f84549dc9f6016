"""What is put on record of a failure beside its mode, in the vocabulary of ISO 14224: mechanism, cause, how it was
found, what was done. The lists are data (``data/iso14224.json``, with provenance), read once. Pure: no Django."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("data") / "iso14224.json"
LISTS = ("mechanisms", "causes", "detection_methods", "activities")


class BadLists(ValueError):
    """The data file cannot be used."""


def read(text: str) -> Mapping[str, Mapping[str, str]]:
    """List -> code -> name, in the order of the file. Raises ``BadLists`` that says what is wrong and where."""
    try:
        data = json.loads(text)
        if not str(data["provenance"]["vocabulary"]).strip():
            raise BadLists("provenance: say where the codes come from")
        return {name: _codes(name, data[name]) for name in LISTS}
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadLists(f"not lists of failure data: {type(error).__name__} {error}") from error


def _codes(name: str, entries: Any) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for n, entry in enumerate(entries):
        code, words = entry["code"], entry["name"]
        if not isinstance(code, str) or not code.strip() or not isinstance(words, str) or not words.strip():
            raise BadLists(f"{name}/{n}: needs a code and a name")
        if code in found:
            raise BadLists(f"{name}/{n}: {code} comes twice")
        found[code] = words
    if not found:
        raise BadLists(f"{name}: is empty")
    return found


KNOWN = read(FILE.read_text("utf-8"))
MECHANISMS, CAUSES = KNOWN["mechanisms"], KNOWN["causes"]
DETECTION_METHODS, ACTIVITIES = KNOWN["detection_methods"], KNOWN["activities"]
