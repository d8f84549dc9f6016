"""Rows in Postgres' binary COPY format, to and from numpy: no Python object for each value.

Pure. A table is a structured array whose fields are the columns; those named as ``instants`` are int64 microseconds
since 1970 here, and since 2000 in Postgres.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sensors.columns import from_instant

Table = NDArray[np.void]

EPOCH_US = from_instant(datetime(2000, 1, 1, tzinfo=UTC))
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = -1
FIELDS = struct.Struct(">h")
SIZE = struct.Struct(">i")
WORD = struct.Struct(">q")


def layout(table: np.dtype[Any]) -> np.dtype[Any]:
    """How a row of these columns lies in the format: the number of columns, then each one's size and value."""
    fields: list[tuple[str, Any]] = [("fields", ">i2")]
    for name in table.names or ():
        fields += [(f"{name}_size", ">i4"), (name, table[name].newbyteorder(">"))]
    return np.dtype(fields)


def rows(table: Table, *, instants: Iterable[str]) -> bytes:
    """The rows of a table without NULLs, header and trailer included."""
    names = table.dtype.names or ()
    out = np.empty(len(table), layout(table.dtype))
    out["fields"] = len(names)
    for name in names:
        out[f"{name}_size"] = table.dtype[name].itemsize
        out[name] = table[name]
    for name in instants:
        out[name] = table[name] - EPOCH_US
    return HEADER + out.tobytes() + TRAILER


def row(*words: int, data: bytes) -> bytes:
    """A row of bigints and one column of bytes, without header and trailer."""
    fields = [SIZE.pack(WORD.size) + WORD.pack(word) for word in words]
    return b"".join([FIELDS.pack(len(words) + 1), *fields, SIZE.pack(len(data)), data])


class Reader(io.RawIOBase):
    """Takes a COPY as it comes, piece by piece: the memory does not grow with it.

    A row holds the columns of ``table``, the first one a bigint, and one more of bytes: either all of the table's and
    NULL bytes, or the first one, NULLs, and bytes. ``loose`` is called with tables of the one kind, ``packed`` with the
    first column and the bytes of each row of the other.
    """

    def __init__(
        self, table: np.dtype[Any], *, instants: Iterable[str], loose: Callable[[Table], None],
        packed: Callable[[int, bytes], None],
    ) -> None:  # fmt: skip
        self._table, self._instants, self._loose, self._packed = table, tuple(instants), loose, packed
        names = table.names or ()
        self._second = f"{names[1]}_size"
        self._row = np.dtype([*((n, f[0]) for n, f in _fields(layout(table))), ("bytes_size", ">i4")])
        self._head = FIELDS.size + SIZE.size + WORD.size + SIZE.size * (len(names) - 1)  # of a row with bytes
        self._pending, self._skip = bytearray(), len(HEADER)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pending += data
        if self._skip:
            if len(self._pending) < self._skip:
                return len(data)
            del self._pending[: self._skip]
            self._skip = 0
        whole = bytes(self._pending)
        used = 0
        while (after := self._rows(whole, used)) > used:
            used = after
        del self._pending[:used]
        return len(data)

    def _rows(self, whole: bytes, start: int) -> int:
        """Take the rows of one kind at ``start``; where they end: there, where none has arrived wholly."""
        second = start + FIELDS.size + SIZE.size + WORD.size
        if len(whole) < second + SIZE.size:
            return start
        packed = SIZE.unpack_from(whole, second)[0] == NULL
        return self._packed_row(whole, start) if packed else self._loose_rows(whole, start)

    def _loose_rows(self, whole: bytes, start: int) -> int:
        found = np.frombuffer(whole, self._row, (len(whole) - start) // self._row.itemsize, start)
        fits = (found[self._second] != NULL) & (found["bytes_size"] == NULL)
        count = len(fits) if fits.all() else int(fits.argmin())
        if not count:
            return start
        table = np.empty(count, self._table)
        for name in self._table.names or ():
            table[name] = found[name][:count]
        for name in self._instants:
            table[name] += EPOCH_US
        self._loose(table)
        return start + count * self._row.itemsize

    def _packed_row(self, whole: bytes, start: int) -> int:
        begin = start + self._head + SIZE.size
        if len(whole) < begin:
            return start
        end = begin + int(SIZE.unpack_from(whole, start + self._head)[0])
        if len(whole) < end:
            return start
        self._packed(WORD.unpack_from(whole, start + FIELDS.size + SIZE.size)[0], whole[begin:end])
        return end


def _fields(dtype: np.dtype[Any]) -> Iterable[tuple[str, Any]]:
    return dtype.fields.items() if dtype.fields is not None else ()
