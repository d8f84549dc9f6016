"""The watchdog's audit: each figure on rows that are old enough and on rows that are not; the outside heartbeat."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from pytest_django import Settings

from agents import figures, timetable, watchdog
from agents.audit import Kind
from agents.models import Heartbeat, JobRun, Run, StageAttempt
from maintenance.models import Notification
from sensors.models import Batch, BatchPart, SensorPresence
from tests import factories, outgoing
from tests.servers import Answer, HttpSink

pytestmark = pytest.mark.django_db

A_MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def usual_limits(settings: Settings) -> None:
    settings.LEASE_SECONDS, settings.SWEEP_SECONDS, settings.HEARTBEAT_URL = 45, 1, None
    settings.WEBHOOK_ALLOWED_NETWORKS = outgoing.LOCAL


def ago(seconds: float) -> datetime:
    return timezone.now() - timedelta(seconds=seconds)


def run(*, lane: int = 1, status: str = "ACTIVE", created: float = 0, due: float = 0, **fields: object) -> Run:
    row = Run.objects.create(**{"lane": lane, "status": status, "stage": "DETECT", "due_at": ago(due)} | fields)
    Run.objects.filter(pk=row.pk).update(created_at=ago(created))
    return row


def stage_done(row: Run, *, seconds_ago: float) -> None:
    StageAttempt.objects.create(
        run=row, stage="VALIDATE", lease_token=1, worker="w", started_at=ago(seconds_ago + 1),
        ended_at=ago(seconds_ago), outcome="DONE",
    )  # fmt: skip


def waiting_part(*, lane: int = 1, seconds_ago: float) -> None:
    batch = Batch.objects.create(
        site=factories.site(), body_sha256="0" * 64, items=1, accepted=1, held=0, duplicates=0, rejected=0, results=[]
    )
    part = BatchPart.objects.create(batch=batch, lane=lane, readings=1, columns=b"")
    BatchPart.objects.filter(pk=part.pk).update(created_at=ago(seconds_ago))


def pending(**fields: object) -> None:
    Notification.objects.filter(pk=outgoing.message("CONSOLE").pk).update(**fields)


def job_done(job: str, *, seconds_ago: float) -> None:
    JobRun.objects.create(
        job=job, period=ago(seconds_ago), started_at=ago(seconds_ago), finished_at=ago(seconds_ago), outcome="DONE"
    )


def silent_sensor(*, heard: float, since: float | None) -> None:
    sensor = factories.sensor(machine=factories.machine(site=factories.site()), period_seconds=1)
    told = None if since is None else ago(since)
    heard_at = told if since == heard else ago(heard)
    SensorPresence.objects.create(sensor=sensor, heard_at=heard_at, due_at=ago(heard), silent_since=told)


def slow_but_moving() -> None:
    stage_done(run(created=3_000, due=3_000), seconds_ago=200)


def moved_long_ago() -> None:
    stage_done(run(created=3_000, due=3_000), seconds_ago=280)


def jobs(*, done: float) -> Callable[[], None]:
    def rows() -> None:
        for job, period in timetable.PERIODS.items():
            job_done(job, seconds_ago=period.total_seconds() * done)

    return rows


def never_done() -> None:
    """One job has worked for a long time, the others never have."""
    job_done("watchdog", seconds_ago=7 * 86_400)


FOUND: list[tuple[Kind, int, Callable[[], object]]] = [
    (Kind.STUCK_RUNS, 1, lambda: run(created=280, due=280)),
    (Kind.STUCK_RUNS, 1, lambda: run(status="QUARANTINE", created=280, due=280)),
    (Kind.STUCK_RUNS, 1, moved_long_ago),
    (Kind.STUCK_RUNS, 2, lambda: [run(lane=lane, created=280, due=280) for lane in (1, 2)]),
    (Kind.EXPIRED_LEASES, 1, lambda: run(lease_until=ago(31))),
    (Kind.EXPIRED_LEASES, 1, lambda: pending(lease_until=ago(31))),
    (Kind.OVERDUE_DELIVERIES, 1, lambda: pending(due_at=ago(301))),
    (Kind.STALLED_LANES, 1, lambda: waiting_part(seconds_ago=61)),
    (Kind.STALLED_LANES, 1, lambda: [waiting_part(seconds_ago=61) for _ in range(3)]),
    (Kind.STALLED_LANES, 1, lambda: run(status="REPLAY", due=61)),
    (Kind.OVERDUE_JOBS, len(timetable.PERIODS) - 1, jobs(done=3.1)),
    (Kind.OVERDUE_JOBS, len(timetable.PERIODS) - 1, never_done),
    (Kind.SILENT_SENSORS, 1, lambda: silent_sensor(heard=500, since=500)),
]
FINE: list[Callable[[], object]] = [
    lambda: run(created=260, due=260),
    slow_but_moving,
    lambda: run(created=3_000, due=200),  # replayed, or tried again after a while
    lambda: run(status="DISCARDED", created=3_000, due=3_000, lease_until=ago(3_000)),
    lambda: run(status="DONE", created=3_000, due=3_000),
    lambda: run(status="FAILED", created=3_000, due=3_000, lease_until=ago(3_000)),
    lambda: run(lease_until=ago(-30)),
    lambda: run(lease_until=ago(20)),
    lambda: pending(due_at=ago(290)),
    lambda: pending(due_at=ago(301), lease_until=ago(-30)),
    lambda: pending(status="FAILED", due_at=ago(3_000)),
    lambda: waiting_part(seconds_ago=50),
    lambda: (waiting_part(seconds_ago=61), run()),
    lambda: run(status="REPLAY", created=3_000, due=50),
    jobs(done=2.9),
    lambda: silent_sensor(heard=500, since=None),
    lambda: silent_sensor(heard=1, since=500),
]


@pytest.mark.parametrize(("kind", "count", "rows"), FOUND)
def test_what_is_beyond_its_limit_is_found(kind: Kind, count: int, rows: Callable[[], object]) -> None:
    rows()
    (found,) = watchdog.look()
    assert (found.kind, found.count) == (kind, count)
    assert found.oldest_seconds > 30


@pytest.mark.parametrize("rows", FINE)
def test_what_is_within_its_limit_is_not(rows: Callable[[], object]) -> None:
    rows()
    assert watchdog.look() == ()


def test_an_installation_in_which_nothing_happened_yet_is_well() -> None:
    assert watchdog.look() == ()
    assert {figure.kind for figure in figures.read()} == set(Kind)


def test_every_state_of_a_run_is_thought_of() -> None:
    """On its way, waiting for its turn, or over."""
    assert {*figures.ON_THEIR_WAY, "REPLAY", "DONE", "FAILED", "DISCARDED"} == set(Run.Status.values)


@pytest.mark.parametrize("kind", Kind)
def test_a_figure_is_read_by_an_index(kind: Kind) -> None:
    """With scans of whole tables made dear, none is left: an index serves the query."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {figures.queries()[kind]}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "Index" in plan
    assert "Seq Scan" not in plan


@pytest.fixture
def stuck() -> None:
    run(created=3_000, due=3_000)


def test_the_heartbeat_is_called_when_the_audit_passed(settings: Settings) -> None:
    with HttpSink() as sink:
        settings.HEARTBEAT_URL = sink.url
        watchdog.watch()
    (call,) = sink.received
    assert (call.method, call.path, call.body) == ("GET", "/hook?plant=1", b"")
    row = Heartbeat.objects.get()
    assert row.failures == 0
    assert row.answered_at is not None


def test_the_heartbeat_is_not_called_when_something_is_wrong(settings: Settings, stuck: None) -> None:
    with HttpSink() as sink:
        settings.HEARTBEAT_URL = sink.url
        (found,) = watchdog.watch()
    assert found.kind is Kind.STUCK_RUNS
    assert sink.received == []
    assert not Heartbeat.objects.exists()


def test_a_silent_sensor_is_found_and_does_not_stop_the_heartbeat(settings: Settings) -> None:
    silent_sensor(heard=500, since=500)
    with HttpSink() as sink:
        settings.HEARTBEAT_URL = sink.url
        (found,) = watchdog.watch()
    assert found.kind is Kind.SILENT_SENSORS
    assert len(sink.received) == 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=500, body=b"out of order"),
        Answer(status=404, body=b"Cannot GET /hook?plant=1"),
        Answer(status=404),
        Answer(cut=True),
    ],
)
def test_a_call_that_fails_is_counted_and_no_error_of_the_job(settings: Settings, answer: Answer) -> None:
    with HttpSink(answer) as sink:
        settings.HEARTBEAT_URL = sink.url
        watchdog.watch()
        watchdog.watch()
    assert len(sink.received) == 2
    row = Heartbeat.objects.get()
    assert (row.failures, row.answered_at) == (2, None)
    assert row.failed_at is not None
    assert row.error
    assert "plant=1" not in row.error
    assert "hook" not in row.error


def test_after_a_failure_the_next_call_counts(settings: Settings) -> None:
    with HttpSink(Answer(status=503), Answer()) as sink:
        settings.HEARTBEAT_URL = sink.url
        watchdog.watch()
        watchdog.watch()
    row = Heartbeat.objects.get()
    assert row.failures == 1
    assert row.answered_at > row.failed_at


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:{port}/", "ftp://heartbeat.example", "https://10.0.0.1/", "nonsense"]
)
def test_an_address_that_no_webhook_may_reach_is_not_called_either(settings: Settings, url: str) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    with HttpSink() as sink:
        settings.HEARTBEAT_URL = url.format(port=sink.port)
        watchdog.watch()
    assert sink.received == []
    assert Heartbeat.objects.get().error.startswith("address refused")


def test_without_an_address_nothing_is_called(settings: Settings) -> None:
    watchdog.watch()
    assert not Heartbeat.objects.exists()


def test_the_command_prints_what_was_found_and_ends_with_status_1(stuck: None) -> None:
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("watchdog", stdout=out)
    assert ended.value.code == 1
    header, *lines = out.getvalue().splitlines()
    assert header.split() == ["found", "count", "oldest", "what", "to", "do"]
    counts = {line.split()[0]: int(line.split()[1]) for line in lines}
    assert counts == dict.fromkeys(Kind, 0) | {Kind.STUCK_RUNS: 1}
    (told,) = (line for line in lines if line.startswith(Kind.STUCK_RUNS))
    assert "50 min" in told
    assert "Look at the workers of their stage" in told


def test_the_command_says_that_all_is_well() -> None:
    out = StringIO()
    call_command("watchdog", stdout=out)
    assert {line.split()[1] for line in out.getvalue().splitlines()[1:]} == {"0"}
