from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand

from agents import figures, watchdog
from agents.audit import Kind
from sensors import ticks


class Command(BaseCommand):
    help = "Audit the service once and print what was found; ends with status 1 where something is wrong."

    def handle(self, *args: Any, **options: Any) -> None:
        troubles = {trouble.kind: trouble for trouble in watchdog.look()}
        width = max(len(kind) for kind in Kind)
        for kind in figures.queries():
            found = troubles.get(kind)
            if found is None:
                self.stdout.write(f"{kind:<{width}}  none")
            else:
                oldest = ticks.span(found.oldest_seconds)
                self.stdout.write(f"{kind:<{width}}  {found.count} {found.what}; the oldest for {oldest}. {found.todo}")
        if troubles:
            sys.exit(1)
