"""The way back: a new data folder for Postgres as it was at an instant, and the files that lay beside it."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
import structlog
from django.conf import settings

from config.recovery import base, sealed, server, tools, wal
from config.recovery.base import CLUSTER, FILES, Manifest
from config.recovery.places import Place

log = structlog.get_logger(__name__)

START_SECONDS = 1_800
Say = Callable[[str], None]


class NoBackup(Exception):
    """No backup can be brought to the instant that was asked for."""


@dataclass(frozen=True, slots=True)
class Restored:
    """``data``: the data folder of Postgres, which is stopped; ``until``: the last transaction that it has."""

    manifest: Manifest
    data: Path
    files: Path
    until: datetime | None


def restore(place: Place, folder: Path, *, key: Any, at: datetime | None, say: Say) -> Restored:
    """Into an empty folder, as of ``at`` or as late as there is anything. Raises ``NoBackup``, ``sealed.Broken``,
    ``places.PlaceError`` or ``tools.ToolError``."""
    manifest = choose(base.manifests(place), at=at)
    if folder.exists() and any(folder.iterdir()):
        raise NoBackup(f"{folder} is not empty: nothing is overwritten.")
    data, files, segments = folder / "postgres", folder / "files", folder / "wal"
    say(f"backup of {manifest.ended_at}")
    _unpack(place, manifest, CLUSTER, data, key=key)
    _unpack(place, manifest, FILES, files, key=key)
    say(f"{wal.fetch(place, segments, first=manifest.first_wal, key=key)} segments of WAL")
    until = _recover(data, segments, at=at)
    shutil.rmtree(segments)
    log.info("recovery.restored", stamp=manifest.stamp, until=None if until is None else until.isoformat())
    return Restored(manifest, data, files, until)


def choose(found: list[Manifest], *, at: datetime | None) -> Manifest:
    """The newest backup that had ended by then."""
    fit = [one for one in found if at is None or one.usable_from <= at]
    if not fit:
        first = f" The first one there is can be brought to {found[0].ended_at} and later." if found else ""
        raise NoBackup(f"There is no backup from before {at or 'now'}.{first}")
    return fit[-1]


def _unpack(place: Place, manifest: Manifest, piece: str, target: Path, *, key: Any) -> None:
    """Checked against the manifest before anything of it is opened."""
    target.mkdir(parents=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=target.parent) as spool:
        packed, plain = Path(spool) / "packed", Path(spool) / "plain"
        name = f"{manifest.prefix}/{piece}{sealed.ENDING}"
        place.get(name, packed)
        if sealed.sha256(packed) != manifest.files[piece]["sha256"]:
            raise sealed.Broken(f"{name} is not what was stored.")
        with plain.open("wb") as opened:
            sealed.unseal(packed, opened, key=key)
        packed.unlink()
        with tarfile.open(plain) as tar:
            tar.extractall(target, filter="data")


def _recover(data: Path, segments: Path, *, at: datetime | None) -> datetime | None:
    """Let Postgres go through the WAL until the instant, become a server of its own, and stop it again."""
    target = f"recovery_target_time = '{at.isoformat()}'\n" if at is not None else ""
    with (data / "postgresql.auto.conf").open("a") as conf:
        conf.write(f"restore_command = 'cp \"{segments}/%f\" \"%p\"'\n{target}recovery_target_action = 'promote'\n")
    (data / "recovery.signal").touch()
    with (
        tempfile.TemporaryDirectory(prefix="bw-restore-") as sockets,
        server.running(data, Path(sockets), seconds=START_SECONDS, reads=segments),
    ):
        try:
            until = _wait_until_promoted(Path(sockets))
        except psycopg2.OperationalError as error:
            raise tools.ToolError(_why(data, at=at)) from error
    kept = [
        line
        for line in (data / "postgresql.auto.conf").read_text().splitlines()
        if not line.startswith(("restore_command", "recovery_target"))
    ]
    (data / "postgresql.auto.conf").write_text("\n".join([*kept, ""]))
    return until


def _why(data: Path, *, at: datetime | None) -> str:
    """What Postgres said at its end."""
    fatal = [line for line in (data / "log").read_text(errors="replace").splitlines() if "FATAL" in line]
    said = fatal[-1] if fatal else "Postgres ended without a word."
    if at is not None and "before configured recovery target" in said:
        return f"What was shipped ends before {at.isoformat()}: leave --at out to get as late as there is anything."
    return said


def _wait_until_promoted(sockets: Path) -> datetime | None:
    ends = time.monotonic() + START_SECONDS
    owner = unquote(urlsplit(settings.DATABASE_URL).username or "postgres")
    with closing(psycopg2.connect(host=str(sockets), user=owner, dbname="postgres")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            while time.monotonic() < ends:
                cursor.execute("SELECT pg_is_in_recovery(), pg_last_xact_replay_timestamp()")
                recovering, until = cursor.fetchone() or (True, None)
                if not recovering:
                    return until if isinstance(until, datetime) else None
                time.sleep(0.2)
    raise tools.ToolError(f"Postgres was not through its WAL after {START_SECONDS} s.")
