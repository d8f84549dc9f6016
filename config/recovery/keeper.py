"""Keeps backups: ships WAL all the time, makes a whole backup when one is due, and deletes those that are too old.

One at a time, whoever is started: a lock in the database, held by a connection of its own, decides. How it goes is
kept in rows that metrics, alerts and people read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import structlog
from django.conf import settings
from django.db import Error
from django.db.models.functions import Now

from agents.backup_models import Backup
from config.recovery import base, tools, wal
from config.recovery.places import Place, PlaceError

log = structlog.get_logger(__name__)

LOCK = 0x62775F6261636B75
AGAIN_AFTER = timedelta(minutes=15)
TROUBLE = (PlaceError, tools.ToolError, Error, psycopg2.Error, OSError)


class Busy(Exception):
    """Another keeper is at work."""


@contextmanager
def alone() -> Iterator[None]:
    """Raises ``Busy`` where another process keeps backups."""
    with closing(psycopg2.connect(settings.DATABASE_URL)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(%s)", [LOCK])
            if cursor.fetchone() != (True,):
                raise Busy("Another process keeps backups already.")
        yield


def take(place: Place, *, to: Any, say: base.Say) -> Backup:
    """Make a whole backup, and a row of how it went. Raises what went wrong, after writing it down."""
    row = Backup.objects.create(kind=Backup.Kind.WHOLE, place=str(settings.BACKUP_TO))
    try:
        made = base.take(place, to=to, say=say)
    except Exception as error:
        _over(row, Backup.Status.FAILED, error=f"{type(error).__name__}: {error}")
        raise
    _over(row, Backup.Status.DONE, stamp=made.stamp, size=sum(one["size"] for one in made.files.values()))
    base.forget(place, days=settings.BACKUP_DAYS, now=datetime.now(UTC))
    return row


def keep(place: Place, *, to: Any, stop: threading.Event) -> None:
    """Until ``stop`` is set. Trouble is written down, and tried again."""
    shipper = wal.Shipper(place, to, Path(settings.BACKUP_SPOOL) / "wal")
    try:
        while not stop.is_set():
            _once(shipper, to=to)
            stop.wait(settings.BACKUP_SHIP_SECONDS)
    finally:
        shipper.stop()


def _once(shipper: wal.Shipper, *, to: Any) -> None:
    try:
        if not shipper.is_receiving():
            shipper.start()
        sent = shipper.ship()
        if not shipper.is_receiving():  # what is in the spool may end anywhere
            raise tools.ToolError("pg_receivewal has ended: is its slot lost? Nothing new is shipped.")
        _shipped(sent)
        if _is_due():
            take(shipper.place, to=to, say=lambda text: log.info("recovery.keeper", step=text))
    except TROUBLE as error:
        log.error("recovery.keeper.failed", error=f"{type(error).__name__}: {error}".strip())


def _is_due() -> bool:
    newest = Backup.objects.filter(kind=Backup.Kind.WHOLE).order_by("-id").first()
    if newest is None:
        return True
    wait = timedelta(hours=settings.BACKUP_HOURS) if newest.status == Backup.Status.DONE else AGAIN_AFTER
    return datetime.now(UTC) >= newest.began_at + wait


def _shipped(files: int) -> None:
    """The one row of shipping: when it last went well, and how much in all."""
    row, _ = Backup.objects.get_or_create(kind=Backup.Kind.WAL, defaults={"place": str(settings.BACKUP_TO)})
    Backup.objects.filter(pk=row.pk).update(
        status=Backup.Status.DONE, ended_at=Now(), place=str(settings.BACKUP_TO), size=row.size + files
    )


def _over(row: Backup, status: Backup.Status, *, stamp: str = "", size: int = 0, error: str = "") -> None:
    row.status, row.stamp, row.size, row.error = status, stamp, size, error
    row.ended_at = datetime.now(UTC)
    row.save(update_fields=["status", "stamp", "size", "error", "ended_at"])
