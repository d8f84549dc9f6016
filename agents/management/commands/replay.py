from __future__ import annotations

from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from celery import current_app
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.text import slugify
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from agents import replay, sweeper
from agents.replay import Plan, Tally
from maintenance.models import Alarm, Anomaly, WorkOrder
from sensors import progress
from sensors.connectors import csv
from sensors.models import BatchPart, Equipment, Sensor, Site


class Command(BaseCommand):
    help = "Stream a CSV file (a time column and value columns) through the flow, as a client would."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument("--site", default="replay", metavar="SLUG", help="Made if it is not there.")
        parser.add_argument(
            "--machine", default="", metavar="TAG", help="Made if it is not there; default: the file's name."
        )
        parser.add_argument("--time-column", default=None)
        parser.add_argument("--value-column", action="append", default=[], help="May be given several times.")
        parser.add_argument("--time-zone", default="UTC", help="Of times that have no offset (IANA name).")
        parser.add_argument("--kind", default="OTHER", choices=Sensor.Kind.values, help="Of the sensors that are made.")
        parser.add_argument("--unit", default="")
        parser.add_argument("--batch", type=int, default=1000, help="Readings in a request.")
        parser.add_argument(
            "--speed", type=float, default=0, help="Times faster than it happened; 0 = as fast as it goes."
        )
        parser.add_argument("--dry-run", action="store_true", help="Show what would be created and sent, then end.")

    def handle(self, *args: Any, **options: Any) -> None:
        plan = self._plan(options)
        self._show(plan)
        if options["dry_run"]:
            return
        try:
            replay.create(plan)
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        total = plan.layout.rows * len(plan.names)
        tally = Tally()
        try:
            with progress.Bar(self.stdout, total=total, what="sent") as bar:
                for tally in replay.send(
                    plan, replay.through_inbox(plan.site), batch=options["batch"], speed=options["speed"]
                ):
                    bar.show(tally.sent)
        except replay.Refused as error:
            raise CommandError(f"The intake refused a request: {error}") from error
        self._wait(plan, tally)
        self._summary(plan, tally)

    def _plan(self, options: dict[str, Any]) -> Plan:
        path: Path = options["file"]
        try:
            zone = ZoneInfo(options["time_zone"])
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise CommandError(
                f"There is no time zone {options['time_zone']!r}: use a name such as Europe/Rome."
            ) from error
        if options["batch"] < 1 or options["speed"] < 0:
            raise CommandError("--batch must be at least 1, --speed at least 0.")
        try:
            layout = csv.inspect(
                path, zone=zone, time_column=options["time_column"], value_columns=options["value_column"]
            )
        except csv.BadFile as error:
            raise CommandError(str(error)) from error
        tag = options["machine"] or path.stem
        slug = options["site"]
        site = Site.objects.filter(slug=slug).first() or Site(slug=slug, name=slug, time_zone=zone.key)
        return Plan(path, layout, zone, site, tag, options["kind"], options["unit"], prefix=f"{slugify(tag)}/")

    def _show(self, plan: Plan) -> None:
        known = set(
            Sensor.objects.filter(site__slug=plan.site.slug, external_id__in=plan.names).values_list(
                "external_id", flat=True
            )
        )
        there = Equipment.objects.filter(site__slug=plan.site.slug, tag=plan.tag).exists()
        layout = plan.layout
        self.stdout.write(f"{plan.path}: {layout.rows} rows, time in {layout.time_column!r}, zone {plan.zone}")
        self.stdout.write(f"  site    {plan.site.slug} ({'new' if plan.site._state.adding else 'is there'})")
        self.stdout.write(f"  machine {plan.tag} ({'is there' if there else 'new'})")
        for name in plan.names:
            self.stdout.write(f"  sensor  {name} ({'is there' if name in known else 'new'})")

    def _wait(self, plan: Plan, tally: Tally) -> None:
        """Until all is judged; where no worker answers, this command does the work."""
        alone = not _workers_answer()
        if alone:
            self.stdout.write("No worker runs (manage.py up starts them): the stages run in this process.")
        most = max(1, sum(replay.unfinished(plan.site).values()))
        with progress.Bar(self.stdout, total=most, what="judged") as bar:

            def tick(left: dict[str, int]) -> None:
                if alone:
                    sweeper.work_off(sweeper.due())
                bar.show(most - sum(left.values()), note=str(left))

            if not replay.wait_until_done(plan.site, tick=tick):
                raise CommandError("Nothing moved for a long time; look at the runs in admin.")

    def _summary(self, plan: Plan, tally: Tally) -> None:
        parts = BatchPart.objects.filter(batch_id__in=tally.batches)
        stored, already, conflicts, aside = 0, 0, 0, 0
        for part in parts.only("state", "readings", "stored", "already_stored", "conflicts"):
            stored += part.stored or 0
            already += part.already_stored or 0
            conflicts += part.conflicts or 0
            aside += part.readings if part.state == BatchPart.State.SET_ASIDE else 0
        duplicate = already + conflicts + tally.duplicates
        accounted = stored + duplicate + tally.rejected + tally.held + aside
        self.stdout.write(
            f"Rows in the file {plan.layout.rows}; readings sent {tally.sent} = stored {stored} + duplicate {duplicate}"
            f" + rejected {tally.rejected} + held {tally.held} + set aside {aside}"
        )
        mine = {"machine__site": plan.site, "machine__tag": plan.tag}
        counts = [
            f"{model._meta.verbose_name_plural} {model.objects.filter(**mine).count()}"
            for model in (Anomaly, Alarm, WorkOrder)
        ]
        self.stdout.write(f"Of the machine {plan.tag}: {', '.join(counts)}")
        failed = parts.exclude(error="").values_list("error", flat=True)
        if failed:
            raise CommandError(f"{len(failed)} parts did not come through: {failed[0]}")
        if accounted != tally.sent:
            raise CommandError(f"The books do not balance: {tally.sent} sent, {accounted} accounted for.")


def _workers_answer() -> bool:
    try:
        return bool(current_app.control.ping(timeout=1.0))
    except (KombuError, RedisError, OSError):
        return False
