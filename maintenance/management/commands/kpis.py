from __future__ import annotations

import csv
from argparse import ArgumentParser
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from maintenance import kpi_report
from maintenance.kpi_report import Report
from maintenance.management.commands.alarm_report import instant
from sensors import ticks
from sensors.columns import to_instant
from sensors.models import Equipment, Site


class Command(BaseCommand):
    help = "Report the figures of a site's maintenance over a period, each with its 95 % interval."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--site", required=True, metavar="SLUG")
        parser.add_argument("--equipment", metavar="TAG", help="a line or machine, with all below it; the whole site")
        parser.add_argument("--from", dest="start", metavar="WHEN", help="date (the site's) or instant; a year before")
        parser.add_argument("--to", dest="end", metavar="WHEN", help="date (the site's, excluded) or instant; now")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="print JSON instead of tables")
        form.add_argument("--csv", action="store_true", help="print CSV instead of tables")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            site = Site.objects.get(slug=options["site"])
            tag = options["equipment"]
            node = Equipment.objects.get(site=site, tag=tag).pk if tag else None
        except Site.DoesNotExist as error:
            raise CommandError(f"There is no site {options['site']!r}.") from error
        except Equipment.DoesNotExist as error:
            raise CommandError(f"{site} has no equipment with the tag {options['equipment']!r}.") from error
        now = timezone.now()
        end = instant("--to", options["end"], site) or now
        start = instant("--from", options["start"], site) or min(end, now) - kpi_report.USUAL
        try:
            made = kpi_report.make(site.pk, start=start, end=end, now=now, equipment_id=node)
        except kpi_report.BadPeriod as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(orjson.dumps(kpi_report.plain(made), option=orjson.OPT_INDENT_2).decode())
        elif options["csv"]:
            csv.writer(self.stdout, lineterminator="").writerows(kpi_report.table(made))
        else:
            self._tell(site, made)

    def _tell(self, site: Site, made: Report) -> None:
        period = made.period
        self.stdout.write(
            f"{site.name}, {to_instant(period.start):%Y-%m-%d %H:%M} to {to_instant(period.end):%Y-%m-%d %H:%M} UTC, "
            f"{len(made.tags)} machines"
        )
        row = "{:<42}{:>12} {:<4}{:>22}{:>9}{:>9}".format
        self.stdout.write("\n" + row("figure", "value", "", "95 % interval", "of", "running"))
        for one in made.figures:
            interval = "" if one.low is None and one.high is None else f"{_number(one.low)} to {_number(one.high)}"
            self.stdout.write(
                row(one.entry.title, _number(one.value), one.entry.unit, interval, one.events, one.running)
            )
        if made.losses:
            row = "{:<34}{:>9}{:>12}{:>14}{:>9}".format
            self.stdout.write("\n" + row("lost by", "failures", "downtime h", "cost", "so far"))
        for loss in made.losses[:10]:
            name = f"{made.tags[loss.machine]}, {loss.mode or '-'}"[:33]
            so_far = f"{100 * loss.so_far:.1f} %"
            self.stdout.write(row(name, loss.failures, _number(loss.downtime), f"{loss.cost / 100:,.2f}", so_far))


def _number(value: float | None) -> str:
    return "-" if value is None else ticks.number(value)
