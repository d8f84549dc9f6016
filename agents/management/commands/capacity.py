from __future__ import annotations

import math
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents import capacity
from agents.capacity import Fleet, Need, Place

ROW = "{:<36}{:>16}{:>16}{:>18}  {}".format


class Command(BaseCommand):
    help = (
        "What so many sensors ask of an installation, by the measured figures: what breaks first, and what to add. "
        "Nothing is measured or connected to."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        add("--sensors", type=int, required=True, metavar="N")
        add("--per-minute", type=float, default=1.0, metavar="N", help="Readings of a sensor in a minute (1).")
        add("--per-request", type=int, default=100, metavar="N", help="Readings in a request (100).")
        add("--days", type=int, default=settings.READINGS_RETENTION_DAYS, help="That readings are kept.")
        add("--processors", type=float, default=2.0, metavar="N", help="Of the machine (2).")
        add("--memory-mib", type=float, default=1024.0, metavar="N", help="That one process may have (1024).")
        add("--disk-gb", type=float, default=500.0, metavar="N", help="Of Postgres (500).")
        add("--write-mb", type=float, default=100.0, metavar="N", help="That the disk writes in a second (100).")

    def handle(self, *args: Any, **options: Any) -> None:
        low = [name for name in ("sensors", "per_minute", "per_request", "days") if options[name] <= 0]
        if low or options["per_request"] > settings.INGEST_MAX_READINGS:
            raise CommandError(
                f"--{low[0].replace('_', '-')}: more than 0."
                if low
                else f"--per-request: at most {settings.INGEST_MAX_READINGS:,} (INGEST_MAX_READINGS)."
            )
        fleet = Fleet(
            options["sensors"], options["per_minute"], options["per_request"], options["days"],
            settings.READINGS_COMPACT_AFTER_DAYS + 1,
        )  # fmt: skip
        place = Place(
            options["processors"], options["memory_mib"], options["disk_gb"], options["write_mb"],
            settings.INTAKE_MAX_BACKLOG_READINGS, settings.INTAKE_MAX_BACKLOG_SECONDS, settings.RUN_MAX_READINGS,
        )  # fmt: skip
        self._tell(fleet, capacity.needs(fleet, place))

    def _tell(self, fleet: Fleet, needs: tuple[Need, ...]) -> None:
        self.stdout.write(
            f"{fleet.sensors:,} sensors, {fleet.per_minute:g} a minute each, {fleet.per_request:,} readings a request, "
            f"kept for {fleet.days:,} days:"
        )
        self.stdout.write(f"{fleet.readings:,.0f} readings/s in {fleet.requests:,.1f} requests/s\n\n")
        self.stdout.write(ROW("", "needed", "at hand", "enough for", "else").rstrip())
        for need in needs:
            enough = "any" if math.isinf(need.enough_for) else f"{round(need.enough_for):,}"
            enough += "*" if need.by_proportion else " "
            then = need.then if need.needed > need.at_hand else ""
            self.stdout.write(ROW(need.name, _number(need.needed), _number(need.at_hand), enough, then).rstrip())
        self.stdout.write("* not measured at such a size: in proportion\n\n")
        self._tell_who(fleet)
        first = needs[0]
        over = sum(need.needed > need.at_hand for need in needs)
        holds = f"{over} of {len(needs)} are too little" if over else "all of it is enough"
        self.stdout.write(f"First to be used up: {first.name}. {holds.capitalize()}.")

    def _tell_who(self, fleet: Fleet) -> None:
        by = {name: capacity.least(fleet, per_minute=_a_minute(name)) for name in ("client", "site")}
        self.stdout.write(
            f"Web servers: {capacity.web_servers(fleet)}; connections to Postgres: {capacity.connections(fleet)}; "
            f"clients: {by['client']} at least, sites: {by['site']} at least (docs/limits.md)"
        )


def _a_minute(name: str) -> float | None:
    rate = settings.REQUEST_RATES[name]
    return None if rate is None else 60 * rate[0] / rate[1]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
