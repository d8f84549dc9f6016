"""A bound on what a flood can write: of the same refusal the first in a minute is written, the others are counted."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

MINUTE = 60.0
MOST_KINDS = 60
"""Different refusals that are written one by one in a minute, by each process; of the others only how many."""


@dataclass(slots=True)
class Bound:
    """Counts by key, for a minute at a time. ``others``: of keys beyond the most that are told apart."""

    began: float = 0.0
    counts: Counter[Hashable] = field(default_factory=Counter)
    others: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def is_first(self, key: Hashable, *, now: float) -> bool:
        """Count one; whether it is to be written by itself."""
        with self._lock:
            if not self.counts:
                self.began = now
            if key not in self.counts and len(self.counts) >= MOST_KINDS:
                self.others += 1
                return False
            self.counts[key] += 1
            return self.counts[key] == 1

    def close(self, *, now: float) -> tuple[dict[Hashable, int], int] | None:
        """Where a minute is over: how many were only counted in it, by key and of the others; all are forgotten."""
        if not self.counts or now - self.began < MINUTE:
            return None
        with self._lock:
            counted = {key: times - 1 for key, times in self.counts.items() if times > 1}
            others, self.others = self.others, 0
            self.counts.clear()
        return (counted, others) if counted or others else None
