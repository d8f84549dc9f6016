"""What triage needs to know of anomalies: one question to the database, answered from indexes."""

from __future__ import annotations

from collections.abc import Collection

import orjson
from django.db import connection

from maintenance import triage
from maintenance.models import Anomaly
from maintenance.triage import Facts, Stretch
from sensors.models import Label

ANOMALY, LABEL = Anomaly._meta.db_table, Label._meta.db_table
YEAR = "interval '365 days'"
"""What people said of anomalies counts for so long."""
LIVE = "{0}.nature = 'MACHINE' AND NOT {0}.retrospective"
MICROSECONDS = "(extract(epoch FROM {0}) * 1000000)::bigint"
TOLD = (
    "label.machine_id = {0}.machine_id AND (label.sensor_id IS NULL OR label.sensor_id = {0}.sensor_id)"
    " AND label.retracted_at IS NULL"
)
"""A label that holds, of the anomaly's sensor or of its machine."""
EARLIER = (
    f"{LIVE.format('earlier')} AND earlier.sensor_id = one.sensor_id AND earlier.detector = one.detector"
    " AND earlier.started_at < one.started_at"
)
FACTS = f"""
SELECT one.id,
    ARRAY(
        SELECT {MICROSECONDS.format("earlier.started_at")} FROM {ANOMALY} AS earlier
        WHERE {EARLIER} AND earlier.started_at >= one.started_at - interval '7 days'
        ORDER BY earlier.started_at DESC LIMIT {triage.OFTEN}
    ),
    ARRAY(
        SELECT bool_or(label.kind = 'FAULT') FROM {ANOMALY} AS earlier
        JOIN {LABEL} AS label ON {TOLD.format("earlier")} AND label.kind IN ('FAULT', 'FALSE_ALARM')
            AND label.from_at <= earlier.last_at AND label.to_at >= earlier.started_at
        WHERE {EARLIER} AND earlier.started_at >= one.started_at - {YEAR}
            AND label.to_at >= one.started_at - {YEAR}
        GROUP BY earlier.id
    ),
    (
        SELECT coalesce(jsonb_agg(
            jsonb_build_array(label.kind, {MICROSECONDS.format("label.to_at")}) ORDER BY label.id
        ), '[]')
        FROM {LABEL} AS label
        WHERE {TOLD.format("one")} AND label.from_at <= one.started_at AND label.to_at >= one.started_at
    ),
    (
        SELECT coalesce(jsonb_agg(
            jsonb_build_array(
                fault.kind, {MICROSECONDS.format("fault.started_at")}, {MICROSECONDS.format("fault.ended_at")}
            ) ORDER BY fault.id
        ), '[]')
        FROM {ANOMALY} AS fault
        WHERE fault.nature = 'INSTRUMENT' AND NOT fault.retrospective AND fault.sensor_id = one.sensor_id
            AND fault.started_at <= one.started_at
            AND (fault.ended_at IS NULL OR fault.ended_at > one.started_at - interval '1 day')
    ),
    (
        SELECT {MICROSECONDS.format("min(other.started_at)")} FROM {ANOMALY} AS other
        WHERE {LIVE.format("other")} AND other.machine_id = one.machine_id
            AND other.sensor_id <> one.sensor_id AND other.started_at >= one.started_at - interval '1 hour'
            AND other.started_at <= coalesce(one.ended_at, 'infinity')
            AND NOT EXISTS (
                SELECT FROM {LABEL} AS label WHERE {TOLD.format("other")} AND label.kind <> 'FAULT'
                    AND label.from_at <= other.started_at AND label.to_at >= other.started_at
            )
    )
FROM {ANOMALY} AS one WHERE one.id = ANY(%s)
"""


def facts(anomaly_ids: Collection[int]) -> dict[int, Facts]:
    """What is known of each of these anomalies now, by its id. One query, none for none."""
    if not anomaly_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(FACTS, [list(anomaly_ids)])
        return {row[0]: _facts(*row[1:]) for row in cursor.fetchall()}


def _facts(onsets: list[int], judged: list[bool], labels: str, faults: str, neighbour_at: int | None) -> Facts:
    return Facts(
        onsets=tuple(onsets),
        real=judged.count(True),
        false=judged.count(False),
        labels=tuple((kind, end) for kind, end in orjson.loads(labels)),
        faults=tuple(Stretch(*fault) for fault in orjson.loads(faults)),
        neighbour_at=neighbour_at,
    )
