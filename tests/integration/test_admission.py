"""The intake under load and over quota, through the real API."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_redis import get_redis_connection
from prometheus_client import REGISTRY
from pytest_django import Settings
from structlog.testing import capture_logs

from agents import backlog, quota
from agents.breaker import Breaker
from agents.models import Run, Throttle
from sensors import columns, inbox, problems
from sensors.models import Batch, BatchPart, DiscoveredSensor, Membership, Sensor, Site
from tests import factories, servers
from tests.chaos.service import until
from tests.client import JSON, client, problem
from tests.factories import NOON

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("redis_empty", "_fresh")]

URL = "/api/v1/data/ingest"
LANES = (1, 2, 3)


@pytest.fixture
def _fresh(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    """Small marks; no figures and no silence of another test."""
    settings.INTAKE_MAX_BACKLOG_SECONDS, settings.INTAKE_MAX_BACKLOG_READINGS = 60, 1_000
    monkeypatch.setattr(quota, "breaker", Breaker())
    backlog.gauge.forget()
    yield
    backlog.gauge.forget()


@pytest.fixture
def sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


def member(site: Site) -> User:
    return factories.user(site=site, role=Membership.Role.INGEST, password=None)


@pytest.fixture
def sender(sensor: Sensor) -> User:
    return member(sensor.site)


@pytest.fixture
def critical(sensor: Sensor) -> Sensor:
    return factories.sensor(machine=factories.machine(site=sensor.site, criticality="CRITICAL"))


def body(sensor: Sensor, count: int = 1) -> list[dict[str, Any]]:
    start = NOON - timedelta(hours=1)
    return [
        {"sensor": sensor.pk, "measured_at": (start + timedelta(milliseconds=n)).isoformat(), "value": 1.0}
        for n in range(count)
    ]


def post(user: User, sensor: Sensor, count: int = 1, **headers: str) -> Any:
    return client(user).post(URL, body(sensor, count), JSON, headers=headers)


def waits(site: Site, *, lane: int, readings: int = 1, age: float = 0.0, **fields: Any) -> BatchPart:
    """A part as the intake left it so many seconds ago."""
    batch = Batch.objects.create(
        site=site, body_sha256="0" * 64, items=readings, accepted=readings, held=0, duplicates=0, rejected=0, results=[]
    )
    made = {"batch": batch, "lane": lane, "readings": readings, "columns": columns.pack(columns.empty())} | fields
    part = BatchPart.objects.create(**made)
    BatchPart.objects.filter(pk=part.pk).update(created_at=Now() - timedelta(seconds=age))
    return part


def run(*, lane: int, age: float = 0.0, **fields: Any) -> Run:
    """A run that began, and was due, so many seconds ago."""
    made = Run.objects.create(lane=lane, stage="DETECT", **fields)
    began = Now() - timedelta(seconds=age)
    Run.objects.filter(pk=made.pk).update(created_at=began, due_at=began)
    return made


def every_lane_waits(site: Site, *, age: float) -> None:
    for lane in LANES:
        waits(site, lane=lane, age=age)


def refused(answer: Any, *, status: int) -> int:
    """Seconds to wait, of an answer that must be a refusal."""
    problem(answer, status=status, name="unavailable" if status == 503 else "too-many-requests")
    return int(answer["Retry-After"])


def counted(reason: str) -> float:
    return REGISTRY.get_sample_value("pdm_intake_refused_total", {"reason": reason}) or 0.0


def bells() -> int:
    return int(get_redis_connection("default").llen("bw:ingest"))


# Backlog


def test_a_refused_request_stores_nothing_rings_nothing_and_is_counted(sensor: Sensor, sender: User) -> None:
    waits(sensor.site, lane=1, readings=1_000)
    before = counted("backlog-readings")
    with capture_logs() as lines:
        wait = refused(post(sender, sensor), status=503)
    said = [line for line in lines if line["event"] == "agents.intake.refused"]
    assert [(line["reason"], line["site"], line["readings"]) for line in said] == [
        ("backlog-readings", sensor.site_id, 1)
    ]
    assert problems.RETRY_SECONDS[0] <= wait <= problems.RETRY_SECONDS[1]
    assert Batch.objects.count() == BatchPart.objects.count() == 1
    assert not DiscoveredSensor.objects.exists()
    assert bells() == 0
    assert counted("backlog-readings") == before + 1


def test_a_request_that_is_let_in_is_counted(sensor: Sensor, sender: User) -> None:
    before = REGISTRY.get_sample_value("pdm_intake_admitted_total") or 0.0
    assert post(sender, sensor).status_code == 202
    assert REGISTRY.get_sample_value("pdm_intake_admitted_total") == before + 1
    until(lambda: bells() == 1, limit=10)  # a thread rings it


def test_too_many_readings_shut_the_intake_and_critical_equipment_has_a_reserve(
    sensor: Sensor, critical: Sensor, sender: User
) -> None:
    waits(sensor.site, lane=1, readings=1_249)
    refused(post(sender, sensor), status=503)
    assert post(sender, critical).status_code == 202
    backlog.gauge.forget()
    refused(post(sender, critical), status=503)


def test_one_reading_of_critical_equipment_makes_the_request_critical(
    sensor: Sensor, critical: Sensor, sender: User
) -> None:
    waits(sensor.site, lane=1, readings=1_000)
    answer = client(sender).post(URL, body(sensor, 5) + body(critical), JSON)
    assert answer.status_code == 202


def test_what_waits_too_long_shuts_the_intake_and_critical_equipment_has_a_reserve(
    sensor: Sensor, critical: Sensor, sender: User
) -> None:
    every_lane_waits(sensor.site, age=62)
    refused(post(sender, sensor), status=503)
    assert post(sender, critical).status_code == 202
    BatchPart.objects.update(created_at=Now() - timedelta(seconds=76))
    backlog.gauge.forget()
    refused(post(sender, critical), status=503)


def test_what_active_runs_have_taken_counts_and_what_others_took_does_not(sensor: Sensor, sender: User) -> None:
    failed, active = run(lane=1, status="FAILED"), run(lane=2)
    waits(sensor.site, lane=1, readings=5_000, state="TAKEN", run_id=failed.pk)
    waits(sensor.site, lane=2, readings=5_000, state="STORED", run_id=active.pk, stored=5_000, already_stored=0,
          conflicts=0)  # fmt: skip
    assert post(sender, sensor).status_code == 202
    waits(sensor.site, lane=2, readings=999, state="TAKEN", run_id=active.pk)
    backlog.gauge.forget()
    refused(post(sender, sensor), status=503)


def test_parts_that_are_held_back_are_no_backlog(sensor: Sensor, sender: User) -> None:
    found = DiscoveredSensor.objects.create(site=sensor.site, external_id="new")
    waits(sensor.site, lane=0, readings=5_000, age=9_999)
    BatchPart.objects.update(lane=None, state="HELD", discovered=found)
    assert post(sender, sensor).status_code == 202


def test_parts_that_were_held_back_and_are_let_go_are_not_old(sensor: Sensor, sender: User) -> None:
    found = DiscoveredSensor.objects.create(site=sensor.site, external_id="new")
    waits(sensor.site, lane=1, age=9_999, discovered=found)
    assert post(sender, sensor).status_code == 202


def test_one_lane_that_nobody_could_work_on_does_not_shut_the_intake(sensor: Sensor, sender: User) -> None:
    waits(sensor.site, lane=1, age=9_999)
    waits(sensor.site, lane=2)
    assert post(sender, sensor).status_code == 202


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"age": 70}, 503),  # begun, and no worker since
        ({"age": 70, "lease_until": Now() - timedelta(seconds=1)}, 503),  # its worker died
        ({"age": 70, "lease_until": Now() + timedelta(seconds=30)}, 202),  # being worked on
        ({"age": -20}, 202),  # backs off after a failure
        ({"age": 5}, 202),  # the lane gets more than it can take, and moves
        ({"age": 5, "status": "DONE"}, 202),
        ({"age": 5, "status": "FAILED"}, 202),
        ({"age": 5, "status": "REPLAY"}, 202),
        ({"age": 70, "status": "DONE"}, 503),
    ],
)
def test_a_lane_waits_for_a_worker_only_while_none_is_at_it(
    sensor: Sensor, sender: User, state: dict[str, Any], expected: int
) -> None:
    for lane in LANES:
        waits(sensor.site, lane=lane, age=9_999)
        run(lane=lane, **state)
    assert post(sender, sensor).status_code == expected


def test_a_site_beyond_its_share_is_turned_away_and_the_others_go_on(sensor: Sensor, sender: User) -> None:
    other = factories.sensor(machine=factories.machine(site=factories.site()))
    waits(sensor.site, lane=1, readings=600)
    wait = refused(post(sender, sensor), status=429)
    assert problems.RETRY_SECONDS[0] <= wait <= problems.RETRY_SECONDS[1]
    assert post(member(other.site), other).status_code == 202


def test_what_a_run_took_counts_to_its_site(sensor: Sensor, sender: User) -> None:
    waits(factories.site(), lane=2, readings=10)
    waits(sensor.site, lane=1, readings=600, state="TAKEN", run_id=run(lane=1).pk)
    refused(post(sender, sensor), status=429)


def test_a_stored_request_is_answered_again_under_any_load(settings: Settings, sensor: Sensor, sender: User) -> None:
    settings.INTAKE_CLIENT_READINGS_PER_SECOND = 1
    first = post(sender, sensor, 20, **{"Idempotency-Key": "k"})
    every_lane_waits(sensor.site, age=9_999)
    waits(sensor.site, lane=1, readings=9_999)
    backlog.gauge.forget()
    refused(post(sender, sensor), status=503)
    again = post(sender, sensor, 20, **{"Idempotency-Key": "k"})
    assert (again.status_code, again["Idempotent-Replayed"]) == (202, "true")
    assert again.json()["batch"] == first.json()["batch"]


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_stored_while_the_same_request_is_read_gives_its_answer(sensor: Sensor, sender: User) -> None:
    sent = {"site": sensor.site, "user": sender, "received_at": NOON, "idempotency_key": "k"}
    given = b'[{"sensor": %d, "measured_at": "2026-03-01T11:00:00Z", "value": 1}]' % sensor.pk
    stored: list[inbox.Accepted] = []

    def meanwhile(arriving: inbox.Arriving) -> None:
        stored.append(inbox.accept(body=given, **sent))

    late = inbox.accept(body=given, admit=meanwhile, **sent)
    assert (late.replayed, late.batch) == (True, stored[0].batch)
    assert Batch.objects.count() == BatchPart.objects.count() == 1


# Figures


@pytest.mark.django_db(transaction=True)
def test_the_figures_cost_one_query_while_they_are_fresh(
    monkeypatch: pytest.MonkeyPatch, sensor: Sensor, sender: User
) -> None:
    monkeypatch.setattr(backlog, "KEEP_SECONDS", 3_600.0)
    http, costs = client(sender), []
    assert http.post(URL, body(sensor), JSON).status_code == 202
    backlog.gauge.forget()
    for _ in range(2):
        with CaptureQueriesContext(connection) as queries:
            assert http.post(URL, body(sensor, 50), JSON).status_code == 202
        costs.append(len(queries))
    assert costs == [2, 1]
    assert not any("WITH lanes" in query["sql"] for query in queries)


def test_new_figures_are_seen_within_a_second_or_so(sensor: Sensor, sender: User) -> None:
    assert post(sender, sensor).status_code == 202
    waits(sensor.site, lane=1, readings=2_000)
    deadline = time.monotonic() + 30
    while (answer := post(sender, sensor)).status_code != 503:
        assert time.monotonic() < deadline
    refused(answer, status=503)


def test_every_part_of_the_figures_has_its_index() -> None:
    """With sequential scans out of the way: an index that does not fit the query cannot be used even then."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {backlog.QUERY}", [75.0, 500.0])
        plan = "\n".join(row[0] for row in cursor.fetchall())
    for index in ("part_waiting", "part_of_run", "run_lanes_apart", "run_to_replay", "agents_run_created_at"):
        assert index in plan, plan
    assert "Seq Scan" not in plan, plan
    assert "One-Time Filter" in plan, plan


# Quotas


def test_a_client_over_its_quota_waits_until_its_bucket_has_room(
    settings: Settings, sensor: Sensor, sender: User
) -> None:
    settings.INTAKE_CLIENT_READINGS_PER_SECOND = 2
    assert post(sender, sensor, 20).status_code == 202
    before = counted("client-quota")
    assert refused(post(sender, sensor, 10), status=429) == 5
    assert refused(post(sender, sensor, 20), status=429) == 10
    assert Batch.objects.count() == 1
    assert counted("client-quota") == before + 2
    other = member(sensor.site)
    assert post(other, sensor, 20).status_code == 202


def test_a_client_that_was_slowed_down_has_a_quota_of_its_own_for_a_while(sensor: Sensor, sender: User) -> None:
    other = member(sensor.site)
    Throttle.objects.create(user=sender, readings_per_second=1, until=timezone.now() + timedelta(hours=1), reason="x")
    assert post(sender, sensor, 10).status_code == 202
    assert refused(post(sender, sensor, 10), status=429) <= quota.BURST_SECONDS
    assert post(other, sensor, 10).status_code == 202
    Throttle.objects.update(until=timezone.now() - timedelta(seconds=1))
    backlog.gauge.forget()
    assert post(sender, sensor, 10).status_code == 202


def test_the_clients_of_a_site_share_its_quota(settings: Settings, sensor: Sensor, sender: User) -> None:
    settings.INTAKE_SITE_READINGS_PER_SECOND = 2
    assert post(sender, sensor, 20).status_code == 202
    other = member(sensor.site)
    before = counted("site-quota")
    refused(post(other, sensor, 10), status=429)
    assert counted("site-quota") == before + 1
    elsewhere = factories.sensor(machine=factories.machine(site=factories.site()))
    assert post(member(elsewhere.site), elsewhere, 20).status_code == 202


def test_what_one_bucket_refuses_is_not_taken_from_the_other(settings: Settings, sensor: Sensor, sender: User) -> None:
    settings.INTAKE_CLIENT_READINGS_PER_SECOND, settings.INTAKE_SITE_READINGS_PER_SECOND = 2, 4
    assert post(sender, sensor, 20).status_code == 202
    for _ in range(5):
        refused(post(sender, sensor, 20), status=429)
    other = member(sensor.site)
    assert post(other, sensor, 20).status_code == 202


def test_a_request_beyond_a_whole_bucket_passes_once_and_leaves_a_debt(
    settings: Settings, sensor: Sensor, sender: User
) -> None:
    settings.INTAKE_CLIENT_READINGS_PER_SECOND = 2
    assert post(sender, sensor, 100).status_code == 202
    assert 45 <= refused(post(sender, sensor, 10), status=429) <= 46


def test_a_request_the_backlog_refuses_uses_up_no_quota(settings: Settings, sensor: Sensor, sender: User) -> None:
    settings.INTAKE_CLIENT_READINGS_PER_SECOND = 2
    part = waits(sensor.site, lane=1, readings=2_000)
    for _ in range(5):
        refused(post(sender, sensor, 20), status=503)
    part.delete()
    backlog.gauge.forget()
    assert post(sender, sensor, 20).status_code == 202


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_exactly_the_quota_passes(settings: Settings, sensor: Sensor, sender: User) -> None:
    settings.INTAKE_CLIENT_READINGS_PER_SECOND = 2  # 20 readings at once; of 5 each, 4 requests
    together, threads = threading.Barrier(12), 12

    def send(_: int) -> int:
        together.wait(30)
        try:
            return int(post(sender, sensor, 5).status_code)
        finally:
            connection.close()

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(send, range(threads)))
    refilled = int((time.monotonic() - began) * 2 // 5)  # 0, unless the machine is very slow
    assert 4 <= answers.count(202) <= 4 + refilled
    assert answers.count(202) + answers.count(429) == threads
    assert Batch.objects.count() == answers.count(202)


def test_a_bucket_is_forgotten_when_it_is_full_again(settings: Settings, sensor: Sensor, sender: User) -> None:
    settings.INTAKE_CLIENT_READINGS_PER_SECOND = 2
    assert post(sender, sensor, 4).status_code == 202
    store = get_redis_connection("default")
    left = store.pttl(f"bw:quota:client-quota:{sender.pk}")
    assert 0 < left <= 2_001


def test_without_redis_nothing_is_counted_and_everything_is_taken(
    settings: Settings, sensor: Sensor, sender: User
) -> None:
    settings.INTAKE_CLIENT_READINGS_PER_SECOND = 1
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": "unix:///nowhere/redis.sock?db=0"}}
    assert [post(sender, sensor, 10).status_code for _ in range(4)] == [202] * 4
    assert not quota.breaker.allows(time.monotonic())


def test_a_redis_that_hangs_is_asked_once_and_then_left_alone(settings: Settings, sensor: Sensor, sender: User) -> None:
    settings.INTAKE_CLIENT_READINGS_PER_SECOND = 1
    with servers.silent() as (port, connections):
        settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": f"redis://127.0.0.1:{port}/0"}}
        assert post(sender, sensor, 10).status_code == 202
        assert len(connections) == 1
        assert [post(sender, sensor, 10).status_code for _ in range(4)] == [202] * 4
        assert len(connections) == 1


# What is told


def test_the_api_description_tells_when_to_come_again() -> None:
    schema = client().get("/api/v1/schema/?format=json", headers={"Accept": "application/json"}).json()
    answers = schema["paths"]["/api/v1/data/ingest"]["post"]["responses"]
    for status in ("429", "503"):
        answer = schema["components"]["responses"][answers[status]["$ref"].rpartition("/")[2]]
        assert answer["headers"]["Retry-After"]["schema"]["type"] == "integer"
        assert "application/problem+json" in answer["content"]
