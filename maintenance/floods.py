"""Floods, begun with the alarm that is too much and ended when the rate has sunk. The only writer of Flood.

By the rules of ``maintenance.isa182``, in event time beside the clock, with one operator a site. What counts is what is
annunciated: neither advisories nor what is hidden. While a site is in flood its messages are held, and told together
(``maintenance.digests``).

A flood is noted in the transaction that puts the messages of its alarms into the outbox, so none of them is early. It
cannot end before the newest alarms but a few have left the ten minutes: that instant is a column, and the sweep looks
then.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

import numpy as np
import structlog
from django.db import connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from maintenance import digests, isa182
from maintenance.alarm_report import ACTIVE, ALARM, MICROSECONDS, STEP
from maintenance.flood_models import Flood
from maintenance.isa182 import TEN_MINUTES, TEN_US
from maintenance.nuisance import HOUR
from sensors.columns import from_instant, to_instant

log = structlog.get_logger(__name__)

MOST = 100
"""Floods looked at in one pass of the sweep."""
COUNTED = (
    f"SELECT alarm.site_id, {MICROSECONDS.format('step.at')} FROM {ALARM} AS alarm"
    f" JOIN {STEP} AS step ON step.alarm_id = alarm.id"
    " WHERE alarm.site_id = ANY(%(sites)s) AND alarm.raised_at > %(since)s AND alarm.priority <> 'ADVISORY'"
    f" AND step.{ACTIVE} AND step.suppression = '' AND step.at > %(since)s AND step.at <= %(now)s"
    " ORDER BY step.at"
)


def begin(site_ids: Iterable[int], *, now: datetime | None = None) -> set[int]:
    """Those of the sites that are in flood; of each that comes to be it is noted that it is.

    In the caller's transaction. Two queries where no flood begins; none without sites.
    """
    sites = set(site_ids)
    if not sites:
        return set()
    standing = set(Flood.objects.filter(site__in=sites, ended_at=None).values_list("site", flat=True))
    now = now or timezone.now()
    new = []
    for site_id, at in _activations(sites - standing, since=now - HOUR, now=now).items():
        floods = isa182.floods_in(np.array(at, np.int64), end=from_instant(now))
        if floods and floods[-1].end == from_instant(now):
            begun, count = to_instant(floods[-1].start), floods[-1].activations
            new.append(Flood(site_id=site_id, began_at=begun, look_at=_over_at(at), activations=count))
            log.warning("maintenance.floods.begun", site=site_id, activations=count)
    Flood.objects.bulk_create(new, ignore_conflicts=True)
    return standing | {row.site_id for row in new}


def due(*, now: datetime | None = None) -> list[int]:
    """Floods of which it is time to see whether they are over."""
    rows = Flood.objects.filter(look_at__lte=now or Now())
    return list(rows.order_by("look_at", "id").values_list("id", flat=True)[:MOST])


def look(flood_id: int, *, now: datetime | None = None) -> bool:
    """End a flood that is over, and let go what was held for it; whether it was this call that did."""
    now = now or timezone.now()
    with transaction.atomic():
        row = Flood.objects.select_for_update(no_key=True).get(pk=flood_id)
        if row.look_at is None or row.look_at > now:
            return False
        at = _activations([row.site_id], since=row.began_at - TEN_MINUTES, now=now)[row.site_id]
        row.activations = max(row.activations, len(at))
        over_at = max(_over_at(at), row.look_at)
        row.ended_at, row.look_at = (over_at, None) if over_at <= now else (None, over_at)
        row.save(update_fields=["activations", "ended_at", "look_at"])
        if row.ended_at is not None:
            digests.let_go(row.site_id, now=now)
            log.info("maintenance.floods.over", site=row.site_id, activations=row.activations)
    return row.ended_at is not None


def _activations(sites: Collection[int], *, since: datetime, now: datetime) -> dict[int, list[int]]:
    """Instants of the activations after ``since``, by site, in order. One query, none without sites."""
    found: dict[int, list[int]] = defaultdict(list)
    if sites:
        with connection.cursor() as cursor:
            cursor.execute(COUNTED, {"sites": list(sites), "since": since, "now": now})
            for site_id, at in cursor.fetchall():
                found[site_id].append(at)
    return found


def _over_at(at: Sequence[int]) -> datetime:
    """When fewer than the lower limit are left in the ten minutes, if no more come."""
    lower = isa182.LIMITS["flood_ends"]
    return to_instant(at[-lower] + TEN_US) if len(at) >= lower else to_instant(0)
