"""A progress bar for commands: one line that is drawn again on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

WIDTH = 30
EVERY_SECONDS = 0.1
PLAIN_EVERY_SECONDS = 5.0


class Bar:
    """Use as a context manager; ``out`` is a command's ``stdout``."""

    def __init__(self, out: Any, *, total: int, what: str) -> None:
        self.out, self.total, self.what = out, max(1, total), what
        self.began = time.monotonic()
        self.drawn_at = 0.0
        self.done = 0
        self.live = bool(out.isatty())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw("", end=True)

    def show(self, done: int, *, note: str = "") -> None:
        self.done = max(self.done, done)
        now = time.monotonic()
        if now - self.drawn_at >= (EVERY_SECONDS if self.live else PLAIN_EVERY_SECONDS):
            self.drawn_at = now
            self._draw(note, end=not self.live)

    def _draw(self, note: str, *, end: bool) -> None:
        share = min(1.0, self.done / self.total)
        bar = "#" * round(WIDTH * share)
        rate = self.done / max(1e-9, time.monotonic() - self.began)
        text = f"  [{bar:<{WIDTH}}] {share:4.0%} {self.done}/{self.total} {self.what}, {rate:,.0f}/s {note}"
        self.out.write(f"\r{text}\x1b[K" if self.live else text, ending="\n" if end else "")
        self.out.flush()
