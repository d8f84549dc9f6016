from __future__ import annotations

import getpass
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents import dead_letters, doorbell
from agents.models import Run


class Command(BaseCommand):
    help = (
        "Runs that were set aside: list them by cause, replay them at the stage where they failed, or discard them "
        "with a reason. A replay of what succeeded changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--all", action="store_true", help="Every run that failed.")
        which.add_argument("--cause", action="append", default=[], help="Those of a cause; may be given several times.")
        which.add_argument("--run", action="append", type=int, default=[], help="This one; may be given several times.")
        parser.add_argument("--discard", metavar="REASON", help="Give them up instead, and keep the reason.")
        parser.add_argument("--actor", default="", help="In whose name; default: whoever is logged in here.")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = self._chosen(options)
        if chosen is None:
            self._list()
            return
        actor = options["actor"] or getpass.getuser()
        refused = 0
        for run_id in chosen:
            try:
                if options["discard"] is not None:
                    dead_letters.discard(run_id, actor=actor, reason=options["discard"])
                else:
                    doorbell.ring_lanes([dead_letters.replay(run_id, actor=actor)])
            except (dead_letters.NotReplayable, dead_letters.NotDiscardable) as error:
                refused += 1
                self.stderr.write(str(error))
        what = "replaying" if options["discard"] is None else "discarded"
        self.stdout.write(f"{len(chosen) - refused} {what}")
        if refused:
            raise CommandError(f"{refused} of {len(chosen)} refused")

    def _chosen(self, options: dict[str, Any]) -> list[int] | None:
        if options["run"]:
            return list(options["run"])
        if options["cause"]:
            return dead_letters.waiting(causes=options["cause"])
        return dead_letters.waiting() if options["all"] else None

    def _list(self) -> None:
        failed = Run.objects.filter(status=Run.Status.FAILED).order_by("id")
        groups = Counter(failed.values_list("cause", "stage", "error_class"))
        for (cause, stage, error_class), count in groups.most_common():
            self.stdout.write(f"{count:6}  cause {cause or '-':16}  {stage:8}  {error_class}")
        self.stdout.write(f"{groups.total()} set aside. Replay with --all, --cause or --run." if groups else "None.")
