"""Files of trained models by URI, in a folder or in S3; nothing outside ``ML_ARTIFACTS`` is read or written.

Whoever reads them needs no MLflow. What a file holds is not looked at here: the ledger has its checksum.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Protocol
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings

UNWANTED = re.compile(r"[\x00-\x1f\x7f\\?#]")
"""Characters that mean something else to one of those who read a URI."""


class ArtifactError(Exception):
    """A file was not read or written; the message says which and why. ``transient``: later it may be."""

    transient: ClassVar[bool] = False


class Missing(ArtifactError):
    """No such file."""


class TooLarge(ArtifactError):
    """It has more bytes than are allowed; it was not read."""


class Outside(ArtifactError):
    """The URI does not lie below ML_ARTIFACTS."""


class Refused(ArtifactError):
    """The store says no, and would say it again: rights, credentials, a bucket that is not there."""


class Unreachable(ArtifactError):
    """The store does not answer, breaks off, or has too much to do."""

    transient = True


class Store(Protocol):
    """What can be asked of a kind of store, with the URI and what follows the root in it."""

    def read(self, uri: str, below: str, *, most: int) -> bytes: ...

    def write(self, uri: str, below: str, data: bytes) -> None: ...


def put(uri: str, data: bytes) -> None:
    """Write a file whole or not at all; what was there is replaced. Raises ``ArtifactError``."""
    if len(data) > settings.ML_ARTIFACT_MAX_BYTES:
        raise TooLarge(f"{uri}: {len(data)} bytes, at most {settings.ML_ARTIFACT_MAX_BYTES}.")
    _store().write(uri, _below(uri), data)


def get(uri: str, *, most: int | None = None) -> bytes:
    """A file whole. ``most``: bytes that are allowed, else ML_ARTIFACT_MAX_BYTES. Raises ``ArtifactError``."""
    return _store().read(uri, _below(uri), most=settings.ML_ARTIFACT_MAX_BYTES if most is None else most)


def below(place: str, name: str) -> str:
    """The URI of a file by its name in a place that is a URI."""
    return f"{place.rstrip('/')}/{quote(name) if place.startswith('file:') else name}"


def _below(uri: str) -> str:
    """What follows the root in the URI. Raises ``Outside``."""
    root: str = settings.ML_ARTIFACTS
    rest = uri.removeprefix(f"{root}/")
    if rest == uri:
        raise Outside(f"{uri} does not lie below {root}.")
    name = unquote(rest) if root.startswith("file:") else rest
    if UNWANTED.search(rest) or UNWANTED.search(name) or {"", ".", ".."} & {*name.split("/")}:
        raise Outside(f"{uri!r} is no plain name of a file below {root}.")
    return name


def _store() -> Store:
    if settings.ML_ARTIFACTS.startswith("file:"):
        return Folder()
    # Not above: boto3 and a client of it take 20 MB, also of who keeps files in a folder.
    s3: Store = import_module("mlops.artifact_s3").Bucket()
    return s3


class Folder:
    """Files below a folder of this machine, or of one that several machines have mounted."""

    def read(self, uri: str, below: str, *, most: int) -> bytes:
        with _told(uri):
            path = self._path(uri, below)
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise Missing(f"{uri} is no file.")
            if found.st_size > most:
                raise TooLarge(f"{uri}: {found.st_size} bytes, at most {most}.")
            with path.open("rb") as file:
                data = file.read(most + 1)
        if len(data) > most:
            raise TooLarge(f"{uri}: more than {most} bytes.")
        return data

    def write(self, uri: str, below: str, data: bytes) -> None:
        with _told(uri):
            path = self._path(uri, below)
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.{os.getpid()}")
            try:
                with fresh.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                fresh.replace(path)
            finally:
                fresh.unlink(missing_ok=True)

    def _path(self, uri: str, below: str) -> Path:
        """Links are followed first: what they lead to must lie below the root as well."""
        root = Path(unquote(urlsplit(settings.ML_ARTIFACTS).path)).resolve()
        path = (root / below).resolve()
        if not path.is_relative_to(root):
            raise Outside(f"{uri} leads out of {root}.")
        return path


@contextmanager
def _told(uri: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Missing(f"{uri} is not there.") from error
    except (PermissionError, IsADirectoryError, FileExistsError) as error:
        raise Refused(f"{uri}: {error.strerror}.") from error
    except OSError as error:
        raise Unreachable(f"{uri}: {error.strerror}.") from error
