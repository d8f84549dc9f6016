from __future__ import annotations

import signal
import threading
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from pyrage import x25519

from config.recovery import ask, base, keeper, places, tools

log = structlog.get_logger(__name__)


class Command(BaseCommand):
    help = "Make a whole backup at BACKUP_TO, encrypted for BACKUP_RECIPIENT; or keep them, list them, check them."

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--keep", action="store_true", help="Ship what is written, and back up when due, until TERM.")
        what.add_argument("--list", action="store_true", help="What there is.")
        what.add_argument("--check", action="store_true", help="Read the newest one back and compare checksums.")
        what.add_argument("--new-key", action="store_true", help="Make a pair of keys and print it.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["new_key"]:
            secret = x25519.Identity.generate()
            self.stdout.write(f"# BACKUP_RECIPIENT={secret.to_public()}\n{secret}")
            return
        try:
            self._do(**options)
        except (places.PlaceError, tools.ToolError, keeper.Busy) as error:
            raise CommandError(str(error)) from error

    def _do(self, **options: Any) -> None:
        if options["keep"]:
            self._keep()
            return
        place = ask.place()
        if options["list"] or options["check"]:
            found = base.manifests(place)
            if not found:
                raise CommandError("There is no whole backup yet.")
            for one in found:
                size = sum(piece["size"] for piece in one.files.values())
                self.stdout.write(f"{one.stamp}  {size:>15,} bytes  can be brought to {one.ended_at} and later")
            if options["check"]:
                self._check(place, found[-1])
            return
        row = keeper.take(place, to=ask.recipient(), say=self.stdout.write)
        self.stdout.write(f"Backup {row.stamp}: {row.size:,} bytes.")

    def _keep(self) -> None:
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        if not settings.BACKUP_TO:  # as a service among others: to end would have it started again and again
            log.warning("recovery.keeper.nothing-to-do", reason=ask.NO_PLACE)
            stop.wait()
            return
        place, to = ask.place(), ask.recipient()
        with keeper.alone():
            keeper.keep(place, to=to, stop=stop)

    def _check(self, place: places.Place, newest: base.Manifest) -> None:
        flaws = base.flaws(place, newest)
        if flaws:
            raise CommandError("; ".join(flaws))
        self.stdout.write(f"{newest.stamp} is what was stored.")
