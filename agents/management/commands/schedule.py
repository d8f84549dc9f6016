from __future__ import annotations

from collections import Counter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.schedule import agent, steps
from agents.schedule.problem import Limits
from maintenance.refusals import Refused
from maintenance.schedule_models import Schedule
from sensors.models import Site


class Command(BaseCommand):
    help = (
        "Make a proposal of who does which open order of a site when, and say what it changes beside what "
        "people were told. Nothing is published. Without a site: make the schedules that people asked for."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--site", metavar="SLUG")
        parser.add_argument("--days", type=int, default=14, help="How far ahead (14).")
        parser.add_argument("--seconds", type=float, default=settings.SCHEDULE_SECONDS, help="The solver's time limit.")

    def handle(self, *args: Any, **options: Any) -> None:
        limits = Limits(options["seconds"])
        if options["site"] is None:
            made = agent.perform_waiting(limits=limits)
            self.stdout.write(f"Made {len(made)} schedule{'s' * (len(made) != 1)}.")
            return
        site = Site.objects.filter(slug=options["site"]).first()
        if site is None:
            raise CommandError(f"There is no site {options['site']!r}.")
        if not 1 <= options["days"] <= 60:
            raise CommandError("--days: from 1 to 60.")
        try:
            schedule = agent.perform(steps.request(site, actor=None, days=options["days"]).pk, limits=limits)
        except Refused as error:
            raise CommandError(str(error)) from error
        self._tell(schedule)

    def _tell(self, schedule: Schedule | None) -> None:
        if schedule is None or schedule.status != Schedule.Status.PROPOSED:
            raise CommandError("No schedule was made. " + ("" if schedule is None else schedule.reason))
        gap = schedule.gap or 0.0
        self.stdout.write(
            f"{schedule}: {schedule.visits.count()} orders, {len(schedule.left_out)} left out; "
            f"{schedule.method}, {schedule.cost} points, {gap:.1%} above the bound at most, {schedule.seconds} s"
        )
        for visit in schedule.visits.select_related("order", "person"):
            start, end = f"{visit.start_at:%Y-%m-%d %H:%M}", f"{visit.end_at:%H:%M}"
            self.stdout.write(f"  {start} to {end} UTC  {visit.person.get_username():16} {visit.order}")
        kinds = Counter(one.kind.lower() for one in steps.changes(schedule))
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        self.stdout.write(f"Beside what people were told: {told or 'nothing'}")
