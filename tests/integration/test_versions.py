"""Beside a newer version, and after a rollback: what this one does not know is left alone, and the rest goes on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from agents import pipeline, strangers, sweeper
from agents.doorbell import Bell
from agents.models import Run, StageAttempt
from config.celery import app
from sensors import inbox
from sensors.models import BatchPart, Sensor
from tests import client as rest
from tests import factories

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
LONG_AGO = timedelta(minutes=1)


def send(sensor: Sensor, *, minute: int = 0) -> int:
    """One reading; the lane it waits in."""
    at = factories.NOON - timedelta(hours=2) + timedelta(minutes=minute)
    body = json.dumps([{"sensor": sensor.pk, "measured_at": at.isoformat(), "value": 1.0}]).encode()
    return inbox.accept(site=sensor.site, user=None, body=body, received_at=factories.NOON).lanes[0]


def a_sensor() -> Sensor:
    return factories.sensor(machine=factories.machine(site=factories.site()))


@pytest.fixture
def sensor(db: None) -> Sensor:
    return a_sensor()


@pytest.fixture
def newer(db: None) -> None:
    """The tables as a newer version has made them: with states of which this one knows nothing."""
    with connection.cursor() as cursor:
        for table, name in (
            ("agents_run", "run_status"),
            ("agents_run", "run_stage"),
            ("agents_stageattempt", "stage_attempt_outcome"),
        ):
            cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")


STRANGE = [("ACTIVE", "ENRICH"), ("QUARANTINE", "ENRICH"), ("REPLAY", "ENRICH"), ("PAUSED", "VALIDATE")]


def strange_run(status: str, stage: str, *, lane: int) -> Run:
    run = Run.objects.create(lane=lane, status=status, stage=stage, ring_after=timezone.now() - LONG_AGO)
    StageAttempt.objects.create(
        run=run, stage=stage, lease_token=1, worker="newer:1", started_at=factories.NOON, outcome="PUT_OFF"
    )
    run.refresh_from_db()
    return run


@pytest.fixture(params=STRANGE, ids=" ".join)
def strange(request: pytest.FixtureRequest, newer: None, sensor: Sensor) -> Run:
    """A run of another lane than the sensor's, in a state that a newer version wrote."""
    lane = (int(sensor.machine.lane or 0) + 1) % 64
    return strange_run(*request.param, lane=lane)


def as_it_is(run: Run) -> dict[str, Any]:
    return Run.objects.filter(pk=run.pk).values()[0]


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_empty")
def test_the_sweep_leaves_it_alone_and_goes_on_with_the_others(strange: Run, sensor: Sensor) -> None:
    before = as_it_is(strange)
    lane = send(sensor)
    for _ in range(2):
        Run.objects.update(ring_after=timezone.now() - LONG_AGO)
        sweeper.work_off(sweeper.due())
    assert as_it_is(strange) | {"ring_after": None} == before | {"ring_after": None}
    assert Run.objects.get(pk=BatchPart.objects.get(lane=lane).run_id).status == "DONE"


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_empty")
def test_a_bell_for_it_changes_nothing(strange: Run) -> None:
    before = as_it_is(strange)
    for queue in ("validate", "detect", "decide", "notify", "quarantine"):
        assert sweeper.answer(Bell(queue, strange.pk)) == ()
    assert sweeper.answer(Bell("ingest", strange.lane)) == ()
    assert as_it_is(strange) == before


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_empty")
@pytest.mark.parametrize(("status", "stage"), STRANGE)
def test_what_waits_in_its_lane_goes_on_where_the_lane_is_free(
    status: str, stage: str, newer: None, sensor: Sensor
) -> None:
    lane = send(sensor)
    strange_run(status, stage, lane=lane)
    sweeper.work_off([Bell("ingest", lane)])
    done = Run.objects.filter(lane=lane, status="DONE").count()
    assert done == (0 if status == "ACTIVE" else 1)  # one active run holds its lane, whoever knows its stage
    assert lane not in pipeline.idle_lanes_with_work()


@pytest.mark.django_db
@pytest.mark.usefixtures("redis_empty")
def test_it_is_told_of_once_in_a_while(
    strange: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(strangers, "teller", strangers.Teller())
    for _ in range(3):
        sweeper.sweep()
    told = [r.msg for r in caplog.records if r.name == "agents.strangers" and isinstance(r.msg, dict)]
    assert [t["event"] for t in told] == ["agents.strangers.left-alone"]
    assert told[0]["runs"] == [f"{strange.pk} {strange.status} at {strange.stage}"]


@pytest.mark.django_db
def test_what_is_at_an_end_is_not_strange(newer: None) -> None:
    for status in ("DONE", "FAILED", "DISCARDED"):
        Run.objects.create(lane=1, status=status, stage="ENRICH")
    assert not Run.objects.strange().exists()


@pytest.mark.django_db
def test_strange_runs_are_counted_by_an_index(newer: None) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        assert "run_unfinished" in Run.objects.strange().explain()


@pytest.mark.django_db
def test_pages_api_and_metrics_show_it_as_it_is(strange: Run, client: Client) -> None:
    boss = factories.user(is_superuser=True, is_staff=True)
    client.force_login(boss)
    for page in (
        reverse("admin:agents_run_changelist"),
        reverse("admin:agents_run_change", args=[strange.pk]),
        reverse("admin:index"),
    ):
        answer = client.get(page)
        assert answer.status_code == 200, page
    page = client.get(reverse("admin:agents_run_change", args=[strange.pk])).content.decode()
    assert strange.get_stage_display() in page
    api = rest.client(boss)
    listed = api.get("/api/v1/runs/").json()
    one = api.get(f"/api/v1/runs/{strange.pk}/").json()
    found = next(row for row in listed["results"] if row["id"] == strange.pk)
    assert (found["status"], found["stage"]) == (one["status"], one["stage"]) == (strange.status, strange.stage)
    assert one["stage_attempts"][0]["outcome"] == "PUT_OFF"
    assert "pdm_runs_strange 1.0" in client.get("/metrics").content.decode()


@pytest.mark.django_db
def test_it_cannot_be_replayed_or_discarded(strange: Run) -> None:
    boss = rest.client(factories.user(is_superuser=True))
    rest.problem(boss.post(f"/api/v1/runs/{strange.pk}/replay/"), status=409, name="conflict")


# Messages of a newer version


def until(condition: Callable[[], bool], *, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, log.read_text()[-3000:]
        time.sleep(0.05)


@contextmanager
def worker(log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real one, for the queue of validate, on the database of these tests."""
    name = connection.settings_dict["NAME"]
    url = settings.DATABASE_URL.replace("/bellwether", f"/{name}", 1)
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "config", "worker", "-n", "older@%h", "-Q", "validate",
             "--pool", "solo", "-l", "INFO", "--without-gossip", "--without-mingle"],
            cwd=ROOT, env=dict(os.environ) | {"DATABASE_URL": url, "REDIS_URL": settings.REDIS_URL}, stdout=out,
            stderr=out,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("redis_empty")
def test_a_worker_lives_on_after_messages_that_only_a_newer_version_understands(tmp_path: Path) -> None:
    run_id = pipeline.begin(send(a_sensor())).bells[0].id
    log = tmp_path / "worker.log"
    with worker(log) as process:
        for task, args, more in (
            ("agents.enrich", [run_id], {}),  # of a task that it does not know
            ("agents.validate", [run_id, "more", "than", "known"], {}),
            ("agents.validate", [], {"lane_id": run_id}),  # a name that it does not know, and not the one it needs
            ("agents.validate", [run_id], {"priority": 7, "of": {"a": "newer version"}}),
        ):
            app.send_task(task, args=args, kwargs=more, queue="validate")
        until(lambda: Run.objects.get(pk=run_id).stage == "DETECT", log=log)
        assert process.poll() is None
    said = log.read_text()
    assert "unregistered task of type 'agents.enrich'" in said
    assert said.count("TypeError") >= 2
    assert StageAttempt.objects.filter(run_id=run_id, stage="VALIDATE").count() == 1
