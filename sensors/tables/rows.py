"""A CSV file as arrays: instants and the values of several columns, some thousand rows at a time. Pure: no database.

Every row comes out, with what is wrong with it where it cannot be used. How the file is to be read is found from its
header and first rows (``layouts``); from there on a row is read by itself and by the rows before it.
"""

from __future__ import annotations

import csv
import gc
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from sensors.columns import Bool, Float64, Int64, UInt8
from sensors.tables import clocks, layouts
from sensors.tables.layouts import BadFile, Layout, Wanted

ROWS, CELLS = 4096, 65_536
"""Most of a chunk: of many columns fewer rows, so that memory does not grow with the columns."""
LARGEST_VALUE = 1e100
"""As the intake has it: no sensor measures beyond."""
MOST_LINES = 100
"""A row that goes on for longer, or whose time or value does, has a quote that was never closed."""

FINE, MANY_CELLS, BAD_TIME, BAD_VALUE, NO_VALUE, DUPLICATE, OUT_OF_ORDER = range(7)
FAULTS = ("", "too many cells", "bad time", "bad value", "no value", "duplicate instant", "out of order")
GOOD, EMPTY, BAD = range(3)


@dataclass(frozen=True, slots=True)
class Chunk:
    """n rows of a file.

    ``first``: number of the first row in the file, from 1. ``time``: as it was given. ``at``: microseconds, 0 where
    it is no time. ``value``: n x columns. ``cell``: n x columns, ``GOOD``, ``EMPTY`` or ``BAD``. ``fault``: of each row
    an index into ``FAULTS``; the rows that are ``FINE`` have ascending instants, each once, and a good value or more.
    """

    first: int
    time: Sequence[str]
    at: Int64
    value: Float64
    cell: UInt8
    fault: UInt8

    def __len__(self) -> int:
        return len(self.time)

    @property
    def usable(self) -> Bool:
        """Cells that are readings, n x columns."""
        return np.asarray((self.cell == GOOD) & (self.fault == FINE)[:, None])


class Table:
    """An open file; use as a context manager. Raises ``BadFile``."""

    layout: Layout

    def __init__(self, path: Path, wanted: Wanted) -> None:
        self.path, self.wanted = path, wanted
        self.rows = self.blank = 0
        self._newest = np.iinfo(np.int64).min
        self._clock = clocks.Clock(wanted.zone)
        self._back: deque[str] = deque()
        """Lines that were looked at and are still to be read."""

    def __enter__(self) -> Self:
        try:
            self._bytes: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise BadFile(f"{self.path} cannot be read: {error.strerror}.") from error
        try:
            self.size = os.fstat(self._bytes.fileno()).st_size
            self._lines = layouts.text(self.path, self._bytes)
            head = list(islice(self._lines, layouts.SAMPLE_ROWS + 1))
            self.layout, consumed = layouts.find(self.path, head, self.wanted)
            self._back.extend(head[consumed:])
        except BaseException:
            self._bytes.close()
            raise
        names = self.layout.names
        self._time = None if self.layout.time_column is None else names.index(self.layout.time_column)
        self._values = [names.index(name) for name in self.layout.columns]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bytes.close()

    @property
    def done(self) -> int:
        """Bytes read; 0 where that cannot be told, as of a pipe."""
        return self._bytes.tell() if self.size else 0

    def chunks(self, rows: int | None = None) -> Iterator[Chunk]:
        """The rows that are left. Raises ``BadFile`` where reading fails."""
        rows = rows or max(16, min(ROWS, CELLS // len(self.layout.names)))
        while lines := self._take(rows):
            cells = self._split(lines)
            filled = [row for row in cells if row]
            self.blank += len(cells) - len(filled)
            if filled:
                yield self._chunk(filled)

    def _take(self, most: int) -> list[str]:
        """The next lines."""
        lines = [self._back.popleft() for _ in range(min(most, len(self._back)))]
        try:
            return lines + list(islice(self._lines, most - len(lines)))
        except OSError as error:
            raise BadFile(f"{self.path} cannot be read further: {error.strerror}.") from error

    def _split(self, lines: list[str]) -> list[list[str]]:
        """Each line into its cells; [] for a blank one."""
        try:
            rows = list(csv.reader(lines, delimiter=self.layout.delimiter))
        except csv.Error:
            return self._split_carefully(lines)
        return rows if len(rows) == len(lines) and not _is_open(rows) else self._split_carefully(lines)

    def _split_carefully(self, lines: list[str]) -> list[list[str]]:
        """The same where cells have line breaks. A quote that is never closed costs its own line only."""
        rows: list[list[str]] = []
        self._back.extendleft(reversed(lines))
        for _ in range(len(lines)):
            if not (taken := self._take(1)):
                break
            row = self._row(taken)
            while row is None and len(taken) < MOST_LINES and (more := self._take(1)):
                taken += more
                row = self._row(taken)
            if row is None or any("\n" in row[n] or "\r" in row[n] for n in self._used(row)):
                self._back.extendleft(reversed(taken[1:]))
                row = taken[0].rstrip("\r\n").split(self.layout.delimiter)
            rows.append(row)
        return rows

    def _row(self, lines: list[str]) -> list[str] | None:
        """The one row of these lines; None where it goes on."""
        try:
            rows = list(csv.reader(lines, delimiter=self.layout.delimiter))
        except csv.Error:
            return None
        return rows[0] if len(rows) == 1 and not _is_open(rows) else None

    def _used(self, row: list[str]) -> list[int]:
        used = self._values if self._time is None else [self._time, *self._values]
        return [n for n in used if n < len(row)]

    def _chunk(self, rows: list[list[str]]) -> Chunk:
        n, width = len(rows), len(self.layout.names)
        first, self.rows = self.rows + 1, self.rows + n
        many = np.zeros(n, np.bool_)
        if set(map(len, rows)) != {width}:
            many = np.array([any(cell.strip() for cell in row[width:]) for row in rows])
            rows = [row[:width] + [""] * (width - len(row)) for row in rows]
        columns = list(zip(*rows, strict=True))
        read = [numbers(columns[k]) for k in self._values]
        value, cell = np.stack([v for v, _ in read], axis=1), np.stack([c for _, c in read], axis=1)
        time, at, known = self._when(columns, first, n)
        good = (cell == GOOD).any(axis=1)
        fault = np.select(
            [many, ~known, ~good & (cell == BAD).any(axis=1), ~good], [MANY_CELLS, BAD_TIME, BAD_VALUE, NO_VALUE], FINE
        ).astype(np.uint8)
        return Chunk(first, time, at, value, cell, self._in_order(at, fault))

    def _when(self, columns: list[tuple[str, ...]], first: int, n: int) -> tuple[Sequence[str], Int64, Bool]:
        """Times as given, microseconds, and where they are any."""
        if self._time is None:
            count = np.arange(first, first + n)
            return list(map(str, count.tolist())), count * self.wanted.period, np.ones(n, np.bool_)
        time = columns[self._time]
        texts = [text.strip() for text in time]
        if self.layout.kind == layouts.NUMBERS:
            number, cell = numbers(texts)
            micros = number * self.wanted.period
            known = (cell == GOOD) & (np.abs(micros) < clocks.FARTHEST)
            return time, np.rint(np.where(known, micros, 0)).astype(np.int64), known
        at, known = (
            clocks.milliseconds(texts) if self.layout.kind == layouts.MILLISECONDS else self._clock.instants(texts)
        )
        return time, at, known

    def _in_order(self, at: Int64, fault: UInt8) -> UInt8:
        """Faults with those of order: an instant is read once, and none before one that was read."""
        newest = np.maximum.accumulate(np.append(self._newest, np.where(fault == FINE, at, self._newest)))
        before, self._newest = newest[:-1], newest[-1]
        late = np.where(at == before, DUPLICATE, OUT_OF_ORDER)
        return np.where((fault == FINE) & (at <= before), late, fault).astype(np.uint8)


@contextmanager
def fewer_collections() -> Iterator[None]:
    """While files are read: Python looks for cycles among new objects every 100,000, not every 700.

    Cells are many and make none; looking for them took half the time of reading and writing (``make bench-files``).
    """
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def _is_open(rows: list[list[str]]) -> bool:
    """Whether the last cell has a quote that is still open: the line break belongs to it."""
    return bool(rows and rows[-1] and rows[-1][-1][-1:] in ("\n", "\r"))


def numbers(cells: Sequence[str]) -> tuple[Float64, UInt8]:
    """Numbers with a decimal point, NaN where a cell holds none, and of each cell ``GOOD``, ``EMPTY`` or ``BAD``.

    >>> numbers(["1.5", " ", "1,5", "inf"])
    (array([1.5, nan, nan, nan]), array([0, 1, 2, 2], dtype=uint8))
    """
    try:
        value = np.array(list(map(float, cells)))
        empty = np.zeros(len(cells), np.bool_)
    except ValueError:
        value = np.array([layouts.number(cell) for cell in cells])
        empty = np.array([not cell.strip() for cell in cells])
    good = np.abs(value) <= LARGEST_VALUE
    cell = np.where(good, GOOD, np.where(empty, EMPTY, BAD)).astype(np.uint8)
    return np.where(good, value, np.nan), cell
