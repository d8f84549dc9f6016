"""A whole backup: the cluster as it stands, a logical dump, and the files beside the database.

Its manifest is written last: where it is, all the rest is. What the cluster needs to become consistent is in the
shipped WAL from ``first_wal`` on.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog
from django.conf import settings

from config import env
from config.recovery import sealed, tools, wal
from config.recovery.places import Place

log = structlog.get_logger(__name__)

FOLDER, MANIFEST = "base", "manifest.json"
STAMP = "%Y%m%dT%H%M%SZ"
CLUSTER, DUMP, FILES = "cluster.tar", "dump.pgc", "files.tar"
CONFIGURATION = "configuration.json"
PIECES = (CLUSTER, DUMP, FILES)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup is. Instants are the database's, in UTC."""

    stamp: str
    began_at: str
    ended_at: str
    first_wal: str
    last_lsn: str
    server_version: int
    system_identifier: str
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name of the piece: size in bytes and sha256 of what lies in the place."""

    @property
    def prefix(self) -> str:
        return f"{FOLDER}/{self.stamp}"

    @property
    def usable_from(self) -> datetime:
        """The earliest instant to which it can be brought back."""
        return datetime.fromisoformat(self.ended_at)


def take(place: Place, *, to: Any, say: Say) -> Manifest:
    """Make one now. Raises ``tools.ToolError`` or ``places.PlaceError``: what was stored by then has no manifest."""
    version, identifier, began, first = tools.ask(
        "SELECT current_setting('server_version_num')::int, (SELECT system_identifier::text FROM pg_control_system()),"
        " clock_timestamp(), pg_walfile_name(pg_current_wal_lsn())"
    )
    assert isinstance(began, datetime)
    stamp = began.astimezone(UTC).strftime(STAMP)
    files: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(dir=_spool()) as folder:
        for name, write in (CLUSTER, _cluster), (DUMP, _dump), (FILES, _files):
            say(f"{name} ...")
            sealed_file = Path(folder) / name
            size, digest = write(sealed_file, to)
            place.put(sealed_file, f"{FOLDER}/{stamp}/{name}{sealed.ENDING}")
            sealed_file.unlink()
            files[name] = {"size": size, "sha256": digest}
            say(f"{name}: {size:,} bytes")
        ended, lsn = tools.ask("SELECT clock_timestamp(), pg_current_wal_lsn()::text")
        tools.ask("SELECT pg_switch_wal()::text")  # so that the last segment it needs is complete, and shipped
        assert isinstance(ended, datetime)
        manifest = Manifest(
            stamp, began.isoformat(), ended.isoformat(), str(first), str(lsn), int(str(version)), str(identifier), files
        )
        text = Path(folder) / MANIFEST
        text.write_text(json.dumps(asdict(manifest), indent=1))
        place.put(text, f"{manifest.prefix}/{MANIFEST}")
    log.info("recovery.base.taken", stamp=stamp, bytes=sum(one["size"] for one in files.values()))
    return manifest


def manifests(place: Place) -> list[Manifest]:
    """Those of whole backups, the oldest first."""
    found = []
    with tempfile.TemporaryDirectory(dir=_spool()) as folder:
        file = Path(folder) / MANIFEST
        for name in place.names(f"{FOLDER}/"):
            if name.endswith(f"/{MANIFEST}"):
                place.get(name, file)
                found.append(Manifest(**json.loads(file.read_text())))
    return sorted(found, key=lambda one: one.stamp)


def flaws(place: Place, manifest: Manifest) -> list[str]:
    """What is wrong with the files of a backup: those that are missing, or are not what was stored."""
    wrong = []
    there = set(place.names(f"{manifest.prefix}/"))
    with tempfile.TemporaryDirectory(dir=_spool()) as folder:
        for piece, facts in manifest.files.items():
            name, file = f"{manifest.prefix}/{piece}{sealed.ENDING}", Path(folder) / piece
            if name not in there:
                wrong.append(f"{name} is missing")
                continue
            place.get(name, file)
            if sealed.sha256(file) != facts["sha256"]:
                wrong.append(f"{name} is not what was stored")
            file.unlink()
    return wrong


def forget(place: Place, *, days: int, now: datetime) -> list[str]:
    """Delete backups older than so many days, and the WAL that only they needed; never the newest one. Their stamps."""
    whole = manifests(place)
    old = [one for one in whole[:-1] if one.usable_from < now - timedelta(days=days)]
    for one in old:
        for name in [f"{one.prefix}/{MANIFEST}", *place.names(f"{one.prefix}/")]:  # first what says that it is whole
            place.delete(name)
    if old:
        wal.forget(place, before=min(one.first_wal for one in whole if one not in old))
    return [one.stamp for one in old]


def _spool() -> Path:
    folder = Path(settings.BACKUP_SPOOL)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def _cluster(target: Path, to: Any) -> tuple[int, str]:
    options = ["--pgdata=-", "--format=tar", "--wal-method=none", "--checkpoint=fast"]
    with tools.output("pg_basebackup", f"--dbname={settings.DATABASE_URL}", *options) as stream:
        return sealed.seal(stream, target, to=to)


def _dump(target: Path, to: Any) -> tuple[int, str]:
    """Packed by zstd with the rest, so not by itself."""
    with tools.output("pg_dump", f"--dbname={settings.DATABASE_URL}", "--format=custom", "--compress=0") as stream:
        return sealed.seal(stream, target, to=to)


def _files(target: Path, to: Any) -> tuple[int, str]:
    """A tar of models and attachments, where they lie in folders, and of the configuration, its secrets too."""
    reading, writing = os.pipe()

    def pack() -> None:
        with os.fdopen(writing, "wb") as pipe, tarfile.open(fileobj=pipe, mode="w|") as tar:
            for name, folder in folders().items():
                if folder.is_dir():
                    tar.add(folder, arcname=name)
            text = json.dumps(configuration(), indent=1).encode()
            entry = tarfile.TarInfo(CONFIGURATION)
            entry.size, entry.mode = len(text), 0o600
            tar.addfile(entry, io.BytesIO(text))

    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            pack()
        except BaseException as error:  # told by whoever reads
            failed.append(error)

    packer = threading.Thread(target=guarded)
    packer.start()
    with os.fdopen(reading, "rb") as stream:
        result = sealed.seal(stream, target, to=to)
    packer.join()
    if failed:
        raise tools.ToolError(f"{FILES}: {failed[0]}") from failed[0]
    return result


def folders() -> dict[str, Path]:
    """What lies beside the database on this machine. Models in S3 are S3's to keep: turn on its versions."""
    found = {"attachments": Path(settings.MEDIA_ROOT)}
    if settings.ML_ARTIFACTS.startswith("file:"):
        found["models"] = Path(unquote(urlsplit(settings.ML_ARTIFACTS).path))
    return found


def configuration() -> dict[str, str]:
    """Every variable that was read, with its value: what a new machine has to be told to be the same service."""
    made = Path(settings.HOME) / "secrets.json"
    return {"environment": json.dumps(env.given()), "secrets": made.read_text() if made.exists() else "{}"}
