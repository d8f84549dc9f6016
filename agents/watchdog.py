"""Looks every minute for what does not happen: sensors that are silent, runs that are stuck, messages that do not go.

Silence becomes an event in the journal and a fault of the instrument. That fault is the gap which validate finds when
the sensor reads again, only told while it lasts: both name the sensor's newest reading as its start, so it is one
anomaly and one occurrence on the order, however often it is looked at.

The fault takes the way of all others: a run of the machine's lane that begins at decide, and waits for its turn there.
So everything that changes alarms and orders still passes a lane one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import structlog
from django.db import connection, transaction

from agents import audit, figures, heartbeat, timetable
from agents.audit import Trouble
from agents.channels.webhook import Webhook
from agents.findings import FaultKind
from agents.models import Run
from maintenance import anomalies, sightings
from mlops import machine_states
from sensors import journal, presence
from sensors.models import LANES
from sensors.presence import Silence

log = structlog.get_logger(__name__)

MOST = 1_000
"""Silences told in one pass: when all sensors of a plant fall silent, the rest has its turn a minute later."""
MISSED_PERIODS = 3
"""A watchdog that did not run for longer was away, and so was the service."""
UNREAD = ("INGEST", "VALIDATE")
"""Stages before which a run has not yet said which sensors it heard."""


def watch() -> tuple[Trouble, ...]:
    """The periodic job: tell of silence, audit, and call the outside heartbeat if nothing is wrong with the service."""
    tell_silence()
    troubles = look()
    for trouble in troubles:
        log.warning(
            f"agents.watchdog.{trouble.kind}", count=trouble.count, oldest_seconds=round(trouble.oldest_seconds)
        )
    if audit.passed(troubles):
        heartbeat.call(by=Webhook())
    return troubles


def look() -> tuple[Trouble, ...]:
    """The audit: reads, and changes nothing."""
    return audit.judge(figures.read())


def tell_silence() -> int:
    """Tell of sensors that fell silent and of those that are heard again; how many fell silent."""
    with transaction.atomic():
        presence.take_heard_again()
    with transaction.atomic():
        silences = presence.take_silent(arrived_until=_arrived_until(), listening_since=_listening_since(), most=MOST)
        journal.record([presence.told(silence) for silence in silences])
        _report(silences)
    return len(silences)


def _report(silences: Sequence[Silence]) -> None:
    """A fault for each, and a run in each of their lanes that will decide on them, in the caller's transaction.

    Where a gateway fell silent, the faults of the sensors behind it are its own: so they come to one order. A sensor
    that no reading is known of has nothing that a gap could begin with.
    """
    newest = _newest(silences)
    by_lane: dict[int, list[Silence]] = {}
    for silence in silences:
        if silence.sensor_id in newest:
            by_lane.setdefault(silence.lane, []).append(silence)
    for lane, found in sorted(by_lane.items()):
        run = Run.objects.create(
            lane=lane,
            status=Run.Status.REPLAY,
            stage=Run.Stage.DECIDE,
            findings={"clocks": {str(silence.blamed_id): None for silence in found}},
        )
        anomalies.record(
            [
                sightings.fault(
                    sensor_id=silence.sensor_id,
                    kind=FaultKind.GAP,
                    started_at=newest[silence.sensor_id],
                    last_at=newest[silence.sensor_id],
                    readings=0,
                    detail=_words(silence),
                )
                for silence in found
            ],
            run_id=run.pk,
            of_machine={silence.sensor_id: silence.blamed_id for silence in found},
        )


def _words(silence: Silence) -> str:
    with_others = "" if silence.blamed_id == silence.machine_id else ", with others behind its gateway"
    return f"silent{with_others}: a reading is expected every {silence.period_seconds} s"


def _newest(silences: Sequence[Silence]) -> dict[int, int]:
    """Instant of the newest reading in order, in microseconds, by sensor: what validate measures a gap from."""
    memory, _ = machine_states.load({silence.machine_id for silence in silences}, part="memory")
    if not len(memory.sensor):
        return {}
    seen = memory.arrays["seen"].astype(np.bool_)
    return dict(zip(memory.sensor[seen].tolist(), memory.arrays["newest"][seen].tolist(), strict=True))


def _listening_since() -> datetime | None:
    """When the service came back last, of which the watchdog's own absence tells; None where it has not been away.

    Nobody could send while it was away: without this, each long stop of the service would end in a storm of silences.
    """
    gap = MISSED_PERIODS * timetable.PERIODS["watchdog"]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT max(started_at) FROM (SELECT period, started_at, period - lag(period) OVER (ORDER BY period) AS gap"
            " FROM agents_jobrun WHERE job = 'watchdog') AS ran"
            " WHERE gap > %s * interval '1 second' AND period > statement_timestamp() - interval '1 day'",
            [gap.total_seconds()],
        )
        since: datetime | None = cursor.fetchone()[0]
    return since


def _arrived_until() -> dict[int, datetime]:
    """For each lane in which something has not been looked at: since when the oldest of it has been there."""
    waiting = (
        "SELECT lane, (SELECT created_at FROM sensors_batchpart WHERE state = 'WAITING' AND lane = lanes.lane"
        f" ORDER BY id LIMIT 1) AS since FROM generate_series(0, {LANES - 1}) AS lanes(lane)"
    )
    taken = " UNION ALL ".join(
        "SELECT lanes.lane, (SELECT min(created_at) FROM sensors_batchpart WHERE run_id = run.id)"
        " FROM agents_run AS run"
        " CROSS JOIN generate_series(run.lane, run.lane + run.lanes - 1) AS lanes(lane)"
        f" WHERE run.status = '{status}' AND run.stage IN {UNREAD}"
        for status in (*figures.ON_THEIR_WAY, "REPLAY")
    )
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT lane, min(since) FROM ({waiting} UNION ALL {taken}) AS unread"
            " WHERE since IS NOT NULL GROUP BY lane"
        )
        return dict(cursor.fetchall())
