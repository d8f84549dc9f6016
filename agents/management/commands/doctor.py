from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from agents import doctor, doorbell
from agents.models import Case

WIDTHS = (6, 14, 11, 22, 8, 8)
HEAD = ("case", "status", "likely", "rule", "waiting", "helped")


class Command(BaseCommand):
    help = "Look once at every case of failed runs that is due, as beat does each 30 seconds, and list the open ones."

    def handle(self, *args: Any, **options: Any) -> None:
        lanes = doctor.look_round()
        doorbell.ring_lanes(lanes)
        self.stdout.write(f"Replayed in {len(lanes)} lanes." if lanes else "Nothing was replayed.")
        found = list(Case.objects.exclude(status__in=Case.ENDED).order_by("id"))
        if not found:
            self.stdout.write("No case is open.")
            return
        self._line(HEAD, "title")
        for case in found:
            waiting = case.runs.filter(status="FAILED").count()
            helped = {None: "-", True: "yes", False: "no"}[case.helped]
            self._line((case.pk, case.status, case.likely_cause, case.rule or "-", waiting, helped), case.title)

    def _line(self, cells: tuple[object, ...], title: str) -> None:
        row = " ".join(str(cell).ljust(width) for cell, width in zip(cells, WIDTHS, strict=True))
        self.stdout.write(f"{row} {title}")
