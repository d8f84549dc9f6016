from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from config import embedded
from config.recovery import ask, places, restore, sealed, tools


class Command(BaseCommand):
    help = "Bring a backup back into an empty folder: Postgres's data as of an instant, models, attachments, settings."
    requires_system_checks: list[str] = []  # there may be no database

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", help="Empty, or not there yet.")
        parser.add_argument("--key", required=True, metavar="FILE", help="The secret key of age.")
        parser.add_argument("--at", help="ISO 8601 with an offset. Left out: as late as there is anything.")
        parser.add_argument("--from", dest="place", help="Where the backups are. Left out: BACKUP_TO.")

    def handle(self, *args: Any, **options: Any) -> None:
        place, key = ask.place(options["place"]), ask.identity(options["key"])
        try:
            at = datetime.fromisoformat(options["at"]) if options["at"] else None
        except ValueError as error:
            raise CommandError(f"--at {options['at']!r} is no instant.") from error
        if at is not None and at.tzinfo is None:
            raise CommandError("--at needs an offset, such as Z or +01:00.")
        folder = Path(options["folder"]).resolve()
        try:
            done = restore.restore(place, folder, key=key, at=at, say=self.stdout.write)
        except (
            restore.NoBackup, sealed.Broken, places.PlaceError, tools.ToolError, embedded.EmbeddedError,
        ) as error:  # fmt: skip
            raise CommandError(str(error)) from error
        self.stdout.write(f"Postgres's data: {done.data}, its last transaction of {done.until}.")
        self.stdout.write(
            f"Models, attachments, settings: {done.files}. Stop the service, and put them in their places."
        )
