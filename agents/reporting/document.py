"""A report before it has a form: figures with their definitions, tables, counts by day. And as JSON and as CSV.

Pure. All three forms write a value by ``written``, so that they say the same.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sensors import sheets

Cell = str | int | float | None
NOTHING = "Nothing is on record for this period."


@dataclass(frozen=True, slots=True)
class Figure:
    """``value``: None where there is nothing it could be of."""

    name: str
    title: str
    value: int | float | None
    unit: str
    definition: str


@dataclass(frozen=True, slots=True)
class Table:
    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Plot:
    """A bar for each label."""

    name: str
    title: str
    unit: str
    labels: tuple[str, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """``start``, ``end``: in the site's time zone, of that name."""

    kind: str
    title: str
    site: str
    zone: str
    start: datetime
    end: datetime
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]

    @property
    def is_empty(self) -> bool:
        return not any(figure.value for figure in self.figures) and not any(table.rows for table in self.tables)


def rounded(value: float | int | None) -> float | int | None:
    """To six digits: what is more is no knowledge, and all forms write the same.

    >>> rounded(1234567), rounded(12.34567891), rounded(None)
    (1234567, 12.3457, None)
    """
    return value if value is None or isinstance(value, int) else float(f"{float(value):.6g}")


def written(value: Cell) -> str:
    """A cell as text; empty where nothing is known.

    >>> written(3), written(12.3457), written(1234570.0), written(None), written("P-1")
    ('3', '12.3457', '1234570', '', 'P-1')
    """
    if value is None:
        return ""
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def as_json(document: Document) -> bytes:
    said: dict[str, Any] = {
        "report": document.kind,
        "title": document.title,
        "site": document.site,
        "time_zone": document.zone,
        "from": document.start.isoformat(),
        "to": document.end.isoformat(),
        "empty": document.is_empty,
        "figures": [asdict(figure) for figure in document.figures],
        "tables": [
            {"name": table.name, "title": table.title, "rows": [dict(zip(table.columns, row, strict=True)) for row in
             table.rows]}
            for table in document.tables
        ],
        "by_day": [
            {"name": plot.name, "title": plot.title, "unit": plot.unit,
             "values": dict(zip(plot.labels, plot.values, strict=True))}
            for plot in document.plots
        ],
    }  # fmt: skip
    return json.dumps(said, ensure_ascii=False, indent=2, allow_nan=False).encode()


def as_csv(document: Document) -> bytes:
    """Tables below each other, with a byte-order mark, by which spreadsheets know UTF-8; no text is a formula."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    for line in _lines(document):
        writer.writerow([sheets.safe(cell) if isinstance(cell, str) else written(cell) for cell in line])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def _lines(document: Document) -> Iterator[tuple[Cell, ...]]:
    yield ("report", document.title)
    yield ("site", document.site)
    yield ("from", document.start.isoformat())
    yield ("to", document.end.isoformat())
    yield ("time_zone", document.zone)
    if document.is_empty:
        yield ("empty", NOTHING)
    yield ()
    yield ("figure", "title", "value", "unit", "definition")
    for figure in document.figures:
        yield (figure.name, figure.title, figure.value, figure.unit, figure.definition)
    for table in document.tables:
        yield ()
        yield (table.title,)
        yield table.columns
        yield from table.rows
    for plot in document.plots:
        yield ()
        yield (plot.title,)
        yield ("day", plot.unit)
        yield from zip(plot.labels, plot.values, strict=True)
