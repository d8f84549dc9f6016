from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from agents import figures, watchdog
from sensors import ticks


class Command(BaseCommand):
    help = "Audit the service once and print what was found; ends with status 1 where something is wrong."

    def handle(self, *args: Any, **options: Any) -> None:
        troubles = {trouble.kind: trouble for trouble in watchdog.look()}
        row = "{:<20}{:>8}  {:<12}{}".format
        self.stdout.write(row("found", "count", "oldest", "what to do").rstrip())
        for kind in figures.queries():
            found = troubles.get(kind)
            if found is None:
                self.stdout.write(row(kind, 0, "-", "").rstrip())
            else:
                oldest = ticks.span(found.oldest_seconds)
                self.stdout.write(row(kind, found.count, oldest, f"{found.what} {found.todo}"))
        if troubles:
            sys.exit(1)
