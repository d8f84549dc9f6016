"""What the commands of backups have in common: the place and the keys, or a word on what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from config.recovery import places, sealed
from config.recovery.places import Place

NO_PLACE = "BACKUP_TO is not set: name a folder on another disk, or s3://bucket/prefix."
NO_KEY = (
    "BACKUP_RECIPIENT is not set: it is the public key for which backups are encrypted. `manage.py backup --new-key`"
    " makes a pair; keep the secret one elsewhere."
)


def place(given: str | None = None) -> Place:
    """The one that was named, else that of BACKUP_TO. Raises ``CommandError``."""
    named = given or settings.BACKUP_TO
    if not named:
        raise CommandError(NO_PLACE)
    return places.named(named)


def recipient() -> Any:
    """Raises ``CommandError``."""
    if not settings.BACKUP_RECIPIENT:
        raise CommandError(NO_KEY)
    try:
        return sealed.recipient(settings.BACKUP_RECIPIENT)
    except sealed.NoKey as error:
        raise CommandError(str(error)) from error


def identity(file: str) -> Any:
    """The secret key in a file. Raises ``CommandError``."""
    try:
        return sealed.identity(Path(file).read_text())
    except (OSError, sealed.NoKey) as error:
        raise CommandError(f"{file}: {error}") from error
