"""A file that is written beside its place and put there when it is whole; until then what was there stays. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


class CannotWrite(Exception):
    """The message says what, where, and what to do."""


def check(path: Path, *, source: Path) -> None:
    """Before anything is computed. Raises ``CannotWrite``."""
    if path.is_dir():
        raise CannotWrite(f"{path} is a folder: name a file in it.")
    if not path.resolve().parent.is_dir():
        raise CannotWrite(f"There is no folder {path.resolve().parent}: make it first, or name another file.")
    if path.exists() and source.exists() and path.samefile(source):
        raise CannotWrite(f"{path} is the file that is read: name another one.")
    probe = path if is_special(path) else path.resolve().parent
    if not os.access(probe, os.W_OK):
        raise CannotWrite(f"{probe} may not be written to: name a file somewhere else.")


def is_special(path: Path) -> bool:
    """A device or a pipe: written to, never replaced."""
    return path.exists() and not path.is_file()


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """The file to write to; it takes its place when the block ends well. Raises ``CannotWrite`` for what is refused."""
    place = path.resolve()
    direct = is_special(place)
    beside = place if direct else place.with_name(f".{place.name}.{os.getpid()}.part")
    try:
        with beside.open("wb") as file:
            yield file
        if not direct:
            beside.replace(place)
    except OSError as error:
        raise CannotWrite(f"{path} cannot be written: {error.strerror or error}.") from error
    finally:
        if not direct:
            beside.unlink(missing_ok=True)
