"""One time limit over a whole conversation.

A socket's own timeout starts anew with each byte that trickles in, so it bounds nothing. Here the connection is cut
when the time is over, which wakes whoever waits on it.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from types import TracebackType


class Deadline:
    """Cut the watched connection after ``seconds``; ``expired`` tells whether that happened.

    What the conversation then raises is a broken connection in any of its forms.
    """

    def __init__(self, seconds: float) -> None:
        self.expired = False
        self._current: Callable[[], socket.socket | None] = lambda: None
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def watch(self, current: Callable[[], socket.socket | None]) -> None:
        """``current`` gives the connection's socket, if there is one, when the time is over."""
        self._current = current

    def __enter__(self) -> Deadline:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        self.expired = True
        connected = self._current()
        if connected is None:
            return
        try:
            # A descriptor of our own: TLS wrappers keep state that the other thread is using.
            with socket.socket(fileno=os.dup(connected.fileno())) as twin:
                twin.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is closed already, which is all we wanted
