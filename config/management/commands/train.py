from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents.trainings import jobs, requests
from config import node
from mlops import ledger, owners
from mlops.models import ModelPolicy, ModelVersion, Training
from mlops.names import NAMES
from sensors import progress
from sensors.models import Site


class Command(BaseCommand):
    help = (
        "Teach models: read their data, hold out what is later, measure beside the baselines, and register a version. "
        "It speaks only if it is better than all of them, and than the champion."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("names", nargs="*", metavar="NAME", help="Of models; --list says which there are.")
        parser.add_argument("--all", action="store_true", help="All of them, one after the other.")
        parser.add_argument("--list", action="store_true", help="Say which models there are, and who speaks.")
        parser.add_argument("--site", metavar="SLUG", help="In place of names: the site's own model, of --class.")
        parser.add_argument("--class", dest="equipment_class", default="", metavar="CLASS",
                            help="Of the site's machines, such as PUMP.")  # fmt: skip
        parser.add_argument("--look-back", type=int, metavar="DAYS",
                            help="So many days up to the newest reading are learned from, from now on.")  # fmt: skip
        parser.add_argument("--incremental", action="store_true",
                            help="Show the champion of the site what was labelled since.")  # fmt: skip
        parser.add_argument("--data", type=Path, default=settings.ML_DATA_DIR, metavar="DIR",
                            help=f"Where the data sets are, a folder each ({settings.ML_DATA_DIR}).")  # fmt: skip
        parser.add_argument("--seconds", type=float, help="For the search; 0: with the usual hyper-parameters.")
        parser.add_argument("--seed", type=int, help="Of everything that is drawn by lot (1).")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["list"]:
            return self._list()
        names = self._names(options)
        chosen = {key: options[key] for key in ("seconds", "seed") if options[key] is not None}
        chosen |= {"incremental": True} if options["incremental"] else {}
        rows = []
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is stopped as well
        self.stderr.write("Starting MLflow where it does not run ...")
        with node.tracking(), progress.Bar(self.stderr, total=100 * len(names), what="parts") as bar:
            for number, name in enumerate(names):
                began = time.monotonic()
                row = self._train(name, chosen, options["data"], bar, 100 * number)
                rows.append((row, time.monotonic() - began))
            jobs.mirror()
        self._table(rows)
        broken = [row for row, _ in rows if row.status != Training.Status.DONE and not _not_at_hand(row)]
        if broken:
            raise CommandError(f"{len(broken)} of {len(rows)} failed.")

    def _names(self, options: dict[str, Any]) -> list[str]:
        if options["site"] is not None:
            return [self._of_site(options)]
        names = list(NAMES) if options["all"] else options["names"]
        if not names:
            raise CommandError("Name a model, or --all, or --site and --class; --list says which there are.")
        if strange := [name for name in names if name not in NAMES and owners.site_of(name) is None]:
            raise CommandError(f"There is no model {strange[0]!r}; --list says which there are.")
        return list(names)

    def _of_site(self, options: dict[str, Any]) -> str:
        if options["all"] or options["names"]:
            raise CommandError("Name models, or a site, not both.")
        site = Site.objects.filter(slug=options["site"]).first()
        if site is None:
            raise CommandError(f"There is no site {options['site']!r}.")
        try:
            return requests.model_of(site, options["equipment_class"], look_back_days=options["look_back"])
        except requests.Refused as error:
            raise CommandError(str(error)) from error

    def _train(self, name: str, chosen: dict[str, Any], folder: Path, bar: progress.Bar, done: int) -> Training:
        def watch(step: str, share: float) -> None:
            bar.show(done + round(100 * share), note=f"{name}: {step}")

        try:
            row = requests.ask(name, cause=Training.Cause.PERSON, options=chosen, here=True)
        except requests.Refused as error:
            return Training(name=name, status=Training.Status.FAILED, reason=str(error))
        try:
            while jobs.perform(row.pk, folder=folder, watch=watch) == "retry":
                Training.objects.filter(pk=row.pk).update(due_at=row.due_at)
        except KeyboardInterrupt:
            requests.stop(row.pk)
            raise CommandError(f"{name} was stopped.") from None
        row.refresh_from_db()
        return row

    def _table(self, rows: list[tuple[Training, float]]) -> None:
        for row, seconds in rows:
            version = ModelVersion.objects.filter(training_id=row.pk or 0).first()
            if version is None:
                self.stdout.write(f"{row.name:28} {'not at hand' if _not_at_hand(row) else 'failed'}: {row.reason}")
                continue
            gain = min(version.comparisons, key=lambda one: one["gain"][0] or 0.0, default=None)
            beside = f"better than {gain['other']} by {gain['gain'][0]:.4g}" if gain else ""
            said = version.objections[0] if version.objections else "may speak"
            self.stdout.write(f"{row.name:28} version {version.version}  {seconds:6.1f} s  {beside}: {said}")
        made = sum(row.status == Training.Status.DONE for row, _ in rows)
        self.stdout.write(f"{made} versions in {sum(seconds for _, seconds in rows):.0f} s.")

    def _list(self) -> None:
        of_sites = ModelPolicy.objects.filter(site__isnull=False).order_by("name").values_list("name", flat=True)
        for name, experiment in (*NAMES.items(), *((name, "of a site") for name in of_sites)):
            speaks = ledger.champion(name)
            self.stdout.write(f"{name:28} {experiment:28} {f'version {speaks.version} speaks' if speaks else '-'}")


def _not_at_hand(row: Training) -> bool:
    return row.status == Training.Status.FAILED and "is not at hand" in row.reason
