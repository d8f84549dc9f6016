"""The forms of a file: each writes columns chunk by chunk, and holds no more than a chunk of them.

CSV and XLSX are opened by spreadsheets: a text that could be a formula gets ``'`` before it (``sensors.sheets``).
Parquet and NDJSON are read by programs, and hold every text as it is. Instants are UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any

import openpyxl
import orjson
import pyarrow as pa
from pyarrow import compute, csv, parquet

from agents.exports.known import Form
from agents.exports.tables import JSON
from sensors import exchange_cells

Batches = Iterable[pa.RecordBatch]
Write = Callable[[pa.Schema, Batches, IO[bytes]], None]
SLICE = 5_000
"""Rows that are Python's objects at a time."""
ROW_GROUP = 20_000
PLAIN = pa.timestamp("us")
"""Without a zone, so that no table of zones is looked for: all are UTC."""
ISO = "%Y-%m-%dT%H:%M:%SZ"


def write_csv(schema: pa.Schema, batches: Batches, out: IO[bytes]) -> None:
    out.write(",".join(schema.names).encode() + b"\n")
    for batch in _sliced(batches):
        columns = [_finite(_iso(_safe(column))) for column in batch.columns]
        table = pa.RecordBatch.from_arrays(columns, names=schema.names)
        csv.write_csv(table, out, csv.WriteOptions(include_header=False))


def write_xlsx(schema: pa.Schema, batches: Batches, out: IO[bytes]) -> None:
    """Cell by cell into a file beside it; what is packed goes out at the end."""
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Export")
    sheet.append(schema.names)
    for batch in _sliced(batches):
        columns = [_finite(_zoneless(_safe(column))).to_pylist() for column in batch.columns]
        for row in zip(*columns, strict=True):
            sheet.append(row)
    book.save(out)


def write_parquet(schema: pa.Schema, batches: Batches, out: IO[bytes]) -> None:
    with parquet.ParquetWriter(out, schema, compression="zstd") as writer:
        waiting: list[pa.RecordBatch] = []
        for batch in batches:
            waiting.append(batch)
            if sum(one.num_rows for one in waiting) >= ROW_GROUP:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema))


def write_ndjson(schema: pa.Schema, batches: Batches, out: IO[bytes]) -> None:
    """An object to a line; what is JSON itself stands in it as it is."""
    names = schema.names
    for batch in _sliced(batches):
        columns = [
            _nested(values) if field.metadata == JSON else _iso(values).to_pylist()
            for field, values in zip(schema, batch.columns, strict=True)
        ]
        rows = zip(*columns, strict=True)
        out.write(b"".join(orjson.dumps(dict(zip(names, row, strict=True))) + b"\n" for row in rows))


FORMS: Mapping[str, Write] = {
    Form.CSV: write_csv,
    Form.XLSX: write_xlsx,
    Form.PARQUET: write_parquet,
    Form.NDJSON: write_ndjson,
}


def _sliced(batches: Batches) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        for start in range(0, batch.num_rows, SLICE):
            yield batch.slice(start, SLICE)


def _safe(column: pa.Array) -> pa.Array:
    """Texts as cells that no spreadsheet takes for a formula; each different one is looked at once."""
    if column.type != pa.string():
        return column
    found = column.dictionary_encode()
    texts = [exchange_cells.exported(text) for text in found.dictionary.to_pylist()]
    return pa.array(texts, pa.string()).take(found.indices)


def _zoneless(column: pa.Array) -> pa.Array:
    return column.cast(PLAIN) if pa.types.is_timestamp(column.type) else column


def _iso(column: pa.Array) -> pa.Array:
    return compute.strftime(_zoneless(column), ISO) if pa.types.is_timestamp(column.type) else column


def _finite(column: pa.Array) -> pa.Array:
    """A cell has no word for what is no number."""
    if column.type != pa.float64():
        return column
    return compute.if_else(compute.is_finite(column), column, pa.scalar(None, pa.float64()))


def _nested(column: pa.Array) -> list[Any]:
    return [None if text is None else orjson.Fragment(text) for text in column.to_pylist()]
