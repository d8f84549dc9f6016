from __future__ import annotations

import zoneinfo
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from maintenance import history_import, history_mapping, history_rows
from maintenance.history_mapping import HistoryMapping
from maintenance.history_rows import Complaint, PastRow
from sensors.models import Site


class Command(BaseCommand):
    help = (
        "Import work orders of the past from a CSV file, as closed ones; a mapping says what its columns mean. "
        "A row is imported once, however often the file is."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--site", required=True, metavar="SLUG")
        parser.add_argument("--mapping", required=True, type=Path, metavar="JSON", help="see docs/history.md")
        parser.add_argument("--dry-run", action="store_true", help="say what is wrong with which row, and do nothing")
        parser.add_argument(
            "--skip-bad-rows", action="store_true", help="import the others; else none is, if one is bad"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            site = Site.objects.get(slug=options["site"])
        except Site.DoesNotExist as error:
            raise CommandError(f"There is no site {options['site']!r}.") from error
        mapping = _mapping(options["mapping"])
        rows, complaints = self._read(options["file"], mapping, site)
        for complaint in complaints:
            self.stderr.write(str(complaint))
        bad = len({complaint.line for complaint in complaints})
        try:
            fresh = history_import.unknown(site, mapping.source, rows)
            machines = history_import.missing_machines(site, fresh)
            self.stdout.write(
                f"{len(rows) + bad} rows: {len(fresh)} new, {len(rows) - len(fresh)} imported before, {bad} bad; "
                f"machines to be made: {', '.join(machines) or 'none'}"
            )
            if options["dry_run"]:
                return
            if bad and not options["skip_bad_rows"]:
                raise CommandError("Nothing was imported: correct the bad rows, or leave them out by --skip-bad-rows.")
            self._store(site, mapping, rows)
        except (history_import.NotAMachine, ValidationError) as error:
            raise CommandError(str(error)) from error

    def _read(self, path: Path, mapping: HistoryMapping, site: Site) -> tuple[list[PastRow], list[Complaint]]:
        zone = zoneinfo.ZoneInfo(site.time_zone)
        rows: list[PastRow] = []
        complaints: list[Complaint] = []
        try:
            for found in history_rows.read(path, mapping, zone=zone, now=timezone.now()):
                if isinstance(found, PastRow):
                    rows.append(found)
                else:
                    complaints += found
        except history_rows.BadFile as error:
            raise CommandError(str(error)) from error
        return rows, complaints

    def _store(self, site: Site, mapping: HistoryMapping, rows: list[PastRow]) -> None:
        done = history_import.Progress()
        for done in history_import.store(site, mapping.source, rows):
            self.stdout.write(f"{done.rows} of {len(rows)} rows")
        self.stdout.write(
            f"Imported {done.made} orders; {done.known} were there before. Machines made: {done.machines}."
        )


def _mapping(path: Path) -> HistoryMapping:
    try:
        return history_mapping.read(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, history_mapping.BadMapping) as error:
        raise CommandError(f"{path}: {error}") from error
