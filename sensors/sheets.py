"""Tables that people keep in spreadsheets: CSV and XLSX files as rows of cells, and cells that no spreadsheet takes for
a formula. Pure: no Django.

What a spreadsheet does to a table is not guessed at: a number with the other decimal mark and a day that could be two
are refused by ``sensors.exchange_cells`` with what to write instead.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import openpyxl
from openpyxl.utils.exceptions import InvalidFileException

MOST_BYTES = 1_000_000
MOST_UNPACKED = 20_000_000
"""Of an XLSX, which is a zip: what it may grow to."""
MOST_ROWS, MOST_LINES, MOST_COLUMNS = 2_000, 10_000, 100
"""Rows with anything in them, rows at all, columns."""
DELIMITERS = ",;\t"
FORMULA = frozenset("=+-@\t\r\n＝＋－＠")
"""How a formula begins, full-width forms included (OWASP, CSV injection)."""


UNREADABLE = (zipfile.BadZipFile, InvalidFileException, LookupError, SyntaxError, OSError, TypeError, ValueError)
"""What a workbook that is none brings about; entities in its XML are refused by defusedxml, which openpyxl uses."""


class BadSheet(ValueError):
    """The file cannot be read as a table; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """``number``: its line as a spreadsheet shows it, from 1. ``fault``: why its cells fit no columns, or nothing."""

    number: int
    cells: tuple[Any, ...]
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Sheet:
    headers: tuple[str, ...]
    rows: tuple[Row, ...]


def safe(text: str) -> str:
    """A text that a spreadsheet takes for a text: with ``'`` before it where it could be a formula, also behind
    quotes and spaces. ``plain`` undoes it.

    >>> safe("=1+1"), safe("Pump 3"), plain(safe("-x"))
    ("'=1+1", 'Pump 3', '-x')
    """
    return f"'{text}" if _could_be_formula(text) else text


def plain(text: str) -> str:
    return text[1:] if text.startswith("'") and _could_be_formula(text[1:]) else text


def _could_be_formula(text: str) -> bool:
    return text[:1] in FORMULA or text.lstrip(" '\"")[:1] in FORMULA if text else False


def read(name: str, content: bytes) -> Sheet:
    """The first sheet of a file, whose first row names the columns. Raises ``BadSheet``."""
    if len(content) > MOST_BYTES:
        raise BadSheet(f"The file has more than {MOST_BYTES // 1_000_000} MB: split it.")
    lines = _of_workbook(content) if content[:4] == b"PK\x03\x04" else _of_text(name, content)
    filled = ((number, cells) for number, cells in lines if any(not _is_empty(cell) for cell in cells))
    first = next(filled, None)
    if first is None:
        raise BadSheet("The file is empty.")
    headers = _headers(first[1])
    rows: list[Row] = []
    for number, cells in filled:
        if len(rows) == MOST_ROWS:
            raise BadSheet(f"The file has more than {MOST_ROWS} rows: split it.")
        rows.append(_row(number, cells, len(headers)))
    if not rows:
        raise BadSheet("The file has a header and no rows.")
    return Sheet(headers, tuple(rows))


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def _headers(cells: Sequence[Any]) -> tuple[str, ...]:
    names = ["" if cell is None else str(cell).strip() for cell in cells]
    while names and not names[-1]:
        names.pop()
    if len(names) > MOST_COLUMNS:
        raise BadSheet(f"The file has more than {MOST_COLUMNS} columns.")
    if "" in names:
        raise BadSheet(f"Column {names.index('') + 1} has no name in the first row.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BadSheet(f"The first row names columns twice: {', '.join(twice)}.")
    return tuple(names)


def _row(number: int, cells: Sequence[Any], width: int) -> Row:
    beyond = [cell for cell in cells[width:] if not _is_empty(cell)]
    fault = f"It has {len(cells)} cells, and there are {width} columns." if beyond else ""
    own = [cell.strip() if isinstance(cell, str) else cell for cell in cells[:width]]
    return Row(number, tuple("" if cell is None else cell for cell in [*own, *[None] * (width - len(own))]), fault)


def _of_text(name: str, content: bytes) -> Iterator[tuple[int, Sequence[Any]]]:
    text = _decoded(content)
    if "\0" in text:
        raise BadSheet(f"{name} is neither CSV nor XLSX.")
    first = text.lstrip().split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=first.count))
    begins = 1
    try:
        for cells in reader:
            yield begins, cells
            begins = reader.line_num + 1
            _count(begins)
    except csv.Error as error:
        raise BadSheet(f"Line {reader.line_num} cannot be read: {error}.") from error


def _decoded(content: bytes) -> str:
    """UTF-8, UTF-16 with its mark, or what Western European spreadsheets write otherwise."""
    encodings = ("utf-16",) if content[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise BadSheet("The file's characters cannot be read: save it as UTF-8.")


def _of_workbook(content: bytes) -> Iterator[tuple[int, Sequence[Any]]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            if sum(part.file_size for part in packed.infolist()) > MOST_UNPACKED:
                raise BadSheet("The file unpacks to more than it may: split it.")
        book = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True, keep_links=False)
        sheet = book.worksheets[0]
        sheet.reset_dimensions()
        for number, cells in enumerate(sheet.iter_rows(max_col=MOST_COLUMNS + 1, values_only=True), 1):
            _count(number)
            yield number, _trimmed(cells)
    except BadSheet:
        raise
    except UNREADABLE as error:
        raise BadSheet("The file is no workbook that can be read: save it as XLSX or CSV anew.") from error


def _trimmed(cells: Iterable[Any]) -> Sequence[Any]:
    found = list(cells)
    while found and _is_empty(found[-1]):
        found.pop()
    return found


def _count(number: int) -> None:
    if number > MOST_LINES:
        raise BadSheet(f"The file has more than {MOST_LINES} lines: split it.")
