"""Alarm storms through decide, notify and the outbox to a mail server that is real: ``make bench-storms``.

A hundred machines of a site trip one after the other within minutes, and their sensors find something abnormal again
and again. One person is subscribed to all of it. What that person got stands beside what plain systems would have sent
of the same findings. Each storm is at a site of its own; one process does the work of all workers and of the sweep.
Where nothing is left to do but wait, the clock is put forward to when the next thing is due: waiting is counted, not
waited.

No figure counts unless the books balance: every finding decided, every message sent or told in a digest that was, the
ledger the same as the mail server's log, and the order in the mails the same as a plain reckoning finds.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from statistics import median
from typing import Any

import numpy as np
from django.db import connection, transaction
from django.db.models import Count, Min, Sum
from django.test.utils import override_settings
from django.utils import timezone

from agents import shelves, sweeper
from agents.channels import email
from agents.channels.sink import Mail, SmtpSink
from agents.doorbell import Bell
from agents.models import Run
from config import embedded
from maintenance import anomalies, digests, floods, gathered
from maintenance.digests import OF_A_FLOOD
from maintenance.flood_models import Flood
from maintenance.models import Alarm, AlarmTransition, Anomaly, Attempt, Channel, Notification, Reader, WorkOrder
from maintenance.sightings import Sighting
from sensors import columns
from sensors.columns import SECOND_US
from sensors.models import Sensor, Site
from tests import factories
from tests.bench import results
from tests.bench.results import row

STORMS, FINDINGS, MACHINES = 20, 10_000, 100
KINDS = ("FLOW", "TEMPERATURE", "VIBRATION", "LEVEL", "PRESSURE") * 2
"""Of the sensors of a machine, which point to four failure modes."""
LASTS, TRIPS, SLICE = 300, 120, 20
"""Seconds of a storm, seconds within which its machines trip, and seconds of event time in a run."""
HANDFUL, WORD_SECONDS, SHOWN = 20, 60.0, 24
FOUND = "machine", "failure_mode", "started_at"
TOLD = ("OPENED", "RAISED", "REOPENED", "RETURNED")


class BooksDoNotBalance(AssertionError):
    """Something was lost, doubled or told wrongly: the figures do not count."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one storm. Seconds count from its first run; ``alone``: messages without flood mode."""

    findings: int
    runs: int
    alarms: int
    activations: int
    orders: int
    occurrences: int
    alone: int
    sent: int
    digests: tuple[int, ...]
    """Of each digest how many alarms it tells of."""
    saw: tuple[str, ...]
    """Subjects of the mails, and the beginning of the first digest."""
    work: float
    word: float
    quiet: float


def people(number: int) -> tuple[Site, Channel]:
    """A site and the mailbox of who is subscribed to all of it."""
    site = factories.site(name=f"Storm {number}")
    reader = Reader.objects.create(site=site, user=factories.user(site=site, username=f"reader-{site.pk}"))
    target = f"reader-{site.pk}@plant.example"
    return site, Channel.objects.create(site=site, kind="EMAIL", name="mail", target=target, reader=reader)


def plant(site: Site, machines: int) -> list[Sensor]:
    """The sensors of so many machines, one of which is critical."""
    made = []
    for n in range(machines):
        criticality = "CRITICAL" if n == machines // 2 else ("HIGH", "MEDIUM", "LOW")[n % 3]
        machine = factories.machine(site=site, criticality=criticality)
        made += [factories.sensor(machine=machine, kind=kind) for kind in KINDS]
    return made


def storm(sensors: Sequence[Sensor], findings: int, *, start: int, dice: np.random.Generator) -> list[Sighting]:
    """So many stretches, in the order in which they begin: a machine trips, and each of its sensors chatters until the
    storm is over. The critical machine has one of them, which is severe and stays."""
    critical = next(n for n, sensor in enumerate(sensors) if sensor.machine.criticality == "CRITICAL")
    chattering = [n for n, sensor in enumerate(sensors) if sensor.machine_id != sensors[critical].machine_id]
    machines = len(sensors) // len(KINDS)
    trips = np.repeat(dice.permutation(machines), len(KINDS)) * TRIPS / machines
    made = [_sighting(sensors[critical], start, trips[critical], None, severe=True)]
    shares = np.bincount(np.arange(findings - 1) % len(chattering), minlength=len(chattering))
    for n, count in zip(chattering, shares.tolist(), strict=True):
        step = (LASTS - trips[n]) / max(1, count)
        begins = trips[n] + step * (np.arange(count) + dice.uniform(0, 0.4, count))
        ends = begins + step * dice.uniform(0.3, 0.6, count)
        for begin, end in zip(begins, ends, strict=True):
            made.append(_sighting(sensors[n], start, begin, end, severe=n % 10 == 0))
    return sorted(made, key=lambda one: one.started_at)


def _sighting(sensor: Sensor, start: int, begin: float, end: float | None, *, severe: bool) -> Sighting:
    at = start + int(begin * SECOND_US)
    return Sighting(
        sensor_id=sensor.pk, detector="limits", detector_version="1", readings=2, peak_score=0.7, peak_at=at,
        kind="LIMIT_HIGH_HIGH" if severe else "LIMIT_HIGH", started_at=at, last_at=at, window_from=at, window_to=at,
        ended_at=None if end is None else start + int(end * SECOND_US), observed=12.0, expected_low=None,
        expected_high=10.0,
    )  # fmt: skip


def slices(found: Sequence[Sighting], *, start: int) -> Iterator[tuple[int, list[Sighting]]]:
    """What detect would hand over run by run: what began or ended in a piece of event time, as it was known at its end;
    and that end."""
    for since in range(start, start + (LASTS + SLICE) * SECOND_US, SLICE * SECOND_US):
        until = since + SLICE * SECOND_US
        ends = [until if one.ended_at is None else one.ended_at for one in found]
        news = [
            replace(one, ended_at=one.ended_at if end < until else None)
            for one, end in zip(found, ends, strict=True)
            if since <= one.started_at < until or since <= end < until
        ]
        if news:
            yield until, news


class Raging:
    """One storm, from its first run until nothing is held or waits."""

    def __init__(self, number: int, *, findings: int, machines: int, sink: SmtpSink) -> None:
        self.site, self.mailbox = people(number)
        self.sensors = plant(self.site, machines)
        self.before, self.sink = len(sink.received), sink
        self.findings, self.runs = findings, 0
        self.ahead = timedelta()
        self.word = 0.0

    def rage(self, dice: np.random.Generator) -> Told:
        start = columns.from_instant(timezone.now()) - (LASTS + 2 * SLICE) * SECOND_US
        found = storm(self.sensors, self.findings, start=start, dice=dice)
        machines = sorted({sensor.machine_id for sensor in self.sensors})
        self.began = time.perf_counter()
        for until, news in slices(found, start=start):
            self.run(news, clocks=dict.fromkeys(map(str, machines), until))
            self.sweep()
        while (due := self.next_due()) is not None:
            self.ahead = max(self.ahead, due - timezone.now())
            self.sweep()
        return self.told(work=time.perf_counter() - self.began)

    def run(self, news: Sequence[Sighting], *, clocks: dict[str, int]) -> None:
        """A run that detect has just finished, through the stages behind it and its messages."""
        self.runs += 1
        with transaction.atomic():
            run = Run.objects.create(lane=0, stage=Run.Stage.DECIDE, findings={"clocks": clocks})
            anomalies.record(news, run_id=run.pk)
        sweeper.work_off([Bell("decide", run.pk)])

    def sweep(self) -> None:
        """A pass of the sweep, at the instant to which the clock was put."""
        now = timezone.now() + self.ahead
        for flood_id in floods.due(now=now):
            floods.look(flood_id, now=now)
        digests.release(limit=100, now=now)
        shelves.tell()
        sweeper.work_off(sweeper.due())
        if not self.word and self.tells(self.sink.received[self.before :]):
            self.word = self.elapsed()

    def tells(self, mails: Sequence[Mail]) -> bool:
        """Whether one of the mails is the digest of a flood."""
        return any("Alarm flood" in str(mail.message["Subject"]) for mail in mails)

    def elapsed(self) -> float:
        return time.perf_counter() - self.began + self.ahead.total_seconds()

    def next_due(self) -> datetime | None:
        """When what is held is due, or the flood may be over; None: all is quiet."""
        held = Notification.objects.filter(site=self.site, status="HELD").aggregate(at=Min("due_at"))["at"]
        flood = Flood.objects.filter(site=self.site).aggregate(at=Min("look_at"))["at"]
        return min((at for at in (held, flood) if at is not None), default=None)

    def told(self, *, work: float) -> Told:
        mails = self.sink.received[self.before :]
        self.balance(mails)
        mine = Alarm.objects.filter(site=self.site)
        steps = AlarmTransition.objects.filter(alarm__site=self.site, action__in=("OPENED", "REOPENED"))
        sums = mine.aggregate(alarms=Count("pk"), occurrences=Sum("occurrences"))
        rows = Notification.objects.filter(site=self.site)
        of_floods = rows.filter(event_type=OF_A_FLOOD).order_by("id")
        return Told(
            findings=self.findings, runs=self.runs, alarms=sums["alarms"], activations=steps.count(),
            orders=WorkOrder.objects.filter(site=self.site).count(), occurrences=sums["occurrences"],
            alone=rows.exclude(event_type__startswith=digests.DIGEST).count(), sent=len(mails),
            digests=tuple(row.payload["flood"]["alarms"] for row in of_floods), saw=self.saw(mails), work=work,
            word=self.word, quiet=self.elapsed(),
        )  # fmt: skip

    def saw(self, mails: Sequence[Mail]) -> tuple[str, ...]:
        lines = next(mail.text.splitlines() for mail in mails if self.tells([mail]))
        short = [line for line in lines if "http" not in line]
        return (*(str(mail.message["Subject"]) for mail in mails), "", *short[:SHOWN])

    def balance(self, mails: Sequence[Mail]) -> None:
        """Raises ``BooksDoNotBalance``."""
        found = Anomaly.objects.filter(site=self.site)
        rows = Notification.objects.filter(site=self.site)
        told = AlarmTransition.objects.filter(alarm__site=self.site, action__in=TOLD)
        keys = {f"alarm-transition/{pk}/channel/{self.mailbox.pk}" for pk in told.values_list("pk", flat=True)}
        carried = rows.filter(status="SENT") | rows.filter(status="DIGESTED", digest__status="SENT")
        sent = rows.filter(status="SENT")
        ids = {email.message_id(key) for key in sent.values_list("key", flat=True)}
        wrong = {
            "findings stored": found.count() - self.findings,
            "findings not decided": found.filter(decisions=None).count(),
            "runs not done": Run.objects.exclude(status="DONE").count(),
            "transitions not told": len(keys - set(carried.values_list("key", flat=True))),
            "messages neither sent nor told": rows.count() - carried.count(),
            "mails beside the ledger": len(mails) - Attempt.objects.filter(notification__site=self.site).count(),
            "mails beside the messages": len({mail.message_id for mail in mails} ^ ids),
            "mails twice": len(mails) - len({mail.message_id for mail in mails}),
            "digests out of order": sum(not self.is_first_out(mail) for mail in mails if self.tells([mail])),
            "floods that last": Flood.objects.filter(site=self.site, ended_at=None).count(),
        }
        if any(wrong.values()):
            raise BooksDoNotBalance({what: count for what, count in wrong.items() if count})

    def is_first_out(self, mail: Mail) -> bool:
        """Whether a digest names machines in the order in which their first findings began, by what was found."""
        rows, wanted_id = Notification.objects.filter(site=self.site), mail.message_id
        digest = next(row for row in rows.filter(event_type=OF_A_FLOOD) if email.message_id(row.key) == wanted_id)
        subjects = set(digest.told.values_list("payload__subject", flat=True))
        known = Alarm.objects.filter(site=self.site).values_list("id", "machine", "failure_mode")
        told = {(machine, mode) for pk, machine, mode in known if f"alarm/{pk}" in subjects}
        first: dict[int, datetime] = {}
        for machine, mode, at in Anomaly.objects.filter(site=self.site).values_list(*FOUND):
            if (machine, mode) in told:
                first[machine] = min(at, first.get(machine, at))
        tags = {sensor.machine_id: str(sensor.machine) for sensor in self.sensors}
        wanted = [tags[machine] for machine in sorted(first, key=lambda machine: first[machine])]
        seen = [name for line in mail.text.splitlines() if (name := line.rpartition(" (")[0]) in set(wanted)]
        return bool(seen) and seen == wanted[: len(seen)]


def bench(*, storms: int, findings: int, machines: int, seed: int = 1) -> tuple[list[Told], list[dict[str, Any]]]:
    dice = np.random.default_rng(seed)
    with SmtpSink() as sink, override_settings(EMAIL_HOST=sink.host, EMAIL_PORT=sink.port, EMAIL_USE_TLS=False):
        made = []
        for n in range(storms):
            made.append(Raging(n + 1, findings=findings, machines=machines, sink=sink).rage(dice))
            sys.stdout.write(f"storm {n + 1} of {storms}: {made[-1].work:.0f} s of work\n")
            sys.stdout.flush()
    return made, figures(made)


def figures(made: Sequence[Told]) -> list[dict[str, Any]]:
    def of(name: str) -> list[float]:
        return [getattr(one, name) for one in made]

    named = [count for one in made for count in one.digests]
    most, word = max(of("sent")), max(of("word"))
    return [
        row("findings", sum(of("findings")), f"in {len(made)} storms", detail="each of them decided"),
        row("alarms opened", median(of("alarms")), "a storm (median)",
            detail=f"{median(of('activations')):g} times active, {median(of('occurrences')):g} occurrences"),
        row("work orders opened", median(of("orders")), "a storm (median)"),
        row("a message for each finding (naive)", median(of("findings")), "messages to a person"),
        row("a message for each change (no flood mode)", median(of("alone")), "messages to a person"),
        row("messages sent to a person", median(of("sent")), "a storm (median)", baseline=median(of("alone"))),
        row("messages sent to a person, at most", most, "a storm", goal=f"<= {HANDFUL}", ok=most <= HANDFUL),
        row("alarms that a digest tells of", median(named), "alarms (median)",
            detail=f"{min(named)} to {max(named)}; at most {gathered.ITEMS} by name, the one that came first first"),
        row("until the first digest, at most", word, "s", goal=f"<= {WORD_SECONDS:g}", ok=word <= WORD_SECONDS),
        row("time to quiet", median(of("quiet")), "s (median)", detail=f"at most {max(of('quiet')):.0f} s"),
        row("of that at work", median(of("work")), "s (median)", detail="the rest is waiting for the flood's end"),
    ]  # fmt: skip


def table(made: Sequence[Told]) -> Iterator[list[str]]:
    yield ["storm", "findings", "alarms", "times active", "work orders", "messages without flood mode", "messages sent",
           "alarms in its digests", "first digest after, s", "quiet after, s", "of that work, s"]  # fmt: skip
    for n, one in enumerate(made, start=1):
        yield [str(n), str(one.findings), str(one.alarms), str(one.activations), str(one.orders), str(one.alone),
               str(one.sent), ", ".join(map(str, one.digests)), f"{one.word:.0f}", f"{one.quiet:.0f}",
               f"{one.work:.0f}"]  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--storms", type=int, default=STORMS, help="how many")
    parser.add_argument("--findings", type=int, default=FINDINGS, help="of each storm")
    parser.add_argument("--machines", type=int, default=MACHINES, help="of each site")
    asked = parser.parse_args(arguments)
    logging.disable(logging.WARNING)
    embedded.ensure_needed()
    real = connection.settings_dict["NAME"]
    connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
    try:
        made, rows = bench(storms=asked.storms, findings=asked.findings, machines=asked.machines)
    finally:
        connection.creation.destroy_test_db(real, verbosity=0)
    results.wide(table(made))
    sys.stdout.write("What the person of the first storm got:\n\n    " + "\n    ".join(made[0].saw) + "\n\n")
    results.show(rows)
    results.keep("storms", rows)
    return 0 if all(one["ok"] is not False for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
