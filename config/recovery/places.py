"""Where backups lie: a folder, or a bucket of S3 or of a store that speaks like it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings

from mlops.artifact_s3 import CONFIG


class PlaceError(Exception):
    """The place could not be read or written; the message says what and why."""


class Place(Protocol):
    """What backups ask of it. Names have parts parted by slashes."""

    def put(self, file: Path, name: str) -> None:
        """Store a file whole or not at all; what had the name is replaced."""

    def get(self, name: str, file: Path) -> None:
        """Raises ``PlaceError`` where nothing has the name."""

    def names(self, prefix: str) -> list[str]:
        """Those that begin with the prefix, ascending."""

    def delete(self, name: str) -> None:
        """Nothing happens where nothing has the name."""


@dataclass(frozen=True, slots=True)
class Folder:
    """On this machine, or on another one's disk that is mounted here."""

    root: Path

    def put(self, file: Path, name: str) -> None:
        target = self.root / name
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        with _told(name):
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            try:
                shutil.copyfile(file, fresh)
                with fresh.open("rb") as written:
                    os.fsync(written.fileno())
                fresh.replace(target)
            finally:
                fresh.unlink(missing_ok=True)

    def get(self, name: str, file: Path) -> None:
        with _told(name):
            shutil.copyfile(self.root / name, file)

    def names(self, prefix: str) -> list[str]:
        found = (path for path in self.root.rglob("*") if path.is_file() and not path.name.startswith("."))
        names = (path.relative_to(self.root).as_posix() for path in found)
        return sorted(name for name in names if name.startswith(prefix))

    def delete(self, name: str) -> None:
        with _told(name):
            parent = (self.root / name).parent
            (self.root / name).unlink(missing_ok=True)
            if parent != self.root and parent.exists() and not any(parent.iterdir()):
                parent.rmdir()


@dataclass(frozen=True, slots=True)
class Bucket:
    """Below a prefix, with the credentials that models use as well."""

    bucket: str
    prefix: str

    def put(self, file: Path, name: str) -> None:
        with _told(name):
            _client().upload_file(str(file), self.bucket, self._key(name))

    def get(self, name: str, file: Path) -> None:
        with _told(name):
            _client().download_file(self.bucket, self._key(name), str(file))

    def names(self, prefix: str) -> list[str]:
        with _told(prefix):
            pages = _client().get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._key(prefix))
            keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return sorted(key.removeprefix(self._key("")) for key in keys)

    def delete(self, name: str) -> None:
        with _told(name):
            _client().delete_object(Bucket=self.bucket, Key=self._key(name))

    def _key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name


def named(place: str) -> Place:
    """``s3://bucket/prefix``, or the path of a folder."""
    if place.startswith("s3://"):
        bucket, _, prefix = place.removeprefix("s3://").strip("/").partition("/")
        return Bucket(bucket, prefix)
    return Folder(Path(place))


@contextmanager
def _told(name: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ClientError, BotoCoreError, boto3.exceptions.Boto3Error) as error:
        raise PlaceError(f"{name}: {error}") from error


def _client() -> Any:
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.S3_ENDPOINT_URL,
        region_name=settings.S3_REGION,
        aws_access_key_id=settings.S3_ACCESS_KEY,
        aws_secret_access_key=settings.S3_SECRET_KEY,
        config=CONFIG,
    )
