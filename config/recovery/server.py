"""A server of Postgres on a data folder that was brought back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import embedded


@contextmanager
def running(data: Path, sockets: Path, *, seconds: float, reads: Path) -> Iterator[None]:
    """A server on another data folder for as long as the block lasts, listening in ``sockets`` alone. What lies in
    ``reads`` is made its own as well. Raises ``embedded.EmbeddedError``."""
    user = embedded._postgres_user()
    if user is not None:
        embedded._let_through(data.parent, reads.parent, sockets.parent)
        for path in (data, reads, sockets, *data.rglob("*"), *reads.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)
    data.chmod(0o700)
    options = f'-h "" -k "{sockets}"'
    waits = ("-w", "-t", str(int(seconds)), "-D", str(data))
    try:
        embedded._pg("pg_ctl", *waits, "-l", str(data / "log"), "-o", options, "start", seconds=seconds)
    except (subprocess.SubprocessError, OSError) as error:
        said = (data / "log").read_text(errors="replace")[-1_000:] if (data / "log").exists() else str(error)
        raise embedded.EmbeddedError(f"Postgres did not start: {said}") from error
    try:
        yield
    finally:
        if (data / "postmaster.pid").exists():
            embedded._pg("pg_ctl", "-m", "fast", *waits, "stop", seconds=seconds)
