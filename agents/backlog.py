"""How much waits to be judged, and for how long: figures of at most a second ago, from one query."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from django.db import connection

from agents.admission import RESERVE, Limits, Load
from agents.models import Run, Throttle
from sensors import walls
from sensors.models import Batch, BatchPart, Site

KEEP_SECONDS = 1.0

PART, BATCH, RUN, SITE, THROTTLE = (model._meta.db_table for model in (BatchPart, Batch, Run, Site, Throttle))
WAITING = f"SELECT lane, readings, created_at, batch_id, discovered_id FROM {PART} WHERE state = 'WAITING'"
TAKEN = (
    f"SELECT readings, batch_id FROM {PART} WHERE state = 'TAKEN'"
    f" AND run_id = ANY(ARRAY(SELECT id FROM {RUN} WHERE status = 'ACTIVE'))"
)
RUNS = " UNION ALL ".join(
    f"SELECT lane, lanes, status, created_at, due_at, lease_until FROM {RUN} WHERE {which}"
    for which in (
        "status = 'ACTIVE'",
        "status = 'REPLAY'",
        "created_at > statement_timestamp() - %s * interval '1 second'",
    )
)
QUERY = f"""
WITH lanes AS MATERIALIZED (
    SELECT lane, sum(readings) AS readings, min(created_at) FILTER (WHERE discovered_id IS NULL) AS since
    FROM ({WAITING}) waiting GROUP BY lane
),
runs AS (
    SELECT one.lane, max(greatest(created_at, due_at)) AS due, bool_or(
        status = 'ACTIVE' AND (due_at > statement_timestamp() OR lease_until >= statement_timestamp())
    ) AS in_hand
    FROM ({RUNS}) lately CROSS JOIN generate_series(lane, lane + lanes - 1) AS one(lane) GROUP BY one.lane
),
total AS MATERIALIZED (
    SELECT coalesce((SELECT sum(readings) FROM lanes), 0)
        + coalesce((SELECT sum(readings) FROM ({TAKEN}) taken), 0) AS readings
)
SELECT 'total', 0, readings FROM total
UNION ALL
SELECT 'sites', 0, count(*) FROM {SITE}
UNION ALL
SELECT 'throttle', user_id, readings_per_second FROM {THROTTLE} WHERE until > statement_timestamp()
UNION ALL
SELECT 'lane', lane, CASE
    WHEN in_hand OR since IS NULL THEN 0
    ELSE greatest(0, extract(epoch FROM statement_timestamp() - greatest(since, due))) END
FROM lanes LEFT JOIN runs USING (lane)
UNION ALL
SELECT 'site', site_id, sum(readings) FROM (
    SELECT batch.site_id, pending.readings FROM (
        SELECT readings, batch_id FROM ({WAITING}) waiting UNION ALL {TAKEN}
    ) pending JOIN {BATCH} batch ON batch.id = pending.batch_id
    WHERE (SELECT readings FROM total) >= %s
) shares GROUP BY site_id
"""
"""Rows of kind, id and figure. It is written so that each part has its index: ``part_waiting``, ``part_of_run``,
``run_due``, ``run_to_replay`` and that of ``created_at``; runs that ended before the age's highest mark change nothing
and are not looked at. The sites' part, which has to look up every batch, is not executed until the shares count."""


def measure(limits: Limits) -> Load:
    """The figures of now."""
    with walls.everywhere(), connection.cursor() as cursor:
        cursor.execute(QUERY, [limits.seconds * RESERVE, limits.crowded])
        rows = cursor.fetchall()
    single = {kind: int(figure) for kind, _, figure in rows if kind in ("total", "sites")}
    return Load(
        readings=single["total"],
        lane_ages=tuple(float(figure) for kind, _, figure in rows if kind == "lane"),
        site_readings={key: int(figure) for kind, key, figure in rows if kind == "site"},
        sites=single["sites"],
        throttles={key: int(figure) for kind, key, figure in rows if kind == "throttle"},
    )


class Gauge:
    """The last figures, measured again by the first who asks after a second; who asks meanwhile gets the old ones."""

    def __init__(
        self, measure: Callable[[Limits], Load] = measure, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._measure, self._clock = measure, clock
        self._lock = threading.Lock()
        self._last: tuple[float, Load] | None = None

    def load(self, limits: Limits) -> Load:
        last = self._last
        if last is not None and (self._is_fresh(last[0]) or self._lock.locked()):
            return last[1]
        with self._lock:
            last = self._last
            if last is None or not self._is_fresh(last[0]):
                load = self._measure(limits)
                last = self._last = (self._clock(), load)
            return last[1]

    def forget(self) -> None:
        self._last = None

    def _is_fresh(self, measured_at: float) -> bool:
        return self._clock() - measured_at < KEEP_SECONDS


gauge = Gauge()
