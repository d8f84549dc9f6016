"""What each figure of maintenance is: its formula, where it comes from, how its interval is made.

The words are data (``data/kpis.json``, with provenance), read and checked once when this module is imported. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("data") / "kpis.json"
NAMES = (
    "mtbf", "mttr", "mtta", "availability", "planned_share", "backlog", "schedule_compliance", "first_time_fix",
    "false_alarms", "warning_time",
)  # fmt: skip
UNITS = frozenset({"h", "min", "%"})


class BadBook(ValueError):
    """The data file of figures cannot be used."""


@dataclass(frozen=True, slots=True)
class Entry:
    """``checked`` is False where the formula is general knowledge that no text at hand confirmed."""

    name: str
    title: str
    unit: str
    formula: str
    source: str
    interval: str
    checked: bool

    @property
    def provenance(self) -> str:
        return self.source if self.checked else f"{self.source} [?]"


@dataclass(frozen=True, slots=True)
class Book:
    """``fixed_days``: after so many days without another failure a repair has lasted."""

    entries: Mapping[str, Entry]
    fixed_days: int


def read(text: str) -> Book:
    """The book in a JSON text. Raises ``BadBook`` that says what is wrong and where."""
    try:
        data = json.loads(text)
        if not str(data["provenance"]["vocabulary"]).strip() or not str(data["provenance"]["checked"]).strip():
            raise BadBook("provenance: say where the formulas come from, and what checked means")
        entries = [_entry(entry, f"figures/{n}") for n, entry in enumerate(data["figures"])]
        days = data["limits"]["fixed_days"]["value"]
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BadBook(f"not a book of figures: {type(error).__name__} {error}") from error
    if tuple(entry.name for entry in entries) != NAMES:
        raise BadBook(f"figures: these and no others, in this order: {', '.join(NAMES)}")
    if not isinstance(days, int) or days < 1:
        raise BadBook(f"limits/fixed_days: {days!r} is no whole number above 0")
    return Book({entry.name: entry for entry in entries}, days)


def _entry(entry: Mapping[str, Any], where: str) -> Entry:
    words = {name: str(entry[name]).strip() for name in ("name", "title", "unit", "formula", "source", "interval")}
    if not all(words.values()) or not isinstance(entry["checked"], bool):
        raise BadBook(f"{where}: needs a name, title, unit, formula, source and interval, and checked true or false")
    if words["unit"] not in UNITS:
        raise BadBook(f"{where}: {words['unit']!r} is no unit of a figure")
    return Entry(**words, checked=entry["checked"])


BOOK = read(FILE.read_text("utf-8"))
