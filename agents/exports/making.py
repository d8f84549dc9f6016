"""A file is made: rows are read and written chunk by chunk. What it takes is loaded with the first one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import IO

import pyarrow as pa

from agents.exports import forms, tables
from agents.exports.known import Asked, Refused

Tell = Callable[[int, float], None]
"""Told how many rows there are so far, and the share of the way."""


def make(asked: Asked, form: str, out: IO[bytes], *, most: int, tell: Tell = lambda rows, share: None) -> int:
    """Write the file; how many rows it has. Raises ``Refused`` as soon as there are more than ``most``."""
    table, rows = tables.of(asked.what), 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for chunk in table.chunks(asked):
            rows += chunk.rows.num_rows
            if rows > most:
                raise Refused(f"There are more than {most:,} rows: {_instead(form, most)}")
            yield chunk.rows
            tell(rows, chunk.done)

    forms.FORMS[form](table.schema, counted(), out)
    return rows


def _instead(form: str, most: int) -> str:
    return "ask for a shorter period, or for another form." if form == "xlsx" else "ask for a shorter period."
