from __future__ import annotations

import zoneinfo
from argparse import ArgumentParser
from datetime import datetime, time
from typing import Any

import orjson
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from maintenance import alarm_report
from maintenance.alarm_report import Made
from maintenance.alarm_targets import TARGETS, Verdict
from maintenance.isa182 import Actor
from sensors import show, ticks
from sensors.columns import SECOND_US, to_instant
from sensors.models import Site

WORDS = {Verdict.OK: "ok", Verdict.MANAGEABLE: "manageable", Verdict.OVER: "OVER", Verdict.NONE: ""}
HEAD = ("alarm", "active", "share", "chattering", "fleeting", "flapping", "stale")


class Command(BaseCommand):
    help = "Report how a site's alarms did over a period, in the figures of ISA-18.2, each beside its target."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--site", required=True, metavar="SLUG")
        parser.add_argument("--from", dest="start", metavar="WHEN", help="date (the site's) or instant; 30 days before")
        parser.add_argument("--to", dest="end", metavar="WHEN", help="date (the site's, excluded) or instant; now")
        parser.add_argument("--operators", type=int, default=1, metavar="N", help="how many share the alarms (1)")
        parser.add_argument("--json", action="store_true", help="print JSON instead of tables")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            site = Site.objects.get(slug=options["site"])
        except Site.DoesNotExist as error:
            raise CommandError(f"There is no site {options['site']!r}.") from error
        if not 1 <= options["operators"] <= alarm_report.MOST_OPERATORS:
            raise CommandError(f"--operators: 1 to {alarm_report.MOST_OPERATORS:,}.")
        now = timezone.now()
        end = instant("--to", options["end"], site) or now
        start = instant("--from", options["start"], site) or min(end, now) - alarm_report.USUAL
        try:
            made = alarm_report.make(site.pk, start=start, end=end, operators=options["operators"], now=now)
        except alarm_report.BadPeriod as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(orjson.dumps(alarm_report.plain(made), option=orjson.OPT_INDENT_2).decode())
        else:
            self._tell(site, made)

    def _tell(self, site: Site, made: Made) -> None:
        report = made.report
        self.stdout.write(
            f"{site.name}, {to_instant(report.start):%Y-%m-%d %H:%M} to {to_instant(report.end):%Y-%m-%d %H:%M} UTC: "
            f"{report.activations} activations of {report.alarms} alarms, operators: {report.operators}"
        )
        if not report.is_long_enough:
            self.stdout.write(f"Only {report.days:.1f} days: the targets are meant for {TARGETS.days} days and more.")
        row = "{:<58}{:>12} {:<4}{:<12}{}".format
        self.stdout.write("\n" + row("figure", "value", "", "", "target"))
        for figure in report.figures:
            value = "-" if figure.value is None else ticks.number(figure.value)
            line = row(figure.target.title, value, figure.target.unit, WORDS[figure.verdict], figure.target.asked)
            self.stdout.write(line.rstrip())
        self._actors("Most frequent", made, report.top)
        self._actors("Chattering, fleeting, flapping and stale", made, report.nuisances)
        for flood in report.floods[:10]:
            lasted = ticks.span((flood.end - flood.start) / SECOND_US)
            self.stdout.write(
                f"Flood at {to_instant(flood.start):%Y-%m-%d %H:%M}, {lasted}: {flood.activations} alarms"
            )

    def _actors(self, title: str, made: Made, actors: tuple[Actor, ...]) -> None:
        if not actors:
            return
        row = "{:<34}{:>8}{:>8}{:>12}{:>10}{:>10}{:>8}".format
        self.stdout.write(f"\n{title}\n{row(*HEAD)}")
        for one in actors:
            name = show.short(f"{made.tags[one.machine]}, {one.mode}", 33)
            share = f"{100 * one.share:.1f} %"
            self.stdout.write(row(name, one.activations, share, one.chattering, one.fleeting, one.flapping, one.stale))


def instant(name: str, text: str | None, site: Site) -> datetime | None:
    """A date as the midnight it begins with at the site, or an instant with its offset. Raises ``CommandError``."""
    if text is None:
        return None
    try:
        day, instant = parse_date(text), parse_datetime(text)
    except ValueError as error:
        raise CommandError(f"{name}: {error}.") from error
    zone = zoneinfo.ZoneInfo(site.time_zone)
    if day is not None:
        return datetime.combine(day, time(), tzinfo=zone)
    if instant is None:
        raise CommandError(f"{name}: {text!r} is no date such as 2026-03-01 and no instant.")
    return instant if instant.tzinfo else instant.replace(tzinfo=zone)
