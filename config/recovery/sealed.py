"""Streams packed with zstd and encrypted with age (X25519): who holds the public key alone can write, and not read."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any

import pyrage
import zstandard
from pyrage import x25519

ENDING = ".zst.age"
LEVEL = 3


class NoKey(ValueError):
    """What was given is no key of age."""


class Broken(Exception):
    """A file does not open: another key, or it was changed or cut."""


def recipient(text: str) -> Any:
    """The public key (``age1...``). Raises ``NoKey``."""
    try:
        return x25519.Recipient.from_str(text.strip())
    except pyrage.RecipientError as error:
        raise NoKey(f"{text[:20]!r} is no public key of age: {error}") from error


def identity(text: str) -> Any:
    """The secret key (``AGE-SECRET-KEY-1...``), alone or among lines of comment. Raises ``NoKey``."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        return x25519.Identity.from_str(lines[0].strip())
    except (IndexError, pyrage.IdentityError) as error:
        raise NoKey("There is no secret key of age.") from error


class _Hashed:
    """A file that is written, its size and checksum."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sha256, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        self.size += len(data)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()


def seal(source: IO[bytes], target: Path, *, to: Any) -> tuple[int, str]:
    """Write a stream packed and encrypted for ``to``; bytes that were written, and their sha256."""
    packed = zstandard.ZstdCompressor(level=LEVEL).stream_reader(source)
    with target.open("wb") as file:
        written = _Hashed(file)
        pyrage.encrypt_io(packed, written, [to])
    return written.size, written.sha256.hexdigest()


def unseal(source: Path, target: IO[bytes], *, key: Any) -> None:
    """Raises ``Broken``; what was written until then is not to be used."""
    unpacked: Any = zstandard.ZstdDecompressor().stream_writer(target, closefd=False)
    try:
        with source.open("rb") as file:
            pyrage.decrypt_io(file, unpacked, [key])
        unpacked.flush()
    except (pyrage.DecryptError, zstandard.ZstdError, OSError) as error:
        raise Broken(f"{source.name}: {error}") from error


def sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
