"""Leave a server alone for a while after it failed or was slow.

Without it a server that hangs costs every request and every stage a timeout; with it, one call of a process in a while.
"""

from __future__ import annotations

QUIET_SECONDS = 10.0
SLOW_SECONDS = 0.5


class Breaker:
    """Opens after a call that failed or was slow; when the quiet time is over, one call finds out whether all is well.

    One for each server, shared by the threads of a process. It has no lock: the worst of a race is one call more.
    """

    def __init__(self) -> None:
        self.silent_until = 0.0

    def allows(self, now: float) -> bool:
        """Whether to call. Whoever may after a quiet time keeps the others quiet until its call has been noted."""
        if now < self.silent_until:
            return False
        if self.silent_until:
            self.silent_until = now + QUIET_SECONDS
        return True

    def note(self, *, now: float, took: float, failed: bool) -> None:
        self.silent_until = now + QUIET_SECONDS if failed or took > SLOW_SECONDS else 0.0
