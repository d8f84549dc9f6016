"""Backups of the real servers: to S3, and how it goes where something is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.management import CommandError, call_command
from pyrage import x25519

from agents.backup_models import Backup
from config.recovery import keeper, places, tools, wal
from config.recovery.places import Bucket
from tests import model_servers

KEY = x25519.Identity.generate()


@pytest.fixture
def to(settings: Any, tmp_path: Path) -> Path:
    settings.BACKUP_TO, settings.BACKUP_RECIPIENT = str(tmp_path / "place"), str(KEY.to_public())
    settings.BACKUP_SPOOL = tmp_path / "spool"
    return tmp_path


@pytest.fixture
def bucket(settings: Any, tmp_path: Path) -> Iterator[Bucket]:
    with model_servers.s3(tmp_path / "s3.log") as server:
        settings.S3_ENDPOINT_URL, settings.S3_ACCESS_KEY, settings.S3_SECRET_KEY = server.url, "key", "secret"
        client = boto3.client(
            "s3", endpoint_url=server.url, aws_access_key_id="key", aws_secret_access_key="secret",
            region_name="us-east-1",
        )  # fmt: skip
        client.create_bucket(Bucket="backups")
        yield Bucket("backups", "plant")


def test_a_bucket_stores_lists_and_forgets(bucket: Bucket, tmp_path: Path) -> None:
    assert places.named("s3://backups/plant") == bucket
    (tmp_path / "one").write_bytes(b"1")
    bucket.put(tmp_path / "one", "wal/one")
    assert bucket.names("") == bucket.names("wal/") == ["wal/one"]
    bucket.get("wal/one", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"1"
    bucket.delete("wal/one")
    assert bucket.names("") == []
    with pytest.raises(places.PlaceError, match="wal/one"):
        bucket.get("wal/one", tmp_path / "back")


@pytest.mark.django_db
def test_a_backup_that_fails_says_so_in_its_row(to: Path, settings: Any) -> None:
    settings.POSTGRES_BIN = str(to)  # nothing is there
    with pytest.raises(OSError):
        keeper.take(places.named(settings.BACKUP_TO), to=KEY.to_public(), say=lambda text: None)
    row = Backup.objects.get()
    assert (row.status, row.ended_at is None) == ("FAILED", False)
    assert "pg_basebackup" in row.error


def test_what_a_program_of_postgres_says_is_told() -> None:
    with (
        pytest.raises(tools.ToolError, match=r"pg_dump ended with 1: .*No such file"),
        tools.output("pg_dump", "--dbname=postgresql://nobody@/nothing?host=/nowhere") as stream,
    ):
        stream.read()


@pytest.mark.parametrize(
    ("arguments", "missing", "said"),
    [
        (["backup"], "BACKUP_TO", "BACKUP_TO is not set"),
        (["backup"], "BACKUP_RECIPIENT", "--new-key"),
        (["backup", "--list"], "", "no whole backup yet"),
        (["restore", "there", "--key=nowhere"], "", "nowhere"),
    ],
)
def test_what_is_missing_is_named(to: Path, settings: Any, arguments: list[str], missing: str, said: str) -> None:
    if missing:
        setattr(settings, missing, None)
    with pytest.raises(CommandError, match=said):
        call_command(*arguments)


def test_an_instant_needs_an_offset(to: Path) -> None:
    (to / "key").write_text(str(KEY))
    for given in ("yesterday", "2026-11-28T12:00:00"):
        with pytest.raises(CommandError, match="--at"):
            call_command("restore", str(to / "back"), f"--key={to / 'key'}", f"--at={given}")


def test_a_pair_of_keys_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("backup", "--new-key")
    said = capsys.readouterr().out
    assert "BACKUP_RECIPIENT=age1" in said
    assert "AGE-SECRET-KEY-1" in said


@pytest.mark.django_db
def test_a_stream_that_has_ended_is_not_noted_as_shipped(to: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipper = wal.Shipper(places.named(str(to / "place")), KEY.to_public(), to / "spool")
    shipper.spool.mkdir()
    monkeypatch.setattr(shipper.__class__, "start", lambda self: None)  # as where its program ends at once
    keeper._once(shipper, to=KEY.to_public())
    assert not Backup.objects.exists()
