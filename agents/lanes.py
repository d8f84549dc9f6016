"""Which lanes a run goes down: neighbours share one, so that a trip is shared by all that came down any of them.

Order holds in a lane because no two active runs have one in common; the database holds to that (``run_lanes_apart``),
so ``RUN_LANES`` may be changed while runs are on their way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import connection

from agents.models import Run
from sensors.models import LANES, BatchPart

RUN, PART = Run._meta.db_table, BatchPart._meta.db_table


def span(lane: int) -> tuple[int, int]:
    """The first lane, and the number of lanes, of a run that begins for this one."""
    first = lane - lane % settings.RUN_LANES
    return first, min(settings.RUN_LANES, LANES - first)


def spans(first: int, count: int) -> list[tuple[int, int]]:
    """The lanes of each run that could begin for one of these."""
    return [span(lane) for lane in firsts(range(first, first + count))]


def firsts(lanes: Iterable[int]) -> list[int]:
    """One lane for each run that these lanes would need, ascending."""
    return sorted({span(lane)[0] for lane in lanes})


def free(first: int, count: int, *, taken: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is left of some lanes (the first, and how many) beside those taken, in pieces of neighbours, ascending."""
    left, start, end = [], first, first + count
    for begins, many in sorted(taken):
        if begins > start:
            left.append((start, min(begins, end) - start))
        start = max(start, begins + many)
    if start < end:
        left.append((start, end - start))
    return [(begins, many) for begins, many in left if many > 0]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a run is."""

    id: int
    stage: str
    lane: int
    lanes: int


@dataclass(frozen=True, slots=True)
class There:
    """The runs in some lanes: those that are active, those whose replay could begin now, and what both leave free."""

    active: Sequence[Place]
    waiting: Sequence[Place]
    free: Sequence[tuple[int, int]]


def runs(first: int, count: int, *, stages: Iterable[str]) -> There:
    """What is in these lanes, oldest first. A replay waits while one of its lanes is busy, or its stage is not among
    those that are known; what it needs is not free meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT status, id, stage, lane, lanes FROM {RUN}"
            " WHERE status IN ('ACTIVE', 'REPLAY') AND lane < %s AND lane + lanes > %s ORDER BY id",
            [first + count, first],
        )
        found = [(status, Place(*row)) for status, *row in cursor.fetchall()]
    known = {str(stage) for stage in stages}
    active = [run for status, run in found if status == "ACTIVE"]
    replays = [run for status, run in found if status == "REPLAY" and run.stage in known]
    busy = {lane for run in active for lane in range(run.lane, run.lane + run.lanes)}
    return There(
        active,
        [run for run in replays if busy.isdisjoint(range(run.lane, run.lane + run.lanes))],
        free(first, count, taken=[(run.lane, run.lanes) for run in (*active, *replays)]),
    )


def waiting(first: int, count: int, *, most: int = 1) -> tuple[int, int]:
    """How many parts wait in these lanes, counted up to ``most``, and how many readings are in those."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*), coalesce(sum(readings), 0) FROM (SELECT readings FROM {PART}"
            " WHERE state = 'WAITING' AND lane >= %s AND lane < %s LIMIT %s)",
            [first, first + count, most],
        )
        parts, readings = cursor.fetchone()
        return int(parts), int(readings)
