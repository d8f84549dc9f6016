"""Which lanes a run goes down: neighbours share one, so that a trip is shared by all that came down any of them.

Order holds in a lane because no two active runs have one in common; the database holds to that (``run_lanes_apart``),
so ``RUN_LANES`` may be changed while runs are on their way.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.conf import settings
from django.db.models import F, Q

from sensors.models import LANES


def span(lane: int) -> tuple[int, int]:
    """The first lane, and the number of lanes, of a run that begins for this one."""
    first = lane - lane % settings.RUN_LANES
    return first, min(settings.RUN_LANES, LANES - first)


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


def overlapping(first: int, count: int) -> Q:
    """Runs that have one of these lanes."""
    return Q(lane__lt=first + count, lane__gt=first - F("lanes"))
