"""Alarms that are a nuisance at this moment, by site: reads, and changes nothing.

Counted in event time, by the rules of ``maintenance.isa182``, with one operator a site: what chattered or fleeted in
the last ten minutes, what flapped within the hour, what is stale, and floods that have not ended. Old data that comes
in late is nobody's nuisance, and neither is an advisory.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import numpy as np
from django.db import connection
from numpy.typing import NDArray

from maintenance import isa182
from maintenance.alarm_report import ACTIVE, ALARM, MICROSECONDS, STEP
from maintenance.isa182 import NEVER, Activations
from sensors.columns import Bool, Int64, from_instant

HOUR = timedelta(hours=1)
RETURNED, ACKNOWLEDGED = "action = 'RETURNED'", "action = 'ACKNOWLEDGED'"
NO_INSTANT = "NULL::bigint"
KNOWN = "id, site_id, machine_id, failure_mode, is_active, raised_at, priority"
QUERY = (
    f"WITH concerned AS (SELECT {KNOWN} FROM {ALARM} WHERE is_active OR NOT is_acknowledged"
    f" UNION SELECT recent.* FROM sensors_site AS site CROSS JOIN LATERAL (SELECT {KNOWN} FROM {ALARM}"
    " WHERE site_id = site.id AND raised_at >= %(since)s) AS recent),"
    " asking AS (SELECT * FROM concerned WHERE priority <> 'ADVISORY')"
    f" SELECT site_id, machine_id, failure_mode, {MICROSECONDS.format(f'min(at) FILTER (WHERE {ACTIVE})')},"
    f" {MICROSECONDS.format(f'min(at) FILTER (WHERE {RETURNED})')},"
    f" {MICROSECONDS.format(f'min(at) FILTER (WHERE {ACKNOWLEDGED})')}"
    " FROM (SELECT asking.id, site_id, machine_id, failure_mode, step.action, step.at,"
    f" count(*) FILTER (WHERE {ACTIVE}) OVER (PARTITION BY asking.id ORDER BY step.id) AS episode"
    f" FROM asking JOIN {STEP} AS step ON step.alarm_id = asking.id"
    " WHERE step.at >= %(since)s AND step.at <= %(now)s) AS steps"
    f" GROUP BY id, site_id, machine_id, failure_mode, episode HAVING count(*) FILTER (WHERE {ACTIVE}) > 0"
    f" UNION ALL SELECT site_id, machine_id, failure_mode, {MICROSECONDS.format('raised_at')},"
    f" {NO_INSTANT}, {NO_INSTANT} FROM asking WHERE is_active AND raised_at < %(since)s"
)


class Kind(StrEnum):
    CHATTERING = "chattering"
    FLEETING = "fleeting"
    FLAPPING = "flapping"
    STALE = "stale"
    FLOOD = "flood"


@dataclass(frozen=True, slots=True)
class Finding:
    """``count``: alarms; of a flood the activations in it so far."""

    site_id: int
    kind: Kind
    count: int


def look(*, now: datetime) -> list[Finding]:
    """What is a nuisance now, by site and kind; nothing where nothing is. One query."""
    with connection.cursor() as cursor:
        cursor.execute(QUERY, {"since": now - HOUR, "now": now})
        rows = sorted(cursor.fetchall(), key=lambda row: row[3])
    if not rows:
        return []
    site, machine, mode, at, returned, acknowledged = zip(*rows, strict=True)
    found = Activations(
        at=np.array(at, np.int64),
        returned=_instants(returned),
        acknowledged=_instants(acknowledged),
        machine=np.array(machine, np.int64),
        mode=np.array(mode, "U3"),
        priority=np.zeros(len(rows), np.int64),
    )
    return judge(found, np.array(site, np.int64), now=from_instant(now))


def _instants(given: tuple[int | None, ...]) -> Int64:
    return np.array([NEVER if at is None else at for at in given], np.int64)


def judge(found: Activations, site: Int64, *, now: int) -> list[Finding]:
    """``found``: the activations of the last hour and those that stand, in order of time; ``site``: of each. Pure."""
    alarm, _ = isa182.numbered(found)
    seen = isa182.nuisances(found, alarm, until=now)
    lately = found.at > now - isa182.TEN_US
    stands = found.returned == NEVER
    masks = {
        Kind.CHATTERING: seen.chattering & lately,
        Kind.FLEETING: seen.fleeting & lately,
        Kind.FLAPPING: seen.flapping,
        Kind.STALE: seen.stale & stands,
    }
    made = [one for kind, mask in masks.items() for one in _count(kind, mask, alarm, site)]
    made += _floods(found.at, site, now=now)
    return sorted(made, key=lambda one: (one.site_id, list(Kind).index(one.kind)))


def _count(kind: Kind, mask: Bool, alarm: Int64, site: Int64) -> Iterator[Finding]:
    pairs: NDArray[np.int64] = np.unique(np.stack([site[mask], alarm[mask]]), axis=1)
    for site_id, count in zip(*np.unique(pairs[0], return_counts=True), strict=True):
        yield Finding(int(site_id), kind, int(count))


def _floods(at: Int64, site: Int64, *, now: int) -> Iterator[Finding]:
    for site_id in np.unique(site).tolist():
        floods = isa182.floods_in(at[site == site_id], end=now)
        if floods and floods[-1].end == now:
            yield Finding(site_id, Kind.FLOOD, floods[-1].activations)
