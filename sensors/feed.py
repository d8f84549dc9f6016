"""The journal in an order in which it can be followed: nothing that commits later comes before what was read.

Ids are given before a transaction commits, so whoever remembers the highest id they saw misses what commits after it
under a lower one. So each event also knows the transaction that wrote it, and only events are read that were written
before the oldest transaction that is still open: by transaction, and by id within one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db import connection
from django.db.models import Q, QuerySet

from sensors import journal_order
from sensors.models import Event

LATEST = "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """Behind this event; ``event`` 0: before all of its transaction."""

    transaction: int
    event: int = 0


def head() -> Position:
    """Where the journal ends by now: what is before it is settled, and all that comes will come behind it."""
    with connection.cursor() as cursor:
        cursor.execute(LATEST)
        return Position(cursor.fetchone()[0])


def settled() -> QuerySet[Event]:
    """The events whose order can not change any more."""
    return Event.objects.filter(written_in__lt=journal_order.OLDEST_OPEN)


def between(after: Position, until: Position, *, sites: Collection[int], limit: int) -> list[Event]:
    """The events of some sites behind ``after`` and before ``until`` (a head that was seen), in their order."""
    behind = Q(written_in__gt=after.transaction) | Q(written_in=after.transaction, id__gt=after.event)
    rows = Event.objects.filter(
        behind, site__in=sites, written_in__gte=after.transaction, written_in__lt=until.transaction
    )
    return list(rows.order_by("written_in", "id")[:limit])


def of(event: Event) -> Position:
    return Position(event.written_in or 0, event.pk)
