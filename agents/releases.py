"""Which version of the code runs: a hash over its source, noted in the database when it is first seen.

A deployment is the moment at which another version is first seen. No number has to be kept up by hand, and two
machines with the same source say the same.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from agents.models import Release

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("agents", "config", "maintenance", "mlops", "sensors")


@dataclass(frozen=True, slots=True)
class Deployment:
    """When a version came; ``follows`` is the one before it, empty where it was the first."""

    version: str
    at: datetime
    follows: str


def version_of(root: Path) -> str:
    """The hash over the Python files of our packages below ``root``: their places and their text."""
    digest = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


@cache
def current() -> str:
    """The version this process runs: read once, so that files which change under it change nothing."""
    return version_of(ROOT)


def note(version: str) -> None:
    """Remember since when it runs, unless it was seen before."""
    Release.objects.bulk_create([Release(version=version)], ignore_conflicts=True)


def deployment_of(version: str) -> Deployment | None:
    """When that version was first seen and what ran before it; None where it was never noted."""
    mine = Release.objects.filter(version=version).first()
    if mine is None:
        return None
    earlier = Release.objects.filter(pk__lt=mine.pk).order_by("-pk").values_list("version", flat=True).first()
    return Deployment(version, mine.first_seen_at, earlier or "")
