"""Bodies that come slowly, or never: they hold no more than some of the web server's threads.

The server has no time limit for a body, and whoever reads one waits for it. So many threads may wait at a time; who
would be one more is told to come again, and requests without a body always find a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from sensors.problems import Problem, retry_soon

MOST_WAITING = 12
PATIENCE_SECONDS = 1.0
"""So long a body waits for its turn; one that has come is read in a moment."""
BUSY = "The bodies of other requests are being waited for, and come slowly. Send the request again."

_turns = threading.BoundedSemaphore(MOST_WAITING)


class Guarded:
    """A request's stream, which is read only when it is its turn. Raises an ``unavailable`` problem where it is not."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, *size: int) -> bytes:
        return self._in_turn(self._stream.read, *size)

    def readline(self, *size: int) -> bytes:
        return self._in_turn(self._stream.readline, *size)

    def _in_turn(self, read: Callable[..., bytes], *size: int) -> bytes:
        if not _turns.acquire(timeout=PATIENCE_SECONDS):
            raise Problem("unavailable", BUSY, retry_after=retry_soon())
        try:
            return read(*size)
        finally:
            _turns.release()


def guarded(application: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """A WSGI application whose requests' bodies are read in turn."""

    def call(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        return application(environ | {"wsgi.input": Guarded(environ["wsgi.input"])}, start_response)

    return call
