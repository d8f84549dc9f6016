"""``manage.py check_deployment``: each thing broken for real, where a test can break it."""

from __future__ import annotations

import io
import json
import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from pytest_django import Settings

from agents import housekeeping
from agents.backup_models import Backup
from agents.pulse import Pulse
from config import deployment, guards
from config.findings import BAD, NOTE, OK, Finding
from sensors import partitions

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("redis_empty")]

STRONG = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def look(name: str) -> list[Finding]:
    return list(deployment.LOOKS[name]())


def bad(name: str) -> str:
    return " ".join(f"{one.found} {one.todo}" for one in look(name) if one.verdict == BAD)


def test_it_says_what_is_found_and_what_to_do_and_ends_with_1_where_anything_is_bad() -> None:
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_deployment", stdout=out)
    assert ended.value.code == 1  # no worker runs beside the tests
    text = out.getvalue()
    assert "BAD   workers      no worker answered" in text
    assert "Start a worker for each queue that is named." in text
    told = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("check_deployment", "--json", stdout=told)
    rows: list[dict[str, Any]] = json.loads(told.getvalue())
    assert {row["check"] for row in rows} >= {*deployment.LOOKS} - {"connections"} | {"postgres", "redis-queue", "disk"}
    assert all(row["found"] and (row["todo"] or row["verdict"] == OK) for row in rows)


def test_it_ends_well_where_nothing_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployment, "LOOKS", {"clock": deployment.LOOKS["clock"]})
    call_command("check_deployment", stdout=io.StringIO())


def test_what_cannot_be_looked_at_is_bad() -> None:
    def breaks() -> Iterator[Finding]:
        raise RuntimeError("the moon")
        yield

    (found,) = deployment.examine({"tide": breaks})
    assert (found.check, found.verdict, "the moon" in found.found) == ("tide", BAD, True)


def test_a_migration_that_is_missing_or_strange_is_named() -> None:
    assert [one.verdict for one in look("migrations")] == [OK]
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied("sensors", "0020_correlation")
    recorder.record_applied("sensors", "0999_from_the_future")
    try:
        missing, strange = look("migrations")
    finally:
        recorder.record_applied("sensors", "0020_correlation")
        recorder.record_unapplied("sensors", "0999_from_the_future")
    assert (missing.verdict, "sensors.0020_correlation" in missing.found) == (BAD, True)
    assert (strange.verdict, "sensors.0999_from_the_future" in strange.found) == (NOTE, True)


def test_days_without_a_partition_are_named() -> None:
    today = timezone.now().date()
    assert today.isoformat() in bad("partitions")
    housekeeping.make_partitions()
    assert [one.verdict for one in look("partitions")] == [OK]
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {partitions.name_of(partitions.CHUNKS, today + timedelta(days=3))}")
    assert [one.verdict for one in look("partitions")] == [NOTE]


def test_clocks_are_compared() -> None:
    assert [one.verdict for one in look("clock")] == [OK, OK]
    found = deployment._skew("the database", lambda: timezone.now().timestamp() - 90)
    assert (found.verdict, "-90" in found.found) == (BAD, True)


def test_versions_and_floors_are_held() -> None:
    assert {one.verdict for one in look("versions")} == {OK}
    assert deployment._numbers("8.0.1") > deployment._numbers("6.2.14") > deployment._numbers("6.0.20")


@pytest.fixture
def web_role(settings: Settings) -> Iterator[str]:
    """A role of the test's own in the place of the web server's."""
    role = "bellwether_check_test"
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE ROLE "{role}" LOGIN')
    told = connection.settings_dict
    settings.DATABASE_WEB_URL = f"postgresql://{role}@/{told['NAME']}?host={told['HOST']}"
    try:
        yield role
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f'REASSIGN OWNED BY "{role}" TO CURRENT_USER; DROP ROLE "{role}"')


def test_a_web_role_that_no_row_security_holds_or_that_owns_tables_is_bad(web_role: str) -> None:
    assert bad("roles") == ""
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER ROLE "{web_role}" BYPASSRLS CREATEDB')
    assert "is held by no row security and may make roles or databases" in bad("roles")
    with connection.cursor() as cursor:
        cursor.execute(f'ALTER ROLE "{web_role}" NOBYPASSRLS NOCREATEDB; CREATE TABLE owned_by_web (id int)')
        cursor.execute(f'ALTER TABLE owned_by_web OWNER TO "{web_role}"')
    try:
        assert "owns 1 tables" in bad("roles")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE owned_by_web")


def test_a_table_without_its_wall_is_named(web_role: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE sensors_batch DISABLE ROW LEVEL SECURITY")
    try:
        assert "sensors_batch" in bad("roles")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE sensors_batch ENABLE ROW LEVEL SECURITY")


def test_a_role_that_cannot_log_in_is_told(settings: Settings) -> None:
    told = connection.settings_dict
    settings.DATABASE_WEB_URL = f"postgresql://nobody_at_all@/{told['NAME']}?host={told['HOST']}"
    (found,) = deployment.examine({"roles": guards.roles})
    assert (found.verdict, "nobody_at_all" in found.found) == (BAD, True)
    settings.DATABASE_WEB_URL, settings.PRODUCTION = None, True
    assert "DATABASE_WEB_URL is not set" in bad("roles")


def test_weak_secrets_are_named(settings: Settings) -> None:
    settings.SECRET_KEY = STRONG
    settings.SIMPLE_JWT = settings.SIMPLE_JWT | {"SIGNING_KEY": STRONG[::-1]}
    settings.SECRET_KEY_FALLBACKS = []
    settings.FLOWER_PASSWORD = settings.MLFLOW_TRACKING_PASSWORD = STRONG
    settings.METRICS_TOKEN = None
    settings.DATABASE_URL = f"postgresql://me:{STRONG}@db/x"
    assert bad("secrets") == ""
    settings.SECRET_KEY = "short"
    settings.METRICS_TOKEN = "short"
    settings.DATABASE_URL, settings.REDIS_URL = "postgresql://me:short@db/x", "redis://redis:6379/0"
    settings.SIMPLE_JWT = settings.SIMPLE_JWT | {"SIGNING_KEY": "ab" * 40}
    said = bad("secrets")
    for fault in (
        "SECRET_KEY is shorter", "METRICS_TOKEN is shorter", "The password in DATABASE_URL is shorter",
        "REDIS_URL has no password", "JWT_SIGNING_KEY has few different characters",
    ):  # fmt: skip
        assert fault in said
    assert "short@db" not in said


def test_backups_that_are_missing_old_or_not_shipped_are_bad(settings: Settings) -> None:
    assert [one.verdict for one in look("backup")] == [NOTE]
    settings.PRODUCTION = True
    assert "nothing is backed up" in bad("backup")
    settings.BACKUP_TO, settings.BACKUP_RECIPIENT = "s3://bucket", "age1x"
    assert "no whole backup has ended well" in bad("backup")
    assert "never shipped" in bad("backup")
    now = timezone.now()
    Backup.objects.create(kind="WHOLE", status="DONE", place="there", ended_at=now)
    Backup.objects.create(kind="WAL", status="DONE", place="there", ended_at=now)
    assert bad("backup") == ""
    Backup.objects.filter(kind="WAL").update(ended_at=now - timedelta(hours=1))
    assert "was shipped 3600 s ago" in bad("backup")


def test_a_server_that_is_away_is_bad_and_told_by_its_name(settings: Settings) -> None:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    settings.MLFLOW_TRACKING_URI = f"http://127.0.0.1:{port}"
    Pulse().note()
    found = {one.check: one for one in look("connections")}
    assert (found["mlflow"].verdict, found["sweep"].verdict, found["postgres"].verdict) == (BAD, OK, OK)
    assert found["mlflow"].todo.startswith("Start the MLflow server")


def test_settings_that_are_unsafe_in_production_are_bad(settings: Settings) -> None:
    settings.PRODUCTION, settings.PUBLIC_URL, settings.DEBUG = True, "http://plain.example", True
    said = bad("settings")
    assert "bellwether.E006" in said
    assert "bellwether.E001" in said
