from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser, OutputWrapper
from django.db.models import QuerySet
from django.utils.dateparse import parse_date, parse_datetime

from agents.backtests import proposal, requests, told, work
from agents.backtests.figures import Period
from agents.backtests.history import Asked, Target
from sensors import progress
from sensors.columns import DAY_US, from_instant
from sensors.models import Equipment, Sensor, Site

MOST_SHOWN = 20
WIDTH = 28
OPTIONS = {"from_at": "--from", "to_at": "--to", "look_back_days": "--look-back"}
"""Of what ``agents.backtests.requests`` refuses."""


class Command(BaseCommand):
    help = (
        "Judge stored readings anew: what a limit or a detector would have done in a period, beside how things are "
        "and what was found when the readings came. Nothing live is touched."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add = parser.add_argument
        of = parser.add_mutually_exclusive_group(required=True)
        of.add_argument("--sensor", metavar="ID", help="A sensor's id, or its name where one site has it.")
        of.add_argument("--machine", metavar="ID", help="A machine's id, or its tag where one site has it.")
        of.add_argument("--site", metavar="SLUG", help="All machines of a site.")
        add("--from", dest="start", required=True, metavar="WHEN", help="ISO 8601; a date is midnight UTC.")
        add("--to", dest="end", required=True, metavar="WHEN", help="The period ends before it.")
        add("--look-back", type=float, default=proposal.LOOK_BACK_DAYS, metavar="DAYS",
            help=f"Readings before the period that teach and are not counted ({proposal.LOOK_BACK_DAYS}).")  # fmt: skip
        for name in proposal.OF_A_SENSOR[:-1]:
            add(f"--{name.replace('_', '-')}", metavar="X", help="Alarm limit of the sensor; none takes it away.")
        add("--deadband", metavar="X", help="Of the sensor's limits.")
        add("--on-delay", dest="on_delay_seconds", metavar="SECONDS", help="Abnormal for so long before it alarms.")
        add("--off-delay", dest="off_delay_seconds", metavar="SECONDS", help="Normal for so long before it clears.")
        add("--false-alarms-per-week", metavar="X", help="To accept, of each sensor.")
        add("--detectors", metavar="A,B", help=f"Those that judge: {', '.join(proposal.DETECTORS)} (all).")
        add("--seek", metavar="WHAT", help=f"Find it for a sensor ({', '.join(proposal.SEEKABLE)}), all else as it is.")
        add("--json", action="store_true", help="Write the whole result as JSON, to stdout.")
        add("--quiet", action="store_true", help="No progress.")

    def handle(self, *args: Any, **options: Any) -> None:
        asked = _asked(options)
        began = time.perf_counter()
        errors = OutputWrapper(cast(TextIO, self.stderr._out))
        bar = None if options["quiet"] else progress.Bar(errors, total=1, what="days")

        def tell(done: int, total: int) -> None:
            if bar is not None:
                bar.total = total
                bar.show(done)

        try:
            with bar or nullcontext():
                result = work.run(asked, tell=tell)
        except work.NoReadings as error:
            raise CommandError(str(error)) from error
        seconds = time.perf_counter() - began
        kept = requests.keep(asked, look_back_days=options["look_back"], result=result)
        if options["json"]:
            self.stdout.write(json.dumps(result, indent=2))
            return
        self._table(asked, result)
        judged = result["readings"] + result["taught"]
        speed = f"{judged} readings in {seconds:.1f} s, {judged / max(seconds, 1e-9):,.0f} a second"
        self.stdout.write(f"{speed}; kept as backtest {kept.pk}")

    def _table(self, asked: Asked, result: dict[str, Any]) -> None:
        line, sides = self.stdout.write, told.sides(result)
        machines = f"{result['machines']} machine{'s' * (result['machines'] != 1)}"
        line(f"{asked.target}: {machines}, {result['readings']} readings, {result['left_out']} left out as impossible; "
             f"{result['taught']} before the period taught")  # fmt: skip
        line(f"proposed   {told.proposal(asked.proposal.as_json())}")
        for side, versions in result["detectors"].items():
            line(f"{side:10} {', '.join(f'{name} {number}' for name, number in versions.items())}")
        line("")
        line(f"{'':32}" + "".join(f"{side:>{WIDTH}}" for side in sides))
        for one in told.lines(result):
            line(f"{one.name:32}" + "".join(f"{value:>{WIDTH}}" for value in one.values))
        if "sought" in result:
            line(f"\n{told.sought(result)}")
        for side in sides:
            self._alarms(side, result[side])
        line("")

    def _alarms(self, side: str, figures: dict[str, Any]) -> None:
        if not figures["alarms"]:
            return
        self.stdout.write(f"\nAlarms, {side} ({told.ABOUT[side]})")
        for one in figures["listed"][:MOST_SHOWN]:
            until, what = one["returned_at"] or "still active", f"{one['failure_mode']} {one['kind']}"
            self.stdout.write(f"  {one['raised_at']} to {until}  {one['priority']:8} {what}")
        if figures["alarms"] > MOST_SHOWN:
            self.stdout.write(f"  and {figures['alarms'] - MOST_SHOWN} more")


def _asked(options: dict[str, Any]) -> Asked:
    target = _target(options)
    start, end = _instant("--from", options["start"]), _instant("--to", options["end"])
    try:
        requests.check_period(start, end, options["look_back"])
    except requests.Refused as error:
        raise CommandError(f"{OPTIONS[error.field]}: {error}") from error
    given = {name: _given(name, options[name]) for name in proposal.NAMES if options[name] is not None}
    try:
        proposed = proposal.read(given, present=target.limits)
    except proposal.BadProposal as error:
        option = error.name.removesuffix("_seconds").replace("_", "-")
        raise CommandError(f"--{option}: {error}") from error
    return Asked(target, Period(from_instant(start), from_instant(end)), round(options["look_back"] * DAY_US), proposed)


def _given(name: str, text: str) -> object:
    if name == "detectors":
        return [part.strip() for part in text.split(",")]
    if text.strip().lower() == "none" and name in proposal.LIMITS:
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _instant(option: str, text: str) -> datetime:
    try:
        day = parse_date(text) if len(text) == len("2026-03-01") else None
        found = datetime(day.year, day.month, day.day, tzinfo=UTC) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise CommandError(f"{option} {text!r} is no instant: write it as 2026-03-01 or 2026-03-01T12:00:00+01:00.")
    try:
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except OverflowError as error:
        raise CommandError(f"{option} {text!r} is out of range.") from error


def _target(options: dict[str, Any]) -> Target:
    if (named := options["sensor"]) is not None:
        sensor = _one(Sensor.objects.select_related("site", "machine"), "sensor", "external_id", named)
        return Target(sensor.site, sensor.machine, sensor)
    if (named := options["machine"]) is not None:
        machines = Equipment.objects.filter(level=Equipment.Level.MACHINE).select_related("site")
        machine = _one(machines, "machine", "tag", named)
        return Target(machine.site, machine)
    site = Site.objects.filter(slug=options["site"]).first()
    if site is None:
        raise CommandError(f"There is no site {options['site']!r}.")
    return Target(site)


def _one(rows: QuerySet[Any], what: str, name: str, given: str) -> Any:
    found: Sequence[Any] = list(rows.filter(pk=int(given)) if _is_id(given) else [])
    found = found or list(rows.filter(**{name: given})[:2])
    if not found:
        raise CommandError(f"There is no {what} {given!r}.")
    if len(found) > 1:
        raise CommandError(f"Several sites have a {what} {given!r}: give its id.")
    return found[0]


def _is_id(given: str) -> bool:
    return given.isascii() and given.isdigit() and len(given) < 19
