"""What a schedule changes for people beside what they know. Pure: no Django."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Kind(StrEnum):
    NEW = "NEW"  # nobody was told of it yet
    GIVEN = "GIVEN"  # somebody else does it
    MOVED = "MOVED"  # the same person, at another time
    DROPPED = "DROPPED"  # it is no longer planned
    SAME = "SAME"


@dataclass(frozen=True, slots=True)
class Told:
    """Who does an order when."""

    person: int
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Change:
    order: int
    kind: Kind
    before: Told | None
    after: Told | None


def between(before: Mapping[int, Told], after: Mapping[int, Told]) -> list[Change]:
    """Each order that people were told of, or that is in the schedule; those that change first."""
    keys = sorted(before.keys() | after.keys())
    found = [Change(key, _kind(before.get(key), after.get(key)), before.get(key), after.get(key)) for key in keys]
    return sorted(found, key=lambda one: (one.kind == Kind.SAME, one.order))


def _kind(before: Told | None, after: Told | None) -> Kind:
    if before is None:
        return Kind.NEW
    if after is None:
        return Kind.DROPPED
    if before.person != after.person:
        return Kind.GIVEN
    return Kind.SAME if before == after else Kind.MOVED
