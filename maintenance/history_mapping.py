"""How the rows of somebody else's CSV file become work orders of the past: a mapping that its owner writes. Pure.

A JSON object: ``source`` (a name), ``fields`` and, where they differ from the usual, ``delimiter`` (","), ``encoding``
("utf-8-sig"), ``dates`` (formats of ``strptime``, the first that fits; ["%Y-%m-%d"]), ``decimal`` ("."), ``thousands``
(none) and ``key`` (columns that name a row; none: the whole row, and how many equal ones came before it). A field is
``{"column": ...}`` or ``{"value": ...}``; a column may have ``values``, cell -> what it means, and ``otherwise``.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIELDS = frozenset(
    {
        "machine", "title", "opened", "started", "completed", "type", "findings", "failure_mode", "activity",
        "mechanism", "cause", "detection_method", "part", "cost", "worker",
    }
)  # fmt: skip
NEEDED = ("machine", "title", "opened", "type")
MEMBERS = frozenset({"source", "fields", "delimiter", "encoding", "dates", "decimal", "thousands", "key"})
DECIMALS, THOUSANDS = (".", ","), ("", ".", ",", " ", "'")


class BadMapping(ValueError):
    """The mapping cannot be used; the message says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field's text comes from: a column, or always the same. Cells not among ``values`` mean ``otherwise``;
    None: they are refused."""

    column: str | None
    value: str
    values: Mapping[str, str] | None
    otherwise: str | None


@dataclass(frozen=True, slots=True)
class HistoryMapping:
    """The mapping, checked."""

    source: str
    fields: Mapping[str, Field]
    delimiter: str
    encoding: str
    dates: tuple[str, ...]
    decimal: str
    thousands: str
    key: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that the file must have."""
        named = [field.column for field in self.fields.values() if field.column is not None]
        return tuple(dict.fromkeys([*named, *self.key]))


def read(text: str) -> HistoryMapping:
    """The mapping in a JSON text. Raises ``BadMapping``."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadMapping(f"This is no JSON: {error}") from error
    if not isinstance(data, dict):
        raise BadMapping("A mapping is a JSON object.")
    if unknown := sorted(set(data) - MEMBERS):
        raise BadMapping(f"{unknown[0]!r} is no member of a mapping; known: {', '.join(sorted(MEMBERS))}.")
    source = data.get("source")
    if not isinstance(source, str) or not 0 < len(source.strip()) <= 100:
        raise BadMapping("source: a name of at most 100 characters for where the rows come from.")
    made = HistoryMapping(
        source.strip(), _fields(data.get("fields")), _one_character(data), _encoding(data),
        _texts(data, "dates", "%Y-%m-%d"), str(data.get("decimal", ".")), str(data.get("thousands", "")),
        _texts(data, "key"),
    )  # fmt: skip
    if made.decimal not in DECIMALS or made.thousands not in THOUSANDS or made.decimal == made.thousands:
        raise BadMapping("decimal and thousands: a point or a comma, and another mark or none.")
    return made


def _fields(data: Any) -> Mapping[str, Field]:
    if not isinstance(data, dict):
        raise BadMapping("fields: an object, field -> where it comes from.")
    if unknown := sorted(set(data) - FIELDS):
        raise BadMapping(f"fields: {unknown[0]!r} is none; known: {', '.join(sorted(FIELDS))}.")
    if missing := [name for name in NEEDED if name not in data]:
        raise BadMapping(f"fields: {missing[0]!r} is missing.")
    return {name: _field(entry, f"fields/{name}") for name, entry in data.items()}


def _field(entry: Any, where: str) -> Field:
    if not isinstance(entry, dict) or ("column" in entry) == ("value" in entry):
        raise BadMapping(f'{where}: {{"column": ...}} or {{"value": ...}}.')
    if unknown := sorted(set(entry) - {"column", "value", "values", "otherwise"}):
        raise BadMapping(f"{where}: {unknown[0]!r} is not known here.")
    values = entry.get("values")
    texts = [entry.get("column", ""), entry.get("value", ""), entry.get("otherwise", ""), *(values or {}).values()]
    if not all(isinstance(text, str) for text in texts) or not isinstance(values, dict | None):
        raise BadMapping(f"{where}: texts, and values as an object of texts.")
    if ("value" in entry and len(entry) > 1) or ("otherwise" in entry and values is None):
        raise BadMapping(f"{where}: values belong to a column, and otherwise to values.")
    return Field(entry.get("column"), entry.get("value", ""), values, entry.get("otherwise"))


def _one_character(data: Mapping[str, Any]) -> str:
    delimiter = data.get("delimiter", ",")
    if not isinstance(delimiter, str) or len(delimiter) != 1 or delimiter in '"\r\n':
        raise BadMapping("delimiter: one character, such as a comma, a semicolon or \\t.")
    return delimiter


def _encoding(data: Mapping[str, Any]) -> str:
    try:
        return codecs.lookup(str(data.get("encoding", "utf-8-sig"))).name
    except LookupError as error:
        raise BadMapping(f"encoding: {error}.") from error


def _texts(data: Mapping[str, Any], name: str, *usual: str) -> tuple[str, ...]:
    given = data.get(name, list(usual))
    if not isinstance(given, list) or not all(isinstance(text, str) and text for text in given):
        raise BadMapping(f"{name}: a list of texts.")
    if name == "dates" and (not given or any("%y" in text for text in given)):
        raise BadMapping("dates: formats such as %d.%m.%Y; the year with its century, since nobody knows which it was.")
    return tuple(given)
