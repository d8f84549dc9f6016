"""The bytes of a file, in the database until they expire: a piece is written while the next ones are made.

They lie where all else lies: every web server and every worker reads them, what deletes the row deletes them, and who
may not see the row does not see them either.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

from agents.export_models import Export, ExportPiece
from agents.exports.known import MOST_BYTES, Refused

PIECE = 1_000_000


class Pieces(io.RawIOBase):
    """A file that is only written, to the end: hands on piece after piece. Raises ``Refused`` where it grows beyond
    ``most`` bytes."""

    def __init__(self, keep: Callable[[int, bytes], object], *, most: int = MOST_BYTES) -> None:
        self._keep, self._most = keep, most
        self._waiting = bytearray()
        self._number = self.size = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.size

    def write(self, data: Any) -> int:
        given = memoryview(data).cast("B")
        self.size += len(given)
        if self.size > self._most:
            raise Refused(f"The file has more than {self._most:,} bytes: ask for a shorter period.")
        self._waiting += given
        while len(self._waiting) >= PIECE:
            self._hand_on(PIECE)
        return len(given)

    def finish(self) -> None:
        if self._waiting:
            self._hand_on(len(self._waiting))

    def _hand_on(self, length: int) -> None:
        self._keep(self._number, bytes(self._waiting[:length]))
        del self._waiting[:length]
        self._number += 1


def new(row: Export) -> Pieces:
    """The file of an attempt."""
    return Pieces(
        lambda number, data: ExportPiece.objects.create(
            export=row, attempt=row.lease_token, number=number, data=data
        )
    )  # fmt: skip


def read(row: Export) -> Iterator[bytes]:
    """Piece by piece, each in a statement of its own. Raises ``LookupError`` where one was deleted meanwhile, so that
    nobody takes a part for the whole."""
    left, number = row.size, 0
    while left > 0:
        found = row.pieces.filter(attempt=row.made_by, number=number).values_list("data", flat=True).first()
        if found is None:
            raise LookupError(f"Piece {number} of {row} is gone.")
        yield bytes(found)
        left, number = left - len(found), number + 1
