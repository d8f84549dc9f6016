"""The report on a site's alarms over a period: the history is read, nothing is changed.

Counted is what was decided (``AlarmTransition``), in event time: an alarm opened or active again is one activation.
Its priority is the highest that the alarm had. The figures themselves: ``maintenance.isa182``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection

from maintenance import isa182
from maintenance.alarm_life import PRIORITIES
from maintenance.isa182 import NEVER, Activations, Actor, Report
from maintenance.models import Alarm, AlarmTransition
from sensors.columns import from_instant, to_instant
from sensors.models import Equipment

USUAL = timedelta(days=30)
LONGEST = timedelta(days=400)
MOST_OPERATORS = 1_000
ALARM, STEP = Alarm._meta.db_table, AlarmTransition._meta.db_table
ACTIVE = "action IN ('OPENED', 'REOPENED')"
MICROSECONDS = "(extract(epoch FROM {}) * 1000000)::bigint"
QUERY = (
    f"SELECT {MICROSECONDS.format(f'min(at) FILTER (WHERE {ACTIVE})')},"
    f" {MICROSECONDS.format('''min(at) FILTER (WHERE action = 'RETURNED')''')},"
    f" {MICROSECONDS.format('''min(at) FILTER (WHERE action = 'ACKNOWLEDGED')''')},"
    " machine_id, failure_mode, priority FROM ("
    f"SELECT step.alarm_id, step.action, step.at, machine_id, failure_mode, priority, count(*) FILTER (WHERE {ACTIVE})"
    f" OVER (PARTITION BY step.alarm_id ORDER BY step.id) AS episode FROM {ALARM} AS alarm"
    f" JOIN {STEP} AS step ON step.alarm_id = alarm.id"
    " WHERE alarm.site_id = %(site)s AND (alarm.returned_at IS NULL OR alarm.returned_at >= %(start)s)"
    " AND step.action IN ('OPENED', 'REOPENED', 'RETURNED', 'ACKNOWLEDGED') AND step.at < %(end)s) AS steps"
    " GROUP BY alarm_id, episode, machine_id, failure_mode, priority"
    f" HAVING count(*) FILTER (WHERE {ACTIVE}) > 0"
)


class BadPeriod(ValueError):
    """The period cannot be reported on; the message says why."""


@dataclass(frozen=True, slots=True)
class Made:
    """A report, and what the machines in it are called."""

    report: Report
    tags: Mapping[int, str]


def make(site_id: int, *, start: datetime, end: datetime, operators: int = 1, now: datetime) -> Made:
    """The report on [start, end) of a site; what is not over yet is reported on up to now.

    Two queries. Raises ``BadPeriod``.
    """
    end = min(end, now)
    if start >= end:
        raise BadPeriod("The period must begin before it ends, and not in the future.")
    if end - start > LONGEST:
        raise BadPeriod(f"The period is longer than {LONGEST.days} days.")
    found = load(site_id, start=start, end=end)
    report = isa182.report(found, start=from_instant(start), end=from_instant(end), operators=operators)
    machines = {actor.machine for actor in (*report.top, *report.nuisances)}
    return Made(report, dict(Equipment.objects.filter(pk__in=machines).values_list("pk", "tag")))


def load(site_id: int, *, start: datetime, end: datetime) -> Activations:
    """The activations of a site before ``end`` of alarms that were active at ``start`` or later."""
    with connection.cursor() as cursor:
        cursor.execute(QUERY, {"site": site_id, "start": start, "end": end})
        rows = cursor.fetchall()
    at, returned, acknowledged, machine, mode, priority = zip(*rows, strict=True) if rows else ((),) * 6
    return Activations(
        at=np.array(at, np.int64),
        returned=np.array([NEVER if t is None else t for t in returned], np.int64),
        acknowledged=np.array([NEVER if t is None else t for t in acknowledged], np.int64),
        machine=np.array(machine, np.int64),
        mode=np.array(mode, "U3"),
        priority=np.array([PRIORITIES.index(one) for one in priority], np.int64),
    )


def plain(made: Made) -> dict[str, Any]:
    """The report as plain values, for JSON."""
    report = made.report
    return {
        "from": to_instant(report.start),
        "to": to_instant(report.end),
        "days": round(report.days, 3),
        "long_enough": report.is_long_enough,
        "operators": report.operators,
        "activations": report.activations,
        "alarms": report.alarms,
        "figures": [
            {
                "name": figure.target.name,
                "title": figure.target.title,
                "value": figure.value,
                "unit": figure.target.unit,
                "direction": figure.target.direction,
                "target": figure.target.target,
                "maximum": figure.target.maximum,
                "verdict": figure.verdict,
                "checked": figure.target.checked,
                "provenance": figure.target.source,
            }
            for figure in report.figures
        ],
        "floods": [
            {"from": to_instant(flood.start), "to": to_instant(flood.end), "activations": flood.activations}
            for flood in report.floods
        ],
        "by_day": list(report.by_day),
        "top": [_actor(made, actor) for actor in report.top],
        "nuisances": [_actor(made, actor) for actor in report.nuisances],
    }


def _actor(made: Made, actor: Actor) -> dict[str, Any]:
    told = asdict(actor)
    return {"machine": told.pop("machine"), "tag": made.tags[actor.machine], "failure_mode": told.pop("mode"), **told}
