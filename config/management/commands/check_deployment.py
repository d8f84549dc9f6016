from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from config import deployment, findings


class Command(BaseCommand):
    help = "Look at where the service runs: what is found, and what to do. Ends with 1 if anything is bad."
    requires_system_checks: list[str] = []  # what they say is among what is found

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="For programs.")

    def handle(self, *args: Any, **options: Any) -> None:
        found = deployment.examine()
        if options["json"]:
            self.stdout.write(json.dumps([dataclasses.asdict(one) for one in found], indent=1))
        else:
            for one in found:
                self.stdout.write(f"{one.verdict.upper():<4}  {one.check:<12} {one.found}")
                if one.todo:
                    self.stdout.write(f"{'':<20}{one.todo}")
        bad = sum(one.verdict == findings.BAD for one in found)
        if not options["json"]:
            self.stdout.write(f"{len(found)} looked at, {bad} bad.")
        if bad:
            sys.exit(1)
