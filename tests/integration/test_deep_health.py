"""``/health/deep``: each thing the service stands on, broken for real."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.db.models import F
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from agents.backup_models import Backup
from agents.models import JobRun
from agents.pulse import Pulse
from config import dependencies
from config.dependencies import Found, Status
from maintenance.models import Channel
from sensors.models import Membership
from tests import factories

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_empty")]

TOKEN = "t" * 40


def only(name: str) -> Found:
    return dependencies.look({name: dependencies.CHECKS[name]})[name]


def closed_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def silent_server() -> Iterator[int]:
    """It takes connections and says nothing."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield int(one.getsockname()[1])


def test_it_is_not_for_the_anonymous(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    assert Client().get("/health/deep").status_code == 403
    assert Client(headers={"Authorization": "Bearer wrong"}).get("/health/deep").status_code == 403
    person = Client()
    person.force_login(factories.user(site=factories.site(), role=Membership.Role.ADMIN))
    assert person.get("/health/deep").status_code == 403


def test_it_names_each_dependency_with_time_and_reason(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{closed_port()}"
    Pulse().note()
    answer = Client(headers={"Authorization": f"Bearer {TOKEN}"}).get("/health/deep")
    told = answer.json()
    assert (answer.status_code, told["status"]) == (200, "degraded")
    found = told["dependencies"]
    assert set(found) == set(dependencies.CHECKS)
    assert all(one["reason"] and one["milliseconds"] >= 0 for one in found.values())
    well = {name for name, one in found.items() if one["status"] == "up"}
    assert {"postgres", "redis-queue", "artifacts", "sweep"} <= well
    assert found["mlflow"]["status"] == "down"
    assert "trainings wait" in found["mlflow"]["reason"]
    assert found["workers"] | {"milliseconds": 0} == {
        "status": "down", "milliseconds": 0, "reason": "no worker answered",
    }  # fmt: skip
    ready = Client().get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")


def test_a_superuser_may_ask(settings: Settings) -> None:
    settings.METRICS_TOKEN = TOKEN
    person = Client()
    person.force_login(factories.user(is_superuser=True, is_staff=True))
    assert person.get("/health/deep").status_code == 200


def test_what_hangs_ends_the_wait_for_it_alone_and_is_not_asked_twice() -> None:
    gate, asked = threading.Event(), []

    def hangs() -> Found:
        asked.append(1)
        gate.wait(30)
        return Found(Status.UP, "at last")

    checks = {"hangs": hangs, "answers": lambda: Found(Status.UP, "here")}
    try:
        for _ in range(2):
            found = dependencies.look(checks, seconds=0.1)
            assert found["answers"].reason == "here"
            assert found["hangs"] == Found(Status.DOWN, "no answer within 0.1 s", 100.0)
        assert len(asked) == 1
    finally:
        gate.set()


def test_a_mail_server_that_says_nothing_is_down_where_somebody_is_told_by_mail(settings: Settings) -> None:
    with silent_server() as port:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
        assert only("smtp").status is Status.UNUSED
        Channel.objects.create(site=factories.site(), kind="EMAIL", name="to one", target="one@example.com")
        found = only("smtp")
    assert (found.status, "timed out" in found.reason or "no answer" in found.reason) == (Status.DOWN, True)


def test_redis_away_is_named(settings: Settings) -> None:
    settings.CACHES = {"default": settings.CACHES["default"] | {"LOCATION": f"redis://127.0.0.1:{closed_port()}/0"}}
    assert only("redis-cache").status is Status.DOWN


def test_a_sweep_and_a_beat_that_stopped_are_named() -> None:
    assert only("sweep").reason == "the sweep has not run yet"
    pulse = Pulse()
    pulse.note()
    pulse.note()
    assert only("sweep").status is Status.UP
    JobRun.objects.update(started_at=F("started_at") - timedelta(minutes=5))
    assert (only("sweep").status, only("beat").status) == (Status.DOWN, Status.DOWN)
    assert "300 s ago" in only("sweep").reason


def test_a_folder_of_models_that_cannot_be_read_is_named(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "models"
    file.write_text("not a folder")
    settings.ML_ARTIFACTS = file.as_uri()
    assert only("artifacts").status is Status.DOWN


def test_backups_that_fail_or_are_old_are_named(settings: Settings) -> None:
    assert only("backup").status is Status.UNUSED
    settings.BACKUP_TO = "s3://bucket"
    assert only("backup").reason == "no whole backup has ended well yet"
    Backup.objects.create(kind="WHOLE", status="DONE", place="there", ended_at=_hours_ago(1))
    assert only("backup").status is Status.UP
    Backup.objects.create(kind="WHOLE", status="FAILED", place="there", error="no room", ended_at=_hours_ago(0))
    assert "the newest one failed" in only("backup").reason
    Backup.objects.all().delete()
    Backup.objects.create(kind="WHOLE", status="DONE", place="there", ended_at=_hours_ago(72))
    assert only("backup").status is Status.DEGRADED


def _hours_ago(hours: int) -> datetime:
    return timezone.now() - timedelta(hours=hours)


def test_only_postgres_makes_it_down() -> None:
    up, down = Found(Status.UP, ""), Found(Status.DOWN, "")
    assert dependencies.whole({"postgres": up, "mlflow": up}) == "ready"
    assert dependencies.whole({"postgres": up, "mlflow": down}) == "degraded"
    assert dependencies.whole({"postgres": down, "mlflow": up}) == "down"
