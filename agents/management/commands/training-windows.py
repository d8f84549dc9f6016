from __future__ import annotations

import csv
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents import learn
from sensors.models import Site

HEAD = (
    "tag", "external_id", "from_at", "to_at", "kind", "failure_mode", "said_by", "said_by_id", "used", "left_out",
    "machine", "sensor", "site",
)  # fmt: skip
LINE = "{tag:<20} {external_id:<20} {from_at:<28} {to_at:<28} {kind:<12} {failure_mode:<4} {said_by} {said_by_id}"


class Command(BaseCommand):
    help = (
        "What labels and finished work orders of a site say of which time, cut at the starts of regimes: what models "
        "are taught from. What is contradicted is there too, with the reason."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--site", required=True, metavar="SLUG")
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--json", action="store_true", help="A list of objects.")
        how.add_argument("--csv", action="store_true", help="A line each, with a head.")

    def handle(self, *args: Any, **options: Any) -> None:
        site = Site.objects.filter(slug=options["site"]).first()
        if site is None:
            raise CommandError(f"There is no site {options['site']!r}.")
        rows = [learn.plain(one) for one in learn.windows([site.pk])]
        if options["json"]:
            self.stdout.write(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        elif options["csv"]:
            writer = csv.DictWriter(self.stdout, HEAD, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        else:
            for row in rows:
                why = f"  left out: {row['left_out']}" if row["left_out"] else ""
                self.stdout.write(LINE.format(**row) + why)
            used = sum(row["used"] for row in rows)
            self.stdout.write(f"{used} windows, {len(rows) - used} left out")
