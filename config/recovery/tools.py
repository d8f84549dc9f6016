"""Postgres's own programs, and where they connect to."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psycopg2
from django.conf import settings

from config import embedded


class ToolError(Exception):
    """A program of Postgres failed; the message is its own."""


def program(name: str) -> str:
    """Of the folder that POSTGRES_BIN names, else of the package that brings the embedded server."""
    folder = Path(settings.POSTGRES_BIN) if settings.POSTGRES_BIN else embedded.binaries()
    return str(folder / name)


@contextmanager
def output(name: str, *arguments: str) -> Iterator[IO[bytes]]:
    """What a program writes, as it comes. Raises ``ToolError`` at the end of the block where it failed."""
    process = subprocess.Popen(
        [program(name), *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        yield process.stdout
    except BaseException:
        process.kill()
        raise
    finally:
        process.stdout.close()
        said = process.stderr.read().decode(errors="replace").strip()
        process.stderr.close()
        ended = process.wait()
    if ended:
        raise ToolError(f"{name} ended with {ended}: {said}")


def ask(query: str, parameters: Sequence[object] = ()) -> tuple[object, ...]:
    """One row, from a connection of its own: backups are no part of a request's or task's transaction."""
    connection = psycopg2.connect(settings.DATABASE_URL)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query, parameters)
            return cursor.fetchone() or ()
    finally:
        connection.close()
