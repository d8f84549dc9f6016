"""What the figures of maintenance are made of, read from the tables; nothing is changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection
from django.db.models import Min

from maintenance import alarm_report
from maintenance.effort_models import Downtime, Labour, OrderCost
from maintenance.isa182 import NEVER, Activations
from maintenance.kpi import Orders, Period, Stretches
from maintenance.models import PastOrder, WorkOrder, WorkOrderTransition
from maintenance.part_models import Movement
from sensors.columns import from_instant
from sensors.models import Equipment

ORDER, STEP, PAST = (model._meta.db_table for model in (WorkOrder, WorkOrderTransition, PastOrder))
MICROSECONDS = alarm_report.MICROSECONDS
LASTED_INTO = "({0}completed_at IS NULL OR {0}completed_at >= %(start)s)"
MACHINES = f"""
WITH RECURSIVE below AS (
    SELECT id, level FROM {Equipment._meta.db_table}
    WHERE site_id = %(site)s AND CASE WHEN %(root)s IS NULL THEN parent_id IS NULL ELSE id = %(root)s END
    UNION
    SELECT child.id, child.level FROM {Equipment._meta.db_table} AS child JOIN below ON child.parent_id = below.id
)
SELECT machine.id, machine.tag, {MICROSECONDS.format("least(machine.created_at, first.at)")}
FROM below JOIN {Equipment._meta.db_table} AS machine ON machine.id = below.id
LEFT JOIN (SELECT machine_id, min(opened_at) AS at FROM {ORDER} WHERE site_id = %(site)s GROUP BY machine_id) AS first
    ON first.machine_id = machine.id
WHERE below.level = 'MACHINE'
"""
"""The machines at and below a piece of equipment, and since when each is observed: made, or with an order."""
MONEY = f"""
SELECT order_id, (sum(amount) * 100)::bigint AS hundredths FROM (
    SELECT order_id, cost AS amount FROM {PAST} WHERE cost IS NOT NULL
    UNION ALL SELECT order_id, amount FROM {OrderCost._meta.db_table}
    UNION ALL SELECT order_id, -value FROM {Movement._meta.db_table} WHERE order_id IS NOT NULL
    UNION ALL SELECT order_id, round(extract(epoch FROM until_at - from_at) / 3600 * hourly_cost, 2)
        FROM {Labour._meta.db_table} WHERE hourly_cost IS NOT NULL
) AS every GROUP BY order_id
"""
"""What each order cost: what an imported one brought, and all that ``order_costs`` counts."""
BREAKS = "step.action IN ('HELD', 'REOPENED')"
AGAIN = f"EXISTS (SELECT FROM {STEP} AS step WHERE step.order_id = job.id AND step.action = 'REOPENED')"
DUE = "coalesce(job.due_at, job.planned_start + job.planned_minutes * interval '1 minute')"
DONE = f"""CASE WHEN job.status = 'CANCELLED'
    THEN (SELECT max(step.at) FROM {STEP} AS step WHERE step.order_id = job.id AND step.action = 'COMPLETED')
    ELSE job.completed_at END"""
ORDERS = f"""
SELECT job.id, job.machine_id, coalesce(nullif(job.found_mode, ''), job.failure_mode), coalesce(past.part, ''),
    job.maintenance_type, job.verdict, {MICROSECONDS.format("job.opened_at")},
    {MICROSECONDS.format(DONE)}, {MICROSECONDS.format("job.closed_at")}, {MICROSECONDS.format(DUE)},
    coalesce(job.planned_minutes, 0), coalesce(money.hundredths, 0),
    job.planned_start IS NOT NULL OR job.maintenance_type = 'PREDETERMINED',
    {AGAIN},
    {MICROSECONDS.format("job.started_at")},
    job.started_at IS NULL OR past.order_id IS NOT NULL
        OR EXISTS (SELECT FROM {STEP} AS step WHERE step.order_id = job.id AND {BREAKS})
FROM {ORDER} AS job LEFT JOIN {PAST} AS past ON past.order_id = job.id
LEFT JOIN ({MONEY}) AS money ON money.order_id = job.id
WHERE job.machine_id = ANY(%(machines)s) AND job.opened_at < %(end)s
    AND ({LASTED_INTO.format("job.")} OR job.closed_at >= %(start)s OR {DUE} >= %(start)s)
    AND (job.status NOT IN ('REQUESTED', 'CANCELLED') OR {AGAIN})
"""
"""Those that were to be done, and lasted into the period, or were closed or due in it. One that was done, opened again
and then not approved was done all the same.
"""
STRETCHES = f"""
SELECT order_id, machine_id, {MICROSECONDS.format("at")}, {MICROSECONDS.format("until")} FROM (
    SELECT step.order_id, job.machine_id, step.action, step.at,
        lead(step.at) OVER (PARTITION BY step.order_id ORDER BY step.id) AS until
    FROM {STEP} AS step JOIN {ORDER} AS job ON job.id = step.order_id
    WHERE job.machine_id = ANY(%(machines)s) AND job.opened_at < %(end)s AND {LASTED_INTO.format("job.")}
        AND step.action IN ('STARTED', 'HELD', 'RESUMED', 'COMPLETED', 'CANCELLED', 'REOPENED')
        AND (job.status = 'CANCELLED' OR job.id IN (SELECT step.order_id FROM {STEP} AS step WHERE {BREAKS})
            OR job.id IN (SELECT past.order_id FROM {PAST} AS past))
) AS steps
WHERE action IN ('STARTED', 'RESUMED') AND at < %(end)s AND (until IS NULL OR until >= %(start)s)
"""
"""From where work began or went on to where it was held, completed, cancelled or opened again: of orders that were
held, opened again, cancelled or imported (of those it may not be known). On all others it lasted from their start to
their completion."""
DOWN = f"""
SELECT coalesce(order_id, 0), machine_id, {MICROSECONDS.format("from_at")}, {MICROSECONDS.format("until_at")}
FROM {Downtime._meta.db_table}
WHERE machine_id = ANY(%(machines)s) AND reason = ANY(%(reasons)s)
    AND from_at < %(end)s AND (until_at IS NULL OR until_at >= %(start)s)
"""
FOR_MAINTENANCE = [
    Downtime.Reason.BREAKDOWN, Downtime.Reason.MAINTENANCE,
    Downtime.Reason.WAITING_FOR_PARTS, Downtime.Reason.WAITING_FOR_PEOPLE,
]  # fmt: skip
"""Reasons of downtime that maintenance answers for; for the others a machine is not out of service."""


@dataclass(frozen=True, slots=True)
class Found:
    """What there is of a site, or of a part of it, in a period; ``tags`` by machine.

    ``out``: when machines were out of service for maintenance, as entered since the site's first downtime; before
    that, and where a site enters none, while somebody worked on them.
    """

    orders: Orders
    worked: Stretches
    out: Stretches
    alarms: Activations
    period: Period
    tags: dict[int, str]


def load(site_id: int, *, equipment_id: int | None, start: datetime, end: datetime) -> Found:
    """Of all machines of a site, or of those at and below a piece of its equipment."""
    machines = _rows(MACHINES, {"site": site_id, "root": equipment_id})
    keys = [row[0] for row in machines]
    asked = {"machines": keys, "start": start, "end": end, "reasons": FOR_MAINTENANCE}
    period = Period(from_instant(start), from_instant(end), {key: since for key, _, since in machines})
    orders, at_once = _orders(_rows(ORDERS, asked), period)
    worked = at_once.and_then(_stretches(_rows(STRETCHES, asked)))
    first = Downtime.objects.filter(site=site_id).aggregate(first=Min("from_at"))["first"]
    kept = NEVER if first is None else from_instant(first)
    return Found(
        orders,
        worked,
        worked.take(worked.begin < kept).and_then(_stretches(_rows(DOWN, asked))),
        _of(keys, alarm_report.load(site_id, start=start, end=end)),
        period,
        {key: tag for key, tag, _ in machines},
    )


def _rows(query: str, asked: dict[str, Any]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, asked)
        rows: list[Any] = cursor.fetchall()
        return rows


def _orders(rows: list[Any], period: Period) -> tuple[Orders, Stretches]:
    """The orders, and when those were worked on that were done in one go."""
    given = list(zip(*rows, strict=True)) if rows else [()] * 16
    orders = Orders(
        id=_whole(given[0]), machine=_whole(given[1]), mode=np.array(given[2], str), part=np.array(given[3], str),
        kind=np.array(given[4], str), verdict=np.array(given[5], str), opened=_whole(given[6]),
        completed=_whole(given[7]), closed=_whole(given[8]), due=_whole(given[9]), minutes=_whole(given[10]),
        cost=_whole(given[11]), planned=np.array(given[12], bool), reopened=np.array(given[13], bool),
    )  # fmt: skip
    began = _whole(given[14])
    at_once = ~np.array(given[15], bool) & (began < period.end) & (orders.completed >= period.start)
    return orders, Stretches(orders.id, orders.machine, began, orders.completed).take(at_once)


def _stretches(rows: list[Any]) -> Stretches:
    return Stretches(*(_whole(given) for given in (zip(*rows, strict=True) if rows else [()] * 4)))


def _whole(given: Sequence[int | None]) -> np.ndarray[Any, np.dtype[np.int64]]:
    return np.array([NEVER if value is None else value for value in given], np.int64)


def _of(machines: Collection[int], found: Activations) -> Activations:
    inside = np.isin(found.machine, list(machines))
    return Activations(
        found.at[inside], found.returned[inside], found.acknowledged[inside], found.machine[inside],
        found.mode[inside], found.priority[inside],
    )  # fmt: skip
