"""The proofs can fail: variants of the flow that lack one of its safeguards are caught by the same rules, every time.

Each control takes a safeguard away in this process, drives the one interleaving that needs it, and must be reported.
The same steps with the safeguard in place must leave nothing to report.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.db.models.functions import Now

from agents import failpoints, lease, pipeline, probe, sweeper
from agents.doorbell import Bell
from agents.lease import Lease
from agents.models import Run
from agents.stages import Finish, Units
from maintenance.models import Channel
from sensors import inbox
from sensors.models import Sensor
from tests import factories
from tests.chaos import ledger, stepping
from tests.chaos.ledger import Request
from tests.chaos.stepping import NO_STOP, Crew, Ended, Sink, Worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_empty")]


@dataclass
class Bench:
    """A plant of one machine, two workers, and what was accepted."""

    sensor: Sensor
    user: User
    crew: Crew
    sink: Sink
    accepted: list[Request] = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)

    def accept(self) -> Bell:
        request = Request("", self.sensor.pk, len(self.accepted), is_high=True)
        items = [
            {"sensor": self.sensor.pk, "measured_at": at.isoformat(), "value": value}
            for (_, at), value in request.readings.items()
        ]
        taken = inbox.accept(
            site=self.sensor.site, user=self.user, body=json.dumps(items).encode(), received_at=factories.NOON
        )
        self.accepted.append(replace(request, batch=str(taken.batch.pk)))
        return Bell("ingest", taken.lanes[0])

    def walk(self, bell: Bell, *, until: str) -> Bell:
        """Answer bells one after the other up to the one for a queue."""
        while bell.queue != until:
            (bell, *_) = self._answer(bell)
        return bell

    def to_the_end(self, bell: Bell) -> None:
        """By the second worker, with all that it leads to."""
        waiting = [bell]
        while waiting:
            waiting += self._answer(waiting.pop(0))

    def _answer(self, bell: Bell) -> tuple[Bell, ...]:
        self.crew.begin(self.crew.workers[1], bell, passes=NO_STOP)
        (ended,) = self.crew.take()
        self.ended.append(ended)
        return ended.bells

    def order(self, worker: Worker, what: Callable[[], object]) -> None:
        self.crew.order(worker, what, passes=NO_STOP)
        self.ended += self.crew.take()

    def sweep(self) -> None:
        for _ in range(20):
            stepping.let_leases_run_out()
            stepping.let_time_pass()
            bells = list(sweeper.due())
            for bell in bells:
                self.to_the_end(bell)
            if not bells:
                return

    def broken(self) -> set[str]:
        found = ledger.rules_broken(ledger.at_rest(self.accepted, kept=self.sink.kept))
        recorded = Counter(ended.bell for ended in self.ended if ended.result == "sent")
        return found | {ledger.SENT_TWICE for times in recorded.values() if times > 1}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    ledger.clear()
    stepping.prepare(monkeypatch)
    sink = stepping.listen(monkeypatch)
    machine = factories.machine(site=factories.site(), criticality="CRITICAL")
    Channel.objects.create(site=machine.site, kind="CONSOLE", name="Console")
    with stepping.crew(2) as crew:
        yield Bench(factories.sensor(machine=machine, high=ledger.HIGH), factories.user(), crew, sink)


# The interleavings

Drive = Callable[[Bench], None]


def frozen_at(point: str) -> Drive:
    """A worker is frozen there for longer than its lease; another one does all the work; then the first wakes."""

    def drive(bench: Bench) -> None:
        frozen, bell = standing_at(point, bench)
        stepping.let_leases_run_out()
        bench.to_the_end(bell)
        bench.order(frozen, stepping.go_on)
        bench.sweep()

    return drive


def dies_at(point: str) -> Drive:
    """A worker dies there."""

    def drive(bench: Bench) -> None:
        dying, _ = standing_at(point, bench)
        bench.order(dying, stepping.die)
        bench.sweep()

    return drive


def standing_at(point: str, bench: Bench) -> tuple[Worker, Bell]:
    """The first worker, brought to a point of a fresh request's way, and the bell it answers."""
    queue, place = point.lower().split(":")
    bell = bench.walk(bench.accept(), until=queue)
    worker = bench.crew.workers[0]
    bench.crew.begin(worker, bell, passes=failpoints.STAGE_POINTS.index(place))
    assert worker.at == point
    return worker, bell


def bell_lost(bench: Bench) -> None:
    """Redis forgets the bell before anybody answers it."""
    bench.accept()
    bench.sweep()


# What is taken away


@contextmanager
def no_fence() -> Iterator[None]:
    """A finish that whoever has any token may make."""
    fence = lease.fence

    def let_everyone_pass(model: type[models.Model], taken: Lease, **changes: Any) -> None:
        row = model._default_manager.filter(pk=taken.id)
        newest = row.values_list("lease_token", flat=True).get()
        row.update(lease_token=taken.token, lease_owner=lease.owner(), lease_until=Now())
        fence(model, taken, **changes)
        row.update(lease_token=newest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lease, "fence", let_everyone_pass)
        yield


@contextmanager
def no_key(name: str) -> Iterator[None]:
    """The database lets a second row with the same key in. The rows go before the key comes back."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('ALTER TABLE %%s DROP CONSTRAINT %%I', conrelid::regclass, conname),"
            " format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', conrelid::regclass, conname, pg_get_constraintdef(oid))"
            " FROM pg_constraint WHERE conname = %s UNION ALL"
            " SELECT format('DROP INDEX %%I', indexname), indexdef FROM pg_indexes WHERE indexname = %s"
            " AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = indexname)",
            [name, name],
        )
        ((drop, restore),) = cursor.fetchall()
        cursor.execute(drop)
        try:
            yield
        finally:
            ledger.clear()
            cursor.execute(restore)


@contextmanager
def no_sweep() -> Iterator[None]:
    """Nobody looks for what is due."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeper, "due", lambda: iter(()))
        yield


@contextmanager
def done_before_the_effects() -> Iterator[None]:
    """Stages are marked as done in a transaction of their own, and have their effects after it."""

    def hasty(step: probe.Step) -> probe.Step:
        def made(run: Run, attempt: int, only: Units) -> Finish:
            finish = step(run, attempt, only)

            def effects() -> None:
                with transaction.atomic():
                    finish.commit()
                finish.after()

            return Finish(finish.changes, after=effects)

        return made

    with pytest.MonkeyPatch.context() as patch:
        for stage, step in pipeline.STEPS.items():
            patch.setitem(pipeline.STEPS, stage, hasty(step))
        yield


@dataclass(frozen=True)
class Control:
    """What is taken away, the steps that need it, and the rules that must be reported as broken."""

    without: tuple[Callable[[], AbstractContextManager[None]], ...]
    drive: Drive
    reported: set[str]


no_key_of_what_is_done = partial(no_key, "stage_done_once")
no_key_of_messages = partial(no_key, "maintenance_notification_key_key")

CONTROLS = {
    "no fence": Control((no_fence,), frozen_at("DETECT:worked"), {ledger.OVERTAKEN}),
    "no fence and no key of what is done": Control(
        (no_fence, no_key_of_what_is_done), frozen_at("DETECT:worked"), {ledger.OVERTAKEN, ledger.STAGE_TWICE}
    ),
    "no fence of deliveries": Control((no_fence,), frozen_at("deliver:claimed"), {ledger.SENT_TWICE}),
    "no key of messages": Control(
        (no_fence, no_key_of_what_is_done, no_key_of_messages), frozen_at("NOTIFY:worked"), {ledger.MESSAGE_TWICE}
    ),
    "no sweep, and a bell is lost": Control((no_sweep,), bell_lost, {ledger.NOT_AT_REST}),
    "no sweep, and a worker dies": Control(
        (no_sweep,), dies_at("VALIDATE:worked"), {ledger.NOT_AT_REST, ledger.HELD, ledger.READINGS_LOST}
    ),
    "no sweep, and a worker dies before the next bell": Control(
        (no_sweep,), dies_at("DECIDE:committed"), {ledger.NOT_AT_REST}
    ),
    "done before the effects, at validate": Control(
        (done_before_the_effects,), dies_at("VALIDATE:committed"), {ledger.READINGS_LOST, ledger.PART_AND_RUN}
    ),
    "done before the effects, at detect": Control(
        (done_before_the_effects,), dies_at("DETECT:committed"), {ledger.EXCURSIONS_LOST}
    ),
    "done before the effects, at decide": Control(
        (done_before_the_effects,), dies_at("DECIDE:committed"), {ledger.CONSEQUENCES}
    ),
    "done before the effects, at notify": Control(
        (done_before_the_effects,), dies_at("NOTIFY:committed"), {ledger.CONSEQUENCES}
    ),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_a_variant_without_a_safeguard_is_reported(name: str, bench: Bench) -> None:
    control = CONTROLS[name]
    with ExitStack() as stack:
        for take_away in control.without:
            stack.enter_context(take_away())
        control.drive(bench)
        assert control.reported - bench.broken() == set()


@pytest.mark.parametrize("name", CONTROLS)
def test_the_same_steps_with_the_safeguards_leave_nothing_to_report(name: str, bench: Bench) -> None:
    CONTROLS[name].drive(bench)
    assert bench.broken() == set()
    assert Run.objects.get().status == "DONE"
    assert bench.sink.kept


def test_the_key_of_what_is_done_stops_what_no_fence_lets_pass(bench: Bench) -> None:
    """Two safeguards, each of which is enough that nothing is doubled."""
    with no_fence():
        frozen_at("DETECT:worked")(bench)
        assert ledger.STAGE_TWICE not in bench.broken()
