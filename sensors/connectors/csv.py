"""Readings from a CSV file: a time column, and a value column for each sensor. Pure: no database.

Cells are passed on as they are where they cannot be read as an instant or a number, so that the intake refuses them
with a reason, item by item, as it would any client's. Empty cells are no readings.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, datetime, tzinfo
from itertools import pairwise
from pathlib import Path
from typing import Any

SAMPLE_ROWS = 200
TIME_NAMES = {"timestamp", "time", "datetime", "date", "measured_at", "ts"}
EPOCH = re.compile(r"^\d{9,10}(\.\d+)?$")


class BadFile(ValueError):
    """The file cannot be replayed; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a file is to be read."""

    delimiter: str
    encoding: str
    time_column: str
    value_columns: tuple[str, ...]
    rows: int
    period_seconds: int | None
    """Median time between the first rows, where they have any order."""


def inspect(path: Path, *, zone: tzinfo, time_column: str | None = None, value_columns: Sequence[str] = ()) -> Layout:
    """Find out how a file is to be read. Raises ``BadFile``."""
    encoding = _encoding(path)
    with path.open(encoding=encoding, newline="") as file:
        head = file.read(65_536)
    if not head.strip():
        raise BadFile(f"{path} is empty.")
    delimiter = _delimiter(head)
    with path.open(encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        names = [name.strip() for name in next(reader)]
        sample = [row for _, row in zip(range(SAMPLE_ROWS), (r for r in reader if r), strict=False)]
        rows = len(sample) + sum(1 for row in reader if row)
    _check_header(path, names)
    if not sample:
        raise BadFile(f"{path} has a header and no rows.")
    columns = {name: [row[n].strip() if n < len(row) else "" for row in sample] for n, name in enumerate(names)}
    time_column = _time_column(path, columns, time_column, zone)
    values = _value_columns(path, columns, time_column, value_columns)
    return Layout(delimiter, encoding, time_column, values, rows, _period(columns[time_column], zone))


def readings(path: Path, layout: Layout, *, zone: tzinfo, prefix: str = "") -> Iterator[dict[str, Any]]:
    """The readings in the order of the file, as the items of a request. ``prefix`` goes before a column's name."""
    newest: datetime | None = None
    with path.open(encoding=layout.encoding, newline="") as file:
        reader = csv.reader(file, delimiter=layout.delimiter)
        names = [name.strip() for name in next(reader)]
        for cells in filter(None, reader):
            row = dict(zip(names, cells, strict=False))
            text = row.get(layout.time_column, "").strip()
            instant = parse_instant(text, zone=zone, after=newest)
            newest = instant or newest
            measured_at = text if instant is None else instant.astimezone(UTC).isoformat()
            for name in layout.value_columns:
                cell = row.get(name, "").strip()
                if cell:
                    yield {"sensor": prefix + name, "measured_at": measured_at, "value": _number(cell)}


def parse_instant(text: str, *, zone: tzinfo, after: datetime | None = None) -> datetime | None:
    """An instant from ISO 8601 or epoch seconds; None where it is neither.

    A time without an offset is local to ``zone``. In the hour that the clocks repeat in autumn the second pass is
    taken where the first would go back before ``after``; a time that the clocks skip in spring is no instant.
    """
    if EPOCH.match(text):
        return datetime.fromtimestamp(float(text), UTC)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not 1 < instant.year < MAXYEAR:  # where an offset could lead out of the calendar
        return None
    if instant.utcoffset() is not None:
        return instant
    local = instant.replace(tzinfo=zone)
    if after is not None and local.astimezone(UTC) <= after.astimezone(UTC):
        later = local.replace(fold=1)
        local = later if later.astimezone(UTC) > after.astimezone(UTC) else local
    skipped = local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != instant
    return None if skipped else local


def _encoding(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig") as file:
            for _ in file:
                pass
    except UnicodeDecodeError as error:
        raise BadFile(f"{path} is not UTF-8 text (byte {error.start}).") from error
    except OSError as error:
        raise BadFile(f"{path} cannot be read: {error.strerror}.") from error
    return "utf-8-sig"


def _delimiter(head: str) -> str:
    first = head.splitlines()[0]
    counts = {mark: first.count(mark) for mark in ",;\t|"}
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def _check_header(path: Path, names: list[str]) -> None:
    if len(names) < 2:
        raise BadFile(f"{path} has one column; a time column and at least one value column are needed.")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise BadFile(f"{path} names columns twice: {', '.join(repeated)}.")
    if all(_is_number(name) for name in names[1:]):
        raise BadFile(f"{path} has no header: its first line should name the columns.")


def _time_column(path: Path, columns: dict[str, list[str]], asked: str | None, zone: tzinfo) -> str:
    if asked is not None:
        if asked not in columns:
            raise BadFile(f"{path} has no column {asked!r}; it has {', '.join(columns)}.")
        return asked
    likely = sorted(columns, key=lambda name: name.lower() not in TIME_NAMES)
    for name in likely:
        filled = [text for text in columns[name] if text]
        if filled and sum(parse_instant(text, zone=zone) is not None for text in filled) * 2 > len(filled):
            return name
    raise BadFile(f"{path} has no column of instants (ISO 8601 or epoch seconds); name it with --time-column.")


def _value_columns(
    path: Path, columns: dict[str, list[str]], time_column: str, asked: Sequence[str]
) -> tuple[str, ...]:
    if missing := [name for name in asked if name not in columns]:
        raise BadFile(f"{path} has no column {', '.join(missing)}; it has {', '.join(columns)}.")
    if asked:
        return tuple(asked)
    found = []
    for name, texts in columns.items():
        filled = [text for text in texts if text]
        if name != time_column and filled and sum(map(_is_number, filled)) * 2 > len(filled):
            found.append(name)
    if not found:
        raise BadFile(f"{path} has no column of numbers beside {time_column!r}.")
    return tuple(found)


def _period(texts: list[str], zone: tzinfo) -> int | None:
    instants = [i for text in texts if (i := parse_instant(text, zone=zone)) is not None]
    seconds = [i.timestamp() for i in instants]
    steps = sorted(round(b - a) for a, b in pairwise(seconds))
    forward = [step for step in steps if step > 0]
    return forward[len(forward) // 2] if forward else None


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _is_number(text: str) -> bool:
    return isinstance(_number(text), float)
