"""Ships what Postgres writes to its log (WAL) as it is written, so that next to nothing is lost with the machine.

``pg_receivewal`` streams it into a spool folder, by a replication slot: what was not received is kept by the server,
up to its ``max_slot_wal_keep_size``. From the spool each whole segment goes to the place and is removed; the one that
is being filled goes again whenever it has grown, every few seconds.
"""

from __future__ import annotations

import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings

from config.recovery import sealed, tools
from config.recovery.places import Place

log = structlog.get_logger(__name__)

FOLDER, SLOT, PARTIAL = "wal", "bellwether_backup", ".partial"
SEGMENT = re.compile(r"[0-9A-F]{24}")
STOP_SECONDS = 10


@dataclass(slots=True)
class Shipper:
    """One stream from the server to the place. ``start``, then ``ship`` again and again, then ``stop``."""

    place: Place
    to: Any
    spool: Path
    process: subprocess.Popen[bytes] | None = None
    shipped_at: float = 0.0
    _sent: tuple[str, float] = field(default=("", 0.0))
    """Name and time of change of the unfinished segment that was shipped last."""

    def start(self) -> None:
        """Begin where the slot is. Raises ``tools.ToolError`` where the server has no slot for us."""
        self.spool.mkdir(parents=True, exist_ok=True, mode=0o700)
        connection = f"--dbname={settings.DATABASE_URL}"
        made = subprocess.run(
            [tools.program("pg_receivewal"), connection, f"--slot={SLOT}", "--create-slot", "--if-not-exists"],
            capture_output=True,
            check=False,
        )
        if made.returncode:
            raise tools.ToolError(made.stderr.decode(errors="replace").strip())
        # It connects anew by itself after the server was away. Reported as flushed: what is on this machine's disk.
        self.process = subprocess.Popen(
            [
                tools.program("pg_receivewal"), connection, f"--slot={SLOT}", f"--directory={self.spool}",
                "--synchronous", "--status-interval=5",
            ],
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def is_receiving(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def ship(self) -> int:
        """Send what is complete, and what is not if it has grown; how many files went."""
        names = sorted(path.name for path in self.spool.iterdir() if path.is_file() and not path.name.startswith("."))
        whole = [name for name in names if not name.endswith(PARTIAL)]
        for name in whole:
            self._send(self.spool / name, name)
            self.place.delete(f"{FOLDER}/{name}{PARTIAL}{sealed.ENDING}")
            (self.spool / name).unlink()
        grown = [name for name in names if name.endswith(PARTIAL) and self._has_grown(self.spool / name)]
        for name in grown:
            changed = (self.spool / name).stat().st_mtime
            self._send(self.spool / name, name)
            self._sent = name, changed
        self.shipped_at = time.monotonic()
        return len(whole) + len(grown)

    def stop(self) -> None:
        """End the stream, and send what came until then."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.ship()

    def _has_grown(self, file: Path) -> bool:
        return self._sent != (file.name, file.stat().st_mtime)

    def _send(self, file: Path, name: str) -> None:
        target = self.spool / f".{name}{sealed.ENDING}"
        try:
            with file.open("rb") as stream:
                sealed.seal(stream, target, to=self.to)
            self.place.put(target, f"{FOLDER}/{name}{sealed.ENDING}")
        finally:
            target.unlink(missing_ok=True)


def fetch(place: Place, folder: Path, *, first: str, key: Any) -> int:
    """Bring the segments from ``first`` on into a folder, as Postgres names them; how many. The last, unfinished one
    counts as a whole one: Postgres stops where what is in it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    there = [Path(name).name.removesuffix(sealed.ENDING) for name in place.names(f"{FOLDER}/")]
    wanted = [name for name in there if name.endswith(".history") or name[8:24] >= first[8:24]]
    brought = 0
    for name in wanted:
        target = folder / name.removesuffix(PARTIAL)
        if name.endswith(PARTIAL) and target.name in there:
            continue
        packed = folder / f".{name}{sealed.ENDING}"
        place.get(f"{FOLDER}/{name}{sealed.ENDING}", packed)
        with target.open("wb") as opened:
            sealed.unseal(packed, opened, key=key)
        packed.unlink()
        brought += 1
    return brought


def forget(place: Place, *, before: str) -> int:
    """Delete the segments that come before one; how many. Histories of timelines stay: they are a few bytes."""
    old = [
        name
        for name in place.names(f"{FOLDER}/")
        if SEGMENT.match(Path(name).name) and Path(name).name[8:24] < before[8:24]
    ]
    for name in old:
        place.delete(name)
    return len(old)
