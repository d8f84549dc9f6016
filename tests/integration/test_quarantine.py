"""Runs that fail again and again, on real processes: the stages run in children that may die, as workers do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from django_redis import get_redis_connection
from pytest_django import Settings

from agents import dead_letters, failpoints, failures, lease, pipeline, quarantine, stages, sweeper
from agents.doorbell import Bell
from agents.models import Run, StageAttempt
from agents.stages import Finish, Units
from maintenance.models import Alarm, Anomaly, Channel, Decision
from sensors import inbox
from sensors.models import BatchPart, Event, Reading, Sensor
from tests import factories, workers

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_empty")]

START = datetime.fromisoformat("2026-02-01T00:00:00+00:00")
POISON = 66.125
STAGES_THAT_READ = ["INGEST", "VALIDATE", "DETECT"]


def plant(machines: int) -> list[Sensor]:
    """Sensors of as many machines, all in one lane."""
    site = factories.site()
    made = [factories.sensor(machine=factories.machine(site=site, criticality="CRITICAL"), high=100.0)]
    lane = made[0].machine.lane
    while len(made) < machines:
        machine = factories.machine(site=site, criticality="CRITICAL")
        type(machine).objects.filter(pk=machine.pk).update(lane=lane)
        made.append(factories.sensor(machine=machine, high=100.0))
    Channel.objects.create(site=site, kind="CONSOLE", name="Console")
    return made


def send(sensor: Sensor, values: list[float], *, first: int = 0) -> int:
    """One request; the lane it waits in."""
    items = [
        {"sensor": sensor.pk, "measured_at": (START + timedelta(minutes=first + n)).isoformat(), "value": value}
        for n, value in enumerate(values)
    ]
    return inbox.accept(site=sensor.site, user=None, body=json.dumps(items).encode(), received_at=factories.NOON).lanes[
        0
    ]


def stored(*sensors: Sensor) -> int:
    return Reading.objects.filter(sensor__in=sensors).count()


def until_done(poison: str = "") -> None:
    """Workers that may die, and the sweep, until nothing is due."""
    workers.recover(environment={failpoints.POISON: poison})


def entered_quarantine(lane: int) -> Run:
    """The lane's run, which raises, brought as far as to quarantine and no further."""
    bells = [Bell("ingest", lane)]
    while bells[0].queue != "quarantine":
        bells = list(sweeper.answer(bells[0])) or bells
        workers.let_time_pass()
    return Run.objects.get(status="QUARANTINE")


def seconds_from_quarantine_to_done() -> float:
    entered = StageAttempt.objects.get(outcome="QUARANTINE").ended_at
    return (StageAttempt.objects.latest("ended_at").ended_at - entered).total_seconds()


@pytest.mark.parametrize("effect", ["raise", "kill"])
@pytest.mark.parametrize("stage", STAGES_THAT_READ)
def test_the_one_poison_part_of_two_hundred_is_set_aside_alone(stage: str, effect: str, record_property: Any) -> None:
    sensors = plant(4)
    for n in range(200):
        lane = send(sensors[n % 4], [1.0, POISON if n == 77 else 2.0, 3.0], first=3 * (n // 4))
    poison = f"{stage}:{effect}:{POISON}"
    workers.work([Bell("ingest", lane)], environment={failpoints.POISON: poison})
    until_done(poison)
    record_property("seconds from quarantine to done", seconds_from_quarantine_to_done())
    letter = Run.objects.get(status="FAILED")
    part = BatchPart.objects.get(run_id=letter.pk)
    assert POISON in dead_letters.payload(letter.pk)[0].readings.value  # type: ignore[union-attr]
    assert letter.error_class == ("Poisoned" if effect == "raise" else "WorkerDied")
    assert (letter.stage, len(letter.cause), len(letter.payload_sha256)) == (stage, 16, 64)
    assert f"failed at {stage}" in part.error
    assert stored(*sensors) == (600 if stage == "DETECT" else 597)
    assert BatchPart.objects.filter(state="STORED").count() == (200 if stage == "DETECT" else 199)
    assert set(Run.objects.exclude(pk=letter.pk).values_list("status", flat=True)) == {"DONE"}
    assert StageAttempt.objects.filter(outcome="SEARCHED").count() == 1


@pytest.mark.parametrize("stage", STAGES_THAT_READ)
def test_a_replay_after_the_fix_ends_as_if_it_had_never_failed(stage: str) -> None:
    outcomes = []
    for poison in ("", f"{stage}:raise:{POISON}"):
        sensors = plant(3)
        for sensor in sensors:
            lane = send(sensor, [1.0, POISON if sensor is sensors[1] else 2.0, 150.0, 151.0, 2.0, 2.0])
        workers.work([Bell("ingest", lane)], environment={failpoints.POISON: poison})
        until_done(poison)
        if poison:
            assert not Anomaly.objects.filter(sensor=sensors[1]).exists()
            dead_letters.replay(dead_letters.waiting()[0], actor="somebody")
            until_done()
        outcomes.append([_without_names(sensor) for sensor in sensors])
    assert outcomes[0] == outcomes[1]


def _without_names(sensor: Sensor) -> dict[str, Any]:
    found = workers.effects(sensor)
    mine = {"readings", "anomalies", "decisions"}  # of this sensor's machine; the rest is of the whole site
    text = repr({name: value for name, value in found.items() if name in mine})
    told = Event.objects.filter(site=sensor.site).exclude(type__startswith="run.").exclude(type__startswith="case.")
    kinds = told.values_list("type", flat=True)
    return {"effects": text, "events": sorted(kinds), "alarms": Alarm.objects.filter(machine=sensor.machine).count()}


def test_the_lane_goes_on_while_a_run_is_in_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failpoints.POISON, f"VALIDATE:raise:{POISON}")
    (sensor,) = plant(1)
    lane = send(sensor, [1.0, POISON])
    entered_quarantine(lane)
    send(sensor, [1.0, 2.0], first=10)
    workers.work([Bell("ingest", lane)])
    assert stored(sensor) == 2
    assert Run.objects.filter(status="DONE").count() == 1


def test_what_was_replayed_after_newer_readings_were_judged_is_late() -> None:
    (sensor,) = plant(1)
    lane = send(sensor, [1.0, POISON, 150.0])
    poison = f"DETECT:raise:{POISON}"
    workers.work([Bell("ingest", lane)], environment={failpoints.POISON: poison})
    until_done(poison)
    send(sensor, [1.0, 2.0], first=4)
    until_done(poison)
    dead_letters.replay(dead_letters.waiting()[0], actor="somebody")
    until_done()
    assert Anomaly.objects.get(detector="limits").retrospective
    assert not Alarm.objects.exists()


def test_what_was_replayed_after_the_rest_of_its_own_run_was_judged_is_late_too() -> None:
    (sensor,) = plant(1)
    send(sensor, [1.0, POISON, 150.0])
    lane = send(sensor, [1.0, 2.0], first=4)
    poison = f"DETECT:raise:{POISON}"
    workers.work([Bell("ingest", lane)], environment={failpoints.POISON: poison})
    until_done(poison)
    assert Run.objects.count() == 2
    dead_letters.replay(dead_letters.waiting()[0], actor="somebody")
    until_done()
    assert Anomaly.objects.get(detector="limits").retrospective
    assert not Alarm.objects.exists()


def test_several_poison_parts_are_each_set_aside_and_replayed_one_by_one() -> None:
    sensors = plant(2)
    for n in range(20):
        lane = send(sensors[n % 2], [1.0, POISON if n in (3, 4, 17) else 2.0], first=2 * (n // 2))
    poison = f"VALIDATE:raise:{POISON}"
    workers.work([Bell("ingest", lane)], environment={failpoints.POISON: poison})
    until_done(poison)
    letters = Run.objects.filter(status="FAILED")
    assert len(letters) == 3
    assert len({letter.cause for letter in letters}) == 1
    for letter in letters:
        dead_letters.replay(letter.pk, actor="somebody")
    until_done()
    assert stored(*sensors) == 40
    assert dead_letters.waiting() == []


@pytest.mark.parametrize("stage", STAGES_THAT_READ)
@pytest.mark.parametrize("is_cached", [True, False])
def test_of_a_run_of_poison_alone_each_part_is_set_aside_and_comes_back_without_the_others(
    stage: str, is_cached: bool
) -> None:
    sensors = plant(2)
    for sensor in sensors:
        lane = send(sensor, [1.0, POISON])
    poison = f"{stage}:raise:{POISON}"
    workers.work([Bell("ingest", lane)], environment={failpoints.POISON: poison})
    until_done(poison)
    first, second = dead_letters.waiting()
    if not is_cached:
        get_redis_connection("default").flushdb()
    dead_letters.replay(first, actor="somebody")
    until_done(poison="")
    assert BatchPart.objects.get(run_id=first).stored == Run.objects.get(pk=first).readings == 2
    assert stored(*sensors) == (4 if stage == "DETECT" else 2)
    dead_letters.replay(second, actor="somebody")
    until_done()
    assert list(BatchPart.objects.values_list("stored", "already_stored")) == [(2, 0), (2, 0)]
    assert set(Run.objects.values_list("status", flat=True)) == {"DONE"}


def test_a_replay_before_the_fix_is_set_aside_again_as_the_same_run() -> None:
    (sensor,) = plant(1)
    lane = send(sensor, [1.0, POISON])
    poison = f"VALIDATE:raise:{POISON}"
    workers.work([Bell("ingest", lane)], environment={failpoints.POISON: poison})
    until_done(poison)
    (letter,) = dead_letters.waiting()
    dead_letters.replay(letter, actor="somebody")
    until_done(poison)
    assert dead_letters.waiting() == [letter]
    assert BatchPart.objects.get().state == "SET_ASIDE"


def test_a_run_that_passes_every_trial_goes_on_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failpoints.POISON, f"DETECT:raise:{POISON}")
    (sensor,) = plant(1)
    entered_quarantine(send(sensor, [1.0, POISON]))
    until_done()
    run = Run.objects.get()
    assert (run.status, run.error_class, run.quarantines) == ("DONE", "", 0)
    assert "goes on as a whole" in StageAttempt.objects.get(outcome="SEARCHED").error


# Trials with a stage of the test's own


def in_quarantine(machines: int = 4, *, stage: str = "VALIDATE") -> Run:
    """A run of as many parts that came to quarantine at a stage."""
    for sensor in plant(machines):
        lane = send(sensor, [1.0, 2.0])
    bells = list(pipeline.begin(lane).bells)
    while bells[0].queue != stage.lower():
        bells = list(sweeper.answer(bells[0]))
    Run.objects.filter(pk=bells[0].id).update(status="QUARANTINE", quarantines=1)
    return Run.objects.get()


def searched(run: Run, step: Callable[[Run, int, Units], Finish]) -> list[Run]:
    quarantine.search(run.pk, steps={run.stage: step})
    return list(Run.objects.order_by("id"))


def test_a_piece_that_hangs_is_killed_in_time_and_set_aside(settings: Settings) -> None:
    settings.CELERY_TASK_SOFT_TIME_LIMIT = 1
    run = in_quarantine()
    stuck = stages.units_of(run)[2]

    def hang(run: Run, attempt: int, only: Units) -> Finish:
        while only is None or stuck in only:
            time.sleep(0.1)
        return Finish()

    whole, letter = searched(run, hang)
    assert (whole.status, letter.status) == ("REPLAY", "FAILED")
    assert "did not end within its time" in letter.error
    assert BatchPart.objects.get(run_id=letter.pk).pk == stuck


def test_a_piece_that_eats_memory_is_stopped_and_set_aside() -> None:
    run = in_quarantine()
    greedy = stages.units_of(run)[0]

    def eat(run: Run, attempt: int, only: Units) -> Finish:
        if only is None or greedy in only:
            bytearray(4 << 30)
        return Finish()

    _, letter = searched(run, eat)
    assert letter.error_class == "MemoryError"


def test_what_is_too_much_at_once_goes_on_in_two_runs() -> None:
    run = in_quarantine(4)

    def too_much(run: Run, attempt: int, only: Units) -> Finish:
        if only is None or len(only) > 2:
            raise MemoryError
        return Finish()

    one, two = searched(run, too_much)
    assert (one.status, two.status) == ("REPLAY", "REPLAY")
    assert (one.readings, two.readings, two.split_from_id) == (4, 4, one.pk)
    until_done()
    assert sum(Run.objects.values_list("readings", flat=True)) == 8
    assert sum(BatchPart.objects.values_list("stored", flat=True)) == 8
    assert set(Run.objects.values_list("status", flat=True)) == {"DONE"}


def test_while_the_database_is_gone_nobody_is_condemned() -> None:
    run = in_quarantine(2)

    def gone(run: Run, attempt: int, only: Units) -> Finish:
        raise OperationalError("server closed the connection unexpectedly")

    (still,) = searched(run, gone)
    assert (still.status, still.attempts, still.lease_until) == ("QUARANTINE", 0, None)
    assert still.ring_after > still.created_at + timedelta(seconds=3)


def test_a_statement_beyond_what_postgres_can_do_condemns_the_part_and_is_not_taken_for_an_outage() -> None:
    run = in_quarantine(2)
    monstrous = stages.units_of(run)[0]

    def overstate(run: Run, attempt: int, only: Units) -> Finish:
        if only is None or monstrous in only:
            with connection.cursor() as cursor:
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'too complex' USING ERRCODE = '54001'; END $$")
        return Finish()

    _, letter = searched(run, overstate)
    assert letter.error_class == "OperationalError"
    assert letter.status == "FAILED"


def test_at_decide_the_machine_that_fails_is_set_aside_and_the_others_go_on() -> None:
    run = in_quarantine(3, stage="DECIDE")
    sick = stages.units_of(run)[1]

    def fail(run: Run, attempt: int, only: Units) -> Finish:
        if sick in (stages.units_of(run) if only is None else only):
            raise ZeroDivisionError
        return Finish()

    whole, letter = searched(run, fail)
    assert list(letter.findings["clocks"]) == [str(sick)]
    assert str(sick) not in whole.findings["clocks"]
    assert not BatchPart.objects.filter(run_id=letter.pk).exists()
    until_done()
    dead_letters.replay(letter.pk, actor="somebody")
    until_done()
    assert set(Run.objects.values_list("status", flat=True)) == {"DONE"}


def test_what_cannot_be_divided_is_set_aside_as_a_whole() -> None:
    run = in_quarantine(2, stage="NOTIFY")

    def fail(run: Run, attempt: int, only: Units) -> Finish:
        raise ZeroDivisionError

    (letter,) = searched(run, fail)
    assert (letter.status, letter.error_class) == ("FAILED", "ZeroDivisionError")
    assert "not judged" in BatchPart.objects.filter(run_id=letter.pk)[0].error


def test_a_search_that_keeps_ending_without_a_word_gives_up_and_looks_at_nothing_any_more() -> None:
    run = in_quarantine(2, stage="DECIDE")
    Run.objects.filter(pk=run.pk).update(findings={})  # of another version
    for _ in range(quarantine.MOST_DEATHS):
        with pytest.raises(KeyError):
            quarantine.search(run.pk, steps=pipeline.STEPS)
        workers.let_time_pass()
    assert quarantine.search(run.pk, steps=pipeline.STEPS) != ()
    (letter,) = Run.objects.all()
    assert (letter.status, letter.error_class) == ("FAILED", "WorkerDied")


def test_two_searches_of_one_run_do_not_meet() -> None:
    run = in_quarantine(1)
    assert lease.claim(Run, run.pk, seconds=30, status="QUARANTINE") is not None
    assert quarantine.search(run.pk, steps=pipeline.STEPS) == ()


def test_a_trial_leaves_nothing_behind() -> None:
    run = in_quarantine(2)
    before = (Reading.objects.count(), Decision.objects.count(), Event.objects.count())
    searched(run, stages.validate_step)
    assert (Reading.objects.count(), Decision.objects.count(), Event.objects.count()) == before
    assert set(BatchPart.objects.values_list("state", flat=True)) == {"TAKEN"}


# The sweep, which does the work of workers that are not there


def test_what_nobody_answers_for_is_done_by_the_sweep_itself() -> None:
    (sensor,) = plant(1)
    a_while_ago = timezone.now() - timedelta(minutes=1)
    lane = send(sensor, [1.0, 150.0])
    sweeper.sweep()
    assert not Run.objects.exists()
    BatchPart.objects.update(created_at=a_while_ago)
    sweeper.sweep()
    assert Run.objects.get().status == "DONE"
    send(sensor, [1.0], first=9)
    run_id = pipeline.begin(lane).bells[0].id
    for rings in range(sweeper.PATIENT_RINGS):
        Run.objects.filter(pk=run_id).update(ring_after=a_while_ago, rings=rings)
        sweeper.sweep()
        assert Run.objects.get(pk=run_id).status == "ACTIVE"
    Run.objects.filter(pk=run_id).update(ring_after=a_while_ago)
    sweeper.sweep()
    assert Run.objects.get(pk=run_id).status == "DONE"


def test_while_nobody_can_be_rung_for_the_sweep_searches_beside_its_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    poison = f"VALIDATE:raise:{POISON}"
    monkeypatch.setenv(failpoints.POISON, poison)
    sensors = plant(2)
    for sensor in sensors:
        lane = send(sensor, [1.0, POISON if sensor is sensors[0] else 2.0])
    run = entered_quarantine(lane)
    searcher = sweeper.Searcher()
    searcher.search([run.pk])
    until = time.monotonic() + 60
    while Run.objects.filter(status="QUARANTINE").exists():
        assert time.monotonic() < until
        searcher.search([run.pk])
    searcher.search([])
    assert Run.objects.filter(status="FAILED").count() == 1


def test_what_a_killed_worker_held_is_taken_up_by_the_next_pass_of_the_sweep() -> None:
    (sensor,) = plant(1)
    bells = [Bell("ingest", send(sensor, [1.0, 2.0]))]
    assert workers.work(bells, environment={failpoints.VARIABLE: "VALIDATE:worked"}) == failpoints.EXIT_STATUS
    assert Run.objects.get().lease_until is not None
    assert [bell.queue for bell in sweeper.due()] == ["validate"]


def test_a_reading_that_kills_who_works_on_it_does_not_end_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(failpoints.POISON, f"VALIDATE:kill:{POISON}")
    (sensor,) = plant(1)
    lane = send(sensor, [1.0, POISON])
    bells = [Bell("ingest", lane)]
    while not Run.objects.filter(status="QUARANTINE").exists():
        assert bells
        sweeper.work_off_apart(bells, seconds=10)
        workers.let_time_pass()
        bells = list(sweeper.due())
    until_done(f"VALIDATE:kill:{POISON}")
    assert Run.objects.get().status == "FAILED"


# What fails and how often


def test_somebody_in_the_way_is_waited_for_within_the_attempt() -> None:
    (sensor,) = plant(1)
    lane = send(sensor, [1.0])
    run_id = pipeline.begin(lane).bells[0].id
    tries = []

    def deadlocked(run: Run, attempt: int, only: Units) -> Finish:
        tries.append(attempt)
        if len(tries) < failures.POLICIES[failures.Kind.TRANSIENT].tries:
            with connection.cursor() as cursor:
                cursor.execute("DO $$ BEGIN RAISE EXCEPTION 'x' USING ERRCODE = '40P01'; END $$")
        return stages.validate_step(run, attempt, only)

    kept = pipeline.STEPS["VALIDATE"]
    pipeline.STEPS["VALIDATE"] = deadlocked
    try:
        assert pipeline.perform("VALIDATE", run_id).result == "done"
    finally:
        pipeline.STEPS["VALIDATE"] = kept
    assert tries == [1, 1, 1]


def test_a_lock_on_what_a_machine_remembers_is_somebody_in_the_way() -> None:
    (sensor,) = plant(1)
    workers.work([Bell("ingest", send(sensor, [1.0]))])
    run_id = pipeline.begin(send(sensor, [1.0], first=1)).bells[0].id
    other = connection.copy()
    other.set_autocommit(False)
    with closing(other), other.cursor() as holder, connection.cursor() as cursor:
        holder.execute("SELECT 1 FROM mlops_machinestate FOR UPDATE")
        cursor.execute("SET lock_timeout = '20ms'")
        try:
            assert pipeline.perform("VALIDATE", run_id).result == "retry"
        finally:
            cursor.execute("RESET lock_timeout")
    run = Run.objects.get(pk=run_id)
    assert (run.error_class, failures.POLICIES[failures.Kind.TRANSIENT].tries) == ("OperationalError", 3)
    until_done()
    assert Run.objects.get(pk=run_id).status == "DONE"


def test_what_fails_behind_a_commit_is_done_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    (sensor,) = plant(1)
    run_id = pipeline.begin(send(sensor, [1.0])).bells[0].id

    def fail() -> None:
        raise ZeroDivisionError

    def step(run: Run, attempt: int, only: Units) -> Finish:
        return replace(stages.validate_step(run, attempt, only), after=fail)

    monkeypatch.setitem(pipeline.STEPS, "VALIDATE", step)
    assert pipeline.perform("VALIDATE", run_id) == pipeline.Outcome("done")
    assert list(StageAttempt.objects.filter(stage="VALIDATE").values_list("outcome", flat=True)) == ["DONE"]
    until_done()
    assert Run.objects.get(pk=run_id).status == "DONE"


def test_a_part_that_cannot_be_decoded_is_a_dead_letter_and_the_rest_goes_on() -> None:
    (sensor,) = plant(1)
    lane = send(sensor, [1.0])
    BatchPart.objects.update(columns=b"nonsense")
    send(sensor, [2.0], first=1)
    workers.work([Bell("ingest", lane)])
    until_done()
    letter = Run.objects.get(status="FAILED")
    (held,) = dead_letters.payload(letter.pk)
    assert held.readings is None
    assert "cannot be decoded" in held.told
    assert (letter.error_class, held.part.state) == ("Refused", "SET_ASIDE")
    assert stored(sensor) == 1
    dead_letters.replay(letter.pk, actor="somebody")
    until_done()
    assert dead_letters.waiting() == [letter.pk]


def test_a_discarded_run_stays_with_its_reason_and_can_be_taken_back() -> None:
    run = in_quarantine(1)
    searched(run, lambda run, attempt, only: 1 / 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(dead_letters.NotDiscardable, match="Say why"):
        dead_letters.discard(run.pk, actor="somebody", reason="  ")
    dead_letters.discard(run.pk, actor="somebody", reason="a test of the sender's")
    with pytest.raises(dead_letters.NotDiscardable, match="was discarded already"):
        dead_letters.discard(run.pk, actor="somebody", reason="again")
    assert dead_letters.waiting() == []
    assert BatchPart.objects.get().error == "Discarded by somebody: a test of the sender's"
    told = Event.objects.get(type="run.discarded")
    assert (told.actor, told.data["reason"], told.site_id) == ("somebody", "a test of the sender's", told.site_id)
    dead_letters.replay(run.pk, actor="somebody else")
    until_done()
    assert Run.objects.get().status == "DONE"
    assert BatchPart.objects.get().stored == 2


def test_replaying_what_succeeded_changes_nothing() -> None:
    (sensor,) = plant(1)
    workers.work([Bell("ingest", send(sensor, [1.0, 150.0]))])
    before = workers.effects(sensor)
    with pytest.raises(dead_letters.NotReplayable):
        dead_letters.replay(Run.objects.get().pk, actor="somebody")
    until_done()
    assert workers.effects(sensor) == before
