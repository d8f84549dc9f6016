"""Any sequence of requests, bells, steps of three workers, deaths, failures and time, on a real Postgres: what must
hold at any moment holds after each step, and what must be there in the end is there.

    CHAOS_EXAMPLES=1000 python -m pytest tests/chaos/test_state_machine.py

takes as many sequences as asked for, from a seed of its own each time; without it they are the same each time.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from typing import ClassVar

import pytest
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError
from django_redis import get_redis_connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from agents import dead_letters, failpoints, pipeline, sweeper
from agents.doorbell import Bell
from agents.models import Run, StageAttempt
from maintenance.models import Channel
from sensors import inbox, store
from sensors.models import Equipment, Sensor
from tests import factories
from tests.chaos import ledger, stepping
from tests.chaos.invariants import Violation
from tests.chaos.ledger import Request
from tests.chaos.stepping import Crew, Ended, Sink

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("redis_empty"),
    # The trials of quarantine are forks. They are made from the one thread that moves at that moment.
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]

EXAMPLES = 30
STEPS = 30
WORKERS = 3
RAISES_AT_VALIDATE, KILLS_AT_VALIDATE, RAISES_AT_DETECT = 66.125, 66.25, 66.5
DOSES = f"VALIDATE:raise:{RAISES_AT_VALIDATE},VALIDATE:kill:{KILLS_AT_VALIDATE},DETECT:raise:{RAISES_AT_DETECT}"
TO_REST = 200  # rounds
ENOUGH = 4
"""Disturbances after which a run may be set aside although nothing is wrong with it: two for each quarantine."""

CAUSED = {"", "Told", "InterfaceError", "OperationalError", "Poisoned", "WorkerDied"}
"""Classes of error that somebody caused here; any other is a constraint that had to step in, or a bug."""

some = st.integers(0, 63)
poisons = st.sampled_from([0.0, 0.0, 0.0, 0.0, RAISES_AT_VALIDATE, KILLS_AT_VALIDATE, RAISES_AT_DETECT])
passes = st.one_of(st.integers(0, 5), st.just(stepping.NO_STOP))


class Flow(RuleBasedStateMachine):
    """The flow and all that can befall it. Rules that pick something take a number, so that they always can."""

    sensors: ClassVar[list[Sensor]]
    user: ClassVar[User]
    sink: ClassVar[Sink]

    def __init__(self) -> None:
        super().__init__()
        ledger.clear()
        os.environ[failpoints.POISON] = DOSES
        self.sink.kept.clear()
        self.sink.moods.clear()
        self.crew = Crew(WORKERS)
        self.accepted: list[Request] = []
        self.keys: dict[str, tuple[str, Request]] = {}
        self.bells: list[Bell] = []
        self.answered: list[Bell] = []
        self.recorded: Counter[int] = Counter()
        self.disturbed: Counter[int] = Counter()
        self.surprises: list[Ended] = []
        self.is_sound = True

    # What clients do

    @initialize(number=some, is_high=st.booleans(), poison=poisons)
    def begin_with_two_requests(self, number: int, is_high: bool, poison: float) -> None:
        """For one machine, or for two that share a lane, or for two lanes."""
        self.accept(number, is_high=True, poison=0.0, has_key=True)
        self.accept(number // 8, is_high=is_high, poison=poison, has_key=False)

    @rule(
        number=some,
        is_high=st.booleans(),
        poison=poisons,
        has_key=st.booleans(),
    )
    def accept(self, number: int, is_high: bool, poison: float, has_key: bool) -> None:
        sensor = self.sensors[number % len(self.sensors)]
        place = 1 + max((r.place for r in self.accepted if r.sensor == sensor.pk), default=-1)
        request = Request("", sensor.pk, place, is_high=is_high, poison=poison)
        self._send(request, key=f"key-{sensor.pk}-{place}" if has_key else "")

    @precondition(lambda self: self.accepted)
    @rule(number=some, has_key=st.booleans())
    def accept_again(self, number: int, has_key: bool) -> None:
        """Under its key it is the batch it was; without one it is another batch, with nothing new in it."""
        keyed = sorted(self.keys)
        if has_key and keyed:
            key = keyed[number % len(keyed)]
            batch, request = self.keys[key]
            assert self._send(request, key=key) == batch
        else:
            self._send(self.accepted[number % len(self.accepted)], key="")

    def _send(self, request: Request, *, key: str) -> str:
        (sensor,) = (sensor for sensor in self.sensors if sensor.pk == request.sensor)
        items = [
            {"sensor": sensor.pk, "measured_at": at.isoformat(), "value": value}
            for (_, at), value in request.readings.items()
        ]
        taken = inbox.accept(
            site=sensor.site,
            user=self.user if key else None,
            body=json.dumps(items).encode(),
            received_at=factories.NOON,
            idempotency_key=key,
        )
        batch = str(taken.batch.pk)
        if not taken.replayed:
            made = Request(batch, request.sensor, request.place, is_high=request.is_high, poison=request.poison)
            self.accepted.append(made)
            self.bells += [Bell("ingest", lane) for lane in taken.lanes]
            if key:
                self.keys[key] = batch, made
        return batch

    # What workers do

    @precondition(lambda self: self.crew.idle and self.for_workers())
    @rule(number=some, which=some, passes=passes)
    def deliver_a_bell(self, number: int, which: int, passes: int) -> None:
        waiting = self.for_workers()
        bell = waiting[which % len(waiting)]
        self.bells.remove(bell)
        self._begin(number, bell, passes)

    @precondition(lambda self: self.crew.idle and self.answered)
    @rule(number=some, which=some, passes=passes)
    def deliver_an_old_bell(self, number: int, which: int, passes: int) -> None:
        self._begin(number, self.answered[which % len(self.answered)], passes)

    @precondition(lambda self: self.crew.idle and self.for_workers())
    @rule()
    def work_off_what_was_rung(self) -> None:
        for bell in self.for_workers():
            self.bells.remove(bell)
            self._to_the_end(bell)

    @precondition(lambda self: self.crew.standing)
    @rule(number=some, passes=passes)
    def go_on(self, number: int, passes: int) -> None:
        self._order(number, stepping.go_on, passes=passes)

    @precondition(lambda self: self.crew.standing)
    @rule(number=some)
    def die(self, number: int) -> None:
        self._order(number, stepping.die)

    @precondition(lambda self: self.crew.standing)
    @rule(number=some, passes=passes)
    def lose_the_connection(self, number: int, passes: int) -> None:
        self._order(number, stepping.lose_the_connection, passes=passes)

    @precondition(lambda self: any(not worker.at.startswith("deliver") for worker in self.crew.standing))
    @rule(number=some, passes=passes)
    def fail(self, number: int, passes: int) -> None:
        self._order(number, stepping.fail, passes=passes)

    @precondition(lambda self: any(bell.queue == "deliver" for bell in self.bells))
    @rule(moods=st.lists(st.sampled_from([stepping.KEEP, stepping.BUSY, stepping.SILENT]), min_size=1, max_size=3))
    def the_sink_has_moods(self, moods: list[str]) -> None:
        self.sink.moods[:] = moods

    # What time does, and who looks after it

    @precondition(lambda self: self.crew.standing)
    @rule()
    def leases_run_out(self) -> None:
        """Who stands at a point has been frozen for too long."""
        for model, row in stepping.let_leases_run_out():
            self.disturbed[row] += model == "Run"

    @rule()
    def sweep(self) -> None:
        stepping.let_time_pass()
        self.bells += [bell for bell in sweeper.due() if bell not in self.bells]

    @precondition(lambda self: self.bells)
    @rule(which=some)
    def lose_a_bell(self, which: int) -> None:
        self.bells.pop(which % len(self.bells))

    @precondition(lambda self: self.bells)
    @rule()
    def redis_loses_everything(self) -> None:
        get_redis_connection("default").flushdb()
        self.bells.clear()

    @precondition(lambda self: self.may_search())
    @rule()
    def search(self) -> None:
        """By this thread: a trial is a fork, and whoever else moved at that moment would be cut off in the child."""
        for bell in [bell for bell in self.bells if bell.queue == "quarantine"]:
            self.bells.remove(bell)
            self.answered.append(bell)
            self.bells += pipeline.search(bell.id).bells

    @precondition(lambda self: ledger.still_dead())
    @rule(which=some)
    def replay(self, which: int) -> None:
        dead = ledger.still_dead()
        self.bells.append(Bell("ingest", dead_letters.replay(dead[which % len(dead)], actor="somebody")))

    @precondition(lambda self: dead_letters.waiting())
    @rule(which=some)
    def discard(self, which: int) -> None:
        waiting = dead_letters.waiting()
        dead_letters.discard(waiting[which % len(waiting)], actor="somebody", reason="a test")

    # How the rules do it

    def for_workers(self) -> list[Bell]:
        return [bell for bell in self.bells if bell.queue != "quarantine"]

    def may_search(self) -> bool:
        """Trials write what the run would write; one that stands in a transaction would make them wait."""
        has_bell = any(bell.queue == "quarantine" for bell in self.bells)
        return has_bell and not any(map(stepping.is_in_a_transaction, self.crew.standing))

    def _begin(self, number: int, bell: Bell, passes: int) -> None:
        self.answered.append(bell)
        self.crew.begin(self.crew.idle[number % len(self.crew.idle)], bell, passes=passes)
        self._hear()

    def _order(self, number: int, what: Callable[[], object], *, passes: int = 0) -> None:
        worker = self.crew.standing[number % len(self.crew.standing)]
        if what is stepping.fail and worker.at.startswith("deliver"):
            return
        if what is not stepping.go_on and worker.bell is not None:
            self._note_disturbance(worker.bell)
        self.crew.order(worker, what, passes=passes)
        self._hear()

    def _note_disturbance(self, bell: Bell) -> None:
        if bell.queue == "ingest":
            for run_id in Run.objects.filter(lane=bell.id, status="ACTIVE").values_list("id", flat=True):
                self.disturbed[run_id] += 1
        elif bell.queue != "deliver":
            self.disturbed[bell.id] += 1

    def _hear(self) -> None:
        for ended in self.crew.take():
            self.bells += ended.bells
            self.recorded[ended.bell.id] += ended.result == "sent"
            if ended.error is not None and not isinstance(ended.error, InterfaceError | OperationalError):
                self.surprises.append(ended)

    def _to_the_end(self, bell: Bell) -> None:
        """A bell and what it leads to, by one worker that nothing stops."""
        following = [bell]
        while following and self.crew.idle:
            known = len(self.bells)
            self._begin(0, following.pop(0), stepping.NO_STOP)
            following += [b for b in self.bells[known:] if b.queue != "quarantine"]
            self.bells[known:] = [b for b in self.bells[known:] if b.queue == "quarantine"]
        self.bells += following

    def _come_to_rest(self) -> None:
        self.crew.let_all_go()
        self._hear()
        for _ in range(TO_REST):
            stepping.let_leases_run_out()
            self.sweep()
            if not self.bells:
                return
            self.search()
            for bell in self.for_workers():
                self.bells.remove(bell)
                self._to_the_end(bell)
        raise AssertionError(f"did not come to rest: {self.bells}")

    # What must hold

    @invariant()
    def nothing_is_wrong_at_this_moment(self) -> None:
        self._hold_to(ledger.at_any_moment())

    def _hold_to(self, found: list[Violation]) -> None:
        found += [Violation("nobody caused this", f"{s.bell}: {s.error!r}") for s in self.surprises]
        found += [Violation(ledger.SENT_TWICE, str(row)) for row, times in self.recorded.items() if times > 1]
        for run_id, name, text in StageAttempt.objects.exclude(error_class__in=CAUSED).values_list(
            "run_id", "error_class", "error"
        ):
            found.append(Violation("nobody caused this", f"run {run_id}, {name}: {text[-1500:]}"))
        self.is_sound = not found
        assert found == []

    def teardown(self) -> None:
        try:
            if self.is_sound:
                self._end_well()
        finally:
            self.crew.leave()
            os.environ.pop(failpoints.POISON)

    def _end_well(self) -> None:
        """Come to rest with the poison at work; then cure it, replay what was set aside, and come to rest again."""
        self._come_to_rest()
        found = ledger.at_rest(self.accepted, kept=self.sink.kept)
        found += ledger.unexplained_deaths(self.disturbed, least=ENOUGH)
        self._hold_to(found)
        os.environ[failpoints.POISON] = ""
        for run_id in ledger.still_dead():
            dead_letters.replay(run_id, actor="somebody")
        self._come_to_rest()
        self._hold_to(ledger.at_rest(self.accepted, kept=self.sink.kept))
        assert ledger.still_dead() == []


@pytest.mark.timeout(3_600)
def test_whatever_happens_in_whatever_order_nothing_is_lost_and_nothing_doubled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stepping.prepare(monkeypatch)
    Flow.sink = stepping.listen(monkeypatch)
    Flow.sensors = plant()
    Flow.user = factories.user()
    store.make_partitions([ledger.START.date()])
    asked = int(os.environ.get("CHAOS_EXAMPLES", "0"))
    run_state_machine_as_test(
        Flow,
        settings=settings(
            max_examples=asked or EXAMPLES,
            stateful_step_count=STEPS,
            derandomize=not asked,
            database=None,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def plant() -> list[Sensor]:
    """Two machines of a site and one of another; the first two share a lane."""
    first, other = factories.site(), factories.site()
    for site in (first, other):
        Channel.objects.create(site=site, kind="CONSOLE", name="Console")
    machines = [factories.machine(site=site, criticality="CRITICAL") for site in (first, first, other)]
    Equipment.objects.filter(pk=machines[1].pk).update(lane=machines[0].lane)
    return [factories.sensor(machine=machine, high=ledger.HIGH) for machine in machines]
