"""Silence: absence of data is an event. The only writer of SensorPresence.

A sensor that has a period is due again by *arrival*, on the database's clock: what the sensor's own clock says does
not count, and neither does how long the flow took. The tolerance is the sensor's own; where it has none, it is
``SILENT_PERIODS`` of its periods, and ``SILENT_MIN_SECONDS`` at least.

Only what is *current* counts: a reading that was not older on its arrival than the tolerance. So a replay of last
year's data neither makes a sensor present nor leaves it silent when the replay ends, and a device that sends what it
had kept back is heard again with the first reading that is current. The price: a sensor whose clock is behind by more
than the tolerance is not watched.

A row is written at most once in ``SLACK`` of the tolerance, so a thousand sensors that report every second cost a
comparison per run and a write now and then. Silence is told between once and ``1 + SLACK`` times the tolerance after
the last current reading, never before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from django.conf import settings
from django.db import connection

from sensors import journal
from sensors.columns import Columns, Int64, from_instant, starts
from sensors.models import BatchPart, Equipment, Sensor, SensorPresence

SLACK = 0.25
TABLE = SensorPresence._meta.db_table
SENSOR, PART, EQUIPMENT = Sensor._meta.db_table, BatchPart._meta.db_table, Equipment._meta.db_table
TOLERANCE = (
    "coalesce(sensor.silent_after_seconds, greatest(%(least)s, %(periods)s * sensor.period_seconds))"
    " * interval '1 second'"
)

QUIET = 2 * SLACK
"""Of its tolerance: a sensor that was not heard for longer has missed readings, though it is not overdue."""
GATEWAY_IS_SILENT = (
    "SELECT coalesce(bool_or(greatest(other.heard_at, %(listening_since)s::timestamptz) + %(quiet)s * span"
    " < statement_timestamp()), false)"
    # A row is written once in a part of the tolerance: the silent sensor may have been heard so much later, and was to
    # read again a period after that.
    f" AND NOT coalesce(bool_or(other.heard_at > known.heard_at + %(slack)s * {TOLERANCE}"
    " + sensor.period_seconds * interval '1 second'), false)"
    f" FROM {TABLE} AS other JOIN {SENSOR} AS beside ON beside.id = other.sensor_id"
    f" CROSS JOIN LATERAL (SELECT {TOLERANCE.replace('sensor.', 'beside.')}) AS tolerance(span)"
    " WHERE beside.gateway_id = sensor.gateway_id AND beside.period_seconds > 0 AND beside.id <> sensor.id"
)
"""Whether it was the gateway: another sensor behind it has missed readings too, and none was heard after this one."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A sensor from which nothing current has arrived since ``heard_at``, although its period says it should.

    ``blamed_id``: its machine, or its gateway where that is what fell silent; ``lane``: of what is blamed.
    """

    sensor_id: int
    machine_id: int
    blamed_id: int
    site_id: int
    lane: int
    period_seconds: int
    heard_at: datetime


def heard(columns: Columns, *, part: Int64, watched: Int64) -> int:
    """Note which sensors the readings of a run came from, in the caller's transaction; how many rows that wrote.

    ``columns``: n readings sorted by sensor and instant, ``part``: array of length n, the part each came in;
    ``watched``: ids of the sensors that have a period. To be called before anything else that the transaction locks:
    whoever tells a silence locks these rows first.
    """
    newest = np.append(starts(columns.sensor)[1:], len(columns)) - 1 if len(columns) else np.empty(0, np.int64)
    newest = newest[np.isin(columns.sensor[newest], watched)]
    if not len(newest):
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {TABLE} AS known (sensor_id, heard_at, due_at)"
            " SELECT sensor.id, part.created_at, part.created_at + %(until)s * span"
            " FROM unnest(%(sensor)s::bigint[], %(at)s::bigint[], %(part)s::bigint[]) AS told(sensor_id, at, part_id)"
            f" JOIN {SENSOR} AS sensor ON sensor.id = told.sensor_id AND sensor.period_seconds > 0"
            f" JOIN {PART} AS part ON part.id = told.part_id"
            f" CROSS JOIN LATERAL (SELECT {TOLERANCE}) AS tolerance(span)"
            f" LEFT JOIN {TABLE} AS had ON had.sensor_id = sensor.id"
            " WHERE timestamptz 'epoch' + told.at * interval '1 microsecond' >= part.created_at - span"
            # Before the insert, which would lock and so write the row of every conflict.
            " AND (had.sensor_id IS NULL OR had.heard_at + %(slack)s * span < part.created_at)"
            " ORDER BY sensor.id"
            " ON CONFLICT (sensor_id) DO UPDATE SET heard_at = EXCLUDED.heard_at, due_at = EXCLUDED.due_at"
            " WHERE EXCLUDED.heard_at > known.heard_at",
            {
                "sensor": columns.sensor[newest].tolist(),
                "at": columns.at[newest].tolist(),
                "part": part[newest].tolist(),
                **_tolerance(),
            },
        )
        return int(cursor.rowcount)


def take_silent(*, arrived_until: Mapping[int, datetime], listening_since: datetime | None, most: int) -> list[Silence]:
    """Mark sensors as silent that are overdue, in the caller's transaction, which is to tell of them.

    ``arrived_until``: for a lane in which something waits, the instant up to which all that arrived was looked at; what
    is due later may be in what waits. ``listening_since``: before it nobody could have been heard, so the tolerance
    begins anew. Each silence is taken once, by one of several callers.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT known.sensor_id, sensor.machine_id, coalesce(gateway.id, machine.id), sensor.site_id,"
            f" coalesce(gateway.lane, machine.lane), sensor.period_seconds, known.heard_at FROM {TABLE} AS known"
            f" JOIN {SENSOR} AS sensor ON sensor.id = known.sensor_id AND sensor.period_seconds > 0"
            f" JOIN {EQUIPMENT} AS machine ON machine.id = sensor.machine_id"
            f" LEFT JOIN {EQUIPMENT} AS gateway ON gateway.id = sensor.gateway_id AND ({GATEWAY_IS_SILENT})"
            " LEFT JOIN unnest(%(lanes)s::integer[], %(until_when)s::timestamptz[]) AS waits(lane, since)"
            " ON waits.lane = machine.lane"
            " WHERE known.silent_since IS NULL AND known.due_at <= statement_timestamp()"
            # The period may have been changed since the row was written.
            f" AND greatest(known.heard_at, %(listening_since)s::timestamptz) + %(until)s * {TOLERANCE}"
            " <= least(statement_timestamp(), waits.since)"
            " ORDER BY known.sensor_id LIMIT %(most)s FOR UPDATE OF known SKIP LOCKED",
            {
                "lanes": list(arrived_until),
                "until_when": list(arrived_until.values()),
                "listening_since": listening_since,
                "most": most,
                "quiet": QUIET,
                **_tolerance(),
            },
        )
        found = [Silence(*row) for row in cursor.fetchall()]
        if found:
            cursor.execute(
                f"UPDATE {TABLE} SET silent_since = heard_at WHERE sensor_id = ANY(%s)",
                [[silence.sensor_id for silence in found]],
            )
    return found


def take_heard_again() -> int:
    """End the silences of sensors that were heard since, each with its entry in the journal; how many.

    A sensor that has no period any more is no longer watched, and its silence is over without a word.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {TABLE} AS known USING {SENSOR} AS sensor WHERE sensor.id = known.sensor_id"
            " AND known.silent_since IS NOT NULL AND coalesce(sensor.period_seconds, 0) = 0"
        )
        cursor.execute(
            f"WITH back AS (SELECT sensor_id, silent_since FROM {TABLE} WHERE heard_at > silent_since"
            " ORDER BY sensor_id FOR UPDATE SKIP LOCKED)"
            f" UPDATE {TABLE} AS known SET silent_since = NULL FROM back"
            f" JOIN {SENSOR} AS sensor ON sensor.id = back.sensor_id WHERE known.sensor_id = back.sensor_id"
            " RETURNING known.sensor_id, sensor.machine_id, sensor.site_id, known.heard_at, back.silent_since"
        )
        rows = cursor.fetchall()
    journal.record([_entry(journal.SENSOR_HEARD, *row) for row in rows])
    return len(rows)


def told(silence: Silence) -> journal.Entry:
    """The journal's entry that a sensor is silent: one for each time it was heard last."""
    return _entry(
        journal.SENSOR_SILENT,
        silence.sensor_id, silence.machine_id, silence.site_id, silence.heard_at, silence.heard_at,
    )  # fmt: skip


def _entry(kind: str, sensor: int, machine: int, site: int, at: datetime, since: datetime) -> journal.Entry:
    return journal.Entry(
        type=kind,
        subject=f"sensor/{sensor}",
        key=f"{kind}/{sensor}/{from_instant(since)}",
        occurred_at=at,
        site_id=site,
        data={"machine": machine, "sensor": sensor, "silent_since": since.isoformat()},
    )


def _tolerance() -> dict[str, float]:
    return {
        "periods": settings.SILENT_PERIODS,
        "least": settings.SILENT_MIN_SECONDS,
        "slack": SLACK,
        "until": 1 + SLACK,
    }
