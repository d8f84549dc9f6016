"""How a CSV file is to be read: delimiter, time column and kind of time, value columns. Pure.

Found from the header and the first rows, or named. Nothing is left out silently: ``Layout.left_out`` says which columns
are no values, and why.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, TextIO

from sensors.columns import SECOND_US
from sensors.connectors.csv import EPOCH, SAMPLE_ROWS, TIME_NAMES, BadFile, parse_instant
from sensors.tables import clocks

__all__ = ["SAMPLE_ROWS", "BadFile", "Layout", "Wanted", "find", "number", "text"]

MARKS = ",;\t|"
COUNT_NAMES = {"row", "index", "idx", "n", "no", "nr", "i", "#", "step", "sample", "cycle", "column 1"}
LABEL_NAMES = {"anomaly", "is_anomaly", "anomalous", "label", "changepoint"}
"""What people found to be true of a row is no reading."""
INSTANTS, MILLISECONDS, NUMBERS, COUNTED = "instants", "milliseconds", "row numbers", "counted rows"
DECIMAL_COMMA = re.compile(r"^[+-]?\d+,\d+$")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for; None and () = find it. ``zone``: of times without an offset; ``period``: microseconds."""

    time_column: str | None = None
    columns: tuple[str, ...] = ()
    delimiter: str | None = None
    zone: tzinfo = UTC
    period: int = 60 * SECOND_US


@dataclass(frozen=True, slots=True)
class Layout:
    """``names``: of all columns. ``time_column``: None where rows are counted. ``left_out``: name and why."""

    delimiter: str
    names: tuple[str, ...]
    time_column: str | None
    kind: str
    columns: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


def text(path: Path, data: BinaryIO) -> TextIO:
    """The bytes as UTF-8, with or without its mark; a byte that is none stays what it is. Raises ``BadFile``."""
    try:
        head = data.peek(8192) if isinstance(data, io.BufferedReader) else b""
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}.") from error
    if b"\0" in head.split(b"\n", 1)[0]:
        raise BadFile(f"{path} is no text in UTF-8: save it as CSV in UTF-8.")
    return io.TextIOWrapper(data, encoding="utf-8-sig", errors="surrogateescape", newline="")


def find(path: Path, head: Sequence[str], wanted: Wanted) -> tuple[Layout, int]:
    """How to read the file that begins with these lines, and how many of them the header takes. Raises ``BadFile``."""
    first = next((line for line in head if line.strip()), None)
    if first is None:
        raise BadFile(f"{path} is empty: it needs a header and rows.")
    delimiter = wanted.delimiter or _delimiter(first)
    reader = csv.reader(head, delimiter=delimiter)
    try:
        names = _names(next(row for row in reader if row))
    except csv.Error as error:
        raise BadFile(f"The header of {path} cannot be read: {error}.") from error
    consumed = reader.line_num
    _check_header(path, names, wanted.zone)
    sample = _sample(head[consumed:], delimiter)
    if not sample:
        raise BadFile(f"{path} has a header and no rows.")
    cells = {name: [row[n].strip() if n < len(row) else "" for row in sample] for n, name in enumerate(names)}
    time_column, kind = _time(path, cells, wanted)
    columns, left_out = _values(path, cells, time_column, wanted.columns)
    return Layout(delimiter, tuple(names), time_column, kind, columns, left_out), consumed


def number(cell: str) -> float:
    """NaN where the cell holds no number with a decimal point."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def _sample(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """The first rows; where a quote swallows most of them, each line by itself."""
    try:
        rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    except csv.Error:
        rows = []
    if len(rows) * 2 >= len(lines):
        return rows
    return [row for line in lines if (row := line.rstrip("\r\n").split(delimiter)) != [""]]


def _delimiter(header: str) -> str:
    bare = re.sub(r'"[^"]*"', "", header)
    best = max(MARKS, key=bare.count)
    return best if bare.count(best) else ","


def _names(header: Sequence[str]) -> list[str]:
    return [name.strip() or f"column {n}" for n, name in enumerate(header, start=1)]


def _check_header(path: Path, names: list[str], zone: tzinfo) -> None:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise BadFile(f"{path} names columns twice: {', '.join(repeated)}.")
    if all(_is_number(name) or parse_instant(name, zone=zone) is not None for name in names):
        raise BadFile(f"{path} has no header: its first line should name the columns.")


def _time(path: Path, cells: Mapping[str, list[str]], wanted: Wanted) -> tuple[str | None, str]:
    asked = wanted.time_column
    if asked is None:
        return _found_time(path, {name: cells[name] for name in cells if name not in wanted.columns}, wanted.zone)
    if asked not in cells:
        raise BadFile(f"{path} has no column {asked!r}; it has {', '.join(cells)}.")
    kind = _kind(cells[asked], wanted.zone)
    if kind is None:
        raise BadFile(
            f"The column {asked!r} of {path} holds no times ({_first(cells[asked])}): they are read in ISO 8601 "
            "(2026-03-01T12:00:00), as seconds or milliseconds since 1970, or as row numbers."
        )
    return asked, kind


def _found_time(path: Path, cells: Mapping[str, list[str]], zone: tzinfo) -> tuple[str | None, str]:
    """By name and content, then by content that is plain: ISO 8601, a count, then seconds that go up."""
    kinds = {name: kind for name, texts in cells.items() if (kind := _kind(texts, zone))}
    named = [name for name in kinds if name.lower() in TIME_NAMES]
    written = [name for name in kinds if not _mostly(cells[name], _is_number)]
    counts = [name for n, name in enumerate(cells) if name in kinds and _counts(cells[name], n == 0, name)]
    epochs = [name for name, kind in kinds.items() if kind != NUMBERS and _goes_up(cells[name])]
    for name in (*named, *written, *(counts + epochs if len(cells) > 1 else [])):  # a lone column is the value
        return name, kinds[name]
    if all(_mostly(texts, _is_number) for texts in cells.values() if any(texts)):
        return None, COUNTED
    raise BadFile(
        f"{path} has no column of times (ISO 8601, seconds or milliseconds since 1970, or row numbers): name it with "
        f"--time-column; it has {', '.join(cells)}."
    )


def _kind(texts: Sequence[str], zone: tzinfo) -> str | None:
    if _mostly(texts, lambda text: parse_instant(text, zone=zone) is not None):
        return INSTANTS
    if _mostly(texts, lambda text: clocks.MILLISECONDS.match(text) is not None):
        return MILLISECONDS
    return NUMBERS if _mostly(texts, _is_number) else None


def _counts(texts: Sequence[str], is_first: bool, name: str) -> bool:
    """Whole numbers one apart, in the first column or in one with such a name."""
    if not (is_first or name.lower() in COUNT_NAMES):
        return False
    values = [number(text) for text in texts]
    ones = sum(b - a == 1 and b == int(b) for a, b in pairwise(values))
    return ones * 2 > len(values) - 1 or (len(values) == 1 and name.lower() in COUNT_NAMES)


def _goes_up(texts: Sequence[str]) -> bool:
    epochs = [float(text) for text in texts if EPOCH.match(text) or clocks.MILLISECONDS.match(text)]
    return sum(b > a for a, b in pairwise(epochs)) * 2 > len(epochs) - 1 and len(epochs) > 1


def _values(
    path: Path, cells: Mapping[str, list[str]], time_column: str | None, asked: Sequence[str]
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    if missing := [name for name in asked if name not in cells]:
        raise BadFile(f"{path} has no column {', '.join(missing)}; it has {', '.join(cells)}.")
    if time_column in asked:
        raise BadFile(f"The column {time_column!r} is the time; it cannot be a value as well.")
    why = {name: "not asked for" if asked else _no_value(name, cells[name]) for name in cells if name not in asked}
    left_out = tuple((name, reason) for name, reason in why.items() if reason and name != time_column)
    columns = tuple(asked) or tuple(name for name in cells if not why[name] and name != time_column)
    if not columns:
        seen = [name for name in cells if name != time_column]
        hint = "; ".join(f"{name!r} {_first(cells[name])}" for name in seen[:3]) or "there is no other column"
        comma = any(DECIMAL_COMMA.match(text) for name in seen for text in cells[name])
        todo = " Write numbers with a decimal point." if comma else ""
        raise BadFile(f"{path} has no column of numbers beside its time ({hint}).{todo}")
    return tuple(dict.fromkeys(columns)), left_out


def _no_value(name: str, texts: Sequence[str]) -> str:
    if name.lower() in LABEL_NAMES:
        return "a label by its name; --columns takes it all the same"
    return "" if _mostly(texts, _is_number) else "no numbers"


def _mostly(texts: Iterable[str], test: Callable[[str], bool]) -> bool:
    filled = [text for text in texts if text]
    return sum(map(test, filled)) * 2 > len(filled)


def _is_number(text: str) -> bool:
    return math.isfinite(number(text))


def _first(texts: Sequence[str]) -> str:
    found = next((text for text in texts if text), None)
    return "is empty" if found is None else f"begins with {found[:40]!r}"
