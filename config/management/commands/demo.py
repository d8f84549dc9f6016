from __future__ import annotations

import contextlib
import signal
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import requests
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from agents import replay, water_flow
from agents.channels.sink import SmtpSink
from agents.replay import Plan, Tally
from config import node
from config.supervisor import Supervisor
from maintenance.models import Alarm, Anomaly, Channel, Notification, WorkOrder
from sensors import onboarding, progress, store
from sensors.connectors import csv
from sensors.models import BatchPart, Membership, Site

READY_SECONDS = 120
BATCH = 8
MOST_FALSE = 2


class Command(BaseCommand):
    help = "Stream a real series through the whole service and show what it found. Serves until Ctrl-C."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--exit", action="store_true", help="Stop after the summary; status 0 only if all is well.")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--flower-port", type=int, default=5555)
        parser.add_argument("--verbose", action="store_true", help="Show what the processes log.")

    def handle(self, *args: Any, **options: Any) -> None:
        port, flower = node.free_port(options["port"]), node.free_port(options["flower_port"])
        mlflow = node.free_port(settings.MLFLOW_PORT) if settings.MLFLOW_PORT else 0
        with SmtpSink(port=0) as sink, self._log(options["verbose"]) as log:
            supervisor = node.prepare(
                port=port,
                flower_port=flower,
                mlflow_port=mlflow,
                extra={"EMAIL_HOST": sink.host, "EMAIL_PORT": str(sink.port), "EMAIL_USE_TLS": "0"},
            )
            supervisor.out = log
            supervisor.start()
            watching = threading.Thread(target=supervisor.watch, daemon=True)
            watching.start()
            try:
                good = self._run(port, flower, mlflow, sink, supervisor)
                if not options["exit"]:
                    self.stdout.write("\nServing until Ctrl-C.")
                    self._wait_for_a_signal()
            finally:
                supervisor.stopping.set()
                watching.join()
        if options["exit"] and not good:
            raise CommandError("The demonstration did not end as it should: see above.")

    def _run(self, port: int, flower: int, mlflow: int, sink: SmtpSink, supervisor: Supervisor) -> bool:
        url = f"http://127.0.0.1:{port}"
        self._wait_until_ready(url)
        plan, client, admin = self._make_site()
        self.stdout.write(f"Streaming {plan.layout.rows} readings of {plan.path.name} to {url}/api/v1/data/ingest")
        began = time.monotonic()
        sender = replay.through_http(url, site=plan.site, username=client.user.username, password=client.password or "")
        tally = Tally()
        with progress.Bar(self.stdout, total=plan.layout.rows, what="sent") as bar:
            for tally in replay.send(plan, sender, batch=BATCH):
                bar.show(tally.sent)
        with progress.Bar(self.stdout, total=plan.layout.rows, what="judged") as bar:
            done = replay.wait_until_done(
                plan.site, tick=lambda left: bar.show(plan.layout.rows if not any(left.values()) else 0, note=str(left))
            )
        seconds = time.monotonic() - began
        good = self._summary(plan.site, tally, sink, done=done, seconds=seconds)
        self.stdout.write("\nWhere to look")
        for line in node.where_to_look(port=port, flower_port=flower, mlflow_port=mlflow):
            self.stdout.write(f"  {line}")
        self.stdout.write(f"  Log in as   {admin.user.username}, password {admin.password}")
        return good

    def _make_site(self) -> tuple[Plan, onboarding.Person, onboarding.Person]:
        """A site of its own for each demonstration, so that its books can be balanced."""
        number = Site.objects.filter(slug__startswith="demo-").count() + 1
        site, _ = onboarding.site(slug=f"demo-{number}", name=f"Demonstration {number}", time_zone="Europe/Rome")
        client = onboarding.new_password(
            onboarding.member(f"demo-ingest-{number}", site=site, role=Membership.Role.INGEST).user
        )
        admin = onboarding.new_password(onboarding.administrator("demo-admin").user)
        Channel.objects.create(site=site, kind="EMAIL", name="Shift", target="shift@demo.example")
        Channel.objects.create(site=site, kind="CONSOLE", name="Console")
        path, zone = water_flow.path(), ZoneInfo("Europe/Rome")
        layout = csv.inspect(path, zone=zone)
        plan = Plan(path, layout, zone, site, tag="Branch 1", kind="FLOW", unit="l/s", prefix="branch-1/")
        replay.create(plan)
        return plan, client, admin

    def _summary(self, site: Site, tally: Tally, sink: SmtpSink, *, done: bool, seconds: float) -> bool:
        stored = store.count(site.sensors.values_list("pk", flat=True))
        parts = BatchPart.objects.filter(batch__site=site)
        already = sum(p or 0 for p in parts.values_list("already_stored", flat=True))
        conflicts = sum(p or 0 for p in parts.values_list("conflicts", flat=True))
        accounted = stored + already + conflicts + tally.duplicates + tally.held + tally.rejected
        machine = list(Anomaly.objects.filter(site=site, nature="MACHINE", retrospective=False).order_by("started_at"))
        score = water_flow.score(machine)
        sent = Notification.objects.filter(site=site, status="SENT")
        mails = sent.filter(channel__kind="EMAIL").count()
        checks = {
            "everything came to its end": done,
            "the books balance": tally.sent == accounted,
            "all documented stretches found": score.all_found,
            f"at most {MOST_FALSE} false alarms": len(score.false) <= MOST_FALSE,
            "every mail sent arrived once": mails
            == len(sink.received)
            == len({mail.message_id for mail in sink.received}),
        }
        line = self.stdout.write
        line("\nReadings")
        line(f"  sent {tally.sent}, stored {stored}, already stored {already}, in conflict {conflicts},")
        line(f"  twice in a body {tally.duplicates}, held {tally.held}, rejected {tally.rejected}; {seconds:.1f} s")
        line(f"  {len(tally.batches)} requests, {water_flow.runs_of(site)} runs through the five stages")
        line(f"Anomalies of the machine: {len(machine)}")
        for stretch, anomalies in score.found:
            found = f"found, score {max(a.peak_score for a in anomalies):.3f}" if anomalies else "MISSED"
            line(f"  {stretch.name:10} {stretch.start:%d %b %H:%M} to {stretch.end:%d %b %H:%M}   {found}")
        line(f"  false alarms (further than {water_flow.MARGIN} from any): {len(score.false)}")
        for anomaly in score.false:
            line(f"    {anomaly.kind} {anomaly.started_at:%d %b %H:%M} to {anomaly.last_at:%d %b %H:%M} UTC")
        faults = Anomaly.objects.filter(site=site, nature="INSTRUMENT").count()
        orders = WorkOrder.objects.filter(site=site).count()
        line(f"Sensor faults {faults}, alarms {Alarm.objects.filter(site=site).count()}, work orders {orders}")
        line(f"Notifications sent {sent.count()}, of them {mails} mails; the mail server received {len(sink.received)}")
        line(f"HTTP accept to anomaly row: {_percentiles(water_flow.accept_to_anomaly(site))}")
        for claim, holds in checks.items():
            line(f"  {'ok  ' if holds else 'FAIL'} {claim}")
        return all(checks.values())

    def _wait_until_ready(self, url: str) -> None:
        self.stdout.write("Starting web, workers, beat, sweep, Flower and MLflow ...")
        session = requests.Session()
        session.trust_env = False
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(requests.ConnectionError, requests.Timeout):  # not listening yet
                if session.get(f"{url}/health/ready", timeout=20).status_code == requests.codes.ok:
                    return
            time.sleep(0.2)
        raise CommandError(f"The web server was not ready within {READY_SECONDS} s; --verbose shows its log.")

    @contextlib.contextmanager
    def _log(self, verbose: bool) -> Iterator[Any]:
        """Where the processes' output goes: the terminal, or a file that the summary does not drown in."""
        if verbose:
            yield sys.stderr
            return
        path = node.home() / "demo.log"
        self.stdout.write(f"The processes log to {path}")
        with path.open("w", encoding="utf-8") as file:
            yield file

    def _wait_for_a_signal(self) -> None:
        stop = threading.Event()
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: stop.set())
        stop.wait()


def _percentiles(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "too few to say"
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return f"p50 {cuts[9] * 1000:.0f} ms, p95 {cuts[18] * 1000:.0f} ms (n = {len(seconds)})"
