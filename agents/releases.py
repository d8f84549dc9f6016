"""Which version of the code runs: a hash over its source, noted in the database when it is first seen.

A deployment is the moment at which another version is first seen. No number has to be kept up by hand, and two
machines with the same source say the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from agents import version
from agents.models import Release

current, version_of = version.current, version.version_of


@dataclass(frozen=True, slots=True)
class Deployment:
    """When a version came; ``follows`` is the one before it, empty where it was the first."""

    version: str
    at: datetime
    follows: str


def note(seen: str) -> None:
    """Remember since when it runs, unless it was seen before."""
    Release.objects.bulk_create([Release(version=seen)], ignore_conflicts=True)


def deployment_of(seen: str) -> Deployment | None:
    """When that version was first seen and what ran before it; None where it was never noted."""
    mine = Release.objects.filter(version=seen).first()
    if mine is None:
        return None
    earlier = Release.objects.filter(pk__lt=mine.pk).order_by("-pk").values_list("version", flat=True).first()
    return Deployment(seen, mine.first_seen_at, earlier or "")
